//! Two relays of a cascade: clients of the near one are in a room of the far one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    identity::Identity,
    ids::RelayId,
    policy::{SignedDescriptor, fixture},
    wire::relay_message::{DescriptorBytes, EnvelopeBytes},
};

/// The near relay's session with the far one, and the other way round.
const UPSTREAM: SessionId = SessionId(100);
const DOWNSTREAM: SessionId = SessionId(200);
/// What the link takes in a datagram.
const LINK_DATAGRAM_MAX: usize = 1_300;

/// A descriptor of that relay, the `sequence`-th.
fn descriptor(relay: &Identity, sequence: u64) -> DescriptorBytes {
    let descriptor = crate::policy::Descriptor {
        relay: relay.relay_id(),
        sequence,
        ..fixture::descriptor_in("DE")
    };
    let signed = SignedDescriptor::sign(descriptor, relay).unwrap();
    signed.to_bytes().try_into().unwrap()
}

/// Two relays and the link between them; clients 1 to 9 are at the near one, 11 to 19 at the far one.
struct Cascade {
    near: Relay,
    far: Relay,
    near_id: RelayId,
    far_descriptor: DescriptorBytes,
    now: Now,
    readers: BTreeMap<SessionId, FrameReader>,
    /// From near to far, and back.
    link: [FrameReader; 2],
    up: bool,
    /// Media that crossed the link, either way.
    crossed: Vec<Bytes>,
}

impl Cascade {
    fn new() -> Self {
        let near = Identity::from_seed(&[71; 32]).relay_id();
        Self::agreed(&[near])
    }

    /// `listed`: whom the far relay's operator listed.
    fn agreed(listed: &[RelayId]) -> Self {
        let far = Identity::from_seed(&[72; 32]);
        let near_id = Identity::from_seed(&[71; 32]).relay_id();
        let now = Now {
            monotonic: Timestamp::from_micros(1),
            unix: fixture::after(0),
        };
        let config = |relay: RelayId, cascade: BTreeSet<RelayId>| RelayConfig {
            month_of: now.unix,
            access: Access {
                relay,
                ..Access::default()
            },
            cascade,
            ..RelayConfig::default()
        };
        let far_descriptor = descriptor(&far, 1);
        let far_config = RelayConfig {
            descriptor: far_descriptor.clone(),
            ..config(far.relay_id(), listed.iter().copied().collect())
        };
        Self {
            near: Relay::new(config(near_id, BTreeSet::from([far.relay_id()]))),
            far: Relay::new(far_config),
            near_id,
            far_descriptor,
            now,
            readers: BTreeMap::new(),
            link: [FrameReader::new(), FrameReader::new()],
            up: false,
            crossed: Vec::new(),
        }
    }

    fn home(&mut self, client: SessionId) -> &mut Relay {
        if client.0 < 10 {
            &mut self.near
        } else {
            &mut self.far
        }
    }

    fn ask(&mut self, client: SessionId, request: &RelayRequest) {
        let now = self.now;
        self.home(client).handle_request(now, client, &request.encode());
        self.settle();
    }

    fn come(&mut self, n: u32) -> SessionId {
        let (client, now) = (SessionId(n), self.now);
        self.home(client).handle_session_up(now, client, AddressBlock(0));
        self.readers.insert(client, FrameReader::new());
        client
    }

    /// Comes and asks to be let into `ROOM`, which is the far relay's.
    fn enter(&mut self, n: u32) -> SessionId {
        let client = self.come(n);
        let request = if n < 10 {
            self.through(n)
        } else {
            RelayRequest::Join {
                room: ROOM,
                alias: alias(n as u8),
                token: None,
            }
        };
        self.ask(client, &request);
        client
    }

    fn through(&self, n: u32) -> RelayRequest {
        RelayRequest::JoinThrough {
            relay: self.far_descriptor.clone(),
            room: ROOM,
            alias: alias(n as u8),
            token: None,
        }
    }

    fn announce(&mut self, client: SessionId) {
        let track = track(client.0 as u8);
        self.ask(client, &RelayRequest::Announce { room: ROOM, track });
    }

    fn subscribe(&mut self, client: SessionId, n: u8) {
        self.ask(
            client,
            &RelayRequest::Subscribe {
                room: ROOM,
                track: track(n),
            },
        );
    }

