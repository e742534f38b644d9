//! Everything that a meeting sends, captured packet by packet: it goes to the sockets that are declared and nowhere else, not
//! to a relay that the policy refuses, and nothing of who meets, where they are or what they say is in clear. Needs root,
//! iproute2, nftables and tcpdump; says so loudly where they are missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    Scratch,
    capture::Capture,
    hearing::{babble, write_clip},
    known::{IN_TEXT, Known, media_port},
    member::{Member, Options},
    namespace::{tcp_ports, within},
    nat::{Internet, Nat, internet_for},
    operated::Operated,
    packet::{Packet, Protocol},
    process::PATIENCE,
};

/// The last byte of each address on the backbone: relays, members and the NAT of one of them.
const RELAY: u8 = 250;
/// Refused by the policy; members have its descriptor.
const REFUSED: u8 = 249;
/// Refused as well; members hear of it from the permitted relay's table only.
const OVERSEAS: u8 = 248;
const MEMBERS: [u8; 3] = [31, 32, 33];
/// Sends what must not be found, in clear, to where nobody listens: the search has to find it.
const PLANTER: u8 = 240;
const DISCARD: u8 = 241;
/// Where relays listen: for media on UDP, for discovery on TCP.
const RELAY_PORT: u16 = 4_433;

const NAMES: [&str; 3] = [
    "Hortensia-Quillfeather-of-Zanzibar",
    "Ignatius-Waxflower-of-Samarkand",
    "Philippa-Thistledown-of-Cuzco",
];
const CHAT: &str = "The heron flies at dusk over the second weir";
const WHISPER: &str = "Bring the lacquered box and nobody else";
/// Packets from one relay to another after which it is in the other's table: handshakes and `identify` take fewer.
const ACQUAINTED: usize = 30;
/// Ends what is planted.
const LAST: &[u8] = b"the last planted packet";
/// Where mDNS is spoken (RFC 6762 §3).
const MDNS: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), 5_353);
/// What a node says when a dial does not pass its gate.
const NOT_DIALLED: &str = "a dial that the policy does not allow was not made";

fn on_backbone(number: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, number).into()
}

/// Where the guest behind the NAT is, as it sees itself.
fn in_site() -> IpAddr {
    Ipv4Addr::new(10, 9, MEMBERS[1], 2).into()
}

struct Places {
    /// Permitted, refused, overseas.
    relays: [String; 3],
    members: [String; 3],
    planter: String,
    /// Of the backbone, and of the network behind the NAT.
    captures: [Capture; 2],
}

fn lay(internet: &mut Internet) -> Result<Places, String> {
    let captures = [Capture::start(internet.backbone())?];
    let places = (
        [
            internet.machine(RELAY)?,
            internet.machine(REFUSED)?,
            internet.machine(OVERSEAS)?,
        ],
        [
            internet.machine(MEMBERS[0])?,
            internet.site(MEMBERS[1], Nat::PortRestricted)?,
            internet.machine(MEMBERS[2])?,
        ],
        internet.machine(PLANTER)?,
    );
    internet.machine(DISCARD)?;
    let [backbone] = captures;
    Ok(Places {
        relays: places.0,
        members: places.1,
        planter: places.2,
        captures: [backbone, Capture::start(&internet.router(MEMBERS[1]))?],
    })
}

/// A meeting of a host and two guests, from its beginning until everybody is gone.
struct Story {
    known: Known,
    declared: Declared,
}

