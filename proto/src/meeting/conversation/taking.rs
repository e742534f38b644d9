//! Taking items: checked, judged by the roster at their author, shown after what they answer.

use std::sync::Arc;

use super::{
    Conversation, ConversationEvent, Said,
    item::{Item, ItemBody, ItemHash, SignedItem},
    rate::{Bucket, INTAKE_RATE},
    standing::Standing,
    store::{Kept, Unfit},
};
use crate::{
    ids::MemberId,
    meeting::roster::Roster,
    time::{Now, Timestamp},
};

/// Authors whose intake is counted; those who went and were idle longest are forgotten first.
const AUTHORS_MAX: usize = 1_024;

impl Conversation {
    /// Items from a peer; whether one of them was new.
    pub(super) fn take_items(&mut self, now: Now, standing: &dyn Standing, items: Vec<SignedItem>) -> bool {
        let mut news = false;
        for signed in items {
            news |= self.take_item(now.monotonic, standing, signed);
        }
        news
    }

    fn take_item(&mut self, now: Timestamp, standing: &dyn Standing, signed: SignedItem) -> bool {
        let author = signed.item.feed.author;
        if is_silenced(&signed, standing) || self.faulty.contains(&author) {
            return false;
        }
        let hash = signed.hash();
        if self.waiting.contains(&hash) {
            return false;
        }
        let fit = self.store.check(&signed, &hash);
        let twin = fit == Err(Unfit::Equivocation) || fit.is_ok() && self.waiting.twin(&signed, &hash);
        if !twin && fit.is_err() || !self.has_tokens(now, author) || signed.verify(&self.meeting).is_err() {
            return false;
        }
        if twin {
            self.faulty.insert(author);
            self.events.push_back(ConversationEvent::Equivocated(author));
            return false;
        }
        let Some(audience) = standing.roster_at(&signed.item.heads) else {
            return self.waiting.insert(now, hash, signed, false);
        };
        self.judge_item(now, standing, signed, hash, audience)
    }

    fn has_tokens(&mut self, now: Timestamp, author: MemberId) -> bool {
        if self.intake.len() >= AUTHORS_MAX && !self.intake.contains_key(&author) {
            return false;
        }
        let bucket = self
            .intake
            .entry(author)
            .or_insert_with(|| Bucket::new(INTAKE_RATE, now));
        bucket.take(now).is_ok()
    }

    /// An item whose audience is known.
    fn judge_item(
        &mut self,
        now: Timestamp,
        standing: &dyn Standing,
        signed: SignedItem,
        hash: ItemHash,
        audience: Arc<Roster>,
    ) -> bool {
        if !may_say(&signed.item, &audience) {
            // Its author signed it all the same: the number is spent, and nobody sends it again.
            self.store.spend(signed.item.feed, signed.item.seq);
            self.counters.refused += 1;
            return false;
        }
        let ready = signed
            .item
            .parents
            .iter()
            .all(|parent| self.store.contains(parent));
        if ready {
            self.show(now, standing, signed, hash, audience);
            self.show_followers(now, standing, hash);
            true
        } else {
            self.waiting.insert(now, hash, signed, true)
        }
    }

    /// Items that waited for `parent` only, and those that waited for these.
    fn show_followers(&mut self, now: Timestamp, standing: &dyn Standing, parent: ItemHash) {
        let mut work = vec![parent];
        // Ends: each item leaves the waiting room at most once.
        while let Some(parent) = work.pop() {
            for child in self.waiting.children_of(&parent) {
                let ready = self.waiting.get(&child).is_some_and(|waiting| {
                    let parents = &waiting.signed.item.parents;
                    waiting.judged && parents.iter().all(|parent| self.store.contains(parent))
                });
                if ready {
                    self.release(now, standing, &child);
                    work.push(child);
                }
            }
        }
    }

    /// Shows a waiting item whatever it still waits for.
    fn release(&mut self, now: Timestamp, standing: &dyn Standing, hash: &ItemHash) {
        let Some(waiting) = self.waiting.remove(hash) else {
            return;
        };
        let author = waiting.signed.item.feed.author;
        if self.faulty.contains(&author) || is_silenced(&waiting.signed, standing) {
            return;
        }
        let at_its_author = standing.roster_at(&waiting.signed.item.heads);
        let lasting = || is_lasting(&waiting.signed, standing).then(|| Arc::new(standing.roster().clone()));
        if let Some(audience) = at_its_author.or_else(lasting) {
            self.show(now, standing, waiting.signed, *hash, audience);
        }
    }

    /// Roster operations came: items may be judged now.
    pub(super) fn judge_waiting(&mut self, now: Timestamp, standing: &dyn Standing) {
        for hash in self.waiting.unjudged() {
            let heads = self.waiting.get(&hash).map(|waiting| &waiting.signed.item.heads);
            if let Some(audience) = heads.and_then(|heads| standing.roster_at(heads))
                && let Some(waiting) = self.waiting.remove(&hash)
                && self.store.check(&waiting.signed, &hash).is_ok()
            {
                self.judge_item(now, standing, waiting.signed, hash, audience);
            }
        }
    }

