//! Key distribution between machines that exchange messages in memory.

mod distribution;
mod faults;
mod frames;
mod frozen;
mod schedules;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::Duration,
};

use super::{KeyFault, KeyMessage, OpenError, Opened, Publisher, Receiver, RosterAtHeads, Sealed};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash, PolicyHash, StreamId},
    random::Random,
    sframe::MediaContext,
    time::Timestamp,
    wire::media_packet::MediaKind,
};

const MEETING: MeetingId = MeetingId([0x33; 16]);
const POLICY: PolicyHash = PolicyHash([0x44; 32]);
const HEADS: [OperationHash; 1] = [OperationHash([0x55; 32])];

/// Computed once: deriving a public key costs more than a hundred frames.
static PUBLISHER: LazyLock<MemberId> = LazyLock::new(|| publisher_identity().member_id());

fn publisher_identity() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn member(n: u8) -> MemberId {
    MemberId([100 + n; 32])
}

fn members(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<MemberId> {
    numbers.into_iter().map(member).collect()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn new_publisher(seed: u8) -> Publisher {
    Publisher::new(
        publisher_identity(),
        MEETING,
        POLICY,
        Random::from_seed([seed; 32]),
    )
}

fn context(stream: u8) -> MediaContext {
    MediaContext {
        kind: MediaKind::Audio,
        layer: 0,
        meeting: MEETING,
        sender: *PUBLISHER,
        stream: StreamId(stream),
    }
}

/// A roster that has the same members at all heads.
struct FixedRoster {
    members: BTreeSet<MemberId>,
    policy: PolicyHash,
    has_operations: bool,
}

impl RosterAtHeads for FixedRoster {
    fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>> {
        assert_eq!(heads, HEADS);
        self.has_operations.then(|| self.members.clone())
    }

    fn policy_hash(&self) -> PolicyHash {
        self.policy
    }
}

fn roster(numbers: impl IntoIterator<Item = u8>) -> FixedRoster {
    let mut members = members(numbers);
    members.insert(publisher_identity().member_id());
    FixedRoster {
        members,
        policy: POLICY,
        has_operations: true,
    }
}

/// One publisher, and receivers that answer at once unless they are deaf.
struct World {
    publisher: Publisher,
    receivers: BTreeMap<MemberId, Receiver>,
    deaf: BTreeSet<MemberId>,
    roster: FixedRoster,
    sent: Vec<(MemberId, KeyMessage)>,
    /// The recipients are all members.
    everybody: bool,
}

impl World {
    fn new(numbers: impl IntoIterator<Item = u8>) -> Self {
        let mut world = Self {
            publisher: new_publisher(7),
            receivers: BTreeMap::new(),
            deaf: BTreeSet::new(),
            roster: roster(0..60),
            sent: Vec::new(),
            everybody: false,
        };
        world.set(at(0), numbers);
        world
    }

    fn set(&mut self, now: Timestamp, numbers: impl IntoIterator<Item = u8>) {
        let recipients = members(numbers);
        self.publisher
            .set_recipients(now, &recipients, &HEADS, self.everybody)
            .unwrap();
        self.exchange(now);
    }

    /// Delivers all that is due.
    fn exchange(&mut self, now: Timestamp) {
        while let Some((to, message)) = self.publisher.poll_transmit(now) {
            self.sent.push((to, message.clone()));
            if self.deaf.contains(&to) {
                continue;
            }
            let receiver = self
                .receivers
                .entry(to)
                .or_insert_with(|| Receiver::new(MEETING, publisher_identity().member_id(), to));
            let ack = receiver.handle_key_message(now, &message, &self.roster).unwrap();
            self.publisher.handle_ack(now, to, &ack);
        }
    }

    fn seal(&mut self, now: Timestamp) -> Frame {
        let mut sframe = Vec::new();
        let sealed = self
            .publisher
            .seal(now, &context(0), b"frame", &mut sframe)
            .unwrap();
        Frame { sealed, sframe }
    }

    fn open(&mut self, now: Timestamp, n: u8, frame: &Frame) -> Result<Opened, OpenError> {
        let mut out = Vec::new();
        let receiver = self.receivers.get_mut(&member(n)).ok_or(OpenError::UnknownKey)?;
        let opened = receiver.open(now, &context(0), &frame.sframe, &mut out)?;
        assert_eq!(out, b"frame");
        assert_eq!(
            (opened.key, opened.counter),
            (frame.sealed.key, frame.sealed.counter)
        );
        Ok(opened)
    }

    fn last_message_to(&self, n: u8) -> KeyMessage {
        let sent = self.sent.iter().rev().find(|(to, _)| *to == member(n));
        sent.unwrap().1.clone()
    }

    fn hand_in(&mut self, now: Timestamp, n: u8, message: &KeyMessage) -> Result<(), KeyFault> {
        let receiver = self.receivers.get_mut(&member(n)).unwrap();
        receiver
            .handle_key_message(now, message, &self.roster)
            .map(|_| ())
    }
}

struct Frame {
    sealed: Sealed,
    sframe: Vec<u8>,
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
