//! Clients whose networks let no UDP through: their QUIC packets come over TCP (`proto/spec/packet-stream.md`).
//!
//! To QUIC each stream is a path with an address of its own, out of a block that no host has (RFC 6666). So a client that changes
//! between TCP and UDP has moved, which QUIC knows how to handle, and everything else is as over UDP.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::{handshakes::prefix_of, socket::Received};
use crate::packet_stream::{Inbox, InboxSender, Outbox, carry, prepare};

/// The names' block: 100::/64, to which nothing is routed.
const NAMES: u128 = 0x0100_0000_0000_0000 << 64;
/// QUIC wants one.
const NAMES_PORT: u16 = 1;
/// Streams that carry no session yet, in all. Reason: half of the handshakes that may be under way; 10 kB each.
const UNUSED_MAX: usize = 256;
/// … and from one address block (IPv4 /24, IPv6 /48). Reason: an office that is sent to TCP all at once.
const UNUSED_PER_BLOCK_MAX: usize = 32;
/// A stream without a session is closed after this time: a handshake takes 4 s at most.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(5);
/// How often that is looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Packets handed on in one go.
const BATCH: usize = 64;
/// The pause after the system refuses a connection: it has no descriptors left.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TcpStats {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) open: u64,
    pub(super) packets_dropped: u64,
}

/// All listeners and streams.
pub(super) struct TcpSide {
    shared: Arc<Shared>,
    inbox: Inbox,
    listeners: Vec<AbortHandle>,
    swept: Instant,
}

struct Shared {
    streams: Mutex<Streams>,
    arriving: InboxSender,
}

struct Streams {
    open: BTreeMap<u64, Stream>,
    next: u64,
    max: usize,
    stats: TcpStats,
}

struct Stream {
    remote: SocketAddr,
    outbox: Arc<Outbox>,
    /// When it was accepted, or last carried a session.
    used: Instant,
    carried_a_session: bool,
    task: AbortHandle,
}

/// The name of a stream.
fn name(number: u64) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(NAMES | u128::from(number))), NAMES_PORT)
}

/// The number of the stream that is named so.
fn number(name: SocketAddr) -> Option<u64> {
    match name.ip() {
        IpAddr::V6(ip) if u128::from(ip) >> 64 << 64 == NAMES => Some(u128::from(ip) as u64),
        _ => None,
    }
}

/// Whether an address is the name of a stream. None that comes over UDP is believed.
pub(super) fn is_name(address: SocketAddr) -> bool {
    number(address).is_some()
}

