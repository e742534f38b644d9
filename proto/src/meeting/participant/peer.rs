//! What this member knows of another person: a member, or somebody at the door.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use super::{
    Participant, addresses::Search, dialling::Redial, former_secrets::Whereabouts, forwarding::Feed,
    missing_keys::MissingKey, output::RoutePath,
};
use crate::{
    ids::{LinkId, MeetingId, MemberId, OperationHash, RelayId, StreamId},
    meeting::keys::{KeyMessage, Receiver},
    mesh::{
        route::Path,
        route_planner::{Carrier, Parent},
    },
    sframe::source_verifier::SourceVerifier,
    time::Timestamp,
    wire::media_packet::MediaKind,
};

/// People known at a time: members, and strangers at the door. Reason: twice what a meeting and its lobby hold.
pub(super) const PEERS_MAX: usize = 640;
/// Packets kept per peer because their key is not known yet. Reason: what comes over two paths within
/// [`EARLY_PATIENCE`].
pub(super) const EARLY_PACKETS_MAX: usize = 64;
/// How long such a packet is worth keeping.
pub(super) const EARLY_PATIENCE: Duration = Duration::from_millis(500);
/// A relay or member whose copies did not match the publisher's signatures is not used for that publisher for so long.
pub(super) const TAMPERING_PENALTY: Duration = Duration::from_secs(300);

/// How long a former path stays subscribed after a change: make before break.
const LINGER: Duration = Duration::from_secs(1);
/// Former paths that linger at a time; beyond it the oldest end. Reason: four changes of two paths each.
const LINGERING_MAX: usize = 8;

/// So many altered packets in a row block who carried them. Reason: one may be anybody's who knows the track's alias.
pub(super) const ALTERED_MAX: u8 = 5;

/// Frames that came from a peer and could not be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Opened and handed on.
    pub opened: u64,
    /// Copies of frames that had come before, mostly over the second path.
    pub duplicates: u64,
    /// No key came in time.
    pub unknown_key: u64,
    /// Altered on the way.
    pub tampered: u64,
    /// Malformed, or from somebody who may not speak.
    pub refused: u64,
    /// Acts that are not theirs to do.
    pub forbidden: u64,
}

/// A packet that came before its key.
#[derive(Debug)]
pub(super) struct EarlyPacket {
    pub(super) arrival: Timestamp,
    pub(super) path: Path,
    pub(super) kind: MediaKind,
    pub(super) layer: u8,
    pub(super) stream: StreamId,
    pub(super) sframe: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it says it can be dialled.
    pub(super) addresses: Vec<SocketAddr>,
    /// Direct links to it, oldest first.
    pub(super) links: BTreeSet<LinkId>,
    /// Of these, links on which it wants our audio.
    pub(super) listening: BTreeSet<LinkId>,
    pub(super) redial: Redial,
    /// When its addresses are asked for, while it cannot be reached.
    pub(super) search: Option<Search>,
    /// When it was last told addresses that it asked for.
    pub(super) answered_at: Option<Timestamp>,
    /// Which room secret it uses, as far as we know.
    pub(super) place: Whereabouts,
    pub(super) keys: Receiver,
    pub(super) verifier: SourceVerifier,
    /// Our heads when it was last asked for operations, and when that was.
    pub(super) asked: Option<(Vec<OperationHash>, Timestamp)>,
    /// A key message that waits for roster operations.
    pub(super) pending_key: Option<KeyMessage>,
    pub(super) early: VecDeque<EarlyPacket>,
    pub(super) missing_key: MissingKey,
    /// The paths on which we are subscribed, best first.
    pub(super) paths: Vec<Path>,
    /// Paths that were in use before, each kept until then, so that a change of path is not heard, nor two in a row.
    pub(super) lingering: Vec<(Path, Timestamp)>,
    /// Relays that it uses through another one, as it says.
    pub(super) ways: BTreeMap<RelayId, RelayId>,
    /// Who tampered with this peer's frames, or withheld them, until when.
    pub(super) blocked: BTreeMap<Carrier, Timestamp>,
    /// Altered packets in a row, by who carried them.
    pub(super) altered: BTreeMap<Carrier, u8>,
    /// From whom it says that we should take its audio, best first; empty if we choose ourselves.
    pub(super) named: Vec<Parent>,
    /// What members bring of its audio, or did. At most those that it named lately.
    pub(super) feeds: BTreeMap<MemberId, Feed>,
    /// When the last frame came that had not come before.
    pub(super) heard_at: Option<Timestamp>,
    /// What people were last told about the route, and whether with a round-trip time.
    pub(super) reported: Option<(Vec<RoutePath>, bool)>,
    pub(super) counters: PeerCounters,
}

