//! A path with a delay: forwards datagrams between one client and a server, each after the same time.
//!
//! Threads that sleep, not a runtime's timers: those are a millisecond coarse.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How long a thread waits for a datagram before it looks whether the path has ended.
const PATIENCE: Duration = Duration::from_millis(200);

/// Ends its threads when dropped.
pub(crate) struct DelayProxy {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl DelayProxy {
    /// A path to `server` with this delay in each direction.
    pub(crate) fn start(server: SocketAddr, one_way: Duration) -> Self {
        let (front, back) = (socket(), socket());
        back.connect(server).expect("the loopback interface");
        let address = front.local_addr().expect("an address");
        let stopped = Arc::new(AtomicBool::new(false));
        let client = Arc::new(OnceLock::new());
        let (to_server, to_client) = (back.clone(), front.clone());
        let learnt = client.clone();
        forward(front, one_way, stopped.clone(), move |from, datagram| {
            learnt.get_or_init(|| from);
            let _ = to_server.send(datagram);
        });
        forward(back, one_way, stopped.clone(), move |_, datagram| {
            if let Some(client) = client.get() {
                let _ = to_client.send_to(datagram, *client);
            }
        });
        Self { address, stopped }
    }

    /// What the client dials.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn socket() -> Arc<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    Arc::new(socket)
}

/// One direction: a thread that receives and one that waits and sends.
fn forward(
    from: Arc<UdpSocket>,
    one_way: Duration,
    stopped: Arc<AtomicBool>,
    send: impl Fn(SocketAddr, &[u8]) + Send + 'static,
) {
    let (sender, waiting) = mpsc::channel::<(Instant, SocketAddr, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while !stopped.load(Ordering::Relaxed) {
            let Ok((length, source)) = from.recv_from(&mut buffer) else {
                continue;
            };
            let due = Instant::now() + one_way;
            if sender.send((due, source, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, source, datagram) in waiting {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            send(source, &datagram);
        }
    });
}
