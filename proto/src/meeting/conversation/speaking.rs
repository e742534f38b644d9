//! What this member itself says and does.

use super::{
    Conversation, ConversationCommand, ConversationEvent, Refusal, Said,
    item::{Item, ItemBody, ItemHash, Poll, SignedItem},
    message::DirectBody,
    polls::{OPTIONS_MIN, VOTES_PER_MEMBER_MAX},
    rate::{Bucket, CHAT_RATE, GESTURE_RATE, POLL_RATE, REACTION_RATE},
    reactions::{REACTION_LIFETIME, Reaction},
    standing::Standing,
    text::{ChatText, OptionText, Question},
};
use crate::{
    ids::MemberId,
    meeting::role::Role,
    time::{Now, Timestamp},
    wire::control_message::HEADS_MAX,
};

/// What this member may still say.
#[derive(Debug)]
pub(super) struct OwnRates {
    pub(super) chat: Bucket,
    pub(super) gesture: Bucket,
    pub(super) reaction: Bucket,
    pub(super) poll: Bucket,
}

impl OwnRates {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            chat: Bucket::new(CHAT_RATE, now),
            gesture: Bucket::new(GESTURE_RATE, now),
            reaction: Bucket::new(REACTION_RATE, now),
            poll: Bucket::new(POLL_RATE, now),
        }
    }
}

impl Conversation {
    /// Does what a person asks, or says in an event why not.
    pub fn handle_command(&mut self, now: Now, standing: &dyn Standing, command: ConversationCommand) {
        let (what, done) = match command {
            ConversationCommand::Say { to: None, text } => ("chat", self.say(now, standing, &text)),
            ConversationCommand::Say { to: Some(to), text } => {
                ("chat", self.say_to(now, standing, to, &text))
            }
            ConversationCommand::Hand(up) => ("hand", self.hand(now, standing, up)),
            ConversationCommand::LowerHand(member) => ("hand", self.lower_hand(now, standing, member)),
            ConversationCommand::React(reaction) => ("reaction", self.react(now, standing, reaction)),
            ConversationCommand::OpenPoll {
                question,
                options,
                multiple,
            } => (
                "poll",
                self.open_poll(now, standing, &question, &options, multiple),
            ),
            ConversationCommand::Vote { poll, choices } => ("vote", self.vote(now, standing, poll, &choices)),
            ConversationCommand::ClosePoll(poll) => ("poll", self.close_poll(now, standing, poll)),
            command => ("file", self.handle_file_command(now, standing, command)),
        };
        if let Err(why) = done {
            self.events.push_back(ConversationEvent::Refused { what, why });
        }
    }

    fn role(&self, standing: &dyn Standing) -> Result<Role, Refusal> {
        standing.roster().role(&self.feed.author).ok_or(Refusal::Nobody)
    }

    fn say(&mut self, now: Now, standing: &dyn Standing, text: &str) -> Result<(), Refusal> {
        let text = ChatText::from_input(text)?;
        self.role(standing)?;
        self.rates.chat.take(now.monotonic).map_err(Refusal::Rate)?;
        self.author(now, standing, ItemBody::Say(text));
        Ok(())
    }

    fn say_to(&mut self, now: Now, standing: &dyn Standing, to: MemberId, text: &str) -> Result<(), Refusal> {
        let text = ChatText::from_input(text)?;
        self.check_receiver(now, standing, &to)?;
        self.rates.chat.take(now.monotonic).map_err(Refusal::Rate)?;
        let (lamport, _) = self.frontier.next();
        let body = DirectBody::Private {
            lamport,
            sent: now.unix,
            text: text.clone(),
        };
        let seq = self.peer_mut(now.monotonic, to).outbox.push(body, None);
        let seq = seq.ok_or(Refusal::Full)?;
        self.events.push_back(ConversationEvent::Said(Said {
            from: self.feed.author,
            to: Some(to),
            text: text.as_str().to_owned(),
            order: super::private::order(&self.feed, seq, lamport),
            sent: now.unix,
        }));
        self.pump_outbox(now.monotonic, to);
        Ok(())
    }

