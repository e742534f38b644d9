//! Hostile nodes flood discovery: it keeps its bounds, and a call that is under way does not notice.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use libp2p::multiaddr::Protocol;
use subrosa_node::audio::{SAMPLE_RATE, measure};
use subrosa_node::discovery::{
    ADDRESSES_PER_PEER_MAX, CIRCUITS_MAX, KAD_PROTOCOL, LAN_KAD_PROTOCOL, PENDING_MAX, RELAY_CONNECTIONS_MAX,
    RESERVATIONS_MAX, Status,
};
use subrosa_proto::discovery::store_rule::RECORDS_MAX;
use subrosa_tests::watch::resident_bytes;
use tokio::time::Instant;

use crate::support::{
    Scratch,
    dht::honest,
    flood::{Done, Flood, Target},
    hearing::{babble, write_clip},
    member::{Member, Options},
    namespace::tcp_ports,
    nat::{Internet, internet_for},
    operated::Operated,
    process::PATIENCE,
};

/// More identities than there are places for circuits.
const NODES: usize = 80;

fn socket(address: &libp2p::Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        _ => panic!("a TCP address: {address}"),
    }
}

fn assert_bounded(status: &Status) {
    let (incoming, _) = RELAY_CONNECTIONS_MAX;
    assert!(status.connected.len() <= incoming as usize, "{status:?}");
    assert!(status.pending <= 2 * PENDING_MAX, "{status:?}");
    assert!(status.records <= RECORDS_MAX, "{status:?}");
    assert!(status.addresses_max <= ADDRESSES_PER_PEER_MAX, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooded_node_keeps_its_bounds() {
    let node = honest(Vec::new()).await;
    let flood = Flood::start(Target {
        at: socket(&node.address),
        table: KAD_PROTOCOL,
        from: None,
        nice: 0,
        nodes: NODES,
        connections: 1,
        mdns: false,
    });
    let until = Instant::now() + 6 * PATIENCE;
    let mut most = Status::default();
    loop {
        let status = node.service.status().await;
        assert_bounded(&status);
        most.pending = most.pending.max(status.pending);
        most.records = most.records.max(status.records);
        most.addresses_max = most.addresses_max.max(status.addresses_max);
        most.table = most.table.max(status.table);
        let (done, places) = (&flood.done, RESERVATIONS_MAX as u64);
        let reserved = Done::get(&done.reservations);
        let open = Done::get(&done.circuits_max);
        assert!(reserved <= places && open <= CIRCUITS_MAX as u64, "{done:?}");
        // libp2p gives one address sixty places a minute, and attackers share theirs.
        let many = reserved >= places / 2 && status.records > NODES;
        if many
            && status.addresses_max == ADDRESSES_PER_PEER_MAX
            && Done::get(&done.pushes) > 10 * NODES as u64
        {
            break;
        }
        assert!(
            Instant::now() < until,
            "{done:?} {:?}",
            (most.records, most.addresses_max)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "{:?}\nat most: {} connections being made, {} nodes, {} records, {} addresses",
        flood.done, most.pending, most.table, most.records, most.addresses_max
    );
}

/// Where the relay is, the NAT of the host and its hostile neighbour, the guest, and whoever floods the relay.
const RELAY: u8 = 250;
const SITE: u8 = 1;
const GUEST: u8 = 2;
const STRANGER: u8 = 66;
/// Identities that flood each of the two.
const ATTACKERS: usize = 12;
/// The call is listened to so long without a flood, and with one.
const LISTENED: Duration = Duration::from_secs(12);
/// Frames that may be lost for the flood, as a share of those of the same time.
const LOSS_MAX: f64 = 0.01;
/// How much more mouth to ear may be.
const DELAY_RISE_MAX_MS: f64 = 60.0;
/// What the memory of relay and member may grow by: full tables and connections, as behind the other floods' bound.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// A host behind a NAT and a guest who hides, so that they talk over the relay.
struct Call {
    host: Member,
    guest: Member,
    relay: Operated,
    clips: [Vec<f32>; 2],
}

/// What was heard in a time, from the one and from the other.
#[derive(Debug)]
struct Heard {
    received: [u64; 2],
    lost: [u64; 2],
    /// When it ended, in seconds since 1970.
    until: f64,
    /// Most memory of relay and host, in bytes.
    resident: [u64; 2],
    /// Most connections to the host's discovery.
    connections: usize,
}

impl Call {
    fn begin(home: &Scratch, places: &Places) -> Self {
        let listen = format!("198.51.100.{RELAY}:4433");
        let relay = Operated::start_in(home, &places.relay, "backbone", &listen, "", "");
        let clips = ["alice", "bob"].map(|voice| babble(voice, 70.0));
        let speaks = |who: usize, place: &str| {
            let path = home.path().join(format!("clip{who}.wav"));
            write_clip(&path, &clips[who]);
            Options {
                namespace: Some(place.to_owned()),
                ..Options::says(&path).with(&["--listen", "[::]:0"])
            }
        };
        let host = speaks(0, &places.host).relay(&relay.descriptor);
        let host = Member::found(home, "host", &host);
        let guest = speaks(1, &places.guest).with(&["--no-direct"]);
        let guest = Member::join(home, "guest", &host.ticket(), &guest);
        for member in [&host, &guest] {
            member.wait("a path over the relay", |e| {
                e["event"] == "route" && e["path"] == "relay"
            });
        }
        Self {
            host,
            guest,
            relay,
            clips,
        }
    }

    /// Who speaks and who listens.
    fn ways(&self) -> [(&Member, &Member); 2] {
        [(&self.host, &self.guest), (&self.guest, &self.host)]
    }

    fn figure(&self, name: &str) -> [u64; 2] {
        self.ways()
            .map(|(speaker, listener)| listener.reception(&speaker.id(), name))
    }

    /// Waits until both were told figures again.
    fn wait_figures(&self) {
        let members = [&self.host, &self.guest];
        let marks = members.map(|member| member.mark());
        for (member, mark) in members.into_iter().zip(marks) {
            member.wait_since(mark, "figures", |e| e["event"] == "stats");
        }
    }

    /// Listens for [`LISTENED`].
    fn listen(&self, place: &str, discovery: u16) -> Heard {
        self.wait_figures();
        let (received, lost) = (self.figure("received"), self.figure("lost"));
        let (mut resident, mut connections) = ([0; 2], 0);
        let until = std::time::Instant::now() + LISTENED;
        while std::time::Instant::now() < until {
            for (most, pid) in resident.iter_mut().zip([self.relay.pid(), self.host.pid()]) {
                *most = resident_bytes(pid).max(*most);
            }
            let ports = tcp_ports(place, &["state", "established"]);
            connections = connections.max(ports.iter().filter(|port| **port == discovery).count());
            thread::sleep(Duration::from_millis(200));
        }
        let ended = SystemTime::now().duration_since(UNIX_EPOCH);
        self.wait_figures();
        let since = |after: [u64; 2], before: [u64; 2]| [after[0] - before[0], after[1] - before[1]];
        Heard {
            received: since(self.figure("received"), received),
            lost: since(self.figure("lost"), lost),
            until: ended.expect("after 1970").as_secs_f64(),
            resident,
            connections,
        }
    }

    /// Mouth to ear in the last seconds of a time, in ms, each way.
    fn delays_ms(&self, heard: &Heard) -> [f64; 2] {
        let samples = |seconds: f64| (seconds.max(0.0) * f64::from(SAMPLE_RATE)) as usize;
        let mut clips = self.clips.iter();
        self.ways().map(|(speaker, listener)| {
            let clip = clips.next().expect("a clip for each");
            let from = heard.until - speaker.clip_began() - 4.0;
            let said = &clip[samples(from)..samples(from + 1.5)];
            let began = speaker.clip_began() - listener.recording_began() + from;
            let all = listener.hearing();
            let window = &all[samples(began).min(all.len())..samples(began + 2.5).min(all.len())];
            measure::locate(said, window).expect("both are sound").delay_ms
        })
    }
}

struct Places {
    relay: String,
    host: String,
    neighbour: String,
    guest: String,
    stranger: String,
}

fn lay(internet: &mut Internet) -> Result<Places, String> {
    let relay = internet.machine(RELAY)?;
    let (host, neighbour) = internet.neighbours(SITE)?;
    Ok(Places {
        relay,
        host,
        neighbour,
        guest: internet.machine(GUEST)?,
        stranger: internet.machine(STRANGER)?,
    })
}

#[test]
fn a_call_does_not_notice_that_discovery_is_flooded() {
    let Some((_internet, places)) = internet_for("a_call_does_not_notice_that_discovery_is_flooded", lay)
    else {
        return;
    };
    let home = Scratch::new();
    let mut call = Call::begin(&home, &places);
    let discovery = tcp_ports(&places.host, &["-l"]);
    let [discovery] = discovery[..] else {
        panic!("discovery listens at one port: {discovery:?}")
    };
    let calm = call.listen(&places.host, discovery);
    let floods = [
        (
            SocketAddr::from(([10, 9, SITE, 2], discovery)),
            LAN_KAD_PROTOCOL,
            &places.neighbour,
        ),
        (
            SocketAddr::from(([198, 51, 100, RELAY], 4_433)),
            KAD_PROTOCOL,
            &places.stranger,
        ),
    ];
    let floods = floods.map(|(at, table, from)| {
        let near = table == LAN_KAD_PROTOCOL;
        Flood::start(Target {
            at,
            table,
            from: Some(from.clone()),
            nice: 10,
            nodes: ATTACKERS,
            connections: 4,
            mdns: near,
        })
    });
    let flooded = call.listen(&places.host, discovery);
    for flood in &floods {
        println!("{:?}", flood.done);
        let done = &flood.done;
        assert!(Done::get(&done.circuits_max) <= CIRCUITS_MAX as u64, "{done:?}");
        for count in [&done.connections, &done.records, &done.pushes] {
            assert!(Done::get(count) > 30, "this was no flood: {done:?}");
        }
    }
    drop(floods);
    call.guest.leave();
    call.host.leave();
    let delays = [&calm, &flooded].map(|heard| call.delays_ms(heard));
    println!(
        "calm {calm:?} {:.0?} ms\nflooded {flooded:?} {:.0?} ms",
        delays[0], delays[1]
    );
    // Those that are being refused are among them.
    assert!(flooded.connections > 0, "{flooded:?}");
    for way in 0..2 {
        let more = flooded.lost[way].saturating_sub(calm.lost[way]) as f64;
        let share = more / flooded.received[way].max(1) as f64;
        assert!(
            flooded.received[way] > 0 && share <= LOSS_MAX,
            "{share}: {flooded:?}"
        );
        assert!(delays[1][way] < delays[0][way] + DELAY_RISE_MAX_MS, "{delays:?}");
        let grown = flooded.resident[way].saturating_sub(calm.resident[way]);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");
    }
}
