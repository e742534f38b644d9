use proptest::prelude::*;

use super::*;
use crate::{
    identity::Identity,
    ids::{MeetingId, PolicyHash},
    meeting::roster_log::RosterLog,
};

const MEETING: MeetingId = MeetingId([9; 16]);

fn person(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

/// A meeting of three whose host was handed on once.
fn checkpoint() -> Checkpoint {
    let founder = person(1);
    let found = Op::Found {
        policy: PolicyHash([1; 32]),
        name: Name::new("Ada").unwrap(),
        admission: AdmissionMode::Ask,
        room_secret: RoomSecretCommitment([2; 32]),
    };
    let mut log = RosterLog::found(&founder, MEETING, found).unwrap();
    for (number, name) in [(2, "Bea"), (3, "Cem")] {
        let member = person(number).member_id();
        let (name, role) = (Name::new(name).unwrap(), Role::Speaker);
        log.author(&founder, Op::Admit { member, name, role }).unwrap();
    }
    for (number, role) in [(3, Role::CoHost), (2, Role::Host)] {
        let member = person(number).member_id();
        log.author(&founder, Op::Role { member, role }).unwrap();
    }
    log.author_checkpoint(&person(2)).unwrap();
    log.checkpoint().unwrap().clone()
}

fn decode(checkpoint: &Checkpoint) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::decode(&checkpoint.encode(), MEETING, person(1).member_id())
}

#[test]
fn what_a_host_states_is_taken_by_whoever_knows_the_ticket_only() {
    let whole = checkpoint();
    assert_eq!(decode(&whole).unwrap(), whole);
    assert_eq!(whole.state.handovers.len(), 1);
    assert_eq!(whole.state.appointments.len(), 1);
    let other_host = Checkpoint::decode(&whole.encode(), MEETING, person(2).member_id());
    assert_eq!(other_host, Err(CheckpointError::Unproven));
    let other_meeting = Checkpoint::decode(&whole.encode(), MeetingId([8; 16]), person(1).member_id());
    assert_eq!(other_meeting, Err(CheckpointError::Unbound));
}

#[test]
fn a_changed_state_or_proof_is_refused() {
    let whole = checkpoint();
    let mut opened = whole.clone();
    opened.state.locked = true;
    assert_eq!(decode(&opened), Err(CheckpointError::Unbound));
    let mut unproven = whole.clone();
    unproven.proofs = BoundedVec::default();
    assert_eq!(decode(&unproven), Err(CheckpointError::Unbound));
}

/// Signs a state as somebody else than the host would.
fn signed_by(number: u8, change: impl FnOnce(&mut CheckpointState)) -> Checkpoint {
    let mut forged = checkpoint();
    change(&mut forged.state);
    let op = Op::Checkpoint {
        state: forged.state.hash(),
    };
    let parents = forged.operation.operation().parents.clone();
    forged.operation = SignedOperation::sign(&person(number), MEETING, 7, parents, op).unwrap();
    forged
}

#[test]
fn only_the_host_at_the_end_of_the_handovers_signs() {
    assert!(decode(&signed_by(2, |_| {})).is_ok());
    for other in [1, 3, 4] {
        assert_eq!(
            decode(&signed_by(other, |_| {})),
            Err(CheckpointError::Unproven),
            "{other}"
        );
    }
    // A former host that leaves out that it handed on is taken at its word by whoever knows no more than the ticket; but it
    // cannot be host beside the other.
    let alone = signed_by(1, |state| state.handovers = BoundedVec::default());
    assert!(decode(&alone).is_err());
}

#[test]
fn a_state_that_breaks_its_form_is_refused_even_from_the_host() {
    let twice = signed_by(2, |state| {
        let member = state.members[0].member;
        let left = vec![LeftRecord { member, next_seq: 0 }];
        state.left = left.try_into().unwrap();
    });
    let hosts = signed_by(2, |state| {
        let mut members = state.members.to_vec();
        members.iter_mut().for_each(|member| member.role = Role::Host);
        state.members = members.try_into().unwrap();
    });
    let unordered = signed_by(2, |state| {
        let mut members = state.members.to_vec();
        members.reverse();
        state.members = members.try_into().unwrap();
    });
    let stranger = signed_by(2, |state| {
        state.silenced = vec![MemberId([7; 32])].try_into().unwrap();
    });
    let roomless = signed_by(2, |state| state.rooms = BoundedVec::default());
    for bad in [twice, hosts, unordered, stranger, roomless] {
        assert_eq!(decode(&bad), Err(CheckpointError::State));
    }
}

#[test]
fn the_largest_one_fits_its_parts() {
    let mut state = checkpoint().state;
    let id = |kind: u8, n: usize| {
        let mut id = [kind; 32];
        id[..2].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        MemberId(id)
    };
    let hash = OperationHash([255; 32]);
    let members = (0..MEMBERS_MAX).map(|n| MemberRecord {
        member: id(1, n),
        next_seq: SEQ_MAX,
        name: Name::new(&"x".repeat(64)).unwrap(),
        role: Role::Speaker,
        since: hash,
        role_since: hash,
    });
    state.members = members.collect::<Vec<_>>().try_into().unwrap();
    let removed = (0..FORMER_MAX).map(|n| RemovedRecord {
        member: id(2, n),
        next_seq: SEQ_MAX,
        operation: hash,
        by: Some(id(1, 0)),
        reason: RemoveReason::ToLobby,
        equivocator: true,
    });
    state.removed = removed.collect::<Vec<_>>().try_into().unwrap();
    let left = (0..FORMER_MAX).map(|n| LeftRecord {
        member: id(3, n),
        next_seq: SEQ_MAX,
    });
    state.left = left.collect::<Vec<_>>().try_into().unwrap();
    let silenced: Vec<MemberId> = (0..SILENCED_MAX).map(|n| id(4, n)).collect();
    state.silenced = silenced.try_into().unwrap();
    let room = RoomRecord {
        number: u32::MAX,
        operation: hash,
        commitment: RoomSecretCommitment([255; 32]),
    };
    state.rooms = vec![room; ROOMS_MAX].try_into().unwrap();
    state.handovers = vec![hash; HANDOVERS_MAX].try_into().unwrap();
    state.appointments = vec![hash; APPOINTMENTS_MAX].try_into().unwrap();
    state.past = vec![hash; PAST_MAX].try_into().unwrap();
    let parents = (0..8).map(|n| OperationHash([n; 32])).collect();
    let op = Op::Role {
        member: id(1, 0),
        role: Role::Host,
    };
    let proof = SignedOperation::sign(&person(1), MEETING, SEQ_MAX - 1, parents, op).unwrap();
    let largest = Checkpoint {
        operation: proof.clone(),
        state,
        proofs: vec![proof; PROOFS_MAX].try_into().unwrap(),
    };
    let bytes = largest.encode();
    assert!(bytes.len() <= PART_BYTES_MAX * PARTS_MAX, "{}", bytes.len());
    assert_eq!(codec::decode_long::<Checkpoint>(&bytes).unwrap(), largest);
}

proptest! {
    #[test]
    fn arbitrary_and_changed_bytes_do_no_harm(at: usize, byte: u8, junk: Vec<u8>) {
        let whole = checkpoint().encode();
        let mut changed = whole.clone();
        let at = at % changed.len();
        changed[at] = byte;
        let host = person(1).member_id();
        prop_assert!(changed == whole || Checkpoint::decode(&changed, MEETING, host).is_err());
        prop_assert!(Checkpoint::decode(&junk, MEETING, host).is_err());
    }
}