impl TcpSide {
    /// Listens. Must be called inside a tokio runtime.
    pub(super) fn new(listeners: Vec<std::net::TcpListener>, max: usize) -> std::io::Result<Self> {
        let (arriving, inbox) = Inbox::new();
        let streams = Streams {
            open: BTreeMap::new(),
            next: 0,
            max,
            stats: TcpStats::default(),
        };
        let shared = Arc::new(Shared {
            streams: Mutex::new(streams),
            arriving,
        });
        let listen = |listener: std::net::TcpListener| {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            Ok(tokio::spawn(accept(listener, shared.clone())).abort_handle())
        };
        let listeners = listeners
            .into_iter()
            .map(listen)
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            shared,
            inbox,
            listeners,
            swept: Instant::now(),
        })
    }

    /// Waits until a packet is there. Cancel-safe.
    pub(super) async fn ready(&self) {
        self.inbox.ready().await;
    }

    /// Hands on what came.
    pub(super) fn receive(&self, out: &mut Vec<Received>) {
        for _ in 0..BATCH {
            let Some((from, data)) = self.inbox.take() else {
                return;
            };
            out.push(Received {
                from,
                to: None,
                ecn: None,
                data,
            });
        }
    }

    /// Queues the packets of one send for a stream. If it is gone they are lost.
    pub(super) fn send(&self, to: SocketAddr, contents: &[u8], segment: Option<usize>) {
        let streams = self.shared.streams();
        if let Some(stream) = number(to).and_then(|number| streams.open.get(&number)) {
            stream.outbox.push(contents, segment);
        }
    }

    /// Where a stream comes from.
    pub(super) fn remote(&self, name: SocketAddr) -> Option<SocketAddr> {
        let streams = self.shared.streams();
        Some(streams.open.get(&number(name)?)?.remote)
    }

    /// A session began on the stream of that name, if it is one.
    pub(super) fn note_session(&self, name: SocketAddr, at: Instant) {
        let mut streams = self.shared.streams();
        if let Some(stream) = number(name).and_then(|number| streams.open.get_mut(&number)) {
            stream.used = at;
            stream.carried_a_session = true;
        }
    }

    /// How many streams may be open.
    pub(super) fn set_max(&self, max: usize) {
        self.shared.streams().max = max;
    }

    pub(super) fn stats(&self) -> TcpStats {
        let streams = self.shared.streams();
        let waiting: u64 = streams.open.values().map(|stream| stream.outbox.dropped()).sum();
        TcpStats {
            open: streams.open.len() as u64,
            packets_dropped: streams.stats.packets_dropped + waiting,
            ..streams.stats
        }
    }

    /// When [`Self::sweep`] is due, if there is anything to sweep.
    pub(super) fn sweep_due(&self) -> Option<Instant> {
        (!self.shared.streams().open.is_empty()).then_some(self.swept + SWEEP_INTERVAL)
    }

    /// Closes streams that carry no session. `in_use` are the names of those that do.
    pub(super) fn sweep(&mut self, at: Instant, in_use: &BTreeSet<SocketAddr>) {
        self.swept = at;
        let mut streams = self.shared.streams();
        let mut over = Vec::new();
        for (&number, stream) in &mut streams.open {
            if in_use.contains(&name(number)) {
                // One that moved here has made no handshake here.
                stream.used = at;
                stream.carried_a_session = true;
            } else if at.saturating_duration_since(stream.used) > UNUSED_TIMEOUT {
                stream.task.abort();
                over.push(number);
            }
        }
        for number in over {
            streams.close(number);
        }
    }
}

impl Drop for TcpSide {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
        for stream in self.shared.streams().open.values() {
            stream.task.abort();
        }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream in, or closes it: whoever is refused is told nothing.
    fn admit(self: &Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let mut streams = self.streams();
        if !streams.admits(remote.ip()) || prepare(&stream).is_err() {
            streams.stats.refused += 1;
            return;
        }
        let number = streams.next;
        streams.next += 1;
        streams.stats.accepted += 1;
        let outbox = Arc::new(Outbox::new());
        let (shared, out) = (self.clone(), outbox.clone());
        let task = tokio::spawn(async move {
            // Whatever ends it, the session's own silence tells the rest.
            let _ = carry(&stream, name(number), &out, &shared.arriving).await;
            shared.streams().close(number);
        });
        streams.open.insert(
            number,
            Stream {
                remote,
                outbox,
                used: Instant::now(),
                carried_a_session: false,
                task: task.abort_handle(),
            },
        );
    }
}

impl Streams {
    fn admits(&self, from: IpAddr) -> bool {
        let unused = || self.open.values().filter(|stream| !stream.carried_a_session);
        let block = prefix_of(from);
        let of_block = unused().filter(|stream| prefix_of(stream.remote.ip()) == block);
        self.open.len() < self.max && unused().count() < UNUSED_MAX && of_block.count() < UNUSED_PER_BLOCK_MAX
    }

    fn close(&mut self, number: u64) {
        if let Some(stream) = self.open.remove(&number) {
            self.stats.packets_dropped += stream.outbox.dropped();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => shared.admit(stream, remote),
            Err(error) => {
                tracing::debug!(%error, "a TCP connection was not accepted");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
