//! A host and an honest guest on direct links, and somebody with the ticket who keeps to no rule: a stranger at the door,
//! or an admitted member. Whoever is not in hears nothing but the door; whatever is sent is well formed and bounded.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{at, damage, identity, member, node::Node, random, some_bytes, values};
use subrosa_proto::{
    ids::{LinkId, OperationHash, StreamId},
    media::reception_report::{ReceptionReport, ReceptionReportValues},
    meeting::{
        admission::{AdmissionMode, RefusalReason},
        keys::{KeyAck, KeyMessage, Publisher},
        operation::{Op, RemoveReason, SignedOperation},
        participant::{Command, DialTarget, LinkPeer, Output},
        room_secret::{RoomSecret, TicketSecret, TrackContext},
        roster_log::RosterLog,
    },
    noise::{Psk, PskId},
    random::Random,
    sframe::{KeyId, MediaContext},
    wire::{
        control_message::{
            ControlMessage, FORMER_SECRETS_MAX, FormerSecret, Hello, PeerHint, RoomSecretGrant, Welcome,
            WireAddress,
        },
        door_message::DoorMessage,
        media_packet::{MediaHeader, MediaKind},
    },
};

/// Identities: the honest ones, and the hostile one.
const HOST: u8 = 0;
const GUEST: u8 = 1;
const MALLORY: u8 = 2;

/// What the hostile one holds.
struct Mallory {
    /// Its links: to which node, by which handle there.
    links: Vec<(usize, LinkId)>,
    log: RosterLog,
    secret: Option<RoomSecret>,
    epoch: Option<OperationHash>,
    publisher: Publisher,
    lobby: PskId,
    /// Whether it was in at some time, or was let in.
    was_in: bool,
}

struct World {
    now: u64,
    nodes: Vec<Node>,
    /// The link between host and guest, as each names it.
    between: Option<[LinkId; 2]>,
    /// Frames under way: to whom, and whether it is a datagram.
    flight: Vec<(usize, bool, Vec<u8>)>,
    /// Everything that was ever sent.
    seen: Vec<(bool, Vec<u8>)>,
    mallory: Mallory,
    open_door: bool,
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let Ok(mut world) = World::new(&mut u, random(data)) else {
        return;
    };
    for _ in 0..60 {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
        world.pump();
    }
});

impl World {
    fn new(u: &mut Unstructured<'_>, mut random: Random) -> Result<Self> {
        let (open_door, guest) = (u.arbitrary()?, u.arbitrary()?);
        let now = at(0);
        let admission = if open_door {
            AdmissionMode::Ticket
        } else {
            AdmissionMode::Ask
        };
        let host = Node::found(
            now,
            identity(HOST),
            admission,
            true,
            Vec::new(),
            random.fork("host"),
        );
        let ticket = host.participant.ticket().clone();
        let meeting = host.participant.meeting();
        let mut nodes = vec![host];
        if guest {
            nodes.push(Node::join(
                now,
                identity(GUEST),
                true,
                &ticket,
                random.fork("guest"),
            ));
        }
        let secret = TicketSecret::from_bytes(*ticket.terms().secret);
        let policy = ticket.policy().hash();
        let mallory = Mallory {
            links: Vec::new(),
            log: RosterLog::new(meeting, member(HOST)),
            secret: None,
            epoch: None,
            publisher: Publisher::new(identity(MALLORY).clone(), meeting, policy, random.fork("mallory")),
            lobby: Psk(*secret.lobby_psk(&meeting, 0)).id(),
            was_in: false,
        };
        let mut world = Self {
            now: 0,
            nodes,
            between: None,
            flight: Vec::new(),
            seen: Vec::new(),
            mallory,
            open_door,
        };
        world.pump();
        if guest && u.ratio(7, 8)? {
            world.settle();
            if !open_door {
                world.nodes[0]
                    .participant
                    .handle_command(now, Command::Admit(member(GUEST)));
                world.pump();
            }
            world.settle();
        }
        world.link_up(0, false);
        world.pump();
        if u.ratio(3, 4)? {
            let hello = world.hello(u)?;
            world.say(0, &hello);
            world.pump();
        }
        Ok(world)
    }

