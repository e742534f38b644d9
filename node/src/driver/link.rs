//! One connection to a neighbour as the participant's loop sees it: a queue of control frames out, events in.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use subrosa_proto::{
    ids::LinkId,
    quic::{CLOSE_PATIENCE, CONTROL_QUEUE_MAX},
    wire::framing::{self, FrameReader},
};
use tokio::sync::mpsc;

use super::{clock::Clock, outgoing_media::OutgoingMedia};
use crate::quic::endpoint::Authenticated;

/// Bytes asked of quinn at a time.
const READ_CHUNK_BYTES: usize = 16 * 1024;

/// What a link tells the loop.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// A whole control frame.
    Control(LinkId, Bytes),
    /// A datagram.
    Datagram(LinkId, Bytes),
    /// Its packets go over UDP from now on, no longer over TCP.
    BackOnUdp(LinkId),
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
    media: Arc<OutgoingMedia>,
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
        clock: Clock,
        events: mpsc::Sender<LinkEvent>,
    ) -> Self {
        let connection = &authenticated.connection;
        let (control, queue) = mpsc::channel(CONTROL_QUEUE_MAX);
        tokio::spawn(serve_control(id, side, connection.clone(), queue, events.clone()));
        tokio::spawn(serve_datagrams(id, connection.clone(), events));
        let media = Arc::new(OutgoingMedia::new(connection.clone(), clock));
        tokio::spawn({
            let media = Arc::clone(&media);
            async move { media.serve().await }
        });
        Self {
            authenticated,
            control,
            media,
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

    /// Sends a datagram as soon as the connection takes it, unless that is too late.
    pub(super) fn send_datagram(&self, bytes: Vec<u8>) {
        self.media.send(bytes.into());
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
    if let Ok((mut send, recv)) = stream {
        let mut reader = tokio::spawn(read_control(id, recv, connection.clone(), events.clone()));
        let neighbour_ended = tokio::select! {
            () = write_control(&mut send, queue) => false,
            _ = &mut reader => true,
        };
        // An end for an end: whoever closes the connection throws away what the other has not read yet, so it waits
        // until the neighbour, having read everything, has ended its side of the stream too.
        let _ = send.finish();
        let farewell = async {
            if neighbour_ended {
                connection.closed().await;
            } else {
                let _ = (&mut reader).await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_PATIENCE, farewell).await;
        connection.close(0_u32.into(), b"done");
        reader.abort();
    }
    let _ = events.send(LinkEvent::Down(id)).await;
}

/// Writes what is queued until there will be no more, or the stream fails.
async fn write_control(stream: &mut SendStream, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if stream.write_chunk(framing::frame(&frame)).await.is_err() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use subrosa_proto::{identity::Identity, ids::MeetingId, noise::Psk};

    use super::*;
    use crate::quic::endpoint::{Endpoint, EndpointOptions, bind};

    const FRAMES: usize = 300;
    const MEETING: MeetingId = MeetingId([4; 16]);

    fn endpoint(seed: u8) -> Endpoint {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let keys = [(MEETING, Psk([5; 32]))];
        Endpoint::member(
            socket,
            Identity::from_seed(&[seed; 32]),
            &keys,
            &EndpointOptions::default(),
        )
        .unwrap()
    }

    /// The goodbye of somebody who leaves is the last frame before the end.
    #[tokio::test]
    async fn the_last_frames_before_the_end_are_delivered_to_a_slow_reader() {
        let (alice, bob) = (endpoint(1), endpoint(2));
        let (address, key) = (bob.local_addr().unwrap(), Psk([5; 32]));
        let (a, b) = tokio::join!(alice.connect_member(address, MEETING, &key, None), bob.accept());
        let (to_alice, mut at_alice) = mpsc::channel(8);
        let (to_bob, mut at_bob) = mpsc::channel(1);
        let leaver = Link::start(LinkId(1), Side::Dialled, a.unwrap(), Clock::start(), to_alice);
        let _listener = Link::start(LinkId(2), Side::Accepted, b.unwrap(), Clock::start(), to_bob);
        for number in 0..FRAMES {
            leaver.send_control(number.to_be_bytes().repeat(20));
        }
        drop(leaver);

        let mut heard: usize = 0;
        loop {
            // All is acknowledged by now, and hardly anything read.
            if heard == 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            match at_bob.recv().await.unwrap() {
                LinkEvent::Control(_, frame) => {
                    assert_eq!(frame[..8], heard.to_be_bytes());
                    heard += 1;
                }
                LinkEvent::Down(_) => break,
                LinkEvent::Datagram(..) | LinkEvent::BackOnUdp(_) => {}
            }
        }
        assert_eq!(heard, FRAMES);
        assert!(matches!(at_alice.recv().await, Some(LinkEvent::Down(_))));
    }
}
