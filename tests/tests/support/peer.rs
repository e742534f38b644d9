//! A member inside the test: the real machine on a real socket, with a driver that keeps everything and need not behave.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use subrosa_node::{
    driver::clock::Clock,
    quic::endpoint::{Authenticated, Endpoint, EndpointOptions},
    store::identity_file,
};
use subrosa_proto::{
    identity::Identity,
    ids::{LinkId, MeetingId, MemberId, RelayId},
    meeting::{
        name::Name,
        operation::{Op, SignedOperation},
        participant::{
            BINDING_LABEL, Command, DialId, DialTarget, Event, LinkPeer, MediaFrame, Output, Participant,
            ParticipantConfig, PeerCounters,
        },
    },
    noise::{Leg, Unadmitted},
    random::Random,
    wire::{
        control_message::{ControlMessage, RoomSecretGrant},
        framing::{self, FrameReader},
        ticket::Ticket,
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::process::{PATIENCE, unix_now};

enum Happened {
    Dialled(DialId, Option<Authenticated>),
    Accepted(Authenticated),
    Control(LinkId, Bytes),
    Datagram(LinkId, Bytes),
    Down(LinkId),
}

/// How a peer begins.
pub(crate) struct PeerOptions {
    /// Whether it wants direct links.
    pub(crate) direct: bool,
    /// Addresses that it dials in place of others.
    pub(crate) reroute: HashMap<SocketAddr, SocketAddr>,
    /// Descriptors of relays that it knows of.
    pub(crate) relays: Vec<String>,
    /// Where its socket is bound.
    pub(crate) bind: String,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            direct: true,
            reroute: HashMap::new(),
            relays: Vec::new(),
            bind: "127.0.0.1:0".to_owned(),
        }
    }
}

/// See the module.
pub(crate) struct Peer {
    /// The machine.
    pub(crate) participant: Participant,
    /// Decrypted frames, with the time of their arrival in seconds since 1970.
    pub(crate) media: Vec<(f64, MediaFrame)>,
    /// Datagrams as they came.
    pub(crate) datagrams: Vec<(f64, LinkId, Bytes)>,
    /// What people would have been told.
    pub(crate) events: Vec<Event>,
    /// Room secrets that were told on direct links.
    pub(crate) grants: Vec<RoomSecretGrant>,
    /// Turns a deaf ear to whatever would tell it of its own removal.
    pub(crate) stubborn: bool,
    /// Takes no keys.
    pub(crate) keyless: bool,
    /// Takes no operations any more.
    pub(crate) deaf: bool,
    /// The roster's operations, as they were told on direct links.
    pub(crate) operations: Vec<SignedOperation>,
    /// Who it is.
    pub(crate) identity: Identity,
    clock: Clock,
    meeting: MeetingId,
    unadmitted: Unadmitted,
    endpoint: Arc<Endpoint>,
    pseudonyms: BTreeMap<RelayId, Identity>,
    reroute: HashMap<SocketAddr, SocketAddr>,
    links: HashMap<LinkId, (Authenticated, mpsc::UnboundedSender<Vec<u8>>)>,
    next_link: u64,
    happened: mpsc::UnboundedReceiver<Happened>,
    happenings: mpsc::UnboundedSender<Happened>,
}

impl Peer {
    /// Begins to join; [`Peer::run`] does the rest. Needs a tokio runtime.
    pub(crate) fn join(name: &str, ticket: &str, options: PeerOptions) -> Self {
        let clock = Clock::start();
        let now = clock.now();
        let identity = identity_file::fresh().expect("randomness");
        let ticket = Ticket::parse(ticket, now.unix).expect("a ticket");
        let socket = UdpSocket::bind(&options.bind).expect("a free port");
        // It has no queue of its own for what the connection does not take at once.
        let bounds = EndpointOptions {
            datagram_send_bytes: 64 * 1024,
            ..EndpointOptions::default()
        };
        let endpoint = Endpoint::member(socket, identity.clone(), &[], &bounds).expect("an endpoint");
        let relays = options.relays.iter().map(|line| {
            let signed = subrosa_proto::policy::SignedDescriptor::from_text(line).expect("a descriptor");
            signed.verify(now.unix).expect("a valid descriptor")
        });
        let own = identity.clone();
        let config = ParticipantConfig {
            identity,
            name: Name::from_input(name).expect("a name"),
            addresses: vec![endpoint.local_addr().expect("bound")],
            direct: options.direct,
            relays: relays.collect(),
            evidence: subrosa_proto::policy::Evidence::default(),
            discovery: subrosa_proto::policy::DiscoveryRule::Off,
        };
        let seed = subrosa_node::entropy::seed().expect("randomness");
        let participant = Participant::join(now, config, ticket, Random::from_seed(*seed));
        let (happenings, happened) = mpsc::unbounded_channel();
        let endpoint = Arc::new(endpoint);
        tokio::spawn({
            let (endpoint, happenings) = (Arc::clone(&endpoint), happenings.clone());
            async move {
                while let Some(accepted) = endpoint.accept().await {
                    if happenings.send(Happened::Accepted(accepted)).is_err() {
                        return;
                    }
                }
            }
        });
        let mut peer = Self {
            meeting: participant.meeting(),
            unadmitted: Unadmitted::default(),
            participant,
            media: Vec::new(),
            datagrams: Vec::new(),
            events: Vec::new(),
            grants: Vec::new(),
            stubborn: false,
            keyless: false,
            deaf: false,
            operations: Vec::new(),
            identity: own,
            clock,
            endpoint,
            pseudonyms: BTreeMap::new(),
            reroute: options.reroute,
            links: HashMap::new(),
            next_link: 0,
            happened,
            happenings,
        };
        peer.drain();
        peer
    }