    fn settle(&mut self) {
        for _ in 0..64 {
            if self.flight.is_empty() {
                break;
            }
            self.deliver(0);
            self.pump();
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=15_u8)? {
            0 => {
                let bytes = some_bytes(u, 200)?.to_vec();
                self.throw(u, false, &bytes)?;
            }
            1..=6 => {
                let message = self.message(u)?;
                self.throw(u, false, &message.encode())?;
            }
            7 => self.again(u)?,
            8 | 9 => self.media(u)?,
            10 => {
                let most = if u.ratio(1, 4)? { 200_000_000 } else { 2_000_000 };
                let micros: u64 = u.int_in_range(0..=most)?;
                self.now += micros;
                for node in &mut self.nodes {
                    node.tick(at(self.now));
                }
            }
            11 => {
                let node = u.choose_index(self.nodes.len())?;
                self.link_up(node, self.mallory.secret.is_some() && u.arbitrary()?);
            }
            12 => {
                if !self.mallory.links.is_empty() {
                    let (node, link) = self
                        .mallory
                        .links
                        .remove(u.choose_index(self.mallory.links.len())?);
                    self.nodes[node].links.remove(&link);
                    self.nodes[node].participant.handle_link_down(at(self.now), link);
                }
            }
            13 => self.command(u)?,
            14 => {
                let node = u.choose_index(self.nodes.len())?;
                let payload = some_bytes(u, 60)?;
                self.nodes[node].participant.handle_audio(at(self.now), payload);
            }
            _ => {
                for _ in 0..u.int_in_range(1..=8_u8)? {
                    if !self.flight.is_empty() {
                        let which = u.choose_index(self.flight.len())?;
                        self.deliver(which);
                        self.pump();
                    }
                }
            }
        }
        Ok(())
    }

    fn command(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let whom = member(u.int_in_range(1..=3)?);
        let command = match u.int_in_range(0..=4_u8)? {
            0 => Command::Admit(whom),
            1 => Command::Refuse(whom),
            2 => Command::Remove(whom),
            3 => Command::Lock(u.arbitrary()?),
            _ => Command::Role(whom, values::role(u)?),
        };
        let admits = command == Command::Admit(member(MALLORY));
        self.nodes[0].participant.handle_command(at(self.now), command);
        self.mallory.was_in |= admits;
        Ok(())
    }

    /// A link from the hostile one: with the lobby's key, or with the members' key if it holds it.
    fn link_up(&mut self, node: usize, as_member: bool) {
        let meeting = self.nodes[0].participant.meeting();
        let psk = match &self.mallory.secret {
            Some(secret) if as_member => Psk(*secret.member_psk(&meeting)).id(),
            _ => self.mallory.lobby,
        };
        if self.mallory.links.len() >= 4 {
            return;
        }
        let peer = LinkPeer::Member(member(MALLORY));
        let link = self.nodes[node].link(peer);
        self.mallory.links.push((node, link));
        let remote = ([192, 0, 2, 66], 4433).into();
        self.nodes[node]
            .participant
            .handle_link_up(at(self.now), None, link, peer, Some(psk), remote);
    }

    fn say(&mut self, which: usize, message: &ControlMessage) {
        if let Some(&(node, link)) = self.mallory.links.get(which) {
            self.nodes[node]
                .participant
                .handle_control(at(self.now), link, &message.encode());
        }
    }

    fn throw(&mut self, u: &mut Unstructured<'_>, datagram: bool, bytes: &[u8]) -> Result<()> {
        if self.mallory.links.is_empty() {
            return Ok(());
        }
        let (node, link) = self.mallory.links[u.choose_index(self.mallory.links.len())?];
        let now = at(self.now);
        if datagram {
            self.nodes[node].participant.handle_datagram(now, link, bytes);
        } else {
            self.nodes[node].participant.handle_control(now, link, bytes);
        }
        Ok(())
    }

    /// Something that was sent before, perhaps damaged.
    fn again(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.seen.is_empty() {
            return Ok(());
        }
        let (datagram, mut bytes) = self.seen[u.choose_index(self.seen.len())?].clone();
        if u.arbitrary()? {
            damage(u, &mut bytes)?;
        }
        self.throw(u, datagram, &bytes)
    }

