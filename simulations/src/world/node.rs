//! A participant's machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use subrosa_proto::{
    identity::Identity,
    ids::{LinkId, MemberId},
    meeting::{
        kept::KeptRecord,
        operation::SignedOperation,
        participant::{DialId, Participant},
    },
    noise::{PskId, Unadmitted},
    time::{Now, Timestamp, UnixSeconds},
    wire::ticket::Ticket,
};

use super::{
    Occurrence,
    listening::{Ears, Mouth},
    nat::Nat,
    planted::Planted,
    speech::Talkspurts,
};
use crate::{
    scenario::{MemberSpec, Speech},
    transport::LinkEnd,
};

/// When every scenario begins, by the wall clock.
pub(crate) const UNIX_START: u64 = 1_795_300_000;

/// See the module.
pub(crate) struct Node {
    pub(crate) spec: MemberSpec,
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
    /// The process, if it runs.
    pub(crate) participant: Option<Participant>,
    /// Counts processes.
    pub(crate) run: u32,
    /// Which keys open the port.
    pub(crate) accept: Vec<PskId>,
    /// Whom it turns away inside the handshake.
    pub(crate) unadmitted: Unadmitted,
    /// What the founder's disk holds.
    pub(crate) kept: Vec<KeptRecord>,
    pub(crate) links: BTreeMap<LinkId, LinkEnd>,
    next_link: u64,
    /// When the planned timer fires; later plans replace it.
    pub(crate) timer_at: Option<Timestamp>,
    /// Timers that fired at one moment, to find machines that spin.
    pub(crate) spins: u32,
    /// The person is not muted.
    pub(crate) speaks: bool,
    /// Within that, the person speaks in spurts.
    pub(crate) spurts: Option<Talkspurts>,
    pub(crate) spoken: u64,
    /// What its process makes of frames that are spoken.
    pub(crate) mouth: Option<Mouth>,
    /// What its process plays.
    pub(crate) ears: Ears,
    /// The newest ticket that its person kept.
    pub(crate) ticket: Option<Ticket>,
    /// The removed member that does not go: it hears everything and does nothing.
    pub(crate) is_spy: bool,
    /// What is wrong with it.
    pub(crate) planted: Option<Planted>,
    /// Media packets since.
    pub(crate) planted_count: u32,
    /// This machine's monotonic clock began so much before the world's.
    clock_offset: Duration,
    /// Seconds of its clock in a true second.
    clock_rate: f64,
    /// Since when it sleeps.
    pub(crate) asleep: Option<Timestamp>,
    /// What happened to it while it slept.
    pub(crate) missed: Vec<Occurrence>,
    /// How often it changed networks.
    pub(crate) moves: u8,
    /// What it sealed last.
    pub(crate) last_sealed: Vec<u8>,
    /// The NAT that it is behind.
    pub(crate) nat: Option<Nat>,
    /// Dials with several addresses of which one was answered.
    pub(crate) answered: BTreeSet<DialId>,
    /// It will say different things to different people.
    pub(crate) equivocates: bool,
    /// The operations that it was told, if it will.
    pub(crate) operations: Vec<SignedOperation>,
}

impl Node {
    pub(crate) fn new(index: usize, spec: MemberSpec, identity: Identity) -> Self {
        let port = 4_000;
        let number = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
        Self {
            speaks: spec.speech() != Speech::Never,
            spurts: None,
            identity,
            address: ([10, 0, number[0], number[1]], port).into(),
            participant: None,
            run: 0,
            accept: Vec::new(),
            unadmitted: Unadmitted::default(),
            kept: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            timer_at: None,
            spins: 0,
            spoken: 0,
            mouth: None,
            ears: Ears::default(),
            ticket: None,
            is_spy: false,
            planted: None,
            planted_count: 0,
            clock_offset: Duration::from_secs(1_000 * (index as u64 + 1)),
            clock_rate: 1.0 + spec.clock_drift_ppm / 1e6,
            asleep: None,
            missed: Vec::new(),
            moves: 0,
            nat: Nat::new(spec.nat, [11, 0, number[0], number[1]].into()),
            last_sealed: Vec::new(),
            answered: BTreeSet::new(),
            equivocates: false,
            operations: Vec::new(),
            spec,
        }
    }

    pub(crate) fn id(&self) -> MemberId {
        self.identity.member_id()
    }