impl Story {
    fn tell(home: &Scratch, places: &Places) -> Self {
        let relay = |at: usize, number: u8, country: &str, top: &str| {
            let listen = format!("198.51.100.{number}:{RELAY_PORT}");
            Operated::start_hosted(
                home,
                &places.relays[at],
                &format!("relay{number}"),
                country,
                &listen,
                top,
            )
        };
        let permitted = relay(0, RELAY, "DE", "");
        let refused = relay(1, REFUSED, "US", "");
        let begins = format!("[discovery]\nbootstrap = ['{}']", permitted.descriptor);
        let _overseas = relay(2, OVERSEAS, "US", &begins);
        places.captures[0].wait("that the relays know each other", |packets| {
            let way = (on_backbone(OVERSEAS), (on_backbone(RELAY), RELAY_PORT));
            packets
                .iter()
                .filter(|packet| (packet.from.0, packet.to) == way)
                .count()
                > ACQUAINTED
        });
        let clip = home.path().join("clip.wav");
        write_clip(&clip, &babble("alice", 60.0));
        let inside = |at: usize, options: Options| Options {
            namespace: Some(places.members[at].clone()),
            // The default. Discovery is as it is by default, too.
            ..options.with(&["--listen", "[::]:0", "-vv"])
        };
        let options = Options::says(&clip).with(&["--policy", "eea"]);
        let options = options.relay(&permitted.descriptor).relay(&refused.descriptor);
        let mut host = Member::found(home, NAMES[0], &inside(0, options));
        let ticket = host.ticket();
        let mut guest = Member::join(home, NAMES[1], &ticket, &inside(1, Options::says(&clip)));
        let options = Options::silent().relay(&refused.descriptor);
        let removed = Member::join(home, NAMES[2], &ticket, &inside(2, options));
        let members = [&host, &guest, &removed];
        for member in members {
            member.wait_connected(2);
        }
        let declared = Declared::of(places, members);
        let mut known = Known::default();
        for ((name, member), ip) in NAMES.iter().zip(members).zip(declared.members) {
            known.add_member(name, member);
            known.add_address(ip, media_port(member));
        }
        known.add_address(on_backbone(MEMBERS[1]), media_port(&guest));
        known.add_ticket(&ticket);
        known.secrets.add("chat", CHAT.as_bytes());
        known.secrets.add("whisper", WHISPER.as_bytes());

        host.command(&json!({"cmd": "say", "text": CHAT}));
        for member in [&guest, &removed] {
            member.wait("chat", |e| e["event"] == "chat" && e["text"] == CHAT);
        }
        guest.command(&json!({"cmd": "say", "text": WHISPER, "to": host.id()}));
        host.wait("a whisper", |e| e["event"] == "chat" && e["text"] == WHISPER);
        guest.wait_received(&host.id(), 200);
        wait_gate(&host);
        known.add_rooms(home, &host, &permitted.descriptor, "before the removal");
        host.about("remove", &removed.id());
        guest.wait("removal", |e| e["event"] == "member" && e["state"] == "removed");
        guest.wait_received(&host.id(), guest.reception(&host.id(), "received") + 200);
        known.add_rooms(home, &host, &permitted.descriptor, "after the removal");
        guest.leave();
        host.leave();
        Self { known, declared }
    }
}