    /// Patience ended for some.
    pub(super) fn release_overdue(&mut self, now: Timestamp, standing: &dyn Standing) {
        for hash in self.waiting.overdue(now) {
            if self.waiting.get(&hash).is_some_and(|waiting| waiting.judged) {
                self.release(now, standing, &hash);
                self.show_followers(now, standing, hash);
            } else {
                // Not marked as seen: whoever has it sends it again.
                let waiting = self.waiting.remove(&hash);
                if let Some(waiting) = waiting.filter(|waiting| is_lasting(&waiting.signed, standing)) {
                    let audience = Arc::new(standing.roster().clone());
                    self.judge_item(now, standing, waiting.signed, hash, audience);
                }
            }
        }
    }

    /// Shows an item, and keeps it.
    pub(super) fn show(
        &mut self,
        now: Timestamp,
        standing: &dyn Standing,
        signed: SignedItem,
        hash: ItemHash,
        audience: Arc<Roster>,
    ) {
        self.frontier.note(&signed, hash);
        self.apply(&signed, hash, &audience);
        self.last_news = Some(now);
        let (hands, polls) = (&self.hands, &self.polls);
        let pinned = |kept: &Kept| is_pinned(hands, polls, kept);
        self.store.keep(now, signed, hash, audience, pinned);
        self.tell_changes(standing);
    }

    fn apply(&mut self, signed: &SignedItem, hash: ItemHash, audience: &Roster) {
        let item = &signed.item;
        let (author, at) = (item.feed.author, (item.feed.instance, item.seq));
        match &item.body {
            ItemBody::Say(text) => self.events.push_back(ConversationEvent::Said(Said {
                from: author,
                to: None,
                text: text.as_str().to_owned(),
                order: signed.order(hash),
                sent: item.sent,
            })),
            ItemBody::Hand(up) => self.hands.set(author, at, signed.order(hash), *up),
            ItemBody::LowerHand(raise) => self.hands.lower(*raise),
            ItemBody::OpenPoll(poll) => self.polls.open(hash, author, at, poll.clone()),
            ItemBody::Vote { poll, choices } => self.polls.vote(*poll, author, at, hash, *choices),
            ItemBody::ClosePoll { poll, counted } => {
                let in_charge = audience.role(&author).is_some_and(|role| role.is_in_charge());
                let place = (item.lamport, hash);
                self.polls
                    .close(*poll, (author, in_charge), place, counted.to_vec());
            }
        }
    }

    /// Tells people what became of hands and polls.
    pub(super) fn tell_changes(&mut self, standing: &dyn Standing) {
        if let Some(order) = self.hands.take_change(standing.roster()) {
            self.events.push_back(ConversationEvent::Hands(order));
        }
        for view in self.polls.take_changed(&self.feed.author, standing.roster()) {
            self.events.push_back(ConversationEvent::Poll(view));
        }
    }
}

/// Whether somebody who was removed says something. What they did to hands and polls while they were in is taken from
/// others later, too, so that everybody sees the same; votes of those who are out do not count.
fn is_silenced(signed: &SignedItem, standing: &dyn Standing) -> bool {
    let says = matches!(signed.item.body, ItemBody::Say(_));
    says && standing.roster().removed.contains_key(&signed.item.feed.author)
}

/// Whether the item is part of the room's state (a hand, a poll) and may rest on operations that a checkpoint settled: then
/// the present roster judges it, which knows its author.
fn is_lasting(signed: &SignedItem, standing: &dyn Standing) -> bool {
    standing.forgets() && !matches!(signed.item.body, ItemBody::Say(_))
}

/// Whether the item's author might say it, by the roster at its author. Who may close a poll depends on the poll, too,
/// and is looked at there.
fn may_say(item: &Item, audience: &Roster) -> bool {
    let Some(role) = audience.role(&item.feed.author) else {
        return false;
    };
    match item.body {
        ItemBody::Say(_) | ItemBody::Hand(_) | ItemBody::Vote { .. } | ItemBody::ClosePoll { .. } => true,
        ItemBody::LowerHand(_) => role.is_in_charge(),
        ItemBody::OpenPoll(_) => role.may_speak(),
    }
}

/// Whether the present state of the room rests on an item: it is kept, and told to newcomers.
pub(super) fn is_pinned(hands: &super::hands::Hands, polls: &super::polls::Polls, kept: &Kept) -> bool {
    let author = &kept.signed.item.feed.author;
    match &kept.signed.item.body {
        ItemBody::Hand(_) => hands.rests_on(author, &kept.hash),
        ItemBody::OpenPoll(_) => polls.rests_on(&kept.hash, author, &kept.hash),
        ItemBody::Vote { poll, .. } => polls.rests_on(poll, author, &kept.hash),
        _ => false,
    }
}
