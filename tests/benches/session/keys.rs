//! What a change of keys costs a processor in a meeting of 200: making and encoding a new key for everybody who remains, and
//! taking those that the others made.

use std::collections::BTreeSet;

use subrosa_proto::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    meeting::keys::{KeyMessage, Publisher, Receiver, RosterAtHeads},
    random::Random,
    time::Timestamp,
    wire::control_message::ControlMessage,
};

use crate::{
    cpu::fastest,
    report::{Figure, Report},
};

const MEETING: MeetingId = MeetingId([1; 16]);
const POLICY: PolicyHash = PolicyHash([2; 32]);
const HEADS: [OperationHash; 1] = [OperationHash([3; 32])];
const MEMBERS: u8 = 200;
const BATCHES: usize = 50;

/// The members of the meeting, the publisher among them.
struct Everybody(BTreeSet<MemberId>);

impl RosterAtHeads for Everybody {
    fn members_at(&self, _: &[OperationHash]) -> Option<BTreeSet<MemberId>> {
        Some(self.0.clone())
    }

    fn policy_hash(&self) -> PolicyHash {
        POLICY
    }
}

pub(crate) fn measure(report: &mut Report) {
    let publishing = Identity::from_seed(&[9; 32]);
    let me = publishing.member_id();
    let others: BTreeSet<MemberId> = (1..MEMBERS).map(|number| MemberId([number; 32])).collect();
    let gone = MemberId([MEMBERS; 32]);
    let mut all = others.clone();
    all.insert(gone);
    let now = Timestamp::ZERO;
    let mut messages = Vec::new();
    let rotate = fastest(BATCHES, 1, || {
        let mut publisher = Publisher::new(publishing.clone(), MEETING, POLICY, Random::from_seed([4; 32]));
        publisher
            .set_recipients(now, &all, &HEADS, true)
            .expect("200 recipients");
        // Setting the stage; it counts, too, but does little beside the rest.
        while publisher.poll_transmit(now).is_some() {}
        publisher
            .set_recipients(now, &others, &HEADS, true)
            .expect("199 recipients");
        messages.clear();
        while let Some((_, message)) = publisher.poll_transmit(now) {
            messages.push(ControlMessage::Key(Box::new(message)).encode());
        }
    });
    let case = format!("new key for {} members, encoded", MEMBERS - 1);
    report.add(&Figure::new("rotation_us", case, rotate / 1_000.0, "us"));
    let message = messages.last().expect("there are recipients");
    let message = match ControlMessage::decode(message).expect("what was encoded") {
        ControlMessage::Key(message) => *message,
        other => unreachable!("a key was encoded, not {other:?}"),
    };
    take(report, me, &others, &message);
}

/// Every member takes the key of every other.
fn take(report: &mut Report, publisher: MemberId, others: &BTreeSet<MemberId>, message: &KeyMessage) {
    let own = *others.first().expect("there are recipients");
    let mut members = others.clone();
    members.insert(publisher);
    let roster = Everybody(members);
    let count = usize::from(MEMBERS - 1);
    let taken = fastest(BATCHES, 1, || {
        for _ in 0..count {
            let mut receiver = Receiver::new(MEETING, publisher, own);
            let taken = receiver.handle_key_message(Timestamp::ZERO, message, &roster);
            taken.expect("a key for this member");
        }
    });
    let case = format!("keys of {count} members, verified");
    report.add(&Figure::new("rotation_us", case, taken / 1_000.0, "us"));
}