/// Waits until discovery wanted to dial something that the policy does not allow: the relay that it heard of.
fn wait_gate(member: &Member) {
    let until = Instant::now() + PATIENCE;
    while !member.log().contains(NOT_DIALLED) {
        assert!(
            Instant::now() < until,
            "nobody heard of the relay overseas\n{}",
            member.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a socket is for: its protocol, address and port.
type Service = (Protocol, IpAddr, u16);

/// Who may send what where.
struct Declared {
    /// Members' own addresses.
    members: [IpAddr; 3],
    /// Members' media sockets and the permitted relay's sockets.
    used: BTreeSet<Service>,
    /// Members' discovery sockets: the permitted relay may try whether they are reached from outside (AutoNAT).
    tried: BTreeSet<Service>,
}

impl Declared {
    fn of(places: &Places, members: [&Member; 3]) -> Self {
        let own = [on_backbone(MEMBERS[0]), in_site(), on_backbone(MEMBERS[2])];
        let relay = on_backbone(RELAY);
        let mut used = BTreeSet::from([Protocol::Udp, Protocol::Tcp].map(|with| (with, relay, RELAY_PORT)));
        let mut tried = BTreeSet::new();
        for (at, member) in members.iter().enumerate() {
            let discovery = tcp_ports(&places.members[at], &["-l"]);
            assert!(!discovery.is_empty(), "discovery listens");
            // A NAT that is port-restricted keeps the port.
            for ip in [own[at], on_backbone(MEMBERS[at])] {
                used.insert((Protocol::Udp, ip, media_port(member)));
                tried.extend(discovery.iter().map(|port| (Protocol::Tcp, ip, *port)));
            }
        }
        Self {
            members: own,
            used,
            tried,
        }
    }

    /// The service that a packet belongs to, whichever way it goes; none if it belongs to none.
    fn service(&self, packet: &Packet) -> Option<Service> {
        let is_member = |ip: IpAddr| ip == on_backbone(MEMBERS[1]) || self.members.contains(&ip);
        let (relay, overseas) = (on_backbone(RELAY), on_backbone(OVERSEAS));
        let ways = [(packet.from, packet.to), (packet.to, packet.from)];
        let services = ways.map(|(client, server)| {
            let service = (packet.protocol, server.0, server.1);
            let by_member = self.used.contains(&service) && (is_member(client.0) || client.0 == relay);
            let by_relay = self.tried.contains(&service) && client.0 == relay;
            // Relays find each other as their operators tell them.
            let among = [client.0, server.0];
            let of_relays = [[relay, overseas], [overseas, relay]].contains(&among)
                && (packet.protocol, server.1) == (Protocol::Tcp, RELAY_PORT);
            (by_member || by_relay || of_relays).then_some(service)
        });
        if packet.protocol == Protocol::Udp {
            // Both sides are declared; what counts is where it goes.
            return services[0]
                .or_else(|| (packet.to == MDNS && is_member(packet.from.0)).then_some(MDNS_SERVICE));
        }
        services[1].or(services[0])
    }
}

const MDNS_SERVICE: Service = (Protocol::Udp, MDNS.0, MDNS.1);

/// What machines say to find each other on a link, without anybody asking for it, and that a port is closed.
fn is_of_the_link(packet: &Packet) -> bool {
    let to = packet.to.0;
    match packet.protocol {
        Protocol::Arp | Protocol::Icmp => true,
        Protocol::Igmp => to.is_multicast(),
        Protocol::IcmpV6 => matches!(to, IpAddr::V6(ip) if ip.is_multicast() || ip.is_unicast_link_local()),
        Protocol::Udp | Protocol::Tcp => false,
    }
}

fn is_planted(packet: &Packet) -> bool {
    [packet.from.0, packet.to.0].contains(&on_backbone(PLANTER))
}

/// Sends every marker in clear, each in a packet of its own.
fn plant(place: &str, known: &Known) {
    within(place, || {
        let socket = UdpSocket::bind((on_backbone(PLANTER), 0)).expect("a free port");
        socket.connect((on_backbone(DISCARD), 9)).expect("an address");
        for bytes in known.secrets.bytes().chain(known.addresses.bytes()).chain([LAST]) {
            // That nobody listens there may be told at the next attempt.
            socket
                .send(bytes)
                .or_else(|_| socket.send(bytes))
                .expect("it is sent");
        }
    });
}

#[test]
fn a_meeting_sends_to_declared_sockets_only_and_nothing_in_clear() {
    let name = "a_meeting_sends_to_declared_sockets_only_and_nothing_in_clear";
    let Some((_internet, places)) = internet_for(name, lay) else {
        return;
    };
    let home = Scratch::new();
    let Story { known, declared } = Story::tell(&home, &places);
    plant(&places.planter, &known);
    let [backbone, site] = places.captures;
    backbone.wait("the last planted packet", |packets| {
        packets
            .iter()
            .any(|packet| is_planted(packet) && packet.payload == LAST)
    });
    let (backbone, site) = (backbone.end(), site.end());
    let (planted, sent): (Vec<_>, Vec<_>) = backbone.into_iter().partition(is_planted);
    assert!(
        sent.iter()
            .all(|packet| ![packet.from.0, packet.to.0].contains(&in_site())),
        "a private address left its network"
    );
    assert_declared(&declared, &sent);
    let sent: Vec<Packet> = sent.into_iter().chain(site).collect();
    assert_declared(&declared, &sent);
    assert_refused(&declared, &sent);
    assert_nothing_in_clear(&known, &sent);
    assert_search_finds(&known, &planted);
}

/// Every packet belongs to something that is declared, and whatever is declared is used.
fn assert_declared(declared: &Declared, sent: &[Packet]) {
    let mut seen: BTreeMap<Service, usize> = BTreeMap::new();
    let mut stray = BTreeSet::new();
    for packet in sent.iter().filter(|packet| !is_of_the_link(packet)) {
        match declared.service(packet) {
            Some(service) => *seen.entry(service).or_default() += 1,
            None => _ = stray.insert(packet.to_string()),
        }
    }
    println!("{} packets", sent.len());
    for ((protocol, ip, port), packets) in &seen {
        println!("{protocol:?} {ip} {port}: {packets}");
    }
    assert!(stray.is_empty(), "declared by nobody: {stray:#?}");
    let in_lan = |service: &&Service| sent.iter().any(|packet| packet.to.0 == service.1);
    let unused: Vec<_> = declared
        .used
        .iter()
        .filter(in_lan)
        .filter(|service| !seen.contains_key(service))
        .collect();
    assert!(
        unused.is_empty() && seen.contains_key(&MDNS_SERVICE),
        "not seen: {unused:?}"
    );
}

/// Not even a question for its hardware address goes to the relay that members were told of and that their policy refuses, and
/// nothing from members to the one that they hear of.
fn assert_refused(declared: &Declared, sent: &[Packet]) {
    let own = |ip: IpAddr| ip == on_backbone(MEMBERS[1]) || declared.members.contains(&ip);
    let wrong = |packet: &&Packet| {
        let (from, to) = (packet.from.0, packet.to.0);
        [from, to].contains(&on_backbone(REFUSED))
            || own(from) && to == on_backbone(OVERSEAS)
            || own(to) && from == on_backbone(OVERSEAS)
    };
    let found: Vec<String> = sent.iter().filter(wrong).map(Packet::to_string).collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn assert_nothing_in_clear(known: &Known, sent: &[Packet]) {
    let mut streams: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    for packet in sent {
        let found = known.secrets.found_in(&packet.payload);
        assert!(found.is_empty(), "{packet}: {found:?}");
        // On the local network mDNS tells where a node is, and of nobody else.
        let own = format!("{} {IN_TEXT}", packet.from.0);
        let mut found = known.addresses.found_in(&packet.payload);
        found.retain(|name| !(packet.to == MDNS && *name == own));
        assert!(found.is_empty(), "{packet}: {found:?}");
        if packet.protocol == Protocol::Tcp && !packet.outgoing {
            let stream = streams.entry((packet.from, packet.to)).or_default();
            stream.extend_from_slice(&packet.payload);
        }
    }
    // What begins in one segment and ends in the next.
    for ((from, to), stream) in &streams {
        for markers in [&known.secrets, &known.addresses] {
            let found = markers.found_in(stream);
            assert!(found.is_empty(), "{from:?} > {to:?}: {found:?}");
        }
    }
    println!("{} streams", streams.len());
}

/// The same search finds whatever was sent in clear.
fn assert_search_finds(known: &Known, planted: &[Packet]) {
    let arrived =
        |packet: &&Packet| packet.protocol == Protocol::Udp && !packet.outgoing && packet.payload != LAST;
    let missed: Vec<&Packet> = planted
        .iter()
        .filter(arrived)
        .filter(|packet| {
            known.secrets.found_in(&packet.payload).is_empty()
                && known.addresses.found_in(&packet.payload).is_empty()
        })
        .collect();
    assert!(missed.is_empty(), "the search misses {missed:?}");
    let count = known.secrets.len() + known.addresses.len();
    println!("{count} markers");
    assert_eq!(planted.iter().filter(arrived).count(), count, "planted packets");
}
