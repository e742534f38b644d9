//! Rows of messages to one person: repeated until acknowledged, taken once and in order.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::message::{Direct, DirectBody};
use crate::time::Timestamp;

/// Messages that wait for one person. Reason: somebody away for a few minutes misses no private message.
pub const OUTBOX_MAX: usize = 128;
/// Messages on their way to one person at a time.
const IN_FLIGHT_MAX: usize = 16;
/// Messages that came before an earlier one.
const HELD_MAX: usize = 32;
/// Runs of a peer that are over.
const RETIRED_MAX: usize = 4;
/// What is not acknowledged is sent again after so long, then after twice that, up to [`RESEND_MAX`].
pub const RESEND_FIRST: Duration = Duration::from_millis(800);
/// See [`RESEND_FIRST`].
pub const RESEND_MAX: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct Queued {
    seq: u64,
    body: DirectBody,
    expires: Option<Timestamp>,
}

/// What goes to one person.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Queued>,
    /// The next message's number.
    next: u64,
    /// The next number to be sent for the first time.
    unsent: u64,
    resend_at: Option<Timestamp>,
    pause: Duration,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            next: 1,
            unsent: 1,
            resend_at: None,
            pause: RESEND_FIRST,
        }
    }
}

impl Outbox {
    /// Whether so many more messages fit.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.queue.len() + more <= OUTBOX_MAX
    }

    /// Queues a message; its number, or none if there is no room.
    pub fn push(&mut self, body: DirectBody, expires: Option<Timestamp>) -> Option<u64> {
        if !self.has_room(1) {
            return None;
        }
        let seq = self.next;
        self.next += 1;
        self.queue.push_back(Queued { seq, body, expires });
        Some(seq)
    }

    /// What to send now: what is new, as far as the window reaches.
    pub fn poll(&mut self, now: Timestamp, instance: u64) -> Vec<Direct> {
        self.expire(now);
        let base = self.queue.front().map_or(self.next, |queued| queued.seq);
        let from = self.unsent.max(base);
        let window = self
            .queue
            .iter()
            .take(IN_FLIGHT_MAX)
            .filter(|queued| queued.seq >= from);
        let messages: Vec<Direct> = window
            .map(|queued| Direct {
                instance,
                base,
                seq: queued.seq,
                body: queued.body.clone(),
            })
            .collect();
        if let Some(last) = messages.last() {
            self.unsent = last.seq + 1;
            self.resend_at.get_or_insert(now + self.pause);
        }
        messages
    }

    /// Everything up to `upto` was taken.
    pub fn handle_ack(&mut self, now: Timestamp, upto: u64) {
        let before = self.queue.len();
        while self.queue.front().is_some_and(|queued| queued.seq <= upto) {
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.resend_at = None;
        } else if self.queue.len() < before {
            self.resend_at = Some(now + RESEND_FIRST);
        }
        if self.queue.len() < before {
            self.pause = RESEND_FIRST;
        }
    }

    /// Sends everything again if its time has come.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.resend_at.is_some_and(|at| at <= now) {
            self.pause = (self.pause * 2).min(RESEND_MAX);
            self.unsent = 0;
            self.resend_at = None;
        }
    }

    /// There is a new way to them: sends everything again at once.
    pub fn reopen(&mut self) {
        self.pause = RESEND_FIRST;
        self.unsent = 0;
        self.resend_at = None;
    }

    /// What has expired is not worth sending; its number stays, so that the row has no hole.
    fn expire(&mut self, now: Timestamp) {
        for queued in &mut self.queue {
            if queued.expires.is_some_and(|at| at <= now) {
                queued.body = DirectBody::Nothing;
                queued.expires = None;
            }
        }
    }

    /// When something is to be sent again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.resend_at
    }

    /// What waits.
    pub fn bodies(&self) -> impl Iterator<Item = &DirectBody> {
        self.queue.iter().map(|queued| &queued.body)
    }
}

/// What comes from one person.
#[derive(Debug, Default)]
pub struct Inbox {
    instance: u64,
    /// The next number.
    next: u64,
    held: BTreeMap<u64, DirectBody>,
    retired: VecDeque<u64>,
}

