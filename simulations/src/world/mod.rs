//! The world: machines, the network between them, and what happens next.

mod devices;
pub(crate) mod hostile;
mod listening;
pub(crate) mod nat;
pub(crate) mod node;
mod outputs;
pub(crate) mod planted;
mod relay_site;
mod script;
mod sealed;
mod speech;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use subrosa_proto::{
    identity::Identity,
    ids::{MemberId, RelayId},
    meeting::participant::{DialId, Participant},
    noise::PskId,
    random::Random,
    time::{Now, Timestamp},
};

use self::{
    node::{Node, unix},
    relay_site::RelaySite,
    sealed::Sealed,
    speech::{Microphone, Talkspurts},
};
use crate::{
    checker::Checkers,
    event_queue::EventQueue,
    explain::recorder::Recorder,
    network::{Network, Place},
    report::{MachineFigures, Report},
    scenario::{Scenario, Speech},
    trace::Trace,
    transport::{LinkEnd, Packet, Pipe, PipeId, QuicState, Side, Transport, Udp},
};

/// A frame of speech every so often.
const FRAME_INTERVAL: Duration = Duration::from_millis(20);
/// How often checkers look at all nodes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often one machine's timer may fire at one moment.
const SPINS_MAX: u32 = 100;

/// What happens.
pub(crate) enum Occurrence {
    /// A line of the script.
    Act(usize),
    /// A participant's timer.
    NodeTimer(usize),
    /// A relay's timer.
    RelayTimer(usize),
    /// A microphone has a frame.
    Microphone(usize),
    /// The playing device of a node's process asks for sound.
    Playback(usize, u32),
    /// Message 1 of a handshake arrives.
    Knock(Box<Knock>),
    /// An end's handshake finished; `dial` at the dialler's.
    Up(PipeId, Side, Option<DialId>, Option<PskId>),
    /// A dial is given up.
    DialFailed(usize, u32, DialId),
    /// A relay's dial to another one is given up.
    UpstreamFailed(usize, u32, RelayId),
    /// A control frame arrives.
    Control(PipeId, Side, Vec<u8>),
    /// A datagram arrives.
    Datagram(PipeId, Side, Vec<u8>),
    /// A packet comes to the access link of an end's machine.
    AtAccess(PipeId, Side, Packet),
    /// A relay sends on what it held back.
    Forward(usize, LinkEnd, Vec<u8>),
    /// A UDP datagram arrives.
    Udp(Box<Udp>),
    /// A UDP datagram comes to the access link of a machine.
    UdpAtAccess(Box<Udp>),
    /// A QUIC connection's timer: on which machine, in which process, which connection.
    ConnectionTimer(Place, u32, usize),
    /// A device sleeps too long for its links.
    Overslept(usize, u32, Timestamp),
    /// An end learns that the pipe is gone.
    Down(PipeId, Side),
    /// Checkers look at all nodes.
    Look,
}

/// Message 1 of a handshake on its way.
pub(crate) struct Knock {
    pub(crate) from: Place,
    pub(crate) run: u32,
    /// A participant's name for it.
    pub(crate) dial: Option<DialId>,
    pub(crate) to: Place,
    pub(crate) psk: Option<PskId>,
    /// When the dialler gives up.
    pub(crate) deadline: Timestamp,
    /// Where it seems to come from.
    pub(crate) source: SocketAddr,
    /// Where it was sent.
    pub(crate) address: SocketAddr,
    /// The dialler tries several addresses.
    pub(crate) is_one_of_several: bool,
}

/// See the module.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) random: Random,
    /// What hostile machines draw from.
    pub(crate) hostile: Random,
    /// What sound devices draw from.
    pub(crate) devices: Random,
    pub(crate) now: Timestamp,
    pub(crate) queue: EventQueue<Occurrence>,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    /// Which node a member is.
    pub(crate) ids: BTreeMap<MemberId, usize>,
    pub(crate) relays: Vec<RelaySite>,
    /// What carries links.
    pub(crate) transport: &'static dyn Transport,
    /// The modelled transport's links.
    pub(crate) pipes: Vec<Pipe>,
    /// The other transport's endpoints and connections.
    pub(crate) quic: QuicState,
    pub(crate) trace: Trace,
    pub(crate) checkers: Checkers,
    /// Who sealed what is on its way.
    pub(crate) sealed: Sealed,
}

