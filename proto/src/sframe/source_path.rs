//! What arrived on one path and waits for the publisher's signature.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    KeyId,
    source_authentication::{PacketHash, PacketNumber},
};
use crate::time::Timestamp;

/// How long a packet may wait for its signature.
pub const SIGNATURE_MAX: Duration = Duration::from_secs(1);
/// Packets that wait for a signature on one path: a second at 250 packets a second.
const ARRIVALS_MAX: usize = 256;
/// A path that brought nothing for so long was interrupted. Reason: a publisher that speaks sends fifty packets a second;
/// all of a second's are lost with the way only, and with them the signatures of those before.
const INTERRUPTION: Duration = Duration::from_secs(1);
/// An object that arrives so much later than a packet was made after the publisher sent that packet.
const LATER_OBJECT: Duration = Duration::from_millis(500);
/// Shares are taken over so much time.
const TALLY: Duration = Duration::from_secs(10);
/// Fewer unsigned packets than this within [`TALLY`] are no finding.
const UNSIGNED_MIN: u32 = 3;
/// Fewer packets than this are no sample. Reason: at a third of all packets lost, each object's hashes get lost with all
/// repetitions every few seconds, and hide ten packets at a time.
const SAMPLE_MIN: u32 = 200;

/// The longest that a lossy path may go without a verified packet.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Objects per second, and their share of all numbers of a stream at 50 packets a second.
const OBJECTS_PER_SECOND: f64 = 5.0;
const OBJECTS_SHARE: f64 = OBJECTS_PER_SECOND / 55.0;
/// A path is accused wrongly about once in so many silences. Reason: five a second can begin at each listener for each
/// speaker, 1.6 million an hour among ten people; the simulator met a wrong accusation at 10⁻⁶.
const FALSE_ALARM: f64 = 1e-9;

/// For each key, the first and the last number that an object names: between them it names all that was sent.
pub(super) type Spans = BTreeMap<KeyId, (PacketNumber, PacketNumber)>;

/// Arrivals beside an object.
pub(super) enum Compared {
    /// So many packets are what the publisher sent, and none is not.
    Equal { packets: u32 },
    /// At least one packet is not what the publisher sent.
    Differs,
}

/// Why packets without a signature are held against the path.
pub(super) enum Overdue {
    /// The publisher signed what it sent until later, and had not come to this number.
    Unsent,
    /// More than lost objects explain.
    TooMany,
}

#[derive(Debug)]
pub(super) struct Path {
    /// Hashes of packets that no signature covered yet.
    waiting: BTreeMap<PacketNumber, PacketHash>,
    /// When they arrived; some of them are judged already. At most [`ARRIVALS_MAX`].
    order: VecDeque<(Timestamp, PacketNumber)>,
    /// When it brought its first packet, or the first after an interruption.
    started_at: Timestamp,
    heard_at: Timestamp,
    arrivals: Arrivals,
    verified_at: Option<Timestamp>,
    is_verified: bool,
    tally_since: Timestamp,
    verified: u32,
    unsigned: u32,
}

/// How much of what was sent arrives, from the gaps in the numbers of one key.
#[derive(Debug)]
struct Arrivals {
    first: Option<PacketNumber>,
    last: u64,
    count: u32,
}

impl Arrivals {
    fn count(&mut self, number: PacketNumber) {
        match self.first {
            Some(first) if first.key == number.key => {
                // What comes twice, as from two rooms of one relay, or late, is not counted: the loss may be taken for
                // greater than it is, not for less.
                if number.counter > self.last {
                    self.last = number.counter;
                    self.count = self.count.saturating_add(1);
                }
            }
            _ => (self.first, self.last, self.count) = (Some(number), number.counter, 1),
        }
    }

    /// How long no object at all may arrive: a second, or on a lossy path so long that loss alone explains it only once
    /// in [`FALSE_ALARM`] times.
    fn silence_max(&self) -> Duration {
        let Some(first) = self.first else {
            return SIGNATURE_MAX;
        };
        let sent = (self.last.saturating_sub(first.counter) + 1) as f64;
        let arrived = f64::from(self.count) / sent / (1.0 - OBJECTS_SHARE);
        let loss = 1.0 - arrived.clamp(0.0, 1.0);
        if loss <= 0.0 {
            return SIGNATURE_MAX;
        }
        let objects = FALSE_ALARM.ln() / loss.ln();
        Duration::from_secs_f64(objects / OBJECTS_PER_SECOND).clamp(SIGNATURE_MAX, SILENCE_MAX)
    }
}