    fn media(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let meeting = self.nodes[0].participant.meeting();
        let kind = if u.ratio(3, 4)? {
            MediaKind::Audio
        } else {
            MediaKind::SourceAuthentication
        };
        let context = MediaContext {
            kind,
            layer: u.int_in_range(0..=1)?,
            meeting,
            sender: member(MALLORY),
            stream: StreamId::AUDIO,
        };
        let track = match &self.mallory.secret {
            Some(secret) if u.ratio(7, 8)? => {
                let between = TrackContext::Link(member(HOST), member(MALLORY));
                secret.track_alias(&between, &member(MALLORY), StreamId::AUDIO)
            }
            _ => values::track(u)?,
        };
        let mut packet = Vec::new();
        MediaHeader {
            kind,
            layer: context.layer,
            track,
        }
        .write(&mut packet);
        let text = some_bytes(u, 80)?;
        let now = at(self.now).monotonic;
        if self
            .mallory
            .publisher
            .seal(now, &context, text, &mut packet)
            .is_err()
        {
            packet.extend_from_slice(text);
        }
        self.throw(u, true, &packet)
    }

    fn hello(&self, u: &mut Unstructured<'_>) -> Result<ControlMessage> {
        let mut relays = Vec::new();
        for number in 0..u.int_in_range(0..=1_u8)? {
            let bytes = values::verified(8 + number, "US").signed().to_bytes();
            relays.push(bytes.try_into().expect("fits"));
        }
        Ok(ControlMessage::Hello(Hello {
            name: values::name(u)?,
            addresses: addresses(u)?.try_into().expect("few"),
            relays: relays.try_into().expect("few"),
            ways: match u.int_in_range(0..=3_u8)? {
                0 => vec![(
                    values::descriptor(8, "DE").relay,
                    values::descriptor(9, "DE").relay,
                )],
                _ => Vec::new(),
            }
            .try_into()
            .expect("few"),
        }))
    }

    fn hash(&self, u: &mut Unstructured<'_>) -> Result<OperationHash> {
        let heads = self.mallory.log.heads();
        Ok(match heads.first() {
            Some(head) if u.ratio(3, 4)? => *head,
            _ => OperationHash([u.int_in_range(0..=2)?; 32]),
        })
    }

    fn message(&mut self, u: &mut Unstructured<'_>) -> Result<ControlMessage> {
        let whom = member(u.int_in_range(0..=5)?);
        let heads = vec![self.hash(u)?].try_into().expect("one");
        let grant = RoomSecretGrant {
            operation: match self.mallory.epoch {
                Some(epoch) if u.arbitrary()? => epoch,
                _ => self.hash(u)?,
            },
            secret: match &self.mallory.secret {
                Some(secret) if u.arbitrary()? => *secret.expose(),
                _ => [u.arbitrary()?; 32],
            },
            ticket: None,
        };
        Ok(match u.int_in_range(0..=17_u8)? {
            0 | 1 => self.hello(u)?,
            2 => ControlMessage::Waiting,
            3 => ControlMessage::Refused(RefusalReason::ByHost),
            4 => ControlMessage::Welcome(Box::new(Welcome {
                former: (0..u.int_in_range(0..=FORMER_SECRETS_MAX)?)
                    .map(|_| {
                        Ok(FormerSecret {
                            operation: self.hash(u)?,
                            secret: [u.arbitrary()?; 32],
                        })
                    })
                    .collect::<Result<Vec<_>>>()?
                    .try_into()
                    .expect("few"),
                grant,
            })),
            5..=7 => ControlMessage::Operations(self.operations(u)?.try_into().expect("few")),
            8 => ControlMessage::Heads(heads),
            9 => ControlMessage::WantOperations(if u.arbitrary()? {
                heads
            } else {
                Vec::new().try_into().expect("none")
            }),
            10 => ControlMessage::RoomSecret(grant),
            11 => ControlMessage::WantRoomSecret(grant.operation),
            12 => {
                let hint = PeerHint {
                    member: whom,
                    addresses: addresses(u)?.try_into().expect("few"),
                };
                ControlMessage::Peers(vec![hint].try_into().expect("one"))
            }
            13 | 14 => match self.key(u)? {
                Some(key) => ControlMessage::Key(Box::new(key)),
                None => ControlMessage::Ping(0),
            },
            15 => ControlMessage::KeyAck(KeyAck {
                instance: u.int_in_range(0..=1)?,
                key: KeyId::first(u.int_in_range(0..=2)?),
            }),
            16 => {
                let stream = StreamId(u.int_in_range(0..=1)?);
                if u.arbitrary()? {
                    ControlMessage::Subscribe(stream)
                } else {
                    ControlMessage::Unsubscribe(stream)
                }
            }
            _ => match u.int_in_range(0..=2_u8)? {
                0 => ControlMessage::Ping(u.arbitrary()?),
                1 => ControlMessage::Pong(u.arbitrary()?),
                _ => ControlMessage::Report(report()),
            },
        })
    }

