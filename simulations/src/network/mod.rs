//! The modelled network: how long a packet takes, whether it arrives, who reaches whom.
//!
//! A packet passes the sender's access link (a queue), the way between the regions, and the receiver's access link. Without
//! regions and access links every way is the same: half the round-trip time, jitter, loss.

pub mod access;
pub mod loss;
pub mod region;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use subrosa_proto::{random::Random, time::Timestamp};

use self::{
    access::{Access, AccessSpec, MODELLED_OVERHEAD_BYTES, Queue, UDP_OVERHEAD_BYTES},
    loss::LossProcess,
    region::Region,
};
use crate::{
    scenario::{Action, NetworkSpec, Scenario},
    transport::TransportKind,
};

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

/// A trace may lose nearly everything: what is repeated comes through in the end.
const REPEATED_LOST_MAX: f64 = 0.9;

/// What a machine sent and received: its payloads and what QUIC, UDP and IP add to each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub up_bytes: u64,
    /// Bytes received.
    pub down_bytes: u64,
}

/// The worst of all ways, as far as checkers have to allow for it.
#[derive(Clone, Copy, Debug)]
pub struct WorstPath {
    /// Lost on a hop, 0 to 1, in the long run.
    pub loss: f64,
    /// By how much bursts widen the variance of a sample's loss.
    pub loss_widening: f64,
    /// The round-trip time without jitter.
    pub rtt: Duration,
    /// A packet is late by up to so much.
    pub jitter: Duration,
}

/// A machine's place in the network.
#[derive(Default)]
struct Site {
    region: Option<Region>,
    access: Option<Box<Access>>,
    traffic: Traffic,
}

/// See the module.
pub struct Network {
    spec: NetworkSpec,
    random: Random,
    nodes: usize,
    /// The nodes', then the relays'.
    sites: Vec<Site>,
    /// The network's own loss model, one for each direction between two machines.
    ways: BTreeMap<(Place, Place), LossProcess>,
    /// One side of the partition; empty without one.
    side: BTreeSet<Place>,
    /// These do not reach each other.
    cut: BTreeSet<Place>,
    /// These hear and say nothing.
    silent: BTreeSet<Place>,
    /// What a place does not reach from the beginning: a firewall.
    walls: BTreeSet<(Place, Place)>,
    /// The scenario's own classes of access links.
    accesses: Vec<AccessSpec>,
    /// What each packet carries beside what the transport hands over.
    overhead_bytes: usize,
}

impl Network {
    /// A whole network.
    ///
    /// # Errors
    /// A sentence if a region, class of access or loss model makes no sense.
    pub fn new(scenario: &Scenario, mut random: Random) -> Result<Self, String> {
        if let Some(loss) = &scenario.network.loss {
            loss.process(&mut Random::from_seed([0; 32]))
                .map_err(|error| format!("[network] loss: {error}"))?;
        }
        let members = scenario.members.iter();
        let members = members.map(|member| (&member.name, &member.region, &member.access));
        let relays = scenario.relays.iter();
        let relays = relays.map(|relay| (&relay.name, &relay.region, &relay.access));
        let sites = members.chain(relays).map(|(name, region, access)| {
            Site::new(
                region.as_deref(),
                access.as_deref(),
                &scenario.accesses,
                &mut random,
            )
            .map_err(|error| format!("{name}: {error}"))
        });
        let sites = sites.collect::<Result<_, _>>()?;
        for timed in &scenario.actions {
            if let Action::Move { who, region, access } = &timed.action {
                Site::new(
                    region.as_deref(),
                    access.as_deref(),
                    &scenario.accesses,
                    &mut Random::from_seed([0; 32]),
                )
                .map_err(|error| format!("the move of {who}: {error}"))?;
            }
        }
        Ok(Self {
            spec: scenario.network.clone(),
            nodes: scenario.members.len(),
            sites,
            random,
            ways: BTreeMap::new(),
            side: BTreeSet::new(),
            cut: BTreeSet::new(),
            silent: BTreeSet::new(),
            walls: BTreeSet::new(),
            accesses: scenario.accesses.clone(),
            overhead_bytes: match scenario.transport {
                TransportKind::Modelled => MODELLED_OVERHEAD_BYTES,
                TransportKind::Quic => UDP_OVERHEAD_BYTES,
            },
        })
    }

