//! Handshakes over the loopback interface: how many per second, and what one costs in CPU time on both sides together,
//! beside a bare hybrid key exchange (X25519 and ML-KEM-768, both sides) in the same run.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    kem::{DecapsulationKey, EncapsulationKey, ML_KEM_768},
};
use subrosa_node::quic::endpoint::{Endpoint, EndpointOptions, bind};
use subrosa_proto::{
    identity::Identity,
    ids::MeetingId,
    noise::{Psk, server::static_public},
};
use tokio::runtime::Builder;

use crate::{
    cpu,
    report::{Figure, Report},
};

/// How long each leg is measured.
const RUN: Duration = Duration::from_secs(4);
/// Handshakes under way at a time: enough to keep both sides busy, too few to be asked for a Retry.
const AT_A_TIME: usize = 4;
/// How often the listening side looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

const MEETING: MeetingId = MeetingId([4; 16]);
const PSK: Psk = Psk([5; 32]);
const RELAY_SECRET: [u8; 32] = [8; 32];
const LISTENER_SEED: [u8; 32] = [2; 32];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leg {
    Member,
    Relay,
}

/// One side's account.
struct Side {
    handshakes: u64,
    cpu: Duration,
}

pub(crate) fn measure(report: &mut Report) {
    let hybrid_us = bare_hybrid() / 1_000.0;
    report.add(&Figure::new(
        "hybrid_key_exchange_us",
        "X25519 and ML-KEM-768, both sides, bare",
        hybrid_us,
        "us",
    ));
    for (leg, name) in [(Leg::Member, "member leg"), (Leg::Relay, "relay leg")] {
        let (dialler, listener, wall) = run(leg);
        let per = |side: &Side| side.cpu.as_secs_f64() * 1e6 / side.handshakes as f64;
        let (ours, theirs) = (per(&dialler), per(&listener));
        report.add(&Figure::new(
            "handshakes_per_second",
            format!("{name}, {AT_A_TIME} at a time"),
            dialler.handshakes as f64 / wall.as_secs_f64(),
            "/s",
        ));
        report.add(&Figure::new(
            "handshake_cpu_us",
            format!("{name}, dialler"),
            ours,
            "us",
        ));
        report.add(&Figure::new(
            "handshake_cpu_us",
            format!("{name}, listener"),
            theirs,
            "us",
        ));
        report.add(&Figure::new(
            "handshake_cpu_of_hybrid",
            format!("{name}, both sides"),
            (ours + theirs) / hybrid_us,
            "x",
        ));
    }
}

/// Nanoseconds for both sides of an X25519 and an ML-KEM-768 exchange, key generation included.
fn bare_hybrid() -> f64 {
    const COUNT: usize = 50;
    cpu::fastest(40, COUNT, || {
        for _ in 0..COUNT {
            let keys = [0, 1].map(|_| PrivateKey::generate(&X25519).expect("randomness"));
            let public = keys
                .each_ref()
                .map(|key| key.compute_public_key().expect("a public key"));
            for (own, other) in [(0, 1), (1, 0)] {
                let other = UnparsedPublicKey::new(&X25519, public[other].as_ref());
                let secret = agree(&keys[own], other, (), |secret| Ok(secret.to_vec()));
                std::hint::black_box(secret).expect("a shared secret");
            }
            let private = DecapsulationKey::generate(&ML_KEM_768).expect("randomness");
            let public = private.encapsulation_key().expect("a public key");
            let public = public.key_bytes().expect("its bytes");
            let public = EncapsulationKey::new(&ML_KEM_768, public.as_ref()).expect("a public key");
            let (ciphertext, _) = public.encapsulate().expect("randomness");
            std::hint::black_box(private.decapsulate(ciphertext)).expect("a shared secret");
        }
    })
}

/// Each side has a thread with a runtime of its own, so that its CPU time is the thread's.
fn run(leg: Leg) -> (Side, Side, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, address) = mpsc::channel();
    let stopping = stop.clone();
    let listener = thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(listen(leg, &tell, &stopping))
    });
    let address = address.recv().expect("the listener's address");
    let dialler = thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(dial(leg, address))
    });
    let (dialled, wall) = dialler.join().expect("the dialler's thread");
    stop.store(true, Ordering::Relaxed);
    let accepted = listener.join().expect("the listener's thread");
    (dialled, accepted, wall)
}

fn socket() -> std::net::UdpSocket {
    bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port")
}

async fn listen(leg: Leg, tell: &mpsc::Sender<SocketAddr>, stop: &AtomicBool) -> Side {
    let identity = Identity::from_seed(&LISTENER_SEED);
    let endpoint = match leg {
        Leg::Member => Endpoint::member(socket(), identity, &[(MEETING, PSK)], &EndpointOptions::default()),
        Leg::Relay => Endpoint::relay(socket(), identity, &RELAY_SECRET, &EndpointOptions::relay()),
    };
    let endpoint = endpoint.expect("an endpoint");
    tell.send(endpoint.local_addr().expect("an address"))
        .expect("somebody waits");
    let mut handshakes = 0;
    let begin = cpu::of_this_thread();
    while !stop.load(Ordering::Relaxed) {
        // Dropping the connection closes it, which is what the dialler waits for.
        if let Ok(Some(_)) = tokio::time::timeout(LOOK, endpoint.accept()).await {
            handshakes += 1;
        }
    }
    Side {
        handshakes,
        cpu: cpu::of_this_thread() - begin,
    }
}

async fn dial(leg: Leg, address: SocketAddr) -> (Side, Duration) {
    let options = EndpointOptions::default();
    let endpoint = Endpoint::member(socket(), Identity::from_seed(&[1; 32]), &[], &options);
    let endpoint = Arc::new(endpoint.expect("an endpoint"));
    let (begin, start) = (cpu::of_this_thread(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_A_TIME {
        let endpoint = endpoint.clone();
        tasks.spawn(async move {
            let mut done = 0_u64;
            while start.elapsed() < RUN {
                let listener = Identity::from_seed(&LISTENER_SEED);
                let authenticated = match leg {
                    Leg::Member => {
                        let expected = Some(listener.member_id());
                        endpoint.connect_member(address, MEETING, &PSK, expected).await
                    }
                    Leg::Relay => {
                        let key = static_public(&RELAY_SECRET);
                        let pseudonym = Identity::from_seed(&[7; 32]);
                        endpoint
                            .connect_relay(address, listener.relay_id(), key, &pseudonym)
                            .await
                    }
                };
                authenticated.expect("a handshake").connection.closed().await;
                done += 1;
            }
            done
        });
    }
    let handshakes = tasks.join_all().await.into_iter().sum();
    let wall = start.elapsed();
    let side = Side {
        handshakes,
        cpu: cpu::of_this_thread() - begin,
    };
    (side, wall)
}
