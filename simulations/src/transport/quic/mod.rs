//! quinn-proto with our Noise session under virtual time: the node's and the relay's parameters, every UDP datagram through the
//! modelled network.
//!
//! Members' links behave as `node/src/driver/link.rs`, relays' are the node's own (`proto/src/quic`). Absent: QUIC over TCP, segmentation
//! offload, ECN, and the relay's limits on handshakes by address.

mod machine;
mod member;
mod member_link;
mod relay;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use subrosa_proto::{
    ids::RelayId,
    meeting::participant::{DialId, DialTarget},
    noise::{
        Psk,
        server::{self, MemberAccept, RelayAccept},
    },
    random::Random,
    time::{Now, Timestamp},
};

pub(crate) use self::wire::Udp;
use self::{
    machine::{Ends, Machine, QuicLink},
    member_link::MemberLink,
};
use super::{LinkEnd, PipeId, Transport};
use crate::{
    network::Place,
    world::{Occurrence, World},
};

/// What the transport keeps in a world.
pub(crate) struct QuicState {
    /// quinn-proto wants `Instant`s, and only a clock makes the first. Nothing depends on which it is.
    base: Instant,
    seed: [u8; 32],
    machines: BTreeMap<Place, Machine>,
    /// Connections to serve, in the order in which they were touched.
    touched: VecDeque<(Place, usize)>,
}

impl QuicState {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            base: Instant::now(),
            seed,
            machines: BTreeMap::new(),
            touched: VecDeque::new(),
        }
    }

    fn link(&mut self, place: Place, number: usize) -> Option<&mut QuicLink> {
        self.machines.get_mut(&place)?.links.get_mut(&number)
    }

    fn member_link(&mut self, place: Place, number: usize) -> Option<&mut MemberLink> {
        match &mut self.link(place, number)?.ends {
            Ends::Member(link) => Some(link),
            Ends::Relay(_) => None,
        }
    }

    /// Sees to it that a connection is served; `woken` if something came for it.
    fn touch(&mut self, place: Place, number: usize, woken: bool) {
        let Some(link) = self.link(place, number) else {
            return;
        };
        link.woken |= woken;
        if !link.touched {
            link.touched = true;
            self.touched.push_back((place, number));
        }
    }
}

/// See the module.
pub(crate) struct Quic;

impl Transport for Quic {
    fn dial(&self, world: &mut World<'_>, from: usize, dial: DialId, target: &DialTarget) {
        world.connect_participant(from, dial, target);
    }

    fn dial_upstream(
        &self,
        world: &mut World<'_>,
        from: usize,
        relay: RelayId,
        static_key: [u8; 32],
        addresses: &[SocketAddr],
    ) {
        world.connect_upstream(from, relay, static_key, addresses);
    }

    fn dial_refused_relay(&self, world: &mut World<'_>, from: usize, relay: usize) {
        let descriptor = world.relays[relay].descriptor.clone();
        let address = descriptor.addresses[0];
        world.connect_to_relay(from, None, descriptor.relay, descriptor.static_key, address);
    }

    fn send_control(&self, world: &mut World<'_>, at: Place, end: LinkEnd, bytes: Vec<u8>) {
        let instant = world.instant(at);
        if let Some(link) = world.quic.member_link(at, end.0.0) {
            link.send_control(instant, &bytes);
            world.quic.touch(at, end.0.0, false);
        }
    }

    fn send_datagram(&self, world: &mut World<'_>, at: Place, end: LinkEnd, bytes: Vec<u8>) {
        let now = world.own_now(at).monotonic;
        match world.quic.link(at, end.0.0).map(|link| &mut link.ends) {
            Some(Ends::Member(link)) => link.send_datagram(now, bytes),
            // What a hostile relay held back.
            Some(Ends::Relay(link)) => {
                let _ = link.connection.datagrams().send(bytes.into(), false);
            }
            None => return,
        }
        world.quic.touch(at, end.0.0, false);
    }

