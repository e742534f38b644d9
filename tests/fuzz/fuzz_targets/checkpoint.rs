//! Checkpoints of a host that keeps to no rule: any state, well signed. Whoever takes one has a consistent roster and
//! goes on; what is not taken changes nothing. And bytes that are none.
#![no_main]

use std::collections::BTreeSet;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, identity, member, values};
use subrosa_proto::{
    ids::{MemberId, OperationHash, PolicyHash},
    meeting::{
        admission::AdmissionMode,
        checkpoint::{Checkpoint, CheckpointState, LeftRecord, RemovedRecord},
        operation::{Op, RemoveReason, SignedOperation},
        role::Role,
        room_secret::RoomSecretCommitment,
        roster_log::{OPERATIONS_MAX, RosterLog},
    },
    wire::codec,
};

/// Who takes part; 0 is the host.
const PEOPLE: u8 = 6;
/// Operations before the checkpoint, and after it.
const OPERATIONS: u8 = 12;

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    if mode & 1 == 0 {
        try_bytes(rest);
    } else {
        let _ = forge(&mut Unstructured::new(rest));
    }
});

fn try_bytes(bytes: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::decode(bytes, MEETING, member(0)) {
        assert_eq!(checkpoint.encode(), bytes, "not canonical");
        let mut log = RosterLog::new(MEETING, member(0));
        assert_eq!(log.take_checkpoint(checkpoint), Ok(true));
        check(&log);
    }
}

/// An honest meeting, whose host then signs something else.
fn forge(u: &mut Unstructured<'_>) -> Result<()> {
    let found = Op::Found {
        policy: PolicyHash([5; 32]),
        name: values::name(u)?,
        admission: AdmissionMode::Ask,
        room_secret: RoomSecretCommitment([1; 32]),
    };
    let mut log = RosterLog::found(identity(0), MEETING, found).expect("a founding");
    let mut all = Vec::new();
    play(u, &mut log, &mut all)?;
    let Ok(honest) = log.author_checkpoint(identity(0)) else {
        return Ok(());
    };
    let good = log.checkpoint().expect("just written").clone();
    check(&log);
    let mut state = good.state.clone();
    for _ in 0..u.int_in_range(0..=4_u8)? {
        change(u, &mut state)?;
    }
    let (seq, parents) = (honest.operation().seq, honest.operation().parents.clone());
    let seq = if u.arbitrary()? {
        seq
    } else {
        seq.saturating_add(u.int_in_range(0..=3)?)
    };
    let op = Op::Checkpoint { state: state.hash() };
    let Ok(operation) = SignedOperation::sign(identity(0), MEETING, seq, parents, op) else {
        return Ok(());
    };
    let forged = Checkpoint {
        operation,
        state,
        proofs: good.proofs.clone(),
    };
    let bytes = forged.encode();
    let read = Checkpoint::decode(&bytes, MEETING, member(0));
    assert_eq!(read.is_ok(), forged.check(MEETING, member(0)).is_ok());
    // Whoever comes new, whoever was there, and whoever has only the beginning.
    let mut newcomer = RosterLog::new(MEETING, member(0));
    let taken = newcomer.take_checkpoint(forged.clone());
    assert_eq!(taken.is_ok(), read.is_ok(), "{taken:?}");
    for log in [&mut newcomer, &mut log] {
        let before = log.view().clone();
        if log.take_checkpoint(forged.clone()).is_err() {
            assert_eq!(*log.view(), before, "a refused checkpoint changed something");
        }
        for signed in &all {
            let _ = log.insert(signed.clone());
        }
        let _ = log.take_voided();
        play(u, log, &mut Vec::new())?;
        check(log);
    }
    Ok(())
}