    /// Whether something can be sent to one member.
    pub(super) fn check_receiver(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        to: &MemberId,
    ) -> Result<(), Refusal> {
        if *to == self.feed.author {
            return Err(Refusal::Oneself);
        }
        if !standing.roster().members.contains_key(to) {
            return Err(Refusal::Nobody);
        }
        if !self.peer_mut(now.monotonic, *to).outbox.has_room(1) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    fn hand(&mut self, now: Now, standing: &dyn Standing, up: bool) -> Result<(), Refusal> {
        self.role(standing)?;
        let is_up = self.hands.raised_by(&self.feed.author).is_some();
        match (up, is_up) {
            (true, true) => return Err(Refusal::HandUp),
            (false, false) => return Err(Refusal::HandDown),
            _ => {}
        }
        self.rates.gesture.take(now.monotonic).map_err(Refusal::Rate)?;
        self.author(now, standing, ItemBody::Hand(up));
        Ok(())
    }

    fn lower_hand(&mut self, now: Now, standing: &dyn Standing, member: MemberId) -> Result<(), Refusal> {
        if member == self.feed.author {
            return self.hand(now, standing, false);
        }
        let role = self.role(standing)?;
        if !role.is_in_charge() {
            return Err(Refusal::Role(role.as_str()));
        }
        let raise = self.hands.raised_by(&member).ok_or(Refusal::HandDown)?;
        self.author(now, standing, ItemBody::LowerHand(raise));
        Ok(())
    }

    fn react(&mut self, now: Now, standing: &dyn Standing, reaction: Reaction) -> Result<(), Refusal> {
        self.role(standing)?;
        if !standing.roster().may_react(&self.feed.author) {
            return Err(Refusal::Stopped);
        }
        self.rates.reaction.take(now.monotonic).map_err(Refusal::Rate)?;
        let me = self.feed.author;
        let others = standing.roster().members.keys().filter(|id| **id != me);
        for member in others.copied().collect::<Vec<_>>() {
            let expires = Some(now.monotonic + REACTION_LIFETIME);
            // Whoever cannot be reached misses it: a reaction is for now.
            let _ = self
                .peer_mut(now.monotonic, member)
                .outbox
                .push(DirectBody::Reaction(reaction), expires);
            self.pump_outbox(now.monotonic, member);
        }
        self.events
            .push_back(ConversationEvent::Reacted { member: me, reaction });
        Ok(())
    }

    fn open_poll(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        question: &str,
        options: &[String],
        multiple: bool,
    ) -> Result<(), Refusal> {
        let question = Question::from_input(question)?;
        let options = options.iter().map(|option| OptionText::from_input(option));
        let options: Vec<OptionText> = options.collect::<Result<_, _>>()?;
        let count = options.len();
        let poll = Poll {
            question,
            options: options
                .try_into()
                .map_err(|_| Refusal::Choice("a poll has at most 10 options"))?,
            multiple,
        };
        if count < OPTIONS_MIN {
            return Err(Refusal::Choice("a poll has at least 2 options"));
        }
        if !poll.is_well_formed() {
            return Err(Refusal::Choice("the options of a poll are all different"));
        }
        let role = self.role(standing)?;
        if !role.may_speak() {
            return Err(Refusal::Role(role.as_str()));
        }
        self.rates.poll.take(now.monotonic).map_err(Refusal::Rate)?;
        self.author(now, standing, ItemBody::OpenPoll(poll));
        Ok(())
    }

    fn vote(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        poll: ItemHash,
        choices: &[u8],
    ) -> Result<(), Refusal> {
        self.role(standing)?;
        let mut bits = 0_u16;
        for choice in choices {
            let bit = 1_u16.checked_shl((*choice).into());
            bits |= bit.ok_or(Refusal::Choice("the poll has no such option"))?;
        }
        let takes = self.polls.takes(&poll, bits).ok_or(Refusal::NoPoll)?;
        if !takes {
            return Err(Refusal::Choice("the poll has no such option, or takes only one"));
        }
        if self.polls.votes_of(&poll, &self.feed.author) >= VOTES_PER_MEMBER_MAX {
            return Err(Refusal::Choice("a vote can be changed seven times"));
        }
        self.rates.gesture.take(now.monotonic).map_err(Refusal::Rate)?;
        self.author(now, standing, ItemBody::Vote { poll, choices: bits });
        Ok(())
    }

    fn close_poll(&mut self, now: Now, standing: &dyn Standing, poll: ItemHash) -> Result<(), Refusal> {
        let role = self.role(standing)?;
        let author = self.polls.author(&poll).ok_or(Refusal::NoPoll)?;
        if author != self.feed.author && !role.is_in_charge() {
            return Err(Refusal::Role(role.as_str()));
        }
        let mut counted = self.polls.countable(&poll, standing.roster());
        counted.truncate(super::item::COUNTED_MAX);
        let counted = counted.try_into().unwrap_or_default();
        self.author(now, standing, ItemBody::ClosePoll { poll, counted });
        Ok(())
    }

    /// Signs, shows and sends an item of this member's own.
    fn author(&mut self, now: Now, standing: &dyn Standing, body: ItemBody) {
        let (lamport, parents) = self.frontier.next();
        let mut heads = standing.heads();
        heads.truncate(HEADS_MAX);
        let Some(audience) = standing.roster_at(&heads) else {
            return;
        };
        let item = Item {
            meeting: self.meeting,
            feed: self.feed,
            seq: self.next_seq,
            lamport,
            sent: now.unix,
            parents: parents.try_into().unwrap_or_default(),
            heads: heads.try_into().unwrap_or_default(),
            body,
        };
        self.next_seq += 1;
        let signed = SignedItem::sign(&self.identity, item);
        let hash = signed.hash();
        self.show(now.monotonic, standing, signed, hash, audience);
        self.publish(now.monotonic, standing);
    }
}
