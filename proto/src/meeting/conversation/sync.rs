//! Seeing to it that everybody has everything: authors repeat what is theirs until it is acknowledged, and a few members
//! compare what they have, so that the words of somebody who is gone still reach those who missed them.

use std::time::Duration;

use super::{
    Conversation, ConversationMessage,
    direct::RESEND_MAX,
    item::{FeedId, ItemBody, SignedItem},
    message::{Digest, ITEMS_BYTES_MAX, ITEMS_MAX, MARKS_MAX, Mark},
    peer::Peer,
    ranges::Ranges,
    standing::Standing,
    store::Kept,
    taking::is_pinned,
};
use crate::{
    ids::MemberId,
    time::{Now, Timestamp},
    wire::codec,
};

/// How often a few members are shown what is here, while there is news.
pub const GOSSIP_INTERVAL: Duration = Duration::from_secs(5);
/// How soon after a way opened, or after something came by comparing.
const GOSSIP_SOON: Duration = Duration::from_millis(300);
/// News are compared for so long. Reason: what a partition hid is compared when its ways open again.
const NEWS_LIFETIME: Duration = Duration::from_secs(60);
/// Members who are shown what is here at a time.
const GOSSIP_FANOUT: usize = 2;
/// Items sent in answer to one digest; the receiver's next one brings more.
const ANSWER_MAX: usize = 64;
/// What changes the room's state goes to everybody who is in, even if they came in while it was on its way.
const STATE_LINGER: Duration = Duration::from_secs(60);
/// Authors in one message above which one range is acknowledged instead of each author.
const AUTHORS_ACKED_MAX: usize = 4;

const LEAST: FeedId = FeedId {
    author: MemberId([0; 32]),
    instance: 0,
};
const GREATEST: FeedId = FeedId {
    author: MemberId([0xFF; 32]),
    instance: u64::MAX,
};

impl Conversation {
    /// Items came: shows them, and says what is here now.
    pub(super) fn handle_items(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        from: MemberId,
        items: Vec<SignedItem>,
    ) {
        let mut authors: Vec<MemberId> = items.iter().map(|signed| signed.item.feed.author).collect();
        authors.sort_unstable();
        authors.dedup();
        let news = self.take_items(now, standing, items);
        // Authors repeat themselves until they are told; others need to know only that it was not in vain.
        if !news && authors != [from] {
            return;
        }
        if let ([first, .., last], true) = (&authors[..], authors.len() > AUTHORS_ACKED_MAX) {
            self.show_digest(from, *first, *last);
        } else {
            for author in authors {
                self.show_digest(from, author, author);
            }
        }
        if news
            && self
                .gossip_at
                .is_none_or(|at| at > now.monotonic + GOSSIP_INTERVAL)
        {
            self.gossip_at = Some(now.monotonic + GOSSIP_INTERVAL);
        }
    }

    /// Tells `to` what is here of the authors between two.
    fn show_digest(&mut self, to: MemberId, first: MemberId, last: MemberId) {
        let first = FeedId {
            author: first,
            instance: 0,
        };
        let last = FeedId {
            author: last,
            instance: u64::MAX,
        };
        for digest in self.digests(first, last) {
            self.transmit.push_back((to, ConversationMessage::Digest(digest)));
        }
    }

    fn digests(&self, first: FeedId, last: FeedId) -> Vec<Digest> {
        let marks: Vec<Mark> = self
            .store
            .feeds(first, last)
            .map(|(feed, state)| Mark {
                feed: *feed,
                has: state.seen.to_told(),
            })
            .collect();
        let mut digests = Vec::new();
        let mut from = first;
        let parts = marks.chunks(MARKS_MAX).count().max(1);
        let mut chunks = marks.chunks(MARKS_MAX);
        for part in 1..=parts {
            let marks = chunks.next().unwrap_or_default();
            let end = marks.last().map_or(last, |mark| mark.feed);
            let to = if part == parts { last } else { end };
            digests.push(Digest {
                first: from,
                last: to,
                marks: marks.to_vec().try_into().unwrap_or_default(),
            });
            from = FeedId {
                instance: to.instance.saturating_add(1),
                ..to
            };
        }
        digests
    }