    /// Takes part for `time`.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        self.run(time, |_| false).await;
    }

    /// Takes part until `done`; panics if that takes too long.
    pub(crate) async fn run_until(&mut self, what: &str, done: impl FnMut(&Self) -> bool) {
        let ok = self.run(PATIENCE, done).await;
        assert!(ok, "no {what}; events: {:#?}", self.events);
    }

    /// Takes part until `done` or for `time` at most; whether it is done.
    pub(crate) async fn run(&mut self, time: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = Instant::now() + time;
        while !done(self) {
            let timer = self
                .participant
                .poll_timeout()
                .map_or(until, |at| self.clock.instant_of(at).min(until));
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(timer) => {
                    if Instant::now() >= until {
                        return done(self);
                    }
                    self.participant.handle_timeout(self.clock.now());
                }
                Some(happened) = self.happened.recv() => self.handle(happened),
            }
            self.drain();
        }
        true
    }

    /// Does as its person wishes.
    pub(crate) fn command(&mut self, command: Command) {
        self.participant.handle_command(self.clock.now(), command);
        self.drain();
    }

    /// Says `message` on every link, whatever the machine thinks of it.
    pub(crate) fn shout(&mut self, message: &ControlMessage) {
        for (_, control) in self.links.values() {
            let _ = control.send(message.encode());
        }
    }

    /// Whether there is a direct link to `member`.
    pub(crate) fn is_linked(&self, member: MemberId) -> bool {
        self.links.values().any(|(link, _)| link.peer.key == member.0)
    }

    /// Says `message` to `member` on its direct links, whatever the machine thinks of it.
    pub(crate) fn tell(&mut self, member: MemberId, message: &ControlMessage) {
        for (link, control) in self.links.values() {
            if link.peer.key == member.0 {
                let _ = control.send(message.encode());
            }
        }
    }

    /// Feeds a datagram to the machine as if it had come on `link`.
    pub(crate) fn feed(&mut self, link: LinkId, datagram: &[u8]) {
        self.participant.handle_datagram(self.clock.now(), link, datagram);
        self.drain();
    }

    /// What became of the frames of `member`.
    pub(crate) fn counters(&self, member: MemberId) -> PeerCounters {
        let mut counters = self.participant.counters();
        counters
            .find(|(id, _)| *id == member)
            .map(|(_, counters)| counters)
            .unwrap_or_default()
    }

    /// Its identity in hexadecimal.
    pub(crate) fn id(&self) -> String {
        self.participant.id().to_string()
    }

    /// Whether audio of `member` was decrypted after `unix`.
    pub(crate) fn heard_since(&self, unix: f64) -> usize {
        self.media.iter().filter(|(at, _)| *at >= unix).count()
    }

    fn handle(&mut self, happened: Happened) {
        let now = self.clock.now();
        match happened {
            Happened::Dialled(dial, Some(connection)) => self.take_in(Some(dial), connection, true),
            Happened::Dialled(dial, None) => self.participant.handle_dial_failed(now, dial),
            Happened::Accepted(connection) => self.take_in(None, connection, false),
            Happened::Control(link, bytes) => {
                let message = ControlMessage::decode(&bytes);
                match &message {
                    Ok(ControlMessage::Welcome(welcome)) => self.grants.push(welcome.grant.clone()),
                    Ok(ControlMessage::RoomSecret(grant)) => self.grants.push(grant.clone()),
                    _ => {}
                }
                if let Ok(ControlMessage::Operations(operations)) = &message {
                    self.operations.extend(operations.iter().cloned());
                }
                let ignored = message.is_ok_and(|message| {
                    self.deaf && matches!(message, ControlMessage::Operations(_))
                        || self.keyless && matches!(message, ControlMessage::Key(_))
                        || self.stubborn && self.tells_of_removal(&message)
                });
                if !ignored {
                    self.participant.handle_control(now, link, &bytes);
                }
            }
            Happened::Datagram(link, bytes) => {
                self.datagrams.push((unix_now(), link, bytes.clone()));
                self.participant.handle_datagram(now, link, &bytes);
            }
            Happened::Down(link) => {
                self.links.remove(&link);
                self.participant.handle_link_down(now, link);
            }
        }
    }

    fn tells_of_removal(&self, message: &ControlMessage) -> bool {
        let ControlMessage::Operations(operations) = message else {
            return false;
        };
        let me = self.participant.id();
        operations
            .iter()
            .any(|signed| matches!(&signed.operation().op, Op::Remove { member, .. } if *member == me))
    }

    fn take_in(&mut self, dial: Option<DialId>, connection: Authenticated, dialled: bool) {
        let peer = match connection.peer.leg {
            Leg::Relay => LinkPeer::Relay(RelayId(connection.peer.key)),
            _ => LinkPeer::Member(MemberId(connection.peer.key)),
        };
        let (remote, psk) = (connection.connection.remote_address(), connection.peer.psk);
        let link = LinkId(self.next_link);
        let mut binding = [0; 32];
        let exported = connection
            .connection
            .export_keying_material(&mut binding, BINDING_LABEL, &[]);
        exported.expect("the handshake has finished");
        self.participant.set_link_binding(link, binding);
        self.next_link += 1;
        let (control, queue) = mpsc::unbounded_channel();
        tokio::spawn(serve(
            link,
            dialled,
            connection.connection.clone(),
            queue,
            self.happenings.clone(),
        ));
        self.links.insert(link, (connection, control));
        self.participant
            .handle_link_up(self.clock.now(), dial, link, peer, psk, remote);
    }

    fn drain(&mut self) {
        while let Some(output) = self.participant.poll_output() {
            match output {
                Output::Dial { dial, target } => self.dial(dial, target),
                Output::Control { link, bytes } => {
                    if let Some((_, control)) = self.links.get(&link) {
                        let _ = control.send(bytes);
                    }
                }
                Output::Datagram { link, bytes } => {
                    if let Some((connection, _)) = self.links.get(&link) {
                        let _ = connection.connection.send_datagram(bytes.into());
                    }
                }
                Output::Close { link } => {
                    self.links.remove(&link);
                }
                Output::TurnAway(unadmitted) => self.unadmitted = unadmitted,
                Output::Accept { keys } => {
                    let keys: Vec<_> = keys.into_iter().map(|key| (self.meeting, key)).collect();
                    self.endpoint.set_doors(&keys, &self.unadmitted);
                }
                Output::Media(frame) => self.media.push((unix_now(), frame)),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn dial(&mut self, dial: DialId, target: DialTarget) {
        let (endpoint, happenings) = (Arc::clone(&self.endpoint), self.happenings.clone());
        let place = |addresses: &[SocketAddr]| {
            let first = addresses[0];
            *self.reroute.get(&first).unwrap_or(&first)
        };
        match target {
            DialTarget::Member {
                member,
                addresses,
                meeting,
                psk,
                ..
            } => {
                let address = place(&addresses);
                tokio::spawn(async move {
                    let outcome = endpoint
                        .connect_member(address, meeting, &psk, Some(member))
                        .await;
                    let _ = happenings.send(Happened::Dialled(dial, outcome.ok()));
                });
            }
            DialTarget::Relay {
                permit,
                static_key,
                addresses,
                ..
            } => {
                let address = place(&addresses);
                let relay = permit.relay().expect("a relay's permit");
                let pseudonym = self
                    .pseudonyms
                    .entry(relay)
                    .or_insert_with(|| identity_file::fresh().expect("randomness"))
                    .clone();
                tokio::spawn(async move {
                    let outcome = endpoint
                        .connect_relay(address, relay, static_key, &pseudonym)
                        .await;
                    let _ = happenings.send(Happened::Dialled(dial, outcome.ok()));
                });
            }
        }
    }
}

async fn serve(
    link: LinkId,
    dialled: bool,
    connection: Connection,
    queue: mpsc::UnboundedReceiver<Vec<u8>>,
    happenings: mpsc::UnboundedSender<Happened>,
) {
    let datagrams = tokio::spawn({
        let (connection, happenings) = (connection.clone(), happenings.clone());
        async move {
            while let Ok(datagram) = connection.read_datagram().await {
                let _ = happenings.send(Happened::Datagram(link, datagram));
            }
        }
    });
    let stream = if dialled {
        connection.open_bi().await
    } else {
        connection.accept_bi().await
    };
    if let Ok((send, recv)) = stream {
        let reading = tokio::spawn(read(link, recv, happenings.clone()));
        tokio::select! {
            () = write(send, queue) => {}
            _ = connection.closed() => {}
        }
        connection.close(0_u32.into(), b"");
        reading.abort();
    }
    datagrams.abort();
    let _ = happenings.send(Happened::Down(link));
}

async fn write(mut stream: SendStream, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if stream.write_chunk(framing::frame(&frame)).await.is_err() {
            return;
        }
    }
    let _ = stream.finish();
    let _ = timeout(Duration::from_millis(500), stream.stopped()).await;
}

async fn read(link: LinkId, mut stream: RecvStream, happenings: mpsc::UnboundedSender<Happened>) {
    let mut frames = FrameReader::new();
    while let Ok(Some(chunk)) = stream.read_chunk(16 * 1_024, true).await {
        frames.push(&chunk.bytes);
        while let Ok(Some(frame)) = frames.next_frame() {
            let _ = happenings.send(Happened::Control(link, frame));
        }
    }
}