impl<'a> World<'a> {
    /// # Errors
    /// A sentence if the scenario cannot be built.
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Result<Self, String> {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&seed.to_le_bytes());
        let mut random = Random::from_seed(root);
        let mut network = Network::new(scenario, random.fork("network"))?;
        for (index, spec) in scenario.members.iter().enumerate() {
            let behind = spec.cannot_reach.iter().filter_map(|name| scenario.relay(name));
            network.wall_off(Place::Node(index), behind.map(Place::Relay).collect());
        }
        let mut identities = random.fork("identities");
        let nodes =
            scenario.members.iter().enumerate().map(|(index, spec)| {
                Node::new(index, spec.clone(), Identity::from_seed(&identities.bytes()))
            });
        let mut nodes: Vec<Node> = nodes.collect();
        for node in &mut nodes {
            let spec = &node.spec;
            if spec.speech() == Speech::Talkspurts {
                let random = identities.fork("speech");
                node.spurts = Some(Talkspurts::new(spec.talkspurt_s, spec.pause_s, random));
            }
        }
        let relays = scenario.relays.iter().enumerate().map(|(index, spec)| {
            RelaySite::new(index, spec.clone(), &Identity::from_seed(&identities.bytes()))
        });
        let mut relays: Vec<RelaySite> = relays.collect::<Result<_, String>>()?;
        agree_on_cascades(scenario, &mut relays);
        let ids: Vec<MemberId> = nodes.iter().map(Node::id).collect();
        let checkers = Checkers::new(scenario, ids.clone(), network.worst_path())?;
        Ok(Self {
            scenario,
            random,
            hostile: {
                root[31] = b'h';
                Random::from_seed(root)
            },
            devices: {
                root[31] = b'd';
                Random::from_seed(root)
            },
            now: Timestamp::ZERO,
            queue: EventQueue::default(),
            network,
            ids: ids
                .into_iter()
                .enumerate()
                .map(|(index, id)| (id, index))
                .collect(),
            nodes,
            relays,
            transport: scenario.transport.transport(),
            pipes: Vec::new(),
            quic: QuicState::new({
                root[31] = b'q';
                root
            }),
            trace: Trace::default(),
            checkers,
            sealed: Sealed::default(),
        })
    }

    /// Lets everything happen until the scenario's end.
    pub(crate) fn run(mut self, seed: u64) -> Report {
        self.run_to_end();
        self.finish(seed)
    }

    /// The same, remembered.
    pub(crate) fn run_recorded(mut self, seed: u64, recorder: Recorder) -> (Report, Option<Recorder>) {
        self.checkers.recorder = Some(recorder);
        self.run_to_end();
        let recorder = self.checkers.recorder.take();
        (self.finish(seed), recorder)
    }

    fn run_to_end(&mut self) {
        self.plan_script();
        self.queue.plan(Timestamp::ZERO + LOOK_INTERVAL, Occurrence::Look);
        let end = Timestamp::ZERO + Duration::from_secs(self.scenario.seconds);
        while let Some((at, occurrence)) = self.queue.pop() {
            if at > end {
                break;
            }
            debug_assert!(at >= self.now, "time goes forward");
            self.now = at;
            self.handle(occurrence);
            self.transport.flush(self);
        }
        self.now = end;
    }

    fn handle(&mut self, occurrence: Occurrence) {
        let Some(occurrence) = self.awake(occurrence) else {
            return;
        };
        match occurrence {
            Occurrence::Act(line) => self.act(line),
            Occurrence::NodeTimer(node) => self.fire_node(node),
            Occurrence::RelayTimer(relay) => self.fire_relay(relay),
            Occurrence::Microphone(node) => self.speak(node),
            Occurrence::Playback(node, run) => self.play(node, run),
            Occurrence::Knock(knock) => self.answer(knock),
            Occurrence::Up(pipe, side, dial, psk) => self.bring_up(pipe, side, dial, psk),
            Occurrence::DialFailed(node, run, dial) => self.fail_dial(node, run, dial),
            Occurrence::UpstreamFailed(relay, run, other) => self.fail_upstream(relay, run, other),
            Occurrence::Control(pipe, side, bytes) => self.deliver_control(pipe, side, &bytes),
            Occurrence::Datagram(pipe, side, bytes) => self.deliver_datagram(pipe, side, &bytes),
            Occurrence::Forward(relay, end, bytes) => {
                self.transport
                    .send_datagram(self, Place::Relay(relay), end, bytes);
            }
            Occurrence::Udp(udp) => self.udp_arrives(&udp),
            Occurrence::UdpAtAccess(udp) => self.udp_passes_access(udp),
            Occurrence::ConnectionTimer(place, run, number) => self.fire_connection(place, run, number),
            Occurrence::Overslept(node, run, since) => self.oversleep(node, run, since),
            Occurrence::AtAccess(pipe, side, packet) => self.pass_access(pipe, side, packet),
            Occurrence::Down(pipe, side) => self.bring_down(pipe, side),
            Occurrence::Look => self.look(),
        }
    }

    /// What relays' machines take for the time.
    pub(crate) fn relay_now(at: Timestamp) -> Now {
        Now {
            monotonic: at,
            unix: unix(at),
        }
    }

    fn fire_node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        // A timer that was planned and replaced since.
        if node.timer_at != Some(self.now) {
            return;
        }
        node.timer_at = None;
        let now = node.now(self.now);
        let Some(participant) = node.participant.as_mut().filter(|_| !node.is_spy) else {
            return;
        };
        participant.handle_timeout(now);
        self.trace.note(self.now, index as u32, "timer", &[]);
        self.drain_node(index);
    }

    fn fire_relay(&mut self, index: usize) {
        let site = &mut self.relays[index];
        if site.timer_at != Some(self.now) {
            return;
        }
        site.timer_at = None;
        let now = Self::relay_now(self.now);
        if let Some(relay) = &mut site.relay {
            relay.handle_timeout(now);
        }
        self.drain_relay(index);
    }

    /// A frame of speech, if the node is in and its person speaks.
    fn speak(&mut self, index: usize) {
        let at = self.now;
        let node = &mut self.nodes[index];
        let next = at + node.world_duration(FRAME_INTERVAL);
        self.queue.plan(next, Occurrence::Microphone(index));
        let now = node.now(at);
        let open = node.spurts.as_mut().map(|spurts| spurts.frame(at));
        let ready = node.speaks
            && !node.is_spy
            && node.asleep.is_none()
            && node.participant.as_ref().is_some_and(|p| p.may_speak());
        if !ready || open == Some(Microphone::Closed) {
            return;
        }
        if matches!(open, Some(Microphone::Open { resumes: true, .. })) {
            self.checkers.resumed(at, index);
        }
        let pause_follows = matches!(open, Some(Microphone::Open { pauses: true, .. }));
        let node = &mut self.nodes[index];
        let Some(payload) = node.speak(index, at, pause_follows) else {
            return;
        };
        if let Some(participant) = &mut node.participant {
            participant.handle_audio(now, &payload);
        }
        self.checkers.spoken(at, index, self.nodes[index].spoken - 1);
        self.drain_node(index);
    }

    /// Checkers that look at state.
    fn look(&mut self) {
        self.queue.plan(self.now + LOOK_INTERVAL, Occurrence::Look);
        for (index, node) in self.nodes.iter().enumerate() {
            // A spy's machine was stopped in the middle of what it did.
            if let Some(participant) = node.participant.as_ref().filter(|_| !node.is_spy) {
                self.checkers.look(self.now, index, participant, node.links.len());
            }
        }
        let participants = participants(&self.nodes);
        self.checkers.look_at_all(self.now, &participants, &self.network);
    }

    fn finish(mut self, seed: u64) -> Report {
        for index in 0..self.nodes.len() {
            self.count_sound(index);
        }
        let participants = participants(&self.nodes);
        self.checkers.finish(self.now, &participants, &self.network);
        let lies = crate::checker::jurisdiction::lies(self.scenario);
        let relays = self
            .relays
            .iter()
            .zip(lies)
            .map(|(site, lies)| crate::report::RelayFigures {
                lies,
                name: site.spec.name.clone(),
                hosting: site.spec.hosting.clone(),
                packets_in: site.packets,
                bytes_in: site.bytes,
            })
            .collect();
        let machines = self.machines();
        self.checkers.machines(self.now, &machines);
        let events = self.queue.planned();
        let deliveries = self.trace.entries();
        self.checkers.report(
            self.scenario,
            seed,
            self.trace.finish(),
            (events, deliveries),
            relays,
            machines,
        )
    }

    fn machines(&self) -> Vec<MachineFigures> {
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, node)| (&node.spec.name, Place::Node(index)));
        let relays = self.relays.iter().enumerate();
        let relays = relays.map(|(index, site)| (&site.spec.name, Place::Relay(index)));
        let figures = nodes.chain(relays).map(|(name, place)| {
            let traffic = self.network.traffic(place);
            MachineFigures {
                name: name.clone(),
                up_bytes: traffic.up_bytes,
                down_bytes: traffic.down_bytes,
                queues: self.network.queues(place),
            }
        });
        figures.collect()
    }
}

/// The machines that run and are no spy's.
fn participants(nodes: &[Node]) -> Vec<Option<&Participant>> {
    let honest = nodes
        .iter()
        .map(|node| node.participant.as_ref().filter(|_| !node.is_spy));
    honest.collect()
}

/// Tells each relay to which others it carries.
fn agree_on_cascades(scenario: &Scenario, relays: &mut [RelaySite]) {
    let ids: Vec<RelayId> = relays.iter().map(|site| site.id).collect();
    for site in relays {
        let others = site.spec.cascade.iter().filter_map(|name| scenario.relay(name));
        let agreed = others.map(|other| ids[other]).collect();
        site.agree_on_cascade(agreed);
    }
}