    fn go(&mut self, client: SessionId) {
        let now = self.now;
        self.home(client).handle_session_down(now, client);
        self.settle();
    }

    /// Dials, closes, and carries what waits on the link, until nothing more happens.
    fn settle(&mut self) {
        loop {
            let outputs: Vec<RelayOutput> = std::iter::from_fn(|| self.near.poll_output()).collect();
            let mut moved = !outputs.is_empty();
            for output in outputs {
                match output {
                    RelayOutput::Dial { relay, .. } => self.connect(relay),
                    RelayOutput::Close { session, .. } if session == UPSTREAM => self.cut(),
                    _ => {}
                }
            }
            moved |= self.carry();
            if !moved {
                break;
            }
        }
    }

    fn connect(&mut self, relay: RelayId) {
        self.link = [FrameReader::new(), FrameReader::new()];
        let origin = Origin {
            identity: Some(self.near_id),
            ..AddressBlock(7).into()
        };
        self.far.handle_session_up(self.now, DOWNSTREAM, origin);
        self.near.handle_upstream_up(self.now, relay, UPSTREAM);
        self.up = true;
    }

    /// The link ends at both ends.
    fn cut(&mut self) {
        self.carry();
        self.near.handle_session_down(self.now, UPSTREAM);
        self.far.handle_session_down(self.now, DOWNSTREAM);
        self.up = false;
    }

    fn carry(&mut self) -> bool {
        let mut moved = false;
        while let Some(frame) = self.near.poll_control(UPSTREAM) {
            self.link[0].push(&frame);
            moved = true;
        }
        while let Some(frame) = self.far.poll_control(DOWNSTREAM) {
            self.link[1].push(&frame);
            moved = true;
        }
        while let Some(frame) = self.link[0].next_frame().unwrap() {
            self.far.handle_request(self.now, DOWNSTREAM, &frame);
        }
        while let Some(frame) = self.link[1].next_frame().unwrap() {
            self.near.handle_request(self.now, UPSTREAM, &frame);
        }
        while let Some(packet) = self.near.poll_datagram(self.now, UPSTREAM, LINK_DATAGRAM_MAX) {
            self.crossed.push(packet.clone());
            self.far.handle_datagram(self.now, DOWNSTREAM, &packet);
            moved = true;
        }
        while let Some(packet) = self.far.poll_datagram(self.now, DOWNSTREAM, LINK_DATAGRAM_MAX) {
            self.crossed.push(packet.clone());
            self.near.handle_datagram(self.now, UPSTREAM, &packet);
            moved = true;
        }
        moved
    }

    fn notices(&mut self, client: SessionId) -> Vec<RelayNotice> {
        let mut frames = Vec::new();
        while let Some(frame) = self.home(client).poll_control(client) {
            frames.push(frame);
        }
        let reader = self.readers.get_mut(&client).unwrap();
        frames.iter().for_each(|frame| reader.push(frame));
        let mut notices = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            notices.push(RelayNotice::decode(&frame).unwrap());
        }
        notices
    }

    /// A client's refusals so far.
    fn refusals(&mut self, client: SessionId) -> Vec<RefusalCode> {
        let notices = self.notices(client).into_iter();
        notices
            .filter_map(|notice| match notice {
                RelayNotice::Refused { code, .. } => Some(code),
                _ => None,
            })
            .collect()
    }

    /// Sends a frame of the client's own track.
    fn speak(&mut self, client: SessionId, word: &[u8]) {
        let (now, packet) = (self.now, packet(track(client.0 as u8), word));
        self.home(client).handle_datagram(now, client, &packet);
        self.settle();
    }

    fn heard(&mut self, client: SessionId) -> Vec<Bytes> {
        let now = self.now;
        let relay = self.home(client);
        std::iter::from_fn(|| relay.poll_datagram(now, client, LINK_DATAGRAM_MAX)).collect()
    }
}