    fn close(&self, world: &mut World<'_>, at: Place, end: LinkEnd) {
        let instant = world.instant(at);
        if let Some(link) = world.quic.member_link(at, end.0.0) {
            link.begin_closing(instant);
            world.quic.touch(at, end.0.0, false);
        }
    }

    fn leads_to_member(&self, world: &World<'_>, at: Place, end: LinkEnd) -> bool {
        let machine = world.quic.machines.get(&at);
        let link = machine.and_then(|machine| machine.links.get(&end.0.0));
        link.is_some_and(|link| matches!(&link.ends, Ends::Member(link) if link.leads_to_member))
    }

    fn doors_changed(&self, world: &mut World<'_>, index: usize, keys: &[Psk]) {
        let node = &world.nodes[index];
        let Some(meeting) = node.participant.as_ref().map(|participant| participant.meeting()) else {
            return;
        };
        let (identity, unadmitted) = (node.identity.clone(), node.unadmitted.clone());
        let machine = world.machine(Place::Node(index));
        let config = server::member(MemberAccept {
            identity,
            keys: keys.iter().map(|key| (meeting, key.clone())).collect(),
            unadmitted,
            clock: machine.clock(),
            random: machine.random.fork("accept"),
        });
        let config = machine.options.bounded(config);
        machine.endpoint.set_server_config(Some(Arc::new(config)));
        machine.filter.set_keys(keys);
    }

    fn ended(&self, world: &mut World<'_>, place: Place) {
        // Its peers are told nothing: they find out by its silence.
        world.quic.machines.remove(&place);
    }