    /// What the hostile one writes into the log, by its own right or without.
    fn operations(&mut self, u: &mut Unstructured<'_>) -> Result<Vec<SignedOperation>> {
        let mut operations = Vec::new();
        for _ in 0..u.int_in_range(0..=3_u8)? {
            let whom = member(u.int_in_range(0..=5)?);
            let op = match u.int_in_range(0..=4_u8)? {
                0 => Op::Admit {
                    member: whom,
                    name: values::name(u)?,
                    role: values::role(u)?,
                },
                1 => Op::Remove {
                    member: whom,
                    reason: RemoveReason::Unstated,
                    room_secret: RoomSecret::from_bytes([4; 32])
                        .commitment(&self.nodes[0].participant.meeting()),
                },
                2 => Op::Leave,
                3 => Op::Role {
                    member: whom,
                    role: values::role(u)?,
                },
                _ => Op::Lock {
                    locked: u.arbitrary()?,
                },
            };
            // Admitted people of its own making sign as well: identities 3 to 5.
            let author = identity(u.int_in_range(MALLORY..=5)?);
            if u.ratio(3, 4)? {
                operations.extend(self.mallory.log.author(author, op));
            } else {
                let (seq, parent) = (u.int_in_range(0..=3)?, self.hash(u)?);
                let meeting = self.nodes[0].participant.meeting();
                operations.extend(SignedOperation::sign(author, meeting, seq, vec![parent], op));
            }
        }
        Ok(operations)
    }