    /// A peer says what it has.
    pub(super) fn handle_digest(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        from: MemberId,
        digest: &Digest,
    ) {
        let told = |feed: &FeedId| {
            let place = digest.marks.iter().find(|mark| mark.feed == *feed);
            place.map_or(Some(Ranges::default()), |mark| Ranges::from_told(&mark.has))
        };
        let mut lacking = Vec::new();
        for (feed, state) in self.store.feeds(digest.first, digest.last) {
            if *feed == self.feed {
                continue;
            }
            let Some(has) = told(feed) else { return };
            let missing = state
                .items()
                .filter(|(seq, _)| !has.contains(*seq))
                .map(|(_, kept)| kept);
            lacking.extend(
                missing
                    .filter(|kept| self.is_meant_for(now.monotonic, &from, kept))
                    .take(ANSWER_MAX - lacking.len())
                    .map(|kept| kept.signed.clone()),
            );
        }
        for message in pack(lacking) {
            if self
                .peer_mut(now.monotonic, from)
                .serve
                .take(now.monotonic)
                .is_err()
            {
                break;
            }
            self.transmit.push_back((from, message));
        }
        self.ask_for_more(now.monotonic, from, digest);
        if digest.first <= self.feed && self.feed <= digest.last {
            let Some(has) = told(&self.feed) else { return };
            let peer = self.peer_mut(now.monotonic, from);
            if peer.has != has {
                peer.pause = super::direct::RESEND_FIRST;
            }
            peer.has = has;
            self.send_own(now.monotonic, standing, from);
        }
    }

    /// Shows what is here to a peer that told of more: it sends what this member lacks.
    fn ask_for_more(&mut self, now: Timestamp, from: MemberId, digest: &Digest) {
        let is_here = |mark: &Mark| {
            let seen = self.store.feeds(mark.feed, mark.feed).next();
            let told = Ranges::from_told(&mark.has);
            match (seen, told) {
                (Some((_, state)), Some(told)) => state.seen.covers(&told),
                (None, Some(told)) => told.is_empty(),
                (_, None) => true,
            }
        };
        if digest.marks.iter().all(is_here) {
            return;
        }
        // What is not meant for this member stays lacking: without a pause each question would bring the next.
        let peer = self.peer_mut(now, from);
        if peer.asked_at.is_some_and(|at| now < at + GOSSIP_INTERVAL) {
            return;
        }
        peer.asked_at = Some(now);
        for digest in self.digests(digest.first, digest.last) {
            self.transmit
                .push_back((from, ConversationMessage::Digest(digest)));
        }
    }

    /// Whether an item is for `member`, who is in the meeting.
    fn is_meant_for(&self, now: Timestamp, member: &MemberId, kept: &Kept) -> bool {
        let says = matches!(kept.signed.item.body, ItemBody::Say(_));
        kept.audience.members.contains_key(member)
            || !says
                && (is_pinned(&self.hands, &self.polls, kept)
                    || now.saturating_since(kept.taken) < STATE_LINGER)
    }

    /// Sends `to` what it lacks of this member's own feed and was not sent lately.
    pub(super) fn send_own(&mut self, now: Timestamp, standing: &dyn Standing, to: MemberId) {
        if to == self.feed.author || !standing.roster().members.contains_key(&to) {
            return;
        }
        self.peer_mut(now, to);
        let peer = &self.peers[&to];
        let own = self
            .store
            .feeds(self.feed, self.feed)
            .flat_map(|(_, feed)| feed.items());
        let lacking: Vec<(u64, &Kept)> = own
            .filter(|(seq, kept)| !peer.has.contains(*seq) && self.is_meant_for(now, &to, kept))
            .collect();
        let complete = lacking.is_empty();
        let fresh: Vec<(u64, SignedItem)> = lacking
            .into_iter()
            .filter(|(seq, _)| !peer.sent.contains(*seq))
            .take(ANSWER_MAX)
            .map(|(seq, kept)| (seq, kept.signed.clone()))
            .collect();
        let peer = self.peer_mut(now, to);
        for (seq, _) in &fresh {
            peer.sent.insert(*seq);
        }
        peer.resend_at = if complete {
            None
        } else {
            peer.resend_at.or(Some(now + peer.pause))
        };
        for message in pack(fresh.into_iter().map(|(_, signed)| signed).collect()) {
            self.transmit.push_back((to, message));
        }
    }

