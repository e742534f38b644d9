//! A UDP socket that drops, ahead of the QUIC endpoint, what a stranger sends (`proto/spec/noise-quic.md`, Silent port).

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use subrosa_proto::{
    noise::{
        Psk,
        token::{DropReason, InitialFilter, ProbeSender, Verdict},
    },
    time::Now,
};
use tokio::sync::mpsc;

/// Probes that wait for their owner. Reason: a search needs one, a member who opens its NAT sends five to each of a few
/// addresses; what exceeds it is sent again.
const PROBES_MAX: usize = 64;

/// A probe: where it came from, and who sent it.
pub type HeardProbe = (SocketAddr, ProbeSender);

/// Datagrams that were not handed to the endpoint, since the socket was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts {
    /// Headers that are cut short.
    pub malformed: u64,
    /// Initials that show no knowledge of a key.
    pub strangers: u64,
    /// Initials that were seen before.
    pub replays: u64,
    /// Packets of a version that we do not speak.
    pub versions: u64,
    /// Version notices sent, to holders of a key who speak another version.
    pub notices: u64,
}

/// The filter of a port, shared by its socket and by who changes its keys.
pub struct SilentPort {
    filter: Mutex<InitialFilter>,
    clock: Box<dyn Fn() -> Now + Send + Sync>,
    malformed: AtomicU64,
    strangers: AtomicU64,
    replays: AtomicU64,
    versions: AtomicU64,
    notices: AtomicU64,
    probes: mpsc::Sender<HeardProbe>,
}

impl SilentPort {
    /// A port that `filter` guards, and the probes that come to it; `clock` tells the time.
    #[must_use]
    pub fn new(
        filter: InitialFilter,
        clock: impl Fn() -> Now + Send + Sync + 'static,
    ) -> (Arc<Self>, mpsc::Receiver<HeardProbe>) {
        let (probes, heard) = mpsc::channel(PROBES_MAX);
        let port = Arc::new(Self {
            filter: Mutex::new(filter),
            clock: Box::new(clock),
            malformed: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            notices: AtomicU64::new(0),
            probes,
        });
        (port, heard)
    }

    /// Replaces the keys that open the port; a relay's stays open.
    pub fn set_keys(&self, keys: &[Psk]) {
        self.filter().set_keys(keys);
    }

    /// Notes that we dial under `psk`.
    pub fn dials(&self, psk: &Psk) {
        self.filter().dials(psk);
    }

    /// What was dropped so far.
    #[must_use]
    pub fn drops(&self) -> DropCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DropCounts {
            malformed: read(&self.malformed),
            strangers: read(&self.strangers),
            replays: read(&self.replays),
            versions: read(&self.versions),
            notices: read(&self.notices),
        }
    }

    fn filter(&self) -> MutexGuard<'_, InitialFilter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, remote: SocketAddr, datagram: &[u8]) -> Verdict {
        let verdict = self.filter().admits((self.clock)(), remote, datagram);
        let count = match &verdict {
            Verdict::Admit => return verdict,
            Verdict::Probe(sender) => {
                let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                let _ = self.probes.try_send((remote, *sender));
                return verdict;
            }
            Verdict::OtherVersion(_) => &self.notices,
            Verdict::Drop(DropReason::Malformed) => &self.malformed,
            Verdict::Drop(DropReason::Stranger) => &self.strangers,
            Verdict::Drop(DropReason::Replay) => &self.replays,
            Verdict::Drop(DropReason::Version) => &self.versions,
        };
        count.fetch_add(1, Ordering::Relaxed);
        verdict
    }
}

impl fmt::Debug for SilentPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SilentPort")
            .field("drops", &self.drops())
            .finish_non_exhaustive()
    }
}

/// The first bit of a datagram: set on packets of a handshake, clear on all that established connections exchange.
fn has_long_header(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x80 != 0)
}

/// A socket behind a [`SilentPort`].
#[derive(Debug)]
pub struct SilentSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    port: Arc<SilentPort>,
}

impl SilentSocket {
    /// Puts `port` in front of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn AsyncUdpSocket>, port: Arc<SilentPort>) -> Arc<Self> {
        Arc::new(Self { inner, port })
    }

    /// Takes out of `buffer` what the port refuses. The datagrams of one buffer lie `stride` apart, only the last may be
    /// shorter, and what remains is moved up so that it stays so.
    fn filter(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (len, stride) = (meta.len.min(buffer.len()), meta.stride);
        // Established connections pay this: one look at each first byte.
        if stride == 0 || !buffer[..len].chunks(stride).any(has_long_header) {
            return;
        }
        let mut kept = 0;
        let mut start = 0;
        while start < len {
            let end = (start + stride).min(len);
            match self.port.judge(meta.addr, &buffer[start..end]) {
                Verdict::Admit => {
                    buffer.copy_within(start..end, kept);
                    kept += end - start;
                }
                Verdict::Drop(_) | Verdict::Probe(_) => {}
                Verdict::OtherVersion(notice) => self.answer(meta, &notice),
            }
            start = end;
        }
        meta.len = kept;
    }

    /// Sends `notice` to where `meta` came from. If the socket is full it is lost; the peer tries again.
    fn answer(&self, meta: &RecvMeta, notice: &[u8]) {
        let sent = self.inner.try_send(&Transmit {
            destination: meta.addr,
            ecn: None,
            contents: notice,
            segment_size: None,
            src_ip: meta.dst_ip,
        });
        if let Err(error) = sent {
            tracing::debug!(%error, "a version notice was not sent");
        }
    }
}

impl AsyncUdpSocket for SilentSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if has_long_header(transmit.contents) {
            let now = (self.port.clock)();
            self.port
                .filter()
                .sent(now, transmit.destination, transmit.contents);
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.inner.poll_recv(cx, bufs, meta))?;
        for (buffer, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(received) {
            self.filter(buffer, meta);
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