impl Path {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            started_at: now,
            heard_at: now,
            arrivals: Arrivals {
                first: None,
                last: 0,
                count: 0,
            },
            verified_at: None,
            is_verified: false,
            tally_since: now,
            verified: 0,
            unsigned: 0,
        }
    }

    pub(super) const fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    /// A packet arrived, signed or not.
    pub(super) fn hear(&mut self, now: Timestamp, number: PacketNumber) {
        if now - self.heard_at >= INTERRUPTION {
            self.resume(now);
        }
        self.heard_at = now;
        self.arrivals.count(number);
    }

    /// The path was interrupted: the signatures of what it brought last were lost with all else, and the silence was
    /// that of the network. The tally stays, or a path could pause to be forgiven.
    fn resume(&mut self, now: Timestamp) {
        self.waiting.clear();
        self.order.clear();
        self.started_at = now;
    }

    /// The hash of the packet that waits under `number`.
    pub(super) fn waiting_hash(&self, number: PacketNumber) -> Option<&PacketHash> {
        self.waiting.get(&number)
    }

    /// A packet waits for its signature from now on.
    pub(super) fn wait(&mut self, now: Timestamp, number: PacketNumber, hash: PacketHash) {
        if self.order.len() == ARRIVALS_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
        self.waiting.insert(number, hash);
        self.order.push_back((now, number));
    }

    /// Judges all that waits within `spans`.
    pub(super) fn compare(&mut self, spans: &Spans, signed: &BTreeMap<PacketNumber, PacketHash>) -> Compared {
        let (mut packets, mut differs) = (0, false);
        for &(first, last) in spans.values() {
            let judged: Vec<PacketNumber> = self.waiting.range(first..=last).map(|(&n, _)| n).collect();
            for number in judged {
                if self.waiting.remove(&number) == signed.get(&number).copied() {
                    packets += 1;
                } else {
                    differs = true;
                }
            }
        }
        while self
            .order
            .front()
            .is_some_and(|(_, number)| !self.waiting.contains_key(number))
        {
            self.order.pop_front();
        }
        if differs {
            Compared::Differs
        } else {
            Compared::Equal { packets }
        }
    }

    /// When the oldest packet's signature is overdue.
    pub(super) fn next_overdue(&self) -> Option<Timestamp> {
        self.order.front().map(|&(at, _)| at + SIGNATURE_MAX)
    }

    /// Gives up waiting for what arrived [`SIGNATURE_MAX`] ago. `highest` is the highest number that was signed, and
    /// `signed_at` when the last object arrived.
    pub(super) fn expire(
        &mut self,
        now: Timestamp,
        highest: Option<PacketNumber>,
        signed_at: Option<Timestamp>,
    ) -> Option<Overdue> {
        let (mut unsent, mut silent) = (false, false);
        let patience = self.arrivals.silence_max();
        while let Some(&(at, number)) = self.order.front().filter(|(at, _)| now - *at >= SIGNATURE_MAX) {
            self.order.pop_front();
            if self.waiting.remove(&number).is_none() {
                continue;
            }
            // A publisher that ends, or is cut off, signs its last packets no more: only a path that goes on delivering
            // long after them owes their signature.
            if self.heard_at < at + LATER_OBJECT {
                continue;
            }
            let signed_later = signed_at.is_some_and(|signed| signed >= at + LATER_OBJECT);
            unsent |= signed_later && highest.is_some_and(|highest| number > highest);
            let since = self
                .verified_at
                .map_or(self.started_at, |at| at.max(self.started_at));
            silent |= self.verified_at.is_none_or(|verified| verified < at) && now - since >= patience;
            self.tally(now, 0, 1);
        }
        if unsent {
            return Some(Overdue::Unsent);
        }
        // Some objects may get lost with all their repetitions. All of them for as long as `patience`, or half of them,
        // do not.
        let sample = self.unsigned + self.verified;
        let too_many = silent || sample >= SAMPLE_MIN && self.unsigned * 2 >= sample;
        if self.unsigned < UNSIGNED_MIN || !too_many {
            return None;
        }
        self.unsigned = 0;
        Some(Overdue::TooMany)
    }

    /// So many packets were what the publisher sent. True if the path was not known to be good before.
    pub(super) fn verify(&mut self, now: Timestamp, packets: u32) -> bool {
        self.verified_at = Some(now);
        self.tally(now, packets, 0);
        !std::mem::replace(&mut self.is_verified, true)
    }

    pub(super) const fn distrust(&mut self) {
        self.is_verified = false;
    }

    fn tally(&mut self, now: Timestamp, verified: u32, unsigned: u32) {
        if now - self.tally_since >= TALLY {
            (self.tally_since, self.verified, self.unsigned) = (now, 0, 0);
        }
        self.verified = self.verified.saturating_add(verified);
        self.unsigned = self.unsigned.saturating_add(unsigned);
    }
}
