//! The modelled network: how long a packet takes, whether it arrives, who reaches whom.

use std::{collections::BTreeSet, time::Duration};

use subrosa_proto::random::Random;

use crate::scenario::NetworkSpec;

/// A machine of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A participant's.
    Node(usize),
    /// A relay's.
    Relay(usize),
}

/// The pause after which a lost control packet is sent again, beyond the round trip (RFC 9002 §6.2).
const PROBE_TIMEOUT_EXTRA: Duration = Duration::from_millis(25);

/// See the module.
pub struct Network {
    spec: NetworkSpec,
    random: Random,
    /// One side of the partition; empty without one.
    side: BTreeSet<Place>,
    /// These do not reach each other.
    cut: BTreeSet<Place>,
    /// What a place does not reach from the beginning: a firewall.
    walls: BTreeSet<(Place, Place)>,
}

impl Network {
    /// A whole network.
    #[must_use]
    pub fn new(spec: NetworkSpec, random: Random) -> Self {
        Self {
            spec,
            random,
            side: BTreeSet::new(),
            cut: BTreeSet::new(),
            walls: BTreeSet::new(),
        }
    }

    /// Parts the network in two.
    pub fn partition(&mut self, side: BTreeSet<Place>) {
        self.side = side;
    }

    /// Cuts all ways among some.
    pub fn cut(&mut self, among: BTreeSet<Place>) {
        self.cut = among;
    }

    /// From now on `place` reaches all but these.
    pub fn wall_off(&mut self, place: Place, from: Vec<Place>) {
        self.walls.retain(|(behind, _)| *behind != place);
        self.walls.extend(from.into_iter().map(|other| (place, other)));
    }

    /// Whether packets travel between two places at all.
    #[must_use]
    pub fn is_joined(&self, a: Place, b: Place) -> bool {
        let cut = self.cut.contains(&a) && self.cut.contains(&b);
        let walled = self.walls.contains(&(a, b)) || self.walls.contains(&(b, a));
        self.side.contains(&a) == self.side.contains(&b) && !cut && !walled
    }

    /// Whether the network is parted.
    #[must_use]
    pub fn is_parted(&self) -> bool {
        !self.side.is_empty()
    }

    /// The share of packets lost on a hop, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.spec.loss_percent / 100.0
    }

    /// The round-trip time without jitter.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        Duration::from_secs_f64(self.spec.rtt_ms / 1_000.0)
    }

    /// How long one packet takes.
    pub fn delay(&mut self) -> Duration {
        let jitter = self.spec.jitter_ms * self.uniform();
        Duration::from_secs_f64((self.spec.rtt_ms / 2.0 + jitter) / 1_000.0)
    }

    /// How long a datagram takes, or that it is lost.
    pub fn datagram(&mut self) -> Option<Duration> {
        let lost = self.uniform() < self.loss();
        let delay = self.delay();
        (!lost).then_some(delay)
    }

    /// Whether a datagram arrives once more.
    pub fn comes_twice(&mut self) -> bool {
        self.spec.duplicate_percent > 0.0 && self.uniform() < self.spec.duplicate_percent / 100.0
    }

    /// How long a packet takes that is repeated until it arrives.
    pub fn reliable(&mut self) -> Duration {
        let mut delay = self.delay();
        while self.uniform() < self.loss() {
            delay += self.rtt() + PROBE_TIMEOUT_EXTRA;
        }
        delay
    }

    /// 0 to 1, without 1.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