impl Peer {
    pub(super) fn new(meeting: MeetingId, id: MemberId, me: MemberId, now: Timestamp) -> Self {
        Self {
            addresses: Vec::new(),
            links: BTreeSet::new(),
            listening: BTreeSet::new(),
            redial: Redial::new(now),
            search: None,
            answered_at: None,
            place: Whereabouts::default(),
            keys: Receiver::new(meeting, id, me),
            verifier: SourceVerifier::new(meeting, id, StreamId::AUDIO),
            asked: None,
            pending_key: None,
            early: VecDeque::new(),
            missing_key: MissingKey::default(),
            paths: Vec::new(),
            lingering: Vec::new(),
            ways: BTreeMap::new(),
            blocked: BTreeMap::new(),
            altered: BTreeMap::new(),
            named: Vec::new(),
            feeds: BTreeMap::new(),
            heard_at: None,
            reported: None,
            counters: PeerCounters::default(),
        }
    }

    /// Keeps a packet for later, dropping the oldest.
    pub(super) fn keep_early(&mut self, packet: EarlyPacket) {
        if self.early.len() == EARLY_PACKETS_MAX {
            self.early.pop_front();
            self.counters.unknown_key += 1;
            self.missing_key.frame_lost(packet.arrival);
        }
        self.early.push_back(packet);
    }

    /// Drops what has waited too long.
    pub(super) fn forget_stale(&mut self, now: Timestamp) {
        while self
            .early
            .front()
            .is_some_and(|packet| now - packet.arrival > EARLY_PATIENCE)
        {
            self.early.pop_front();
            self.counters.unknown_key += 1;
            self.missing_key.frame_lost(now);
        }
        self.blocked.retain(|_, until| *until > now);
    }

    /// Uses `paths` from now on; those of before linger. Gives those that were not in use until now.
    pub(super) fn use_paths(&mut self, now: Timestamp, paths: Vec<Path>) -> Vec<Path> {
        let former = std::mem::replace(&mut self.paths, paths);
        let paths = &self.paths;
        self.lingering.retain(|(path, _)| !paths.contains(path));
        let gone = former.iter().filter(|path| !paths.contains(path));
        self.lingering.extend(gone.map(|path| (*path, now + LINGER)));
        let excess = self.lingering.len().saturating_sub(LINGERING_MAX);
        for (_, until) in &mut self.lingering[..excess] {
            *until = now;
        }
        paths
            .iter()
            .filter(|path| !former.contains(path))
            .copied()
            .collect()
    }

    /// Ends the use of former paths whose time is over, and gives them.
    pub(super) fn end_lingering(&mut self, now: Timestamp) -> Vec<Path> {
        let over = self.lingering.extract_if(.., |(_, until)| *until <= now);
        over.map(|(path, _)| path).collect()
    }

    /// Whether it can be told anything, as far as people are told.
    pub(super) fn has_way(&self) -> bool {
        !self.paths.is_empty()
    }

    /// All paths on which frames are still expected.
    pub(super) fn subscribed_paths(&self) -> impl Iterator<Item = Path> + '_ {
        let lingering = self.lingering.iter().map(|(path, _)| *path);
        self.paths.iter().copied().chain(lingering)
    }
}

impl Participant {
    /// Whether somebody new can be known.
    pub(super) fn has_room_for(&self, member: MemberId) -> bool {
        self.peers.contains_key(&member) || self.peers.len() < PEERS_MAX
    }

    /// Forgets whoever is not in the roster and can no longer be reached.
    pub(super) fn forget_strangers(&mut self) {
        let roster = self.log.view();
        let channels = &self.channels;
        let named = [self.host, self.ticket.issuer()];
        self.peers.retain(|id, peer| {
            named.contains(id)
                || roster.members.contains_key(id)
                || !peer.links.is_empty()
                || peer.redial.is_dialling()
                || channels.values().any(|channel| channel.peer() == Some(*id))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    fn peer() -> Peer {
        Peer::new(MeetingId([0; 16]), MemberId([1; 32]), MemberId([2; 32]), at(0))
    }

    #[test]
    fn what_was_used_before_is_subscribed_for_a_second_whatever_changes_meanwhile() {
        let (far, near, direct) = (
            Path::Relay(RelayId([1; 32])),
            Path::Relay(RelayId([2; 32])),
            Path::Direct(LinkId(3)),
        );
        let mut peer = peer();
        assert_eq!(peer.use_paths(at(0), vec![far]), [far]);
        assert_eq!(peer.use_paths(at(100), vec![near]), [near]);
        assert_eq!(peer.use_paths(at(200), vec![direct]), [direct]);
        assert_eq!(peer.subscribed_paths().collect::<Vec<_>>(), [direct, far, near]);
        assert_eq!(peer.end_lingering(at(1_099)), []);
        assert_eq!(peer.end_lingering(at(1_100)), [far]);
        // Used again: it does not end.
        assert_eq!(peer.use_paths(at(1_150), vec![direct, near]), [near]);
        assert_eq!(peer.end_lingering(at(5_000)), []);
    }

    #[test]
    fn former_paths_are_bounded_and_the_oldest_end() {
        let mut peer = peer();
        for number in 0..100 {
            peer.use_paths(at(number), vec![Path::Direct(LinkId(number))]);
            let ended = peer.end_lingering(at(number));
            assert!(peer.lingering.len() <= LINGERING_MAX && ended.len() <= 1);
            assert!(ended.iter().all(|path| *path == Path::Direct(LinkId(number - 9))));
        }
    }
}