#[test]
fn clients_of_two_relays_hear_each_other_and_each_track_crosses_once() {
    let mut world = Cascade::new();
    let (anna, ben, far) = (world.enter(1), world.enter(2), world.enter(11));
    for client in [anna, ben, far] {
        world.announce(client);
        for n in [1, 2, 11] {
            if u32::from(n) != client.0 {
                world.subscribe(client, n);
            }
        }
    }
    world.speak(far, b"far");
    let frame = packet(track(11), b"far");
    let heard = [anna, ben].map(|client| world.heard(client));
    assert_eq!(heard, [vec![frame.clone()], vec![frame.clone()]]);
    assert_eq!(world.heard(far), [] as [Bytes; 0]);
    assert_eq!(world.crossed, [frame]);
    world.crossed.clear();

    world.speak(anna, b"anna");
    let frame = packet(track(1), b"anna");
    assert_eq!(
        world.heard(anna),
        [] as [Bytes; 0],
        "what one sends does not come back"
    );
    let heard = [ben, far].map(|client| world.heard(client));
    assert_eq!(heard, [vec![frame.clone()], vec![frame.clone()]]);
    assert_eq!(world.crossed, [frame]);
    assert_eq!(world.near.stats().mirrored_rooms, 1);
}

#[test]
fn a_track_that_nobody_wants_beyond_the_link_does_not_cross_it() {
    let mut world = Cascade::new();
    let (anna, ben, far) = (world.enter(1), world.enter(2), world.enter(11));
    world.announce(anna);
    world.subscribe(ben, 1);
    world.speak(anna, b"one");
    assert_eq!(world.heard(ben).len(), 1);
    assert!(world.crossed.is_empty());
    world.subscribe(far, 1);
    world.speak(anna, b"two");
    assert_eq!((world.heard(far).len(), world.crossed.len()), (1, 1));
    world.ask(
        far,
        &RelayRequest::Unsubscribe {
            room: ROOM,
            track: track(1),
        },
    );
    world.speak(anna, b"three");
    assert_eq!((world.heard(ben).len(), world.crossed.len()), (2, 1));
}

#[test]
fn an_announcer_is_told_when_somebody_beyond_the_link_wants_its_track() {
    let mut world = Cascade::new();
    let (anna, far) = (world.enter(1), world.enter(11));
    world.announce(anna);
    world.notices(anna);
    world.subscribe(far, 1);
    let track = track(1);
    assert_eq!(
        world.notices(anna),
        [RelayNotice::Subscribe { room: ROOM, track }]
    );
    world.go(far);
    let notices = world.notices(anna);
    assert!(
        notices.contains(&RelayNotice::Unsubscribe { room: ROOM, track }),
        "{notices:?}"
    );
}

#[test]
fn envelopes_and_presence_cross_the_link_under_each_client_s_own_alias() {
    let mut world = Cascade::new();
    let far = world.enter(11);
    let anna = world.enter(1);
    let notices = world.notices(anna);
    let joined = RelayNotice::Joined {
        room: ROOM,
        present: vec![alias(11)].try_into().unwrap(),
    };
    assert!(notices.contains(&joined), "{notices:?}");
    assert!(notices.iter().any(|notice| matches!(notice, RelayNotice::Through { descriptor, .. } if *descriptor == world.far_descriptor)));
    let ben = world.enter(2);
    let came = |n| RelayNotice::Present {
        room: ROOM,
        alias: alias(n),
    };
    assert!(world.notices(anna).contains(&came(2)));
    let at_far = world.notices(far);
    assert!(
        at_far.contains(&came(1)) && at_far.contains(&came(2)),
        "{at_far:?}"
    );

    let letter = |text: &[u8]| EnvelopeBytes::try_from(text.to_vec()).unwrap();
    for (from, to) in [(1, 11), (11, 2), (2, 1)] {
        let request = RelayRequest::Envelope {
            room: ROOM,
            to: alias(to),
            bytes: letter(&[from, to]),
        };
        world.ask(SessionId(from.into()), &request);
        let expected = RelayNotice::Envelope {
            room: ROOM,
            from: alias(from),
            bytes: letter(&[from, to]),
        };
        let notices = world.notices(SessionId(to.into()));
        assert!(notices.contains(&expected), "{from} to {to}: {notices:?}");
    }
    world.go(ben);
    let gone = RelayNotice::Gone {
        room: ROOM,
        alias: alias(2),
    };
    assert!(world.notices(far).contains(&gone));
    assert!(world.notices(anna).contains(&gone));
}