impl Inbox {
    /// Takes a message; what is in order now, with its number, and what to acknowledge.
    pub fn handle(&mut self, message: Direct) -> (Vec<(u64, DirectBody)>, Option<u64>) {
        if message.base == 0 || message.seq < message.base || self.retired.contains(&message.instance) {
            return (Vec::new(), None);
        }
        if message.instance != self.instance {
            if self.instance != 0 {
                self.retired.push_back(self.instance);
                if self.retired.len() > RETIRED_MAX {
                    self.retired.pop_front();
                }
            }
            self.instance = message.instance;
            self.next = message.base;
            self.held.clear();
        }
        // The sender gave up what is below.
        if message.base > self.next {
            self.next = message.base;
            self.held.retain(|seq, _| *seq >= message.base);
        }
        if message.seq >= self.next && message.seq < self.next.saturating_add(HELD_MAX as u64) {
            self.held.insert(message.seq, message.body);
        }
        let mut ready = Vec::new();
        while let Some(body) = self.held.remove(&self.next) {
            ready.push((self.next, body));
            self.next += 1;
        }
        (ready, Some(self.next - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn body(n: u64) -> DirectBody {
        DirectBody::Private {
            lamport: n,
            sent: crate::time::UnixSeconds(0),
            text: super::super::text::ChatText::new(&n.to_string()).unwrap(),
        }
    }

    /// Loss, repetition and disorder on both ways, over many seeds: each message once, in order.
    #[test]
    fn messages_arrive_once_and_in_order() {
        for seed in 0..200_u64 {
            let mut root = [0; 32];
            root[..8].copy_from_slice(&seed.to_le_bytes());
            let mut random = Random::from_seed(root);
            let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
            let (mut pushed, mut taken, mut air) = (0, Vec::new(), Vec::new());
            for step in 0..12_000_u64 {
                let now = at(step * 20);
                if step < 1_500
                    && random.next_u64().is_multiple_of(12)
                    && outbox.push(body(pushed), None).is_some()
                {
                    pushed += 1;
                }
                outbox.handle_timeout(now);
                for message in outbox.poll(now, 7) {
                    for _ in 0..random.next_u64() % 3 {
                        air.push(message.clone());
                    }
                }
                if !air.is_empty() && random.next_u64().is_multiple_of(2) {
                    let message = air.swap_remove((random.next_u64() % air.len() as u64) as usize);
                    let (ready, ack) = inbox.handle(message);
                    taken.extend(ready.into_iter().map(|(_, body)| body));
                    if let Some(upto) = ack.filter(|_| !random.next_u64().is_multiple_of(3)) {
                        outbox.handle_ack(now, upto);
                    }
                }
            }
            let expected: Vec<DirectBody> = (0..pushed).map(body).collect();
            assert_eq!(taken, expected, "seed {seed}");
        }
    }

    #[test]
    fn what_expired_leaves_no_hole_and_a_full_outbox_refuses() {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        outbox.push(body(1), Some(at(10)));
        outbox.push(body(2), None);
        let sent = outbox.poll(at(20), 7);
        assert_eq!(sent[0].body, DirectBody::Nothing);
        assert_eq!(inbox.handle(sent[1].clone()).0, []);
        assert_eq!(inbox.handle(sent[0].clone()).0.len(), 2);
        for n in 0..OUTBOX_MAX as u64 - 2 {
            assert!(outbox.push(body(n), None).is_some());
        }
        assert!(outbox.push(body(0), None).is_none());
    }

    #[test]
    fn a_restarted_receiver_begins_where_the_sender_stands_and_old_runs_stay_away() {
        let mut outbox = Outbox::default();
        for n in 0..3 {
            outbox.push(body(n), None);
        }
        outbox.handle_ack(at(0), 1);
        let mut inbox = Inbox::default();
        let sent = outbox.poll(at(0), 7);
        assert_eq!(inbox.handle(sent[0].clone()).0.len(), 1);
        let other = Direct {
            instance: 8,
            base: 1,
            seq: 1,
            body: body(9),
        };
        assert_eq!(inbox.handle(other).0.len(), 1);
        assert_eq!(inbox.handle(sent[1].clone()), (Vec::new(), None));
    }
}
