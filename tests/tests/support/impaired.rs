//! A path that delays and loses UDP packets, in user space: clients send to it in place of its target.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use subrosa_proto::random::Random;

/// Packets under way at most; more are lost, as at any queue.
const FLIGHT_MAX: usize = 10_000;
/// How long the path looks away when nothing happens.
const REST: Duration = Duration::from_micros(200);

/// What happens to a packet, in each direction alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impairment {
    /// What every packet takes.
    pub(crate) delay: Duration,
    /// What it takes beyond that at most; drawn for each packet.
    pub(crate) jitter: Duration,
    /// The share that is lost in the long run.
    pub(crate) lost: f64,
    /// Packets in a run of losses on average; 1: each is lost for itself.
    pub(crate) burst: f64,
}

/// See the module. It ends with this value.
pub(crate) struct ImpairedPath {
    address: SocketAddr,
    target: Arc<std::sync::OnceLock<SocketAddr>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ImpairedPath {
    /// A path on a free port of the loopback interface; until it has a target, packets are lost.
    pub(crate) fn start(impairment: Impairment, seed: u8) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        front.set_nonblocking(true).expect("a socket");
        let address = front.local_addr().expect("bound");
        let (target, ended) = (Arc::default(), Arc::default());
        let mut path = Path {
            front,
            impairment,
            random: Random::from_seed([seed; 32]),
            clients: HashMap::new(),
            flight: BinaryHeap::new(),
            passed: 0,
        };
        let thread = thread::spawn({
            let (target, ended) = (Arc::clone(&target), Arc::clone(&ended));
            move || path.run(&target, &ended)
        });
        Self {
            address,
            target,
            ended,
            thread: Some(thread),
        }
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it leads, for good.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.set(target).expect("led nowhere before");
    }
}

impl Drop for ImpairedPath {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Towards the target, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    In,
    Out,
}

/// A client's socket towards the target, and whether each way is in a run of losses.
struct Client {
    socket: UdpSocket,
    loses: [bool; 2],
}

/// On its way; in the order of arrival, then of departure.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    arrives: Instant,
    number: u64,
    client: SocketAddr,
    way: Way,
    bytes: Vec<u8>,
}

struct Path {
    front: UdpSocket,
    impairment: Impairment,
    random: Random,
    clients: HashMap<SocketAddr, Client>,
    flight: BinaryHeap<Reverse<Packet>>,
    passed: u64,
}

impl Path {
    fn run(&mut self, target: &std::sync::OnceLock<SocketAddr>, ended: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while !ended.load(Ordering::Relaxed) {
            let Some(&target) = target.get() else {
                thread::sleep(REST);
                continue;
            };
            let before = self.passed;
            while let Ok((length, client)) = self.front.recv_from(&mut buffer) {
                self.clients.entry(client).or_insert_with(|| {
                    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
                    socket.set_nonblocking(true).expect("a socket");
                    let loses = [false; 2];
                    Client { socket, loses }
                });
                self.send(client, Way::In, &buffer[..length]);
            }
            for client in self.clients.keys().copied().collect::<Vec<_>>() {
                while let Ok((length, _)) = self.clients[&client].socket.recv_from(&mut buffer) {
                    self.send(client, Way::Out, &buffer[..length]);
                }
            }
            self.deliver(target);
            if self.passed == before {
                thread::sleep(REST);
            }
        }
    }

    fn send(&mut self, client: SocketAddr, way: Way, bytes: &[u8]) {
        self.passed += 1;
        if self.loses(client, way) || self.flight.len() == FLIGHT_MAX {
            return;
        }
        let Impairment { delay, jitter, .. } = self.impairment;
        let arrives = Instant::now() + delay + jitter.mul_f64(uniform(&mut self.random));
        self.flight.push(Reverse(Packet {
            arrives,
            number: self.passed,
            client,
            way,
            bytes: bytes.to_vec(),
        }));
    }

    /// Two states (E. N. Gilbert, 1960): a run of losses ends with one over its mean length.
    fn loses(&mut self, client: SocketAddr, way: Way) -> bool {
        let Impairment { lost, burst, .. } = self.impairment;
        let draw = uniform(&mut self.random);
        if burst <= 1.0 {
            return draw < lost;
        }
        let Some(client) = self.clients.get_mut(&client) else {
            return false;
        };
        let loses = &mut client.loses[way as usize];
        let ends = 1.0 / burst;
        *loses = draw
            < if *loses {
                1.0 - ends
            } else {
                ends * lost / (1.0 - lost)
            };
        *loses
    }

    fn deliver(&mut self, target: SocketAddr) {
        let now = Instant::now();
        while self.flight.peek().is_some_and(|next| next.0.arrives <= now) {
            let Some(Reverse(packet)) = self.flight.pop() else {
                return;
            };
            // What the other end no longer takes is lost.
            let _ = match packet.way {
                Way::In => self.clients[&packet.client].socket.send_to(&packet.bytes, target),
                Way::Out => self.front.send_to(&packet.bytes, packet.client),
            };
        }
    }
}

/// 0 to 1, without 1.
fn uniform(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
