//! Where UDP is blocked: packets for one address take a TCP stream instead, and QUIC does not notice.
//!
//! A [`Detour`] is such a stream. While it is in force, what the endpoint sends to the relay's UDP address goes over the stream, and
//! what comes over the stream comes from that address. Taking it out of force moves the connection to UDP: the relay sees a client
//! that moved (RFC 9000 §9), validates the new path and follows.

use std::{
    collections::HashMap,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::{net::TcpStream, sync::watch};

use crate::packet_stream::{Arrived, Inbox, InboxSender, Outbox, carry, prepare};

/// The largest packet that takes a detour. Reason: what QUIC sends on a path of which it knows nothing (RFC 9000 §14.2), so that it
/// learns no larger size that the UDP path may not have to which the connection moves.
const DETOUR_PACKET_MAX: usize = 1_200;

/// A socket whose packets may take detours.
#[derive(Debug)]
pub(super) struct FallbackSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    detours: Mutex<HashMap<SocketAddr, Route>>,
    /// Whether there is any, so that packets pay nothing for it if not.
    any: AtomicBool,
    next: AtomicU64,
    inbox: Inbox,
    arriving: InboxSender,
}

#[derive(Debug)]
struct Route {
    number: u64,
    outbox: Arc<Outbox>,
    in_force: bool,
    /// UDP datagrams that came from the address.
    heard_over_udp: u64,
}

impl FallbackSocket {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let (arriving, inbox) = Inbox::new();
        Arc::new(Self {
            inner,
            detours: Mutex::default(),
            any: AtomicBool::new(false),
            next: AtomicU64::new(0),
            inbox,
            arriving,
        })
    }

    fn detours(&self) -> MutexGuard<'_, HashMap<SocketAddr, Route>> {
        self.detours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A detour for packets to `address`, in force at once. It takes the place of an older one.
    ///
    /// # Errors
    /// What the operating system says about the stream.
    pub(super) fn detour(self: &Arc<Self>, address: SocketAddr, stream: TcpStream) -> io::Result<Detour> {
        prepare(&stream)?;
        let outbox = Arc::new(Outbox::new());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let route = Route {
            number,
            outbox: outbox.clone(),
            in_force: true,
            heard_over_udp: 0,
        };
        self.detours().insert(address, route);
        self.any.store(true, Ordering::Relaxed);
        let (end, ended) = watch::channel(false);
        let arriving = self.arriving.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = carry(&stream, address, &outbox, &arriving).await {
                tracing::debug!(%error, "a packet stream ended");
            }
            let _ = end.send(true);
        });
        Ok(Detour {
            socket: self.clone(),
            address,
            number,
            task: task.abort_handle(),
            ended,
        })
    }

    fn outbox(&self, address: SocketAddr) -> Option<Arc<Outbox>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let detours = self.detours();
        let route = detours.get(&address).filter(|route| route.in_force)?;
        Some(route.outbox.clone())
    }

    fn note_heard(&self, metas: &[RecvMeta]) {
        let mut detours = self.detours();
        for meta in metas {
            if let Some(route) = detours.get_mut(&meta.addr) {
                route.heard_over_udp += 1;
            }
        }
    }
}

/// Puts a packet that came over a stream where the endpoint looks for one that came over UDP.
fn hand_over((from, packet): &Arrived, buffer: &mut [u8], meta: &mut RecvMeta) {
    let len = packet.len().min(buffer.len());
    buffer[..len].copy_from_slice(&packet[..len]);
    *meta = RecvMeta {
        addr: *from,
        len,
        stride: len,
        ecn: None,
        dst_ip: None,
    };
}

impl AsyncUdpSocket for FallbackSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(outbox) = self.outbox(transmit.destination) else {
            return self.inner.try_send(transmit);
        };
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
        if segment <= DETOUR_PACKET_MAX {
            outbox.push(transmit.contents, transmit.segment_size);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        while count < bufs.len().min(meta.len())
            && let Some(arrived) = self.inbox.take()
        {
            hand_over(&arrived, &mut bufs[count], &mut meta[count]);
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        match self.inner.poll_recv(cx, bufs, meta) {
            Poll::Ready(Ok(received)) => {
                if self.any.load(Ordering::Relaxed) {
                    self.note_heard(&meta[..received]);
                }
                Poll::Ready(Ok(received))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if self.inbox.poll_ready(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
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

/// A TCP stream that carries the packets of connections to one address; ends with this value.
#[derive(Debug)]
pub struct Detour {
    socket: Arc<FallbackSocket>,
    address: SocketAddr,
    number: u64,
    task: tokio::task::AbortHandle,
    ended: watch::Receiver<bool>,
}

impl Detour {
    /// The UDP address for whose packets it stands in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether packets are sent over the stream. What comes over it is taken in any case.
    pub fn set_in_force(&self, in_force: bool) {
        self.with_route(|route| route.in_force = in_force);
    }

    /// UDP datagrams that came from the address so far.
    #[must_use]
    pub fn heard_over_udp(&self) -> u64 {
        self.with_route(|route| route.heard_over_udp).unwrap_or_default()
    }

    /// Packets that the stream did not take in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.with_route(|route| route.outbox.dropped())
            .unwrap_or_default()
    }

    /// Waits until the stream has ended by itself. Cancel-safe.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    fn with_route<T>(&self, look: impl FnOnce(&mut Route) -> T) -> Option<T> {
        let mut detours = self.socket.detours();
        let route = detours.get_mut(&self.address)?;
        (route.number == self.number).then(|| look(route))
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
        let mut detours = self.socket.detours();
        if detours
            .get(&self.address)
            .is_some_and(|route| route.number == self.number)
        {
            detours.remove(&self.address);
        }
        self.socket.any.store(!detours.is_empty(), Ordering::Relaxed);
    }
}