    /// Parts the network in two.
    pub fn partition(&mut self, side: BTreeSet<Place>) {
        self.side = side;
    }

    /// Cuts all ways among some.
    pub fn cut(&mut self, among: BTreeSet<Place>) {
        self.cut = among;
    }

    /// Whether packets travel between two places at all.
    #[must_use]
    pub fn is_joined(&self, a: Place, b: Place) -> bool {
        if !self.silent.is_empty() && (self.silent.contains(&a) || self.silent.contains(&b)) {
            return false;
        }
        if !self.walls.is_empty() && (self.walls.contains(&(a, b)) || self.walls.contains(&(b, a))) {
            return false;
        }
        let whole = self.side.is_empty() || self.side.contains(&a) == self.side.contains(&b);
        whole && (self.cut.is_empty() || !(self.cut.contains(&a) && self.cut.contains(&b)))
    }

    /// From now on `place` reaches all but these.
    pub fn wall_off(&mut self, place: Place, from: Vec<Place>) {
        self.walls.retain(|(behind, _)| *behind != place);
        self.walls.extend(from.into_iter().map(|other| (place, other)));
    }

    /// A machine hears and says nothing, or does again.
    pub fn silence(&mut self, place: Place, silent: bool) {
        if silent {
            self.silent.insert(place);
        } else {
            self.silent.remove(&place);
        }
    }

    /// A machine comes to another place in the network.
    ///
    /// # Errors
    /// A sentence if region or class of access is unknown.
    pub fn relocate(
        &mut self,
        place: Place,
        region: Option<&str>,
        access: Option<&str>,
    ) -> Result<(), String> {
        let index = self.site(place);
        let new = Site::new(region, access, &self.accesses, &mut self.random)?;
        let site = &mut self.sites[index];
        site.region = new.region.or(site.region);
        site.access = new.access.or_else(|| site.access.take());
        Ok(())
    }

    /// Whether the network is parted.
    #[must_use]
    pub fn is_parted(&self) -> bool {
        !self.side.is_empty()
    }

    /// The worst that a packet meets where nothing is overloaded.
    #[must_use]
    pub fn worst_path(&self) -> WorstPath {
        let models = self.sites.iter().filter_map(|site| site.access.as_ref());
        let models = models.flat_map(|access| [&access.up.loss, &access.down.loss]);
        let own = self.spec.loss.as_ref();
        let own = own.and_then(|loss| loss.process(&mut Random::from_seed([0; 32])).ok());
        let worst = models.flatten().map(LossProcess::mean);
        // A hop passes two access links at most.
        let (access, wide) = worst.fold((0.0, 1.0), |(a, b), (c, d)| (f64::max(a, c), f64::max(b, d)));
        let (between, wider) = own.map_or((0.0, 1.0), |own| own.mean());
        let arrives = (1.0 - self.loss()) * (1.0 - between) * (1.0 - access).powi(2);
        let sites = || self.sites.iter();
        let jitter = sites().filter_map(|site| site.access.as_ref().map(|access| access.jitter));
        let delay = sites().filter_map(|site| site.access.as_ref().map(|access| access.delay));
        let ways = sites().flat_map(|a| sites().map(|b| self.region_rtt(a, b)));
        WorstPath {
            loss: 1.0 - arrives,
            loss_widening: wide.max(wider),
            rtt: ways.max().unwrap_or_default() + delay.max().unwrap_or_default() * 4,
            jitter: Duration::from_secs_f64(self.spec.jitter_ms / 1e3) + jitter.max().unwrap_or_default() * 2,
        }
    }

    /// The share of packets lost on a hop independently, 0 to 1.
    fn loss(&self) -> f64 {
        self.spec.loss_percent / 100.0
    }

    fn region_rtt(&self, a: &Site, b: &Site) -> Duration {
        let ms = match (a.region, b.region) {
            (Some(a), Some(b)) => a.rtt_ms(b),
            _ => self.spec.rtt_ms,
        };
        Duration::from_secs_f64(ms / 1_000.0)
    }

    fn site(&self, place: Place) -> usize {
        match place {
            Place::Node(index) => index,
            Place::Relay(index) => self.nodes + index,
        }
    }

