//! The many sockets of a search for a way between two NATs (`subrosa_proto::mesh::hole_punch`).

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use subrosa_proto::{
    mesh::hole_punch::SOCKETS,
    noise::{
        Psk,
        token::{PROBE_LEN, ProbeKey, ProbeSender},
    },
    time::UnixSeconds,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::endpoint::{Endpoint, bind};
use crate::driver::addresses::as_seen_from;

/// Probes heard by different sockets that wait for their owner. Reason: one is enough; each holds a socket.
const FOUND_MAX: usize = 8;

/// A socket that heard a probe.
#[derive(Debug)]
pub struct Found {
    /// Which, in the order in which they were opened.
    pub number: u16,
    /// Where the probe came from.
    pub remote: SocketAddr,
    /// Who sent it.
    pub sender: ProbeSender,
    /// The socket.
    pub socket: UdpSocket,
}

/// See the module. They close with this value.
#[derive(Debug)]
pub struct SearchSockets {
    listening: JoinSet<()>,
    opened: u16,
    heard: mpsc::Sender<Found>,
    found: mpsc::Receiver<Found>,
}

impl Default for SearchSockets {
    fn default() -> Self {
        let (heard, found) = mpsc::channel(FOUND_MAX);
        Self {
            listening: JoinSet::new(),
            opened: 0,
            heard,
            found,
        }
    }
}

impl SearchSockets {
    /// Opens `sockets` more beside that of `endpoint`, and sends a probe under `psk` from each to each of `to`. Call it inside
    /// a tokio runtime.
    pub fn open(&mut self, endpoint: &Endpoint, psk: &Psk, sockets: usize, to: &[SocketAddr]) {
        let Ok(local) = endpoint.local_addr() else { return };
        let key = Arc::new(ProbeKey::new(psk));
        let mut random = endpoint.fork("search");
        let sender = endpoint.identity.member_id().into();
        let to: Vec<SocketAddr> = to
            .iter()
            .filter_map(|address| as_seen_from(local, *address))
            .collect();
        for _ in 0..sockets.min(SOCKETS.saturating_sub(self.opened.into())) {
            let number = self.opened;
            self.opened += 1;
            let mut probe = || key.seal((endpoint.clock)(), sender, &mut random);
            let Some(socket) = open_one(local, &mut probe, &to) else {
                // Fewer find a way, too, only less often.
                return;
            };
            let (key, heard) = (Arc::clone(&key), self.heard.clone());
            self.listening.spawn(async move {
                if let Some(found) = listen(number, socket, &key).await {
                    let _ = heard.try_send(found);
                }
            });
        }
    }

    /// The next socket that heard a probe; never, while there is none. Cancel-safe.
    pub async fn found(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            // This value holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Closes all that have not been taken.
    pub fn close(&mut self) {
        self.listening.abort_all();
        self.listening.detach_all();
        self.opened = 0;
        while self.found.try_recv().is_ok() {}
    }
}

/// A socket from which a probe went to each of `to`.
fn open_one(
    local: SocketAddr,
    probe: &mut dyn FnMut() -> [u8; PROBE_LEN],
    to: &[SocketAddr],
) -> Option<tokio::net::UdpSocket> {
    let mut open = || {
        let socket = bind(SocketAddr::new(local.ip(), 0))?;
        for destination in to {
            // Before tokio has it, which would first have to learn that it can be written to.
            if let Err(error) = socket.send_to(&probe(), destination) {
                tracing::debug!(%error, "a probe was not sent");
            }
        }
        tokio::net::UdpSocket::from_std(socket)
    };
    open()
        .inspect_err(|error| tracing::debug!(%error, "a socket of a search was not opened"))
        .ok()
}

/// Waits for a probe; whatever else comes is forgotten.
async fn listen(number: u16, socket: tokio::net::UdpSocket, key: &ProbeKey) -> Option<Found> {
    // One byte more shows what is too long.
    let mut buffer = [0; PROBE_LEN + 1];
    loop {
        let (len, remote) = socket.recv_from(&mut buffer).await.ok()?;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        if let Some(sender) = key.open(UnixSeconds(unix.as_secs()), &buffer[..len]) {
            return Some(Found {
                number,
                remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
                sender,
                socket: socket.into_std().ok()?,
            });
        }
    }
}
