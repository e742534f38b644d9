//! Hostile nodes of the discovery network: many identities that ask for as much as they can, with real libp2p.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder,
    futures::StreamExt,
    identify,
    identity::Keypair,
    kad::{self, RecordKey, store::MemoryStore},
    multiaddr::Protocol,
    noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use subrosa_proto::discovery::DhtKey;

use super::namespace::enter;

/// How often each node does something.
const TICK: Duration = Duration::from_millis(50);
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// New addresses that a node says it has, each time that it says so.
const ADDRESSES: u16 = 8;
/// A node announces relays and asks for circuits in one of so many turns: for each, libp2p first asks who is near.
const RARELY: u16 = 20;

/// What was done, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Connections, circuits among them.
    pub(crate) connections: AtomicU64,
    /// Records and announcements of relays sent.
    pub(crate) records: AtomicU64,
    /// Times that a node said that it had other addresses.
    pub(crate) pushes: AtomicU64,
    /// Dials, of circuits too.
    pub(crate) dials: AtomicU64,
    /// Nodes that were given a place for circuits.
    pub(crate) reservations: AtomicU64,
    /// Circuits that are open, and most at one time.
    pub(crate) circuits: AtomicU64,
    pub(crate) circuits_max: AtomicU64,
    /// Nodes made up on the local network.
    pub(crate) announced: AtomicU64,
}

impl Done {
    pub(crate) fn get(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Who is flooded.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its libp2p socket on TCP.
    pub(crate) at: SocketAddr,
    /// The table that it serves.
    pub(crate) table: StreamProtocol,
    /// The namespace from which it is flooded; this process's own without one.
    pub(crate) from: Option<String>,
    /// By how much its thread gives way to others.
    pub(crate) nice: i32,
    /// How many identities.
    pub(crate) nodes: usize,
    /// Connections that each of them tries to have at one time.
    pub(crate) connections: usize,
    /// Whether nodes are made up by mDNS, too.
    pub(crate) mdns: bool,
}

/// A flood; it ends with this value.
pub(crate) struct Flood {
    pub(crate) done: Arc<Done>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn start(target: Target) -> Self {
        let (done, over) = (Arc::new(Done::default()), Arc::new(AtomicBool::new(false)));
        let (counters, ended) = (Arc::clone(&done), Arc::clone(&over));
        let thread = thread::spawn(move || {
            // Whoever is flooded has the processor first: what is tested is what a flood does, not what making it costs.
            let _ = rustix::process::nice(target.nice);
            if let Some(namespace) = &target.from {
                enter(namespace);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for number in 0..target.nodes {
                    tokio::spawn(Node::new(&target, number, Arc::clone(&counters)).run());
                }
                if target.mdns {
                    tokio::spawn(announce(Arc::clone(&counters)));
                }
                while !ended.load(Ordering::Relaxed) {
                    tokio::time::sleep(TICK).await;
                }
            });
        });
        Self {
            done,
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[derive(NetworkBehaviour)]
struct Hostile {
    kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
    circuits: relay::client::Behaviour,
}

struct Node {
    swarm: Swarm<Hostile>,
    at: Multiaddr,
    /// The target's identity, once it is known.
    peer: Option<PeerId>,
    connections: usize,
    connections_wanted: usize,
    reserved: bool,
    turn: u16,
    number: usize,
    done: Arc<Done>,
}

/// The identity of node `number`: others dial it over a circuit.
fn identity(number: usize) -> Keypair {
    let mut seed = [0x5f; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Keypair::ed25519_from_bytes(seed).expect("a seed")
}

impl Node {
    fn new(target: &Target, number: usize, done: Arc<Done>) -> Self {
        let table = target.table.clone();
        let swarm = SwarmBuilder::with_existing_identity(identity(number))
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_relay_client(noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|key, circuits| {
                let peer = key.public().to_peer_id();
                let mut config = kad::Config::new(table);
                config.set_query_timeout(PATIENCE);
                let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
                kad.set_mode(Some(kad::Mode::Server));
                let config = identify::Config::new("/subrosa/1".to_owned(), key.public());
                Hostile {
                    kad,
                    identify: identify::Behaviour::new(config),
                    circuits,
                }
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        Self {
            swarm,
            at: Multiaddr::from(target.at.ip()).with(Protocol::Tcp(target.at.port())),
            peer: None,
            connections: 0,
            connections_wanted: target.connections,
            reserved: false,
            turn: 0,
            number,
            done,
        }
    }

    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.handle(event),
                _ = tick.tick() => self.act(),
            }
        }
    }

    fn handle(&mut self, event: SwarmEvent<HostileEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } => {
                count(&self.done.connections);
                if !endpoint.is_relayed() {
                    self.connections += 1;
                    self.peer = Some(peer_id);
                    let table = &mut self.swarm.behaviour_mut().kad;
                    table.add_address(&peer_id, self.at.clone());
                } else if endpoint.is_dialer() {
                    count(&self.done.circuits);
                    let open = Done::get(&self.done.circuits);
                    self.done.circuits_max.fetch_max(open, Ordering::Relaxed);
                }
            }
            SwarmEvent::ConnectionClosed { endpoint, .. } => {
                if !endpoint.is_relayed() {
                    self.connections -= 1;
                } else if endpoint.is_dialer() {
                    self.done.circuits.fetch_sub(1, Ordering::Relaxed);
                }
            }
            SwarmEvent::Behaviour(HostileEvent::Circuits(relay::client::Event::ReservationReqAccepted {
                renewal: false,
                ..
            })) => count(&self.done.reservations),
            SwarmEvent::ListenerClosed { .. } => self.reserved = false,
            _ => {}
        }
    }