    /// Something new in this member's feed: everybody is told.
    pub(super) fn publish(&mut self, now: Timestamp, standing: &dyn Standing) {
        let members: Vec<MemberId> = standing.roster().members.keys().copied().collect();
        for member in members {
            self.send_own(now, standing, member);
        }
        self.gossip_at.get_or_insert(now + GOSSIP_INTERVAL);
    }

    /// A way to `member` opened: both say what they have of each other.
    pub fn conduit_opened(&mut self, now: Now, standing: &dyn Standing, member: MemberId) {
        if !standing.roster().members.contains_key(&member) || member == self.feed.author {
            return;
        }
        self.peer_mut(now.monotonic, member).reopen(now.monotonic);
        self.show_digest(member, member, member);
        self.pump_outbox(now.monotonic, member);
        self.files.reopen(now.monotonic, &member);
        let soon = now.monotonic + GOSSIP_SOON;
        let since = *self.since.get_or_insert(now.monotonic);
        let young = now.monotonic.saturating_since(since) < GOSSIP_INTERVAL;
        if young || self.store.all().next().is_some() {
            self.gossip_at = Some(self.gossip_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// What of this member's own is due again.
    pub(super) fn resend(&mut self, now: Timestamp, standing: &dyn Standing) {
        let due: Vec<MemberId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.resend_at.is_some_and(|at| at <= now))
            .map(|(member, _)| *member)
            .collect();
        for member in due {
            let peer = self.peer_mut(now, member);
            peer.sent.clear();
            peer.pause = (peer.pause * 2).min(RESEND_MAX);
            peer.resend_at = None;
            self.send_own(now, standing, member);
        }
    }

    /// Shows a few members what is here. Only such as can be reached: in a meeting of which most are gone, whoever is left would
    /// hardly ever be chosen.
    pub(super) fn gossip(
        &mut self,
        now: Timestamp,
        standing: &dyn Standing,
        reaches: &dyn Fn(&MemberId) -> bool,
    ) {
        if self.gossip_at.is_none_or(|at| at > now) {
            return;
        }
        let news = self
            .last_news
            .is_some_and(|at| now.saturating_since(at) < NEWS_LIFETIME);
        self.gossip_at = news.then_some(now + GOSSIP_INTERVAL);
        let others = standing
            .roster()
            .members
            .keys()
            .filter(|id| **id != self.feed.author && reaches(id));
        let mut others: Vec<MemberId> = others.copied().collect();
        for _ in 0..GOSSIP_FANOUT.min(others.len()) {
            let index = (self.random.next_u64() % others.len() as u64) as usize;
            let member = others.swap_remove(index);
            for digest in self.digests(LEAST, GREATEST) {
                self.transmit
                    .push_back((member, ConversationMessage::Digest(digest)));
            }
        }
    }

    pub(super) fn peer_mut(&mut self, now: Timestamp, member: MemberId) -> &mut Peer {
        self.peers.entry(member).or_insert_with(|| Peer::new(now))
    }
}

/// Items in messages that each fit an envelope.
fn pack(items: Vec<SignedItem>) -> Vec<ConversationMessage> {
    let mut messages = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let full = |batch: &mut Vec<SignedItem>| {
        let batch = std::mem::take(batch).try_into().unwrap_or_default();
        ConversationMessage::Items(batch)
    };
    for signed in items {
        let size = codec::encode(&signed).len();
        if !batch.is_empty() && (batch.len() == ITEMS_MAX || bytes + size > ITEMS_BYTES_MAX) {
            messages.push(full(&mut batch));
            bytes = 0;
        }
        bytes += size;
        batch.push(signed);
    }
    if !batch.is_empty() {
        messages.push(full(&mut batch));
    }
    messages
}