    fn key(&mut self, u: &mut Unstructured<'_>) -> Result<Option<KeyMessage>> {
        let now = at(self.now).monotonic;
        let heads = vec![self.hash(u)?];
        let recipients = (0..=6)
            .filter(|n| *n == HOST || u.ratio(1, 4).unwrap_or(false))
            .map(member)
            .collect();
        let _ = self
            .mallory
            .publisher
            .set_recipients(now, &recipients, &heads, false);
        for _ in 0..8 {
            match self.mallory.publisher.poll_transmit(now) {
                Some((to, message)) if to == member(HOST) => return Ok(Some(message)),
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// Carries what the nodes put out: dials succeed, frames wait until they are delivered.
    fn pump(&mut self) {
        for _ in 0..16 {
            let mut quiet = true;
            for number in 0..self.nodes.len() {
                for output in self.nodes[number].drain() {
                    quiet = false;
                    self.output(number, output);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("nodes that never come to rest");
    }

    fn output(&mut self, number: usize, output: Output) {
        let now = at(self.now);
        match output {
            Output::Dial {
                dial,
                target: DialTarget::Member {
                    member: whom, psk, ..
                },
            } => {
                let other = 1 - number;
                let known = other < self.nodes.len() && self.between.is_none();
                let answers =
                    known && self.nodes[other].participant.id() == whom && self.nodes[other].accepts(&psk);
                if !answers {
                    self.nodes[number].participant.handle_dial_failed(now, dial);
                    return;
                }
                let peers = [0, 1].map(|n| LinkPeer::Member(self.nodes[n].participant.id()));
                let links = [self.nodes[0].link(peers[1]), self.nodes[1].link(peers[0])];
                self.between = Some(links);
                let remote = ([192, 0, 2, 2], 4433).into();
                for n in [number, other] {
                    let dialled = (n == number).then_some(dial);
                    let (link, peer) = (links[n], peers[1 - n]);
                    let node = &mut self.nodes[n].participant;
                    node.handle_link_up(now, dialled, link, peer, Some(psk.id()), remote);
                }
            }
            Output::Dial { dial, .. } => self.nodes[number].participant.handle_dial_failed(now, dial),
            Output::Control { link, bytes } => self.carry(number, link, false, bytes),
            Output::Datagram { link, bytes } => self.carry(number, link, true, bytes),
            Output::Close { link } => {
                self.mallory.links.retain(|it| *it != (number, link));
                if self.between.is_some_and(|links| links[number] == link) {
                    let links = self.between.take().expect("just seen");
                    let other = 1 - number;
                    self.nodes[other].links.remove(&links[other]);
                    self.nodes[other].participant.handle_link_down(now, links[other]);
                }
            }
            _ => {}
        }
    }

    fn carry(&mut self, from: usize, link: LinkId, datagram: bool, bytes: Vec<u8>) {
        if self.seen.len() < 256 {
            self.seen.push((datagram, bytes.clone()));
        }
        if self.mallory.links.contains(&(from, link)) {
            self.mallory_hears(from, datagram, &bytes);
        } else if self.between.is_some_and(|links| links[from] == link) && self.flight.len() < 256 {
            self.flight.push((1 - from, datagram, bytes));
        }
    }

    fn deliver(&mut self, which: usize) {
        let (to, datagram, bytes) = self.flight.remove(which);
        let Some(links) = self.between else { return };
        let now = at(self.now);
        if datagram {
            self.nodes[to].participant.handle_datagram(now, links[to], &bytes);
        } else {
            self.nodes[to].participant.handle_control(now, links[to], &bytes);
        }
    }

    fn mallory_hears(&mut self, from: usize, datagram: bool, bytes: &[u8]) {
        let is_in = self.nodes[from].members.contains(&member(MALLORY));
        self.mallory.was_in |= is_in || self.open_door;
        if datagram {
            assert!(self.mallory.was_in, "media for a stranger");
            return;
        }
        let message = ControlMessage::decode(bytes).expect("checked before");
        let of_the_door = matches!(
            message,
            // A charge names those in charge, as the ticket names the host.
            ControlMessage::Hello(_)
                | ControlMessage::Charge(_)
                | ControlMessage::Waiting
                | ControlMessage::Refused(_)
                | ControlMessage::Door(DoorMessage::Refused(..))
                | ControlMessage::Ping(_)
                | ControlMessage::Pong(_)
        );
        assert!(
            of_the_door || self.mallory.was_in,
            "a stranger was told more than the door: {message:?}"
        );
        match message {
            ControlMessage::Operations(operations) => {
                for operation in operations.into_inner() {
                    let _ = self.mallory.log.insert(operation);
                }
            }
            ControlMessage::Welcome(welcome) => self.take_grant(&welcome.grant),
            ControlMessage::RoomSecret(grant) => self.take_grant(&grant),
            _ => {}
        }
    }

    fn take_grant(&mut self, grant: &RoomSecretGrant) {
        self.mallory.secret = Some(RoomSecret::from_bytes(grant.secret));
        self.mallory.epoch = Some(grant.operation);
    }
}

fn addresses(u: &mut Unstructured<'_>) -> Result<Vec<WireAddress>> {
    (0..u.int_in_range(0..=2_u8)?)
        .map(|_| {
            Ok(if u.arbitrary()? {
                WireAddress::V4(u.arbitrary()?, u.arbitrary()?)
            } else {
                WireAddress::V6(u.arbitrary()?, u.arbitrary()?)
            })
        })
        .collect()
}

fn report() -> ReceptionReport {
    ReceptionReportValues {
        expected: 100,
        ..ReceptionReportValues::default()
    }
    .try_into()
    .expect("consistent")
}