#[test]
fn somebody_who_comes_anew_is_shown_anew_beyond_the_link() {
    let mut world = Cascade::new();
    let far = world.enter(11);
    world.enter(1);
    world.notices(far);
    let again = SessionId(3);
    world.come(3);
    world.ask(again, &world.through(1).clone());
    let came = RelayNotice::Present {
        room: ROOM,
        alias: alias(1),
    };
    assert_eq!(world.notices(far), [came]);
}

#[test]
fn an_envelope_for_nobody_is_refused_to_its_sender() {
    let mut world = Cascade::new();
    let (anna, far) = (world.enter(1), world.enter(11));
    world.far.handle_session_down(world.now, far);
    // The near relay has not heard of it yet.
    let request = RelayRequest::Envelope {
        room: ROOM,
        to: alias(11),
        bytes: EnvelopeBytes::try_from(vec![1]).unwrap(),
    };
    world.ask(anna, &request);
    assert_eq!(world.refusals(anna), [RefusalCode::NobodyThere]);
}

#[test]
fn the_link_ends_with_the_last_client_and_leaves_nothing() {
    let mut world = Cascade::new();
    let (anna, ben, far) = (world.enter(1), world.enter(2), world.enter(11));
    for client in [anna, ben, far] {
        world.announce(client);
        for n in [1, 2, 11] {
            world.subscribe(client, n);
        }
    }
    world.go(anna);
    assert!(world.up);
    world.ask(ben, &RelayRequest::Leave { room: ROOM });
    assert!(!world.up);
    world.go(ben);
    assert!(world.near.is_empty());
    world.go(far);
    assert!(world.far.is_empty());
}

#[test]
fn without_the_link_clients_are_told_and_may_come_again() {
    let mut world = Cascade::new();
    let (anna, far) = (world.enter(1), world.enter(11));
    world.announce(anna);
    world.subscribe(anna, 11);
    world.notices(anna);
    world.cut();
    world.settle();
    assert_eq!(world.refusals(anna), [RefusalCode::UpstreamLost]);
    let gone = RelayNotice::Gone {
        room: ROOM,
        alias: alias(1),
    };
    assert!(world.notices(far).contains(&gone));
    world.ask(anna, &world.through(1).clone());
    let notices = world.notices(anna);
    assert!(
        notices
            .iter()
            .any(|notice| matches!(notice, RelayNotice::Joined { .. })),
        "{notices:?}"
    );
    world.go(anna);
    world.go(far);
    assert!(world.near.is_empty() && world.far.is_empty());
}

#[test]
fn a_link_on_which_nothing_comes_is_given_up() {
    let mut world = Cascade::new();
    let anna = world.enter(1);
    for _ in 0..12 {
        world.now.monotonic += Duration::from_millis(250);
        world.near.handle_timeout(world.now);
    }
    world.settle();
    assert_eq!(world.refusals(anna), [RefusalCode::UpstreamLost]);
    assert!(!world.up);
}

#[test]
fn a_relay_that_floods_its_client_loses_the_link() {
    let mut world = Cascade::new();
    let anna = world.enter(1);
    world.notices(anna);
    let notice = RelayNotice::Pong { nonce: 7 }.encode();
    for _ in 0..200_000 {
        world.near.handle_request(world.now, UPSTREAM, &notice);
    }
    world.settle();
    assert!(!world.up);
    assert_eq!(world.refusals(anna), [RefusalCode::UpstreamLost]);
}

