//! A UDP proxy that keeps a copy of everything.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// One datagram that passed.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// Towards the target, or back.
    pub(crate) inward: bool,
    /// What.
    pub(crate) bytes: Vec<u8>,
}

/// See the module. It ends with this value.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    passed: Mutex<Vec<Passed>>,
    ended: AtomicBool,
}

impl Proxy {
    /// A proxy on a free port of the loopback interface. Without a target, packets are lost.
    pub(crate) fn start(target: Option<SocketAddr>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            ..Shared::default()
        });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&socket, &shared)
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on packets go there.
    pub(crate) fn set_target(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// Everything that passed so far.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.shared
            .passed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(front: &UdpSocket, shared: &Shared) {
    front.set_nonblocking(true).expect("a socket");
    let mut backs: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    while !shared.ended.load(Ordering::Relaxed) {
        let mut idle = true;
        let target = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok((length, client)) = front.recv_from(&mut buffer) {
            idle = false;
            let Some(target) = target else { continue };
            let back = backs.entry(client).or_insert_with(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
                socket.set_nonblocking(true).expect("a socket");
                socket
            });
            shared.keep(true, &buffer[..length]);
            let _ = back.send_to(&buffer[..length], target);
        }
        for (client, back) in &backs {
            while let Ok((length, _)) = back.recv_from(&mut buffer) {
                idle = false;
                shared.keep(false, &buffer[..length]);
                let _ = front.send_to(&buffer[..length], client);
            }
        }
        if idle {
            thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Shared {
    fn keep(&self, inward: bool, bytes: &[u8]) {
        self.passed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Passed {
                inward,
                bytes: bytes.to_vec(),
            });
    }
}
