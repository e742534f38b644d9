//! What is said to one person: private messages, reactions, and everything about files but their bytes.

use aws_lc_rs::digest;

use super::{
    Conversation, ConversationEvent, ConversationMessage, Said,
    item::{FeedId, ItemHash, OrderKey},
    message::{Direct, DirectBody},
    rate::{Bucket, INTAKE_RATE},
    standing::Standing,
};
use crate::{
    ids::MemberId,
    time::{Now, Timestamp},
};

/// Where a private message stands among the others, on both screens.
pub(super) fn order(feed: &FeedId, seq: u64, lamport: u64) -> OrderKey {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"subrosa-conversation-private-v1\0");
    context.update(&feed.author.0);
    context.update(&feed.instance.to_le_bytes());
    context.update(&seq.to_le_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    OrderKey {
        lamport,
        hash: ItemHash(hash),
    }
}

impl Conversation {
    pub(super) fn handle_direct(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        from: MemberId,
        message: Direct,
    ) {
        let bucket = self
            .direct_intake
            .entry(from)
            .or_insert_with(|| Bucket::new(INTAKE_RATE, now.monotonic));
        if bucket.take(now.monotonic).is_err() {
            return;
        }
        let instance = message.instance;
        let (ready, ack) = self.peer_mut(now.monotonic, from).inbox.handle(message);
        if let Some(upto) = ack {
            let ack = ConversationMessage::DirectAck { instance, upto };
            self.transmit.push_back((from, ack));
        }
        for (seq, body) in ready {
            let feed = FeedId {
                author: from,
                instance,
            };
            self.take_direct(now, standing, feed, seq, body);
        }
    }

    fn take_direct(&mut self, now: Now, standing: &dyn Standing, feed: FeedId, seq: u64, body: DirectBody) {
        match body {
            DirectBody::Nothing => {}
            DirectBody::Private { lamport, sent, text } => {
                self.frontier.note_clock(lamport);
                self.events.push_back(ConversationEvent::Said(Said {
                    from: feed.author,
                    to: Some(self.feed.author),
                    text: text.as_str().to_owned(),
                    order: order(&feed, seq, lamport),
                    sent,
                }));
            }
            DirectBody::Reaction(reaction) => {
                // By the roster here and now, whatever the sender's node thinks.
                if standing.roster().may_react(&feed.author) {
                    self.events.push_back(ConversationEvent::Reacted {
                        member: feed.author,
                        reaction,
                    });
                }
            }
            DirectBody::File(control) => self.handle_file_control(now, standing, feed.author, control),
        }
    }

    pub(super) fn handle_direct_ack(&mut self, now: Timestamp, from: MemberId, instance: u64, upto: u64) {
        if instance == self.feed.instance {
            self.peer_mut(now, from).outbox.handle_ack(now, upto);
            self.pump_outbox(now, from);
        }
    }

    /// Sends what may be sent to one person.
    pub(super) fn pump_outbox(&mut self, now: Timestamp, to: MemberId) {
        let instance = self.feed.instance;
        for message in self.peer_mut(now, to).outbox.poll(now, instance) {
            self.transmit
                .push_back((to, ConversationMessage::Direct(message)));
        }
    }

    /// Rows that are due again.
    pub(super) fn resend_direct(&mut self, now: Timestamp) {
        let due = |peer: &super::peer::Peer| peer.outbox.poll_timeout().is_some_and(|at| at <= now);
        let members = self.peers.iter().filter(|(_, peer)| due(peer)).map(|(id, _)| *id);
        for member in members.collect::<Vec<_>>() {
            self.peer_mut(now, member).outbox.handle_timeout(now);
            self.pump_outbox(now, member);
        }
    }
}
