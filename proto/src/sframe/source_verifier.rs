//! Source authentication, the receiver's side: compares what arrived on each path with what the publisher signed.

use std::collections::{BTreeMap, VecDeque};

use super::{
    KeyId, MediaContext,
    header::Header,
    source_authentication::{PacketHash, PacketNumber, SourceAuthentication, StreamName},
    source_path::{Compared, Overdue, Path, Spans},
};
use crate::{
    ids::{MeetingId, MemberId, StreamId},
    time::Timestamp,
    wire::media_packet::MediaKind,
};

pub use super::source_path::SIGNATURE_MAX;

/// Paths of one stream; a stream is received over two at a time, the others are on their way out. A further path
/// takes the place of the one that brought nothing for the longest time.
pub const PATHS_MAX: usize = 8;

/// Signed hashes that are remembered for packets that come late.
const SIGNED_MAX: usize = 512;
/// Findings that wait to be polled. One for each path; older ones about the same path are replaced.
const VERDICTS_MAX: usize = 2 * PATHS_MAX;

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
        self.follow(instance);
        self.make_room_for(path);
        let hash = PacketHash::of(context, sframe);
        let state = self.paths.entry(path).or_insert_with(|| Path::new(now));
        state.hear(now, number);
        let expected = self.signed.get(&number).or_else(|| state.waiting_hash(number));
        match expected {
            // Two packets with one number: the path brought at least one that the publisher did not send.
            Some(expected) if *expected != hash => self.accuse(path, Verdict::Mismatch { path }),
            Some(_) if self.signed.contains_key(&number) => self.clear(now, path, 1),
            Some(_) => {}
            None => state.wait(now, number, hash),
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
        let mut spans = Spans::new();
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
        self.paths.values().filter_map(Path::next_overdue).min()
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

    /// The publisher's present run, as its key message says: what belonged to a former one is forgotten. Before an object is
    /// handed in; packets do it by themselves.
    pub fn follow(&mut self, instance: u64) {
        if self.instance != Some(instance) {
            self.instance = Some(instance);
            self.paths.clear();
            self.signed.clear();
            self.signed_at = None;
        }
    }

    fn make_room_for(&mut self, path: PathId) {
        if self.paths.len() == PATHS_MAX && !self.paths.contains_key(&path) {
            let stale = self.paths.iter().min_by_key(|(_, state)| state.heard_at());
            if let Some((&stale, _)) = stale {
                self.paths.remove(&stale);
            }
        }
    }

    fn compare(&mut self, now: Timestamp, path: PathId, spans: &Spans) {
        let Some(state) = self.paths.get_mut(&path) else {
            return;
        };
        match state.compare(spans, &self.signed) {
            Compared::Differs => self.accuse(path, Verdict::Mismatch { path }),
            Compared::Equal { packets: 0 } => {}
            Compared::Equal { packets } => self.clear(now, path, packets),
        }
    }

    fn expire(&mut self, now: Timestamp, path: PathId) {
        let highest = self.signed.last_key_value().map(|(&number, _)| number);
        let Some(state) = self.paths.get_mut(&path) else {
            return;
        };
        match state.expire(now, highest, self.signed_at) {
            Some(Overdue::Unsent) => self.accuse(path, Verdict::Mismatch { path }),
            Some(Overdue::TooMany) => self.accuse(path, Verdict::Unsigned { path }),
            None => {}
        }
    }

    fn clear(&mut self, now: Timestamp, path: PathId, packets: u32) {
        if self
            .paths
            .get_mut(&path)
            .is_some_and(|state| state.verify(now, packets))
        {
            self.tell(Verdict::Verified { path });
        }
    }

    fn accuse(&mut self, path: PathId, verdict: Verdict) {
        if let Some(state) = self.paths.get_mut(&path) {
            state.distrust();
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