    /// The round-trip time between two places without jitter and queues.
    fn rtt(&self, a: Place, b: Place) -> Duration {
        let (a, b) = (&self.sites[self.site(a)], &self.sites[self.site(b)]);
        let access = |site: &Site| site.access.as_ref().map_or(Duration::ZERO, |access| access.delay);
        self.region_rtt(a, b) + (access(a) + access(b)) * 2
    }

    /// How long one packet travels, without queues.
    fn delay(&mut self, from: Place, to: Place) -> Duration {
        let jitter = Duration::from_secs_f64(self.spec.jitter_ms * uniform(&mut self.random) / 1_000.0);
        let mut delay = self.rtt(from, to) / 2 + jitter;
        for place in [from, to] {
            let site = self.site(place);
            if let Some(access) = &self.sites[site].access {
                delay += access.jitter.mul_f64(uniform(&mut self.random));
            }
        }
        delay
    }

    /// Whether the network loses the next packet; if not, how much later it comes.
    fn fate(&mut self, from: Place, to: Place) -> Option<Duration> {
        let mut lost = uniform(&mut self.random) < self.loss();
        let mut late = Duration::ZERO;
        let (up, down) = (self.site(from), self.site(to));
        let random = &mut self.random;
        if let Some(access) = &mut self.sites[up].access
            && let Some(model) = &mut access.up.loss
        {
            lost |= model.next(random).map(|more| late += more).is_none();
        }
        if let Some(access) = &mut self.sites[down].access
            && let Some(model) = &mut access.down.loss
        {
            lost |= model.next(random).map(|more| late += more).is_none();
        }
        if let Some(loss) = &self.spec.loss {
            let model = self.ways.entry((from, to)).or_insert_with(|| {
                let checked = loss.process(random);
                checked.unwrap_or_else(|_| unreachable!("checked in `new`"))
            });
            lost |= model.next(random).map(|more| late += more).is_none();
        }
        (!lost).then_some(late)
    }

    /// A datagram of `bytes` is sent. When it comes to the receiver's access link ([`Self::arrive`]), or that it is lost.
    pub fn datagram(&mut self, now: Timestamp, from: Place, to: Place, bytes: usize) -> Option<Timestamp> {
        let bytes = bytes + self.overhead_bytes;
        let site = self.site(from);
        self.sites[site].traffic.up_bytes += bytes as u64;
        let sent = match &mut self.sites[site].access {
            Some(access) => access.up.offer(now, bytes, false)?,
            None => now,
        };
        let fate = self.fate(from, to);
        let delay = self.delay(from, to);
        fate.map(|late| sent + late + delay)
    }

    /// The same datagram comes once more, if the network repeats it: when.
    pub fn repeated(&mut self, now: Timestamp, from: Place, to: Place) -> Option<Timestamp> {
        let share = self.spec.duplicate_percent / 100.0;
        let repeats = share > 0.0 && uniform(&mut self.random) < share;
        repeats.then(|| now + self.delay(from, to))
    }

    /// A packet of `bytes` is sent that is repeated until it arrives. When it comes to the receiver's access link.
    pub fn reliable(&mut self, now: Timestamp, from: Place, to: Place, bytes: usize) -> Timestamp {
        let bytes = bytes + self.overhead_bytes;
        let site = self.site(from);
        self.sites[site].traffic.up_bytes += bytes as u64;
        let sent = match &mut self.sites[site].access {
            Some(access) => access.up.offer(now, bytes, true).unwrap_or(now),
            None => now,
        };
        sent + self.repeated_until_there(from, to)
    }

    /// How long what is repeated until it arrives travels.
    fn repeated_until_there(&mut self, from: Place, to: Place) -> Duration {
        let mut delay = self.delay(from, to);
        if let Some(late) = self.fate(from, to) {
            return delay + late;
        }
        // What is repeated later does not move the chains of what is sent now: it would cut runs of losses short.
        let lost = self.mean_loss(from, to).min(REPEATED_LOST_MAX);
        delay += self.rtt(from, to) + PROBE_TIMEOUT_EXTRA;
        loop {
            if uniform(&mut self.random) >= lost {
                return delay;
            }
            delay += self.rtt(from, to) + PROBE_TIMEOUT_EXTRA;
        }
    }

