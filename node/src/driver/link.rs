//! One connection to a neighbour as the participant's loop sees it: a queue of control frames out, events in.

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use subrosa_proto::{
    ids::LinkId,
    wire::framing::{self, FrameReader},
};
use tokio::sync::mpsc;

use crate::quic::endpoint::Authenticated;

/// Control frames that may wait for one neighbour. Reason: a Welcome and the keys of a meeting of 200 fit; a neighbour
/// that lets more pile up does not read, and its link is closed.
const CONTROL_QUEUE_MAX: usize = 512;
/// Bytes asked of quinn at a time.
const READ_CHUNK_BYTES: usize = 16 * 1024;
/// How long the last control frames of a closing link may take.
const CLOSE_PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// What a link tells the loop.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// A whole control frame.
    Control(LinkId, Bytes),
    /// A datagram.
    Datagram(LinkId, Bytes),
    /// The connection ended; nothing more comes from it.
    Down(LinkId),
}

/// The loop's side of a link. Dropped, it closes once the queued control frames are delivered, or after
/// [`CLOSE_PATIENCE`].
#[derive(Debug)]
pub(super) struct Link {
    /// Held whole: its key updates end with it.
    authenticated: Authenticated,
    control: mpsc::Sender<Vec<u8>>,
}

/// Who opens the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The dialler.
    Dialled,
    /// The listener.
    Accepted,
}

impl Link {
    /// Starts the tasks that serve `connection`.
    pub(super) fn start(
        id: LinkId,
        side: Side,
        authenticated: Authenticated,
        events: mpsc::Sender<LinkEvent>,
    ) -> Self {
        let connection = &authenticated.connection;
        let (control, queue) = mpsc::channel(CONTROL_QUEUE_MAX);
        tokio::spawn(serve_control(id, side, connection.clone(), queue, events.clone()));
        tokio::spawn(serve_datagrams(id, connection.clone(), events));
        Self {
            authenticated,
            control,
        }
    }

    /// Queues a control frame. A link whose queue is full is closed: its neighbour does not read.
    pub(super) fn send_control(&self, bytes: Vec<u8>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.control.try_send(bytes) {
            self.authenticated
                .connection
                .close(2_u32.into(), b"control queue full");
        }
    }

    /// Sends a datagram if the connection takes it now; a full buffer drops its oldest.
    pub(super) fn send_datagram(&self, bytes: Vec<u8>) -> bool {
        self.authenticated.connection.send_datagram(bytes.into()).is_ok()
    }
}

async fn serve_control(
    id: LinkId,
    side: Side,
    connection: Connection,
    queue: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<LinkEvent>,
) {
    let stream = match side {
        Side::Dialled => connection.open_bi().await,
        Side::Accepted => connection.accept_bi().await,
    };
    if let Ok((send, recv)) = stream {
        let reader = tokio::spawn(read_control(id, recv, connection.clone(), events.clone()));
        tokio::select! {
            () = write_control(send, queue) => {}
            _ = connection.closed() => {}
        }
        connection.close(0_u32.into(), b"done");
        reader.abort();
    }
    let _ = events.send(LinkEvent::Down(id)).await;
}

async fn write_control(mut stream: SendStream, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if stream.write_chunk(framing::frame(&frame)).await.is_err() {
            return;
        }
    }
    if stream.finish().is_ok() {
        // `stopped` resolves once the neighbour has acknowledged everything.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, stream.stopped()).await;
    }
}

async fn read_control(
    id: LinkId,
    mut stream: RecvStream,
    connection: Connection,
    events: mpsc::Sender<LinkEvent>,
) {
    let mut frames = FrameReader::new();
    while let Ok(Some(chunk)) = stream.read_chunk(READ_CHUNK_BYTES, true).await {
        frames.push(&chunk.bytes);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    if events.send(LinkEvent::Control(id, frame)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    connection.close(1_u32.into(), b"bad frame");
                    return;
                }
            }
        }
    }
}

async fn serve_datagrams(id: LinkId, connection: Connection, events: mpsc::Sender<LinkEvent>) {
    while let Ok(datagram) = connection.read_datagram().await {
        // Late audio is worth nothing: what the loop cannot take now is dropped, control frames wait.
        if let Err(mpsc::error::TrySendError::Closed(_)) = events.try_send(LinkEvent::Datagram(id, datagram))
        {
            return;
        }
    }
}