#[test]
fn pings_keep_the_link_and_tell_clients_how_far_it_is() {
    let mut world = Cascade::new();
    let anna = world.enter(1);
    for _ in 0..40 {
        world.now.monotonic += Duration::from_millis(250);
        world.near.handle_timeout(world.now);
        world.settle();
    }
    assert!(world.up);
    let told = world.notices(anna).into_iter().filter_map(|notice| match notice {
        RelayNotice::Through { rtt_us, .. } => Some(rtt_us),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [None, Some(0)]);
}

#[test]
fn a_client_that_goes_before_the_answer_is_not_left_behind() {
    let mut world = Cascade::new();
    let anna = world.come(1);
    let request = world.through(1);
    // The dial is under way.
    world.near.handle_request(world.now, anna, &request.encode());
    world.near.handle_session_down(world.now, anna);
    world.settle();
    assert!(world.near.is_empty() && world.far.is_empty());
    // The request is under way.
    let ben = world.enter(2);
    world.come(1);
    world.near.handle_request(world.now, anna, &request.encode());
    world.near.handle_session_down(world.now, anna);
    world.settle();
    world.go(ben);
    assert!(!world.up);
    assert!(world.near.is_empty() && world.far.is_empty());
}

#[test]
fn a_relay_that_does_not_answer_is_said_to_be_lost() {
    let mut world = Cascade::new();
    let anna = world.come(1);
    let request = world.through(1);
    world.near.handle_request(world.now, anna, &request.encode());
    let far = match world.near.poll_output() {
        Some(RelayOutput::Dial { relay, .. }) => relay,
        other => panic!("{other:?}"),
    };
    world.near.handle_upstream_failed(far);
    assert_eq!(world.refusals(anna), [RefusalCode::UpstreamLost]);
    world.go(anna);
    assert!(world.near.is_empty());
}

#[test]
fn only_relays_that_both_operators_listed_are_carried_to() {
    // The far operator did not list the near relay.
    let mut world = Cascade::agreed(&[]);
    let anna = world.enter(1);
    assert_eq!(world.refusals(anna), [RefusalCode::NotCascaded]);
    assert!(!world.up, "a link that serves nobody is closed");
    // The near one did not list the far relay.
    let mut world = Cascade::new();
    world.near.set_cascade(BTreeSet::new());
    let anna = world.enter(1);
    assert_eq!(world.refusals(anna), [RefusalCode::NotCascaded]);
    assert!(!world.up);
}

#[test]
fn a_relay_enters_no_mirrored_room_so_that_there_is_no_loop() {
    let mut world = Cascade::new();
    world.far.set_cascade(BTreeSet::from([world.near_id]));
    world.enter(1);
    // The far relay is asked by the near one to carry further.
    let back = RelayRequest::JoinThrough {
        relay: descriptor(&Identity::from_seed(&[71; 32]), 1),
        room: RoomId([9; 16]),
        alias: alias(9),
        token: None,
    };
    let before = world.far.stats().refusals.get(&RefusalCode::NotCascaded).copied();
    world.far.handle_request(world.now, DOWNSTREAM, &back.encode());
    let after = world.far.stats().refusals.get(&RefusalCode::NotCascaded).copied();
    assert_eq!((before, after), (None, Some(1)));
    // A relay does not carry to itself.
    let own = RelayRequest::JoinThrough {
        relay: descriptor(&Identity::from_seed(&[71; 32]), 1),
        room: RoomId([9; 16]),
        alias: alias(9),
        token: None,
    };
    let ben = world.come(2);
    world.ask(ben, &own);
    assert_eq!(world.refusals(ben), [RefusalCode::NotCascaded]);
}

#[test]
fn when_the_agreement_ends_so_does_the_link() {
    let mut world = Cascade::new();
    let anna = world.enter(1);
    world.near.set_cascade(BTreeSet::new());
    world.settle();
    assert!(!world.up);
    assert_eq!(world.refusals(anna), [RefusalCode::UpstreamLost]);
}

#[test]
fn an_agreement_that_ends_while_the_relay_is_dialled_leaves_no_link() {
    let mut world = Cascade::new();
    let anna = world.come(1);
    let through = world.through(1).encode();
    world.near.handle_request(world.now, anna, &through);
    world.near.set_cascade(BTreeSet::new());
    world.settle();
    assert!(!world.up);
    assert_eq!(world.refusals(anna), [RefusalCode::UpstreamLost]);
}

#[test]
fn clients_are_told_what_the_other_relay_says_of_itself_and_when_it_ends() {
    let mut world = Cascade::new();
    let anna = world.enter(1);
    world.notices(anna);
    let newer = descriptor(&Identity::from_seed(&[72; 32]), 2);
    world.far.set_descriptor(newer.clone());
    world.settle();
    let told = |notices: Vec<RelayNotice>| {
        notices.into_iter().find_map(|notice| match notice {
            RelayNotice::Through {
                descriptor, draining, ..
            } => Some((descriptor, draining)),
            _ => None,
        })
    };
    let notices = world.notices(anna);
    assert_eq!(told(notices), Some((newer.clone(), false)));
    world.far.drain(world.now, Duration::from_secs(10));
    world.settle();
    let notices = world.notices(anna);
    assert_eq!(told(notices), Some((newer, true)));
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u32),
    Go(u32),
    Leave(u32),
    Announce(u32),
    Withdraw(u32),
    Subscribe(u32, u8),
    Unsubscribe(u32, u8),
    Speak(u32),
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    let who = prop_oneof![1_u32..4, 11_u32..14];
    let whose = prop_oneof![1_u8..4, 11_u8..14];
    prop_oneof![
        3 => who.clone().prop_map(Step::Enter),
        1 => who.clone().prop_map(Step::Go),
        1 => who.clone().prop_map(Step::Leave),
        3 => who.clone().prop_map(Step::Announce),
        1 => who.clone().prop_map(Step::Withdraw),
        4 => (who.clone(), whose.clone()).prop_map(|(who, whose)| Step::Subscribe(who, whose)),
        1 => (who.clone(), whose).prop_map(|(who, whose)| Step::Unsubscribe(who, whose)),
        4 => who.prop_map(Step::Speak),
        1 => Just(Step::Cut),
    ]
}

