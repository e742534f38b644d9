//! Packets that came over TCP streams and wait for the QUIC endpoint.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::sync::mpsc;

/// Packets that may wait. Reason: what a relay takes in one turn from UDP. A full inbox holds the streams' readers back, and TCP
/// their senders.
const INBOX_MAX: usize = 256;

/// A packet and the name of the path on which it came.
pub(crate) type Arrived = (SocketAddr, BytesMut);
/// What the streams' readers hold.
pub(crate) type InboxSender = mpsc::Sender<Arrived>;

/// See the module. One task waits for it.
#[derive(Debug)]
pub(crate) struct Inbox(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    receiver: mpsc::Receiver<Arrived>,
    /// Taken out of the channel by who looked whether there is something.
    first: Option<Arrived>,
}

impl Inbox {
    pub(crate) fn new() -> (InboxSender, Self) {
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        let waiting = Waiting {
            receiver,
            first: None,
        };
        (sender, Self(Mutex::new(waiting)))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next packet, if one is there.
    pub(crate) fn take(&self) -> Option<Arrived> {
        let mut waiting = self.waiting();
        waiting.first.take().or_else(|| waiting.receiver.try_recv().ok())
    }

    /// Ready as soon as [`Self::take`] has something.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting();
        if waiting.first.is_none() {
            match waiting.receiver.poll_recv(cx) {
                Poll::Ready(Some(arrived)) => waiting.first = Some(arrived),
                // Without senders nothing will ever come.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Waits for [`Self::take`] to have something. Cancel-safe.
    pub(crate) async fn ready(&self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }
}