/// People act as nodes do; the log judges.
fn play(u: &mut Unstructured<'_>, log: &mut RosterLog, all: &mut Vec<SignedOperation>) -> Result<()> {
    for _ in 0..u.int_in_range(0..=OPERATIONS)? {
        let author = u.int_in_range(0..=PEOPLE - 1)?;
        let target = member(u.int_in_range(0..=PEOPLE - 1)?);
        let op = match u.int_in_range(0..=6_u8)? {
            0..=2 => Op::Admit {
                member: target,
                name: values::name(u)?,
                role: values::role(u)?,
            },
            3 => Op::Remove {
                member: target,
                reason: RemoveReason::Unstated,
                room_secret: RoomSecretCommitment([u.int_in_range(0..=3)?; 32]),
            },
            4 => Op::Role {
                member: target,
                role: values::role(u)?,
            },
            5 => Op::Leave,
            _ => Op::Reactions {
                member: target,
                allowed: u.arbitrary()?,
            },
        };
        all.extend(log.author(identity(author), op));
    }
    Ok(())
}

/// One lie.
fn change(u: &mut Unstructured<'_>, state: &mut CheckpointState) -> Result<()> {
    let who = member(u.int_in_range(0..=PEOPLE + 1)?);
    let next_seq = u.int_in_range(0..=5)?;
    let hash = OperationHash([u.int_in_range(0..=3)?; 32]);
    let mut members = state.members.to_vec();
    let at = u.choose_index(members.len())?;
    match u.int_in_range(0..=8_u8)? {
        0 => drop(members.remove(at)),
        1 => members[at].role = values::role(u)?,
        2 => members[at].next_seq = next_seq,
        3 => {
            let mut twin = members[at].clone();
            twin.member = who;
            twin.role = Role::Speaker;
            members.push(twin);
            members.sort_unstable_by_key(|record| record.member);
        }
        4 => {
            let removed = RemovedRecord {
                member: who,
                next_seq,
                operation: hash,
                by: u.arbitrary::<bool>()?.then_some(member(1)),
                reason: RemoveReason::Mistake,
                equivocator: u.arbitrary()?,
            };
            let all = state.removed.iter().cloned().chain([removed]).collect();
            state.removed = Vec::try_into(all).expect("few people");
        }
        5 => {
            let left = LeftRecord {
                member: who,
                next_seq,
            };
            let all = state.left.iter().copied().chain([left]).collect();
            state.left = Vec::try_into(all).expect("few people");
        }
        6 => {
            let all = state.silenced.iter().copied().chain([who]).collect();
            state.silenced = Vec::try_into(all).expect("few people");
        }
        7 => {
            let mut rooms = state.rooms.to_vec();
            rooms.truncate(u.int_in_range(0..=2)?);
            state.rooms = rooms.try_into().expect("fewer");
        }
        _ => {
            let all = state.past.iter().copied().chain([hash]).collect();
            state.past = Vec::try_into(all).expect("few operations");
        }
    }
    state.members = members.try_into().expect("few people");
    Ok(())
}

fn check(log: &RosterLog) {
    let roster = log.view();
    let members: BTreeSet<MemberId> = roster.member_ids();
    let out = |id: &MemberId| roster.removed.contains_key(id) || roster.left.contains(id);
    assert!(!members.iter().any(out), "in and out");
    assert!(roster.left.iter().all(|id| !roster.removed.contains_key(id)));
    let hosts = roster.members.values().filter(|m| m.role == Role::Host);
    assert!(hosts.count() <= 1, "two hosts");
    assert!(log.len() <= OPERATIONS_MAX);
    for person in &members {
        if let Some(chain) = log.charge_of(*person) {
            let proven = subrosa_proto::meeting::charge::proven_by(&chain, MEETING, member(0));
            assert_eq!(proven, Some(*person));
        }
    }
    if let Some(checkpoint) = log.checkpoint() {
        let bytes = checkpoint.encode();
        assert!(codec::decode_long::<Checkpoint>(&bytes).is_ok_and(|twin| twin == *checkpoint));
        assert!(Checkpoint::decode(&bytes, MEETING, member(0)).is_ok());
    }
}
