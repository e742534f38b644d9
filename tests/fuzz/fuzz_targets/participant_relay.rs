//! A host and a guest who meet over one relay only, and the relay is hostile: it loses, repeats, reorders, damages and
//! invents notices, envelopes and media. It learns no secret, brings nobody in, and no sound is heard that nobody made.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{at, damage, identity, member, node::Node, random, some_bytes, values};
use subrosa_proto::{
    ids::{Alias, LinkId, RoomId, TrackAlias},
    meeting::{
        admission::AdmissionMode,
        participant::{Command, DialTarget, LinkPeer, Output},
    },
    random::Random,
    relay::RelayLimits,
    wire::{
        bounded::BoundedText,
        control_message::WireAddress,
        media_packet::{MediaHeader, MediaKind},
        relay_message::{Refusable, RefusalCode, RelayNotice, RelayRequest},
    },
};

const RELAY: u8 = 8;

struct World {
    now: u64,
    nodes: Vec<Node>,
    links: [Option<LinkId>; 2],
    /// Who is where, as the relay knows it.
    present: BTreeMap<(usize, RoomId), Alias>,
    announced: BTreeSet<(usize, RoomId, TrackAlias)>,
    wanted: BTreeSet<(usize, RoomId, TrackAlias)>,
    /// Notices under way.
    flight: Vec<(usize, RelayNotice)>,
    /// Media packets that were sent, and by whom.
    packets: Vec<(usize, Vec<u8>)>,
    /// Payloads that were spoken.
    spoken: BTreeSet<(usize, Vec<u8>)>,
    secrets: Vec<[u8; 32]>,
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
        let now = at(0);
        let relays = vec![values::verified(RELAY, "DE")];
        let admission = if u.arbitrary()? {
            AdmissionMode::Ticket
        } else {
            AdmissionMode::Ask
        };
        let host = Node::found(now, identity(0), admission, false, relays, random.fork("host"));
        let ticket = host.participant.ticket().clone();
        let guest = Node::join(now, identity(1), false, &ticket, random.fork("guest"));
        let mut world = Self {
            now: 0,
            nodes: vec![host, guest],
            links: [None; 2],
            present: BTreeMap::new(),
            announced: BTreeSet::new(),
            wanted: BTreeSet::new(),
            flight: Vec::new(),
            packets: Vec::new(),
            spoken: BTreeSet::new(),
            secrets: vec![*ticket.terms().secret],
        };
        world.pump();
        // How far an honest relay goes before it turns.
        for _ in 0..u.int_in_range(0..=80_u8)? {
            if world.flight.is_empty() {
                world.nodes[0]
                    .participant
                    .handle_command(at(world.now), Command::Admit(member(1)));
                world.pump();
            }
            if world.flight.is_empty() {
                break;
            }
            world.deliver(0);
        }
        Ok(world)
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let to = u.choose_index(2)?;
        match u.int_in_range(0..=12_u8)? {
            0..=3 => {
                for _ in 0..u.int_in_range(1..=12_u8)? {
                    if !self.flight.is_empty() {
                        self.deliver(0);
                    }
                }
            }
            4 => {
                if !self.flight.is_empty() {
                    self.deliver(u.choose_index(self.flight.len())?);
                }
            }
            5 => {
                if !self.flight.is_empty() {
                    let which = u.choose_index(self.flight.len())?;
                    if u.arbitrary()? {
                        self.flight.remove(which);
                    } else {
                        let again = self.flight[which].clone();
                        self.flight.push(again);
                    }
                }
            }
            6 => {
                let bytes = match self.flight.first() {
                    Some((_, notice)) if u.ratio(3, 4)? => {
                        let mut bytes = notice.encode();
                        damage(u, &mut bytes)?;
                        bytes
                    }
                    _ => some_bytes(u, 100)?.to_vec(),
                };
                self.frame(to, &bytes);
            }
            7 | 8 => {
                let notice = self.notice(u)?;
                self.frame(to, &notice.encode());
            }
            9 => {
                let micros: u64 = u.int_in_range(0..=5_000_000)?;
                self.now += micros;
                for node in &mut self.nodes {
                    node.tick(at(self.now));
                }
            }
            10 => {
                let payload = some_bytes(u, 60)?.to_vec();
                self.nodes[to].participant.handle_audio(at(self.now), &payload);
                self.spoken.insert((to, payload));
            }
            11 => self.media(u, to)?,
            _ => {
                if let Some(link) = self.links[to].filter(|_| u.ratio(1, 4).unwrap_or(false)) {
                    self.down(to, link);
                    self.nodes[to].participant.handle_link_down(at(self.now), link);
                }
            }
        }
        Ok(())
    }

    fn down(&mut self, node: usize, link: LinkId) {
        self.nodes[node].links.remove(&link);
        self.links[node] = None;
        self.present.retain(|(of, _), _| *of != node);
    }

    fn frame(&mut self, to: usize, bytes: &[u8]) {
        if let Some(link) = self.links[to] {
            self.nodes[to]
                .participant
                .handle_control(at(self.now), link, bytes);
        }
    }

    fn deliver(&mut self, which: usize) {
        let (to, notice) = self.flight.remove(which);
        self.frame(to, &notice.encode());
        self.pump();
    }

    fn media(&mut self, u: &mut Unstructured<'_>, to: usize) -> Result<()> {
        let packet = match self.packets.len() {
            0 => None,
            _ if u.ratio(1, 8)? => None,
            len => Some(self.packets[u.choose_index(len)?].1.clone()),
        };
        let mut packet = match packet {
            Some(packet) => packet,
            None => {
                let track = match self.announced.first() {
                    Some((_, _, track)) => *track,
                    None => values::track(u)?,
                };
                let (kind, layer) = (MediaKind::Audio, 0);
                let mut packet = Vec::new();
                MediaHeader { kind, layer, track }.write(&mut packet);
                packet.extend_from_slice(some_bytes(u, 80)?);
                packet
            }
        };
        if u.ratio(1, 3)? {
            damage(u, &mut packet)?;
        }
        if let Some(link) = self.links[to] {
            self.nodes[to]
                .participant
                .handle_datagram(at(self.now), link, &packet);
        }
        Ok(())
    }

    fn notice(&self, u: &mut Unstructured<'_>) -> Result<RelayNotice> {
        let rooms: Vec<RoomId> = self.present.keys().map(|(_, room)| *room).collect();
        let room = match rooms.len() {
            0 => values::room(u)?,
            len => rooms[u.choose_index(len)?],
        };
        let aliases: Vec<Alias> = self.present.values().copied().collect();
        let alias = match aliases.len() {
            0 => values::alias(u)?,
            _ if u.ratio(1, 4)? => values::alias(u)?,
            len => aliases[u.choose_index(len)?],
        };
        let track = match self.announced.first() {
            Some((_, _, track)) => *track,
            None => values::track(u)?,
        };
        let descriptor = values::verified(RELAY + u.int_in_range(0..=2)?, "DE")
            .signed()
            .to_bytes();
        let descriptor: subrosa_proto::wire::relay_message::DescriptorBytes =
            descriptor.try_into().expect("fits");
        Ok(match u.int_in_range(0..=13_u8)? {
            0 => RelayNotice::Welcome {
                descriptor,
                limits: RelayLimits::default().session(),
            },
            1 => RelayNotice::Joined {
                room,
                present: if u.arbitrary()? { vec![alias] } else { aliases }
                    .try_into()
                    .expect("few"),
            },
            2 => RelayNotice::Present { room, alias },
            3 => RelayNotice::Gone { room, alias },
            4 => RelayNotice::Subscribe { room, track },
            5 => RelayNotice::Unsubscribe { room, track },
            6 => RelayNotice::TrackGone { room, track },
            7 => RelayNotice::Envelope {
                room,
                from: alias,
                bytes: some_bytes(u, 200)?.to_vec().try_into().expect("fits"),
            },
            8 => RelayNotice::Refused {
                what: Refusable::Join(room),
                code: if u.arbitrary()? {
                    RefusalCode::RoomFull
                } else if u.arbitrary()? {
                    RefusalCode::UpstreamLost
                } else {
                    RefusalCode::TokenRequired
                },
                detail: BoundedText::cut("no"),
            },
            9 => RelayNotice::Redirect {
                room,
                relays: vec![descriptor].try_into().expect("one"),
            },
            10 => RelayNotice::Draining {
                deadline_s: u.arbitrary()?,
            },
            11 => RelayNotice::Pong {
                nonce: u.arbitrary()?,
            },
            12 => RelayNotice::Through {
                descriptor,
                rtt_us: u.arbitrary()?,
                draining: u.arbitrary()?,
            },
            _ => RelayNotice::Observed {
                address: if u.arbitrary()? {
                    WireAddress::V4(u.arbitrary()?, u.arbitrary()?)
                } else {
                    WireAddress::V6(u.arbitrary()?, u.arbitrary()?)
                },
            },
        })
    }

    fn pump(&mut self) {
        for _ in 0..16 {
            let mut quiet = true;
            for number in 0..2 {
                for output in self.nodes[number].drain() {
                    quiet = false;
                    self.output(number, output);
                }
                let members = &self.nodes[number].members;
                assert!(
                    members.iter().all(|id| *id == member(0) || *id == member(1)),
                    "the relay brought somebody in"
                );
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
            Output::Dial { dial, target } => {
                let node = &mut self.nodes[number];
                match target {
                    DialTarget::Relay { permit, .. }
                        if permit.relay() == Some(identity(RELAY).relay_id()) =>
                    {
                        let peer = LinkPeer::Relay(identity(RELAY).relay_id());
                        let link = node.link(peer);
                        self.links[number] = Some(link);
                        let remote = ([203, 0, 113, 8], 4433).into();
                        node.participant
                            .handle_link_up(now, Some(dial), link, peer, None, remote);
                    }
                    DialTarget::Relay { .. } => node.participant.handle_dial_failed(now, dial),
                    DialTarget::Member { .. } => panic!("a direct link although both want none"),
                }
            }
            Output::Control { link, bytes } => {
                self.blind(&bytes);
                if self.links[number] == Some(link) {
                    let request = RelayRequest::decode(&bytes).expect("checked before");
                    self.serve(number, request);
                }
            }
            Output::Datagram { bytes, .. } => {
                self.blind(&bytes);
                if self.packets.len() < 64 {
                    self.packets.push((number, bytes));
                }
            }
            Output::Close { link } if self.links[number] == Some(link) => {
                self.down(number, link);
                self.nodes[number].participant.handle_link_down(now, link);
            }
            Output::Media(frame) => {
                assert!(
                    self.spoken.contains(&(1 - number, frame.payload))
                        && frame.member == member(1 - number as u8),
                    "a sound that nobody made"
                );
            }
            _ => {}
        }
    }

    /// The relay sees no secret.
    fn blind(&self, bytes: &[u8]) {
        for secret in &self.secrets {
            assert!(
                !bytes.windows(32).any(|window| window == secret),
                "the relay was told a secret"
            );
        }
    }

    /// As an honest relay.
    fn serve(&mut self, number: usize, request: RelayRequest) {
        let other = 1 - number;
        match request {
            RelayRequest::Join { room, alias, .. } | RelayRequest::JoinThrough { room, alias, .. } => {
                self.present.insert((number, room), alias);
                let there = self.present.get(&(other, room)).copied();
                let present: Vec<Alias> = there.into_iter().collect();
                let present = present.try_into().expect("one");
                self.tell(number, RelayNotice::Joined { room, present });
                if there.is_some() {
                    self.tell(other, RelayNotice::Present { room, alias });
                }
            }
            RelayRequest::Leave { room } => {
                if let Some(alias) = self.present.remove(&(number, room)) {
                    self.tell(other, RelayNotice::Gone { room, alias });
                }
            }
            RelayRequest::Announce { room, track } => {
                self.announced.insert((number, room, track));
                if self.wanted.contains(&(other, room, track)) {
                    self.tell(number, RelayNotice::Subscribe { room, track });
                }
            }
            RelayRequest::Withdraw { room, track } => {
                self.announced.remove(&(number, room, track));
            }
            RelayRequest::Subscribe { room, track } => {
                self.wanted.insert((number, room, track));
                if self.announced.contains(&(other, room, track)) {
                    self.tell(other, RelayNotice::Subscribe { room, track });
                }
            }
            RelayRequest::Unsubscribe { room, track } => {
                self.wanted.remove(&(number, room, track));
            }
            RelayRequest::Envelope { room, to, bytes } => {
                if let (Some(&from), Some(&there)) = (
                    self.present.get(&(number, room)),
                    self.present.get(&(other, room)),
                ) && there == to
                {
                    self.tell(other, RelayNotice::Envelope { room, from, bytes });
                }
            }
            RelayRequest::Ping { nonce } => self.tell(number, RelayNotice::Pong { nonce }),
            RelayRequest::JoinAs { .. }
            | RelayRequest::EnvelopeFrom { .. }
            | RelayRequest::LeaveAs { .. }
            | RelayRequest::State => {
                panic!("a member speaks as a relay")
            }
        }
    }

    fn tell(&mut self, to: usize, notice: RelayNotice) {
        if self.flight.len() < 256 {
            self.flight.push((to, notice));
        }
    }
}
