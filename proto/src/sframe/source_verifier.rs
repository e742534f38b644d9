//! Source authentication, the receiver's side: compares what arrived on each path with what the publisher signed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    KeyId, MediaContext,
    header::Header,
    source_authentication::{PacketHash, PacketNumber, SourceAuthentication, StreamName},
};
use crate::{
    ids::{MeetingId, MemberId, StreamId},
    time::Timestamp,
    wire::media_packet::MediaKind,
};

/// How long a packet may wait for its signature.
pub const SIGNATURE_MAX: Duration = Duration::from_secs(1);
/// Paths of one stream; a stream is received over two at a time, the others are on their way out. A further path
/// takes the place of the one that brought nothing for the longest time.
pub const PATHS_MAX: usize = 8;

/// Packets that wait for a signature on one path: a second at 250 packets a second.
const ARRIVALS_MAX: usize = 256;
/// Signed hashes that are remembered for packets that come late.
const SIGNED_MAX: usize = 512;
/// Findings that wait to be polled. One for each path; older ones about the same path are replaced.
const VERDICTS_MAX: usize = 2 * PATHS_MAX;
/// An object that arrives so much later than a packet was made after the publisher sent that packet.
const LATER_OBJECT: Duration = Duration::from_millis(500);
/// Shares are taken over so much time.
const TALLY: Duration = Duration::from_secs(2);
/// Fewer unsigned packets than this within [`TALLY`] are no finding.
const UNSIGNED_MIN: u32 = 3;

/// A path, as the caller names it (a neighbour, a relay, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u64);

/// What was found out about a path. `Verified` is told when it begins to hold, the others each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// What the path delivered is what the publisher signed.
    Verified {
        /// The path.
        path: PathId,
    },
    /// The path delivered a packet that the publisher did not send: drop it.
    Mismatch {
        /// The path.
        path: PathId,
    },
    /// The path delivers packets, and no signature covers them within [`SIGNATURE_MAX`]: drop it.
    Unsigned {
        /// The path.
        path: PathId,
    },
}

/// An object that the publisher did not sign, or that is of another run of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source authentication is not the publisher's")]
pub struct NotAuthentic;

#[derive(Debug)]
struct Path {
    /// Hashes of packets that no signature covered yet.
    waiting: BTreeMap<PacketNumber, PacketHash>,
    /// When they arrived; some of them are judged already.
    order: VecDeque<(Timestamp, PacketNumber)>,
    heard_at: Timestamp,
    verified_at: Option<Timestamp>,
    is_verified: bool,
    tally_since: Timestamp,
    verified: u32,
    unsigned: u32,
}

impl Path {
    fn new(now: Timestamp) -> Self {
        Self {
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            heard_at: now,
            verified_at: None,
            is_verified: false,
            tally_since: now,
            verified: 0,
            unsigned: 0,
        }
    }

    fn tally(&mut self, now: Timestamp, verified: u32, unsigned: u32) {
        if now - self.tally_since >= TALLY {
            (self.tally_since, self.verified, self.unsigned) = (now, 0, 0);
        }
        self.verified = self.verified.saturating_add(verified);
        self.unsigned = self.unsigned.saturating_add(unsigned);
    }
}

/// Watches one stream of one publisher. Time and memory are bounded by [`PATHS_MAX`] and the rates of a stream.
#[derive(Debug)]
pub struct SourceVerifier {
    stream: StreamName,
    instance: Option<u64>,
    paths: BTreeMap<PathId, Path>,
    signed: BTreeMap<PacketNumber, PacketHash>,
    signed_at: Option<Timestamp>,
    verdicts: VecDeque<Verdict>,
}

impl SourceVerifier {
    /// For `stream` of `publisher`.
    #[must_use]
    pub const fn new(meeting: MeetingId, publisher: MemberId, stream: StreamId) -> Self {
        Self {
            stream: StreamName {
                meeting,
                sender: publisher,
                stream,
            },
            instance: None,
            paths: BTreeMap::new(),
            signed: BTreeMap::new(),
            signed_at: None,
            verdicts: VecDeque::new(),
        }
    }

    /// A packet arrived on `path` and was opened, or was refused as a replay: then another path brought it first. Do
    /// not hand in what failed otherwise. `instance` is that of the receiver that opened it. Objects of source
    /// authentication are passed over.
    pub fn handle_packet(
        &mut self,
        now: Timestamp,
        path: PathId,
        instance: u64,
        context: &MediaContext,
        sframe: &[u8],
    ) {
        if !self.stream.is_of(context) || context.kind == MediaKind::SourceAuthentication {
            return;
        }
        let Some(number) = number_of(sframe) else { return };
        self.enter_instance(instance);
        self.make_room_for(path);
        let hash = PacketHash::of(context, sframe);
        let state = self.paths.entry(path).or_insert_with(|| Path::new(now));
        state.heard_at = now;
        let expected = self.signed.get(&number).or_else(|| state.waiting.get(&number));
        match expected {
            // Two packets with one number: the path brought at least one that the publisher did not send.
            Some(expected) if *expected != hash => self.accuse(path, Verdict::Mismatch { path }),
            Some(_) if self.signed.contains_key(&number) => self.clear(now, path, 1),
            Some(_) => {}
            None => {
                if state.order.len() == ARRIVALS_MAX
                    && let Some((_, oldest)) = state.order.pop_front()
                {
                    state.waiting.remove(&oldest);
                }
                state.waiting.insert(number, hash);
                state.order.push_back((now, number));
            }
        }
    }