    /// The machine's clocks.
    pub(crate) fn now(&self, world: Timestamp) -> Now {
        Now {
            monotonic: Timestamp::ZERO + self.clock_offset + self.elapsed(world),
            unix: UnixSeconds(unix(world).0.saturating_add_signed(self.spec.clock_skew_s)),
        }
    }

    /// The world's time of a moment on this machine's clock.
    ///
    /// Not before the clock shows it: a timer that fires early fires again at once.
    pub(crate) fn world_time(&self, own: Timestamp) -> Timestamp {
        let since = own - (Timestamp::ZERO + self.clock_offset);
        if self.clock_rate == 1.0 {
            return Timestamp::ZERO + since;
        }
        let micros = (since.as_micros() as f64 / self.clock_rate) as u64;
        let mut world = Timestamp::from_micros(micros);
        while self.elapsed(world) < since {
            world += Duration::from_micros(1);
        }
        world
    }

    /// What this machine's clock shows of the time since the world began.
    fn elapsed(&self, world: Timestamp) -> Duration {
        if self.clock_rate == 1.0 {
            return world - Timestamp::ZERO;
        }
        Duration::from_micros((world.as_micros() as f64 * self.clock_rate) as u64)
    }

    /// How long a time on this machine's clock takes.
    pub(crate) fn world_duration(&self, own: Duration) -> Duration {
        own.div_f64(self.clock_rate)
    }

    pub(crate) fn new_link(&mut self, end: LinkEnd) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(link, end);
        link
    }

    /// The process ends.
    pub(crate) fn stop(&mut self) {
        self.participant = None;
        self.mouth = None;
        self.ears = Ears::default();
        self.run += 1;
        self.accept.clear();
        self.links.clear();
        self.timer_at = None;
        self.asleep = None;
        self.answered.clear();
        self.missed.clear();
    }

    /// Another address, as in another network.
    pub(crate) fn move_on(&mut self) {
        self.moves = self.moves.wrapping_add(1);
        if let std::net::IpAddr::V4(ip) = self.address.ip() {
            let [a, _, c, d] = ip.octets();
            self.address
                .set_ip([a, 2_u8.saturating_add(self.moves), c, d].into());
            self.nat = Nat::new(self.spec.nat, [11, self.moves, c, d].into());
        }
    }

    /// Where its packets to `to` seem to come from.
    pub(crate) fn sends_to(&mut self, to: SocketAddr) -> SocketAddr {
        self.nat.as_mut().map_or(self.address, |nat| nat.sends_to(to))
    }

    /// Whether packets to this address come to this machine or its NAT.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        self.nat
            .as_ref()
            .map_or(self.address == address, |nat| nat.owns(address))
    }

    /// Whether a packet that comes reaches this machine.
    pub(crate) fn lets_in(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.nat.as_ref().is_none_or(|nat| nat.lets_in(from, to))
    }

    /// The payload of the microphone's next frame.
    pub(crate) fn speak(&mut self, index: usize, at: Timestamp, pause_follows: bool) -> Option<Vec<u8>> {
        let voice = Voice {
            speaker: index,
            number: self.spoken,
            sealed: at,
        };
        let now = self.now(at).monotonic;
        let payload = self.mouth.as_mut()?.pack(now, voice, pause_follows)?;
        self.spoken += 1;
        Some(payload)
    }
}

/// The wall clock.
pub(crate) fn unix(world: Timestamp) -> UnixSeconds {
    UnixSeconds(UNIX_START + world.as_micros() / 1_000_000)
}

/// What a frame says in place of sound, so that whoever decrypts or plays it can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    pub(crate) speaker: usize,
    pub(crate) number: u64,
    pub(crate) sealed: Timestamp,
}

impl Voice {
    /// Bytes of what is said.
    pub(crate) const BYTES: usize = 24;

    /// A frame of this size, not below [`Self::BYTES`].
    pub(crate) fn encode(self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size.max(Self::BYTES));
        bytes.extend_from_slice(&(self.speaker as u64).to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.sealed.as_micros().to_le_bytes());
        bytes.resize(size.max(Self::BYTES), 0);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        Some(Self {
            speaker: usize::try_from(word(0)?).ok()?,
            number: word(8)?,
            sealed: Timestamp::from_micros(word(16)?),
        })
    }
}