    /// The share that is lost between two places in the long run, 0 to 1.
    fn mean_loss(&self, from: Place, to: Place) -> f64 {
        let (up, down) = (
            &self.sites[self.site(from)].access,
            &self.sites[self.site(to)].access,
        );
        let up = up.as_ref().and_then(|access| access.up.loss.as_ref());
        let down = down.as_ref().and_then(|access| access.down.loss.as_ref());
        let models = up.into_iter().chain(down).chain(self.ways.get(&(from, to)));
        let arrives = models.fold(1.0 - self.loss(), |arrives, model| {
            arrives * (1.0 - model.mean().0)
        });
        1.0 - arrives
    }

    /// When a handshake's packet arrives that is sent at `at`, which may lie ahead. It waits for what is in the queues now, but
    /// takes no place in them: what is sent until then must not wait for it.
    pub fn handshake(&mut self, at: Timestamp, from: Place, to: Place, bytes: usize) -> Timestamp {
        let bytes = bytes + self.overhead_bytes;
        let (up, down) = (self.site(from), self.site(to));
        self.sites[up].traffic.up_bytes += bytes as u64;
        self.sites[down].traffic.down_bytes += bytes as u64;
        let waits = |queue: Option<&Queue>| queue.map_or(Duration::ZERO, |queue| queue.wait(at, bytes));
        let sent = waits(self.sites[up].access.as_ref().map(|access| &access.up));
        let taken = waits(self.sites[down].access.as_ref().map(|access| &access.down));
        at + sent + taken + self.repeated_until_there(from, to)
    }

    /// Whether a packet to this place waits in a queue before it is there.
    #[must_use]
    pub fn queues_at(&self, to: Place) -> bool {
        self.sites[self.site(to)].access.is_some()
    }

    /// A packet comes to the receiver's access link: when it has passed it, or that it did not fit.
    pub fn arrive(&mut self, now: Timestamp, to: Place, bytes: usize, reliable: bool) -> Option<Timestamp> {
        let bytes = bytes + self.overhead_bytes;
        let site = self.site(to);
        match &mut self.sites[site].access {
            Some(access) => access.down.offer(now, bytes, reliable),
            None => Some(now),
        }
    }

    /// A packet was delivered.
    pub fn received(&mut self, at: Place, bytes: usize) {
        let bytes = bytes + self.overhead_bytes;
        let site = self.site(at);
        self.sites[site].traffic.down_bytes += bytes as u64;
    }

    /// What a machine sent and received so far.
    #[must_use]
    pub fn traffic(&self, place: Place) -> Traffic {
        self.sites[self.site(place)].traffic
    }

    /// For each machine with an access link: the queue's figures up and down.
    #[must_use]
    pub fn queues(&self, place: Place) -> Option<[QueueFigures; 2]> {
        let access = self.sites[self.site(place)].access.as_ref()?;
        Some([&access.up, &access.down].map(|queue| QueueFigures {
            bytes_max: queue.bytes_high,
            bytes_bound: queue.bytes_max(),
            held_bytes_max: queue.held_high,
            dropped: queue.dropped,
        }))
    }
}

/// How full a queue was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct QueueFigures {
    /// The most that waited, in bytes.
    pub bytes_max: u64,
    /// The most that may, in bytes.
    pub bytes_bound: u64,
    /// The most that waited with senders, as it must arrive and did not fit, in bytes.
    pub held_bytes_max: u64,
    /// Datagrams that did not fit.
    pub dropped: u64,
}

impl Network {
    /// What a place can send, in kbit/s; `None` without an access link.
    pub(crate) fn uplink_kbps(&self, place: Place) -> Option<u32> {
        let site = &self.sites[self.site(place)];
        site.access.as_ref().map(|access| access.up.kbps())
    }
}

impl Site {
    fn new(
        region: Option<&str>,
        access: Option<&str>,
        own: &[AccessSpec],
        random: &mut Random,
    ) -> Result<Self, String> {
        let class = access.map(|name| AccessSpec::find(name, own)).transpose()?;
        let access = class.map(|class| Access::new(&class, random)).transpose()?;
        Ok(Self {
            region: region.map(Region::from_name).transpose()?,
            access: access.map(Box::new),
            traffic: Traffic::default(),
        })
    }
}

/// 0 to 1, without 1.
fn uniform(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