    /// An object arrived, on whatever path, and was opened.
    ///
    /// # Errors
    /// [`NotAuthentic`]: then whoever sealed it is not the publisher.
    pub fn handle_authentication(
        &mut self,
        now: Timestamp,
        object: &SourceAuthentication,
    ) -> Result<(), NotAuthentic> {
        if self.instance.is_some_and(|instance| instance != object.instance) {
            return Err(NotAuthentic);
        }
        object.verify(&self.stream).map_err(|_| NotAuthentic)?;
        self.instance = Some(object.instance);
        self.signed_at = Some(now);
        // All that the publisher sent under a key between the first and the last number that the object names.
        let mut spans: BTreeMap<KeyId, (PacketNumber, PacketNumber)> = BTreeMap::new();
        for (number, hash) in object.runs.packets() {
            self.signed.insert(number, hash);
            spans.entry(number.key).or_insert((number, number)).1 = number;
        }
        while self.signed.len() > SIGNED_MAX {
            self.signed.pop_first();
        }
        let paths: Vec<PathId> = self.paths.keys().copied().collect();
        for path in paths {
            self.compare(now, path, &spans);
        }
        Ok(())
    }

    /// The path is no longer used.
    pub fn remove_path(&mut self, path: PathId) {
        self.paths.remove(&path);
        self.verdicts.retain(|verdict| path_of(*verdict) != path);
    }

    /// When to call [`SourceVerifier::handle_timeout`] next; early calls do nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let oldest = self.paths.values().filter_map(|path| path.order.front());
        oldest.map(|&(at, _)| at + SIGNATURE_MAX).min()
    }

    /// A timer fired: judges the packets whose signature is overdue.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let paths: Vec<PathId> = self.paths.keys().copied().collect();
        for path in paths {
            self.expire(now, path);
        }
    }

    /// The next finding.
    #[must_use]
    pub fn poll_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    fn enter_instance(&mut self, instance: u64) {
        if self.instance != Some(instance) {
            self.instance = Some(instance);
            self.paths.clear();
            self.signed.clear();
            self.signed_at = None;
        }
    }

    fn make_room_for(&mut self, path: PathId) {
        if self.paths.len() == PATHS_MAX && !self.paths.contains_key(&path) {
            let stale = self.paths.iter().min_by_key(|(_, state)| state.heard_at);
            if let Some((&stale, _)) = stale {
                self.paths.remove(&stale);
            }
        }
    }

    fn compare(
        &mut self,
        now: Timestamp,
        path: PathId,
        spans: &BTreeMap<KeyId, (PacketNumber, PacketNumber)>,
    ) {
        let Some(state) = self.paths.get_mut(&path) else {
            return;
        };
        let (mut verified, mut differs) = (0, false);
        for &(first, last) in spans.values() {
            let judged: Vec<PacketNumber> = state.waiting.range(first..=last).map(|(&n, _)| n).collect();
            for number in judged {
                let hash = state.waiting.remove(&number);
                if hash == self.signed.get(&number).copied() {
                    verified += 1;
                } else {
                    differs = true;
                }
            }
        }
        while state
            .order
            .front()
            .is_some_and(|(_, number)| !state.waiting.contains_key(number))
        {
            state.order.pop_front();
        }
        if differs {
            self.accuse(path, Verdict::Mismatch { path });
        } else if verified > 0 {
            self.clear(now, path, verified);
        }
    }

    fn expire(&mut self, now: Timestamp, path: PathId) {
        let highest_signed = self.signed.last_key_value().map(|(&number, _)| number);
        let Some(state) = self.paths.get_mut(&path) else {
            return;
        };
        let (mut beyond, mut silent) = (false, false);
        while let Some(&(at, number)) = state.order.front().filter(|(at, _)| now - *at >= SIGNATURE_MAX) {
            state.order.pop_front();
            if state.waiting.remove(&number).is_none() {
                continue;
            }
            // The publisher signed what it sent until later, and had not come to this number.
            let signed_later = self.signed_at.is_some_and(|signed| signed >= at + LATER_OBJECT);
            beyond |= signed_later && highest_signed.is_some_and(|highest| number > highest);
            silent |= state.verified_at.is_none_or(|verified| verified < at);
            state.tally(now, 0, 1);
        }
        // Some objects may get lost with all their repetitions. All of them, or a quarter, do not.
        let too_many = silent || state.unsigned * 4 >= state.unsigned + state.verified;
        if beyond {
            self.accuse(path, Verdict::Mismatch { path });
        } else if state.unsigned >= UNSIGNED_MIN && too_many {
            state.unsigned = 0;
            self.accuse(path, Verdict::Unsigned { path });
        }
    }

    fn clear(&mut self, now: Timestamp, path: PathId, packets: u32) {
        let Some(state) = self.paths.get_mut(&path) else {
            return;
        };
        state.verified_at = Some(now);
        state.tally(now, packets, 0);
        if !std::mem::replace(&mut state.is_verified, true) {
            self.tell(Verdict::Verified { path });
        }
    }

    fn accuse(&mut self, path: PathId, verdict: Verdict) {
        if let Some(state) = self.paths.get_mut(&path) {
            state.is_verified = false;
        }
        self.tell(verdict);
    }

    fn tell(&mut self, verdict: Verdict) {
        if self.verdicts.contains(&verdict) {
            return;
        }
        if self.verdicts.len() == VERDICTS_MAX {
            self.verdicts.pop_front();
        }
        self.verdicts.push_back(verdict);
    }
}

fn number_of(sframe: &[u8]) -> Option<PacketNumber> {
    let (header, _) = Header::parse(sframe).ok()?;
    let key = KeyId::try_from(header.kid).ok()?;
    Some(PacketNumber {
        key,
        counter: header.counter,
    })
}

const fn path_of(verdict: Verdict) -> PathId {
    match verdict {
        Verdict::Verified { path } | Verdict::Mismatch { path } | Verdict::Unsigned { path } => path,
    }
}