    fn act(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        let Some(peer) = self.peer else {
            if self.turn % 20 == 1 {
                self.dial(DialOpts::unknown_peer_id().address(self.at.clone()).build());
            }
            return;
        };
        if self.connections < self.connections_wanted {
            self.dial(DialOpts::unknown_peer_id().address(self.at.clone()).build());
        }
        self.store(peer);
        self.tell_addresses(peer);
        let circuit = self
            .at
            .clone()
            .with(Protocol::P2p(peer))
            .with(Protocol::P2pCircuit);
        if !self.reserved {
            self.reserved = self.swarm.listen_on(circuit.clone()).is_ok();
        }
        if self.turn.is_multiple_of(RARELY) {
            // To somebody who may have a place.
            let other = identity(self.number ^ 1).public().to_peer_id();
            let address = circuit.with(Protocol::P2p(other));
            self.dial(DialOpts::unknown_peer_id().address(address).build());
        }
    }

    fn dial(&mut self, options: DialOpts) {
        count(&self.done.dials);
        let _ = self.swarm.dial(options);
    }

    /// A record that looks like a member's, and an announcement of a relay that is none.
    fn store(&mut self, peer: PeerId) {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(self.number as u64).to_be_bytes());
        key[8..10].copy_from_slice(&self.turn.to_be_bytes());
        let key = RecordKey::new(&DhtKey::Rendezvous(key).to_bytes());
        let record = kad::Record::new(key, vec![self.turn as u8; 2_048]);
        let table = &mut self.swarm.behaviour_mut().kad;
        table.put_record_to(record, [peer].into_iter(), kad::Quorum::One);
        count(&self.done.records);
        if self.turn % RARELY != 1 {
            return;
        }
        let letters = [self.turn / 26 % 26, self.turn % 26].map(|at| char::from(b'A' + at as u8));
        let country = String::from_iter(letters).parse().ok();
        let country = RecordKey::new(&DhtKey::country(country).to_bytes());
        let _ = table.start_providing(country.clone());
        table.stop_providing(&country);
    }

    /// Says that it is at other addresses now, which are nobody's.
    fn tell_addresses(&mut self, peer: PeerId) {
        let old: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        for address in old {
            self.swarm.remove_external_address(&address);
        }
        for at in 0..ADDRESSES {
            let ip = [203, 0, 113, (self.number % 250) as u8];
            let port = 1_024 + self.turn.wrapping_mul(ADDRESSES).wrapping_add(at) % 60_000;
            let address = Multiaddr::from(std::net::IpAddr::from(ip)).with(Protocol::Tcp(port));
            self.swarm.add_external_address(address);
        }
        self.swarm.behaviour_mut().identify.push([peer]);
        count(&self.done.pushes);
    }
}

/// Makes up nodes of the local network by mDNS (RFC 6762), as libp2p announces them: a PTR record that names a TXT record for
/// each, with an address.
async fn announce(done: Arc<Done>) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0_u16.. {
        tick.tick().await;
        for at in 0..10 {
            let peer = Keypair::generate_ed25519().public().to_peer_id();
            let port = 1_024 + turn.wrapping_mul(10).wrapping_add(at) % 60_000;
            let packet = announcement(&format!("dnsaddr=/ip4/10.0.0.1/tcp/{port}/p2p/{peer}"));
            // A network that is not there yet may refuse it.
            if socket.send_to(&packet, "224.0.0.251:5353").is_ok() {
                count(&done.announced);
            }
        }
    }
}

/// A DNS response (RFC 1035 §4) of one PTR record and one TXT record.
fn announcement(text: &str) -> Vec<u8> {
    let name = |labels: &[&str]| -> Vec<u8> {
        let labels = labels
            .iter()
            .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        labels.chain([0]).collect()
    };
    let record = |owner: &[u8], kind: u8, data: &[u8]| {
        let ttl = 3_600_u32.to_be_bytes();
        let length = (data.len() as u16).to_be_bytes();
        [owner, &[0, kind, 0, 1], &ttl, &length, data].concat()
    };
    let own = name(&["rose", "local"]);
    let header = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let pointer = record(&name(&["_p2p", "_udp", "local"]), 12, &own);
    let value = [&[text.len() as u8], text.as_bytes()].concat();
    [&header[..], &pointer, &record(&own, 16, &value)].concat()
}