    /// Packets tell.
    fn parted(&self, _: &mut World<'_>) {}

    /// Packets tell.
    fn healed(&self, _: &mut World<'_>) {}

    /// The endpoint stays, and its packets come from elsewhere: QUIC moves the connections that it dialled (RFC 9000 §9).
    fn moved(&self, _: &mut World<'_>, _: usize) {}

    /// Connections have timers of their own.
    fn overslept(&self, _: &mut World<'_>, _: usize) {}

    fn woke(&self, world: &mut World<'_>, index: usize) {
        let place = Place::Node(index);
        let missed = std::mem::take(&mut world.nodes[index].missed);
        for missed in missed {
            world.queue.plan(world.now, missed);
        }
        let machine = world.quic.machines.get(&place);
        let numbers = machine.map(|machine| machine.links.keys().copied().collect::<Vec<_>>());
        for number in numbers.unwrap_or_default() {
            world.time_passed(place, number);
        }
    }

    fn drain_relay(&self, world: &mut World<'_>, index: usize) {
        world.carry_out_relay(index);
    }

    fn flush(&self, world: &mut World<'_>) {
        while let Some((place, number)) = world.quic.touched.pop_front() {
            match place {
                Place::Node(index) => world.serve_member(index, number),
                Place::Relay(index) => world.serve_relay(index, number),
            }
        }
    }
}

impl World<'_> {
    /// The machine's clocks.
    fn own_now(&self, place: Place) -> Now {
        match place {
            Place::Node(index) => self.nodes[index].now(self.now),
            Place::Relay(_) => Self::relay_now(self.now),
        }
    }

    /// The machine's monotonic clock, as quinn-proto wants it.
    fn instant(&self, place: Place) -> Instant {
        self.quic.base + Duration::from_micros(self.own_now(place).monotonic.as_micros())
    }

    /// The world's time of a moment on the machine's clock, not before the clock shows it.
    fn world_moment(&self, place: Place, at: Instant) -> Timestamp {
        let since = at.saturating_duration_since(self.quic.base);
        let micros = u64::try_from(since.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let own = Timestamp::from_micros(micros);
        match place {
            Place::Node(index) if own <= self.nodes[index].now(self.now).monotonic => self.now,
            Place::Node(index) => self.nodes[index].world_time(own).max(self.now),
            Place::Relay(_) => own.max(self.now),
        }
    }

    fn run_of(&self, place: Place) -> u32 {
        match place {
            Place::Node(index) => self.nodes[index].run,
            Place::Relay(index) => self.relays[index].run,
        }
    }

    /// The endpoint of the process that runs there, made when it is first needed.
    fn machine(&mut self, place: Place) -> &mut Machine {
        let (run, unix) = (self.run_of(place), self.own_now(place).unix);
        let stale = |machine: &Machine| machine.run != run;
        if self.quic.machines.get(&place).is_none_or(stale) {
            let random = Random::from_seed(self.quic.seed).fork(&format!("{place:?} {run}"));
            let machine = match place {
                Place::Node(_) => Machine::member(random, run),
                Place::Relay(index) => self.relay_machine(index, random, run),
            };
            self.quic.machines.insert(place, machine);
        }
        let machine = self.quic.machines.get_mut(&place);
        let machine = machine.unwrap_or_else(|| unreachable!("made above if it was not there"));
        machine.set_clock(unix);
        machine
    }

    fn relay_machine(&self, index: usize, random: Random, run: u32) -> Machine {
        let site = &self.relays[index];
        let mut machine = Machine::relay(random, run);
        let mut config = server::relay(RelayAccept {
            identity: site.identity.clone(),
            static_secret: site.static_secret.into(),
            clock: machine.clock(),
            random: machine.random.fork("accept"),
        });
        config.transport_config(Arc::clone(&machine.transport));
        machine.endpoint.set_server_config(Some(Arc::new(config)));
        machine
    }

    /// Plans a connection's timer anew, if it is due before the one that is planned.
    fn plan_connection(&mut self, place: Place, number: usize) {
        let Some(next) = self.quic.link(place, number).and_then(QuicLink::next) else {
            return;
        };
        let (at, run) = (self.world_moment(place, next), self.run_of(place));
        let Some(link) = self.quic.link(place, number) else {
            return;
        };
        if link.timer.is_none_or(|planned| at < planned) {
            link.timer = Some(at);
            self.queue
                .plan(at, Occurrence::ConnectionTimer(place, run, number));
        }
    }

    /// A connection's timer fires.
    pub(crate) fn fire_connection(&mut self, place: Place, run: u32, number: usize) {
        let now = self.now;
        let due = self.run_of(place) == run
            && self
                .quic
                .link(place, number)
                .is_some_and(|link| link.timer == Some(now));
        if due {
            self.time_passed(place, number);
        }
    }

    /// Does what is due on a connection by now.
    fn time_passed(&mut self, place: Place, number: usize) {
        let at = self.instant(place);
        let Some(link) = self.quic.link(place, number) else {
            return;
        };
        link.timer = None;
        if link.connection().poll_timeout().is_some_and(|due| due <= at) {
            link.connection().handle_timeout(at);
        }
        if link.key_update_at.is_some_and(|due| due <= at) {
            self.update_keys(place, number, at);
        }
        match place {
            Place::Node(index) => self.member_deadline(index, number, at),
            Place::Relay(index) => self.relay_deadline(index, number, at),
        }
        self.quic.touch(place, number, true);
    }

    fn update_keys(&mut self, place: Place, number: usize, at: Instant) {
        let Some(machine) = self.quic.machines.get_mut(&place) else {
            return;
        };
        let interval = match place {
            Place::Node(_) => machine.options.key_update_interval,
            Place::Relay(_) => subrosa_proto::quic::UPSTREAM_KEY_UPDATE_INTERVAL,
        };
        if let Some(link) = machine.links.get_mut(&number) {
            link.key_update_at = Some(at + interval);
            if !link.connection().is_closed() {
                link.connection().force_key_update();
            }
        }
    }

    /// How a machine calls a connection.
    fn end_of(number: usize) -> LinkEnd {
        (PipeId(number), 0)
    }
}