/// What should be the case, kept apart from the relays.
#[derive(Default)]
struct Expected {
    there: BTreeSet<u32>,
    entered: BTreeSet<u32>,
    announced: BTreeSet<u32>,
    wanted: BTreeSet<(u32, u8)>,
}

impl Expected {
    fn out(&mut self, who: u32) {
        self.entered.remove(&who);
        self.announced.remove(&who);
        self.wanted.retain(|(listener, _)| *listener != who);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whoever wants a track hears each frame once, whoever does not hears none, no frame crosses the link twice, and
    /// nothing is left at the end.
    #[test]
    fn whatever_happens_each_frame_reaches_each_listener_once(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut world, mut expected) = (Cascade::new(), Expected::default());
        for step in steps {
            match step {
                Step::Enter(n) => {
                    if expected.there.insert(n) {
                        world.come(n);
                    }
                    if expected.entered.insert(n) {
                        let request = if n < 10 {
                            world.through(n)
                        } else {
                            RelayRequest::Join { room: ROOM, alias: alias(n as u8), token: None }
                        };
                        world.ask(SessionId(n), &request);
                    }
                }
                Step::Go(n) => {
                    if expected.there.remove(&n) {
                        world.go(SessionId(n));
                    }
                    expected.out(n);
                }
                Step::Leave(n) => {
                    world.ask(SessionId(n), &RelayRequest::Leave { room: ROOM });
                    expected.out(n);
                }
                Step::Announce(n) => {
                    world.announce(SessionId(n));
                    if expected.entered.contains(&n) {
                        expected.announced.insert(n);
                    }
                }
                Step::Withdraw(n) => {
                    world.ask(SessionId(n), &RelayRequest::Withdraw { room: ROOM, track: track(n as u8) });
                    expected.announced.remove(&n);
                }
                Step::Subscribe(n, whose) => {
                    world.subscribe(SessionId(n), whose);
                    if expected.entered.contains(&n) {
                        expected.wanted.insert((n, whose));
                    }
                }
                Step::Unsubscribe(n, whose) => {
                    world.ask(SessionId(n), &RelayRequest::Unsubscribe { room: ROOM, track: track(whose) });
                    expected.wanted.remove(&(n, whose));
                }
                Step::Speak(n) => {
                    world.crossed.clear();
                    world.speak(SessionId(n), b"word");
                    for listener in expected.there.clone() {
                        let wants = expected.announced.contains(&n)
                            && listener != n
                            && expected.wanted.contains(&(listener, n as u8));
                        let heard = world.heard(SessionId(listener));
                        prop_assert_eq!(heard.len(), usize::from(wants), "{} at {}", n, listener);
                    }
                    prop_assert!(world.crossed.len() <= 1);
                }
                Step::Cut => {
                    if world.up {
                        world.cut();
                        world.settle();
                    }
                    for n in 1..10 {
                        expected.out(n);
                    }
                }
            }
        }
        for n in expected.there {
            world.go(SessionId(n));
        }
        prop_assert!(!world.up);
        prop_assert!(world.near.is_empty());
        prop_assert!(world.far.is_empty());
    }
}
