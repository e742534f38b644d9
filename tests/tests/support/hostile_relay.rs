//! A relay that does all that a relay must, and alters what it forwards as the test wishes: the real machine behind the
//! real handshake.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use subrosa_node::{
    driver::clock::Clock,
    quic::endpoint::{Authenticated, Endpoint, EndpointOptions},
};
use subrosa_proto::{
    identity::Identity,
    policy::SignedDescriptor,
    relay::{AddressBlock, Relay, RelayConfig, SessionId},
    wire::framing::FrameReader,
};
use tokio::sync::mpsc;

use super::relay::{PAPER_SECRET, paper};

/// What happens to a datagram on its way to a listener; `None` loses it.
pub(crate) type Alteration = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

enum Happened {
    Up(Authenticated),
    Frame(SessionId, Bytes),
    Datagram(SessionId, Bytes),
    Down(SessionId),
}

/// See the module. It ends with this value.
pub(crate) struct HostileRelay {
    /// Its descriptor.
    pub(crate) descriptor: SignedDescriptor,
    alteration: Arc<Mutex<Alteration>>,
    task: tokio::task::JoinHandle<()>,
}

impl HostileRelay {
    /// Starts honest.
    pub(crate) fn start(seed: u8, operator: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = socket.local_addr().expect("bound");
        let identity = Identity::from_seed(&[seed; 32]);
        let descriptor = paper(&identity, address, operator, "DE", |_| {});
        let endpoint =
            Endpoint::relay(socket, identity, &PAPER_SECRET, &EndpointOptions::relay()).expect("an endpoint");
        let machine = Relay::new(RelayConfig {
            descriptor: descriptor.to_bytes().try_into().expect("short enough"),
            ..RelayConfig::default()
        });
        let honest: Alteration = Box::new(|datagram| Some(datagram.to_vec()));
        let alteration = Arc::new(Mutex::new(honest));
        let task = tokio::spawn(run(endpoint, machine, Arc::clone(&alteration)));
        Self {
            descriptor,
            alteration,
            task,
        }
    }

    /// From now on every datagram goes through `alteration`.
    pub(crate) fn alter(&self, alteration: Alteration) {
        *self.alteration.lock().unwrap_or_else(PoisonError::into_inner) = alteration;
    }
}

impl Drop for HostileRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Session {
    connection: Authenticated,
    control: mpsc::UnboundedSender<Bytes>,
}

async fn run(endpoint: Endpoint, mut relay: Relay, alteration: Arc<Mutex<Alteration>>) {
    let clock = Clock::start();
    let mut sessions: HashMap<SessionId, Session> = HashMap::new();
    let (happenings, mut happened) = mpsc::unbounded_channel();
    let mut next = 0;
    loop {
        let timer = relay
            .poll_timeout()
            .map_or_else(far_away, |at| clock.instant_of(at));
        let event = tokio::select! {
            accepted = endpoint.accept() => accepted.map(Happened::Up),
            event = happened.recv() => event,
            () = tokio::time::sleep_until(timer) => {
                relay.handle_timeout(clock.now());
                flush(&mut relay, &sessions, &clock, &alteration);
                continue;
            }
        };
        let now = clock.now();
        match event {
            None => return,
            Some(Happened::Up(connection)) => {
                let id = SessionId(next);
                next += 1;
                let (control, queue) = mpsc::unbounded_channel();
                tokio::spawn(serve(id, connection.clone(), queue, happenings.clone()));
                sessions.insert(id, Session { connection, control });
                relay.handle_session_up(now, id, AddressBlock(0));
            }
            Some(Happened::Frame(id, frame)) => relay.handle_request(now, id, &frame),
            Some(Happened::Datagram(id, datagram)) => relay.handle_datagram(now, id, &datagram),
            Some(Happened::Down(id)) => {
                sessions.remove(&id);
                relay.handle_session_down(now, id);
            }
        }
        while relay.poll_output().is_some() {}
        flush(&mut relay, &sessions, &clock, &alteration);
    }
}

fn far_away() -> tokio::time::Instant {
    tokio::time::Instant::now() + std::time::Duration::from_secs(3_600)
}

fn flush(
    relay: &mut Relay,
    sessions: &HashMap<SessionId, Session>,
    clock: &Clock,
    alteration: &Mutex<Alteration>,
) {
    let now = clock.now();
    while let Some(id) = relay.poll_ready(now) {
        let Some(session) = sessions.get(&id) else {
            continue;
        };
        while let Some(frame) = relay.poll_control(id) {
            let _ = session.control.send(frame);
        }
        let connection = &session.connection.connection;
        let room = connection.max_datagram_size().unwrap_or(1_200);
        while let Some(datagram) = relay.poll_datagram(now, id, room) {
            let altered = alteration.lock().unwrap_or_else(PoisonError::into_inner)(&datagram);
            if let Some(altered) = altered {
                let _ = connection.send_datagram(altered.into());
            }
        }
    }
}

async fn serve(
    id: SessionId,
    session: Authenticated,
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    happenings: mpsc::UnboundedSender<Happened>,
) {
    let connection = session.connection;
    let datagrams = tokio::spawn({
        let (connection, happenings) = (connection.clone(), happenings.clone());
        async move {
            while let Ok(datagram) = connection.read_datagram().await {
                let _ = happenings.send(Happened::Datagram(id, datagram));
            }
        }
    });
    if let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let reading = tokio::spawn({
            let happenings = happenings.clone();
            async move {
                let mut frames = FrameReader::new();
                while let Ok(Some(chunk)) = recv.read_chunk(16 * 1_024, true).await {
                    frames.push(&chunk.bytes);
                    while let Ok(Some(frame)) = frames.next_frame() {
                        let _ = happenings.send(Happened::Frame(id, frame));
                    }
                }
            }
        });
        loop {
            tokio::select! {
                frame = queue.recv() => {
                    let Some(frame) = frame else { break };
                    if send.write_chunk(frame).await.is_err() {
                        break;
                    }
                }
                _ = connection.closed() => break,
            }
        }
        reading.abort();
    }
    datagrams.abort();
    let _ = happenings.send(Happened::Down(id));
}
