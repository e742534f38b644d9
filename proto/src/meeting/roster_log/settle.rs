//! What a set of operations comes to, as a checkpoint states it. Like the merge a pure function of the set.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    ancestors::PlaceSet,
    effect::Effects,
    graph::{Entry, Graph},
    merge,
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        checkpoint::{
            APPOINTMENTS_MAX, CheckpointState, FORMER_MAX, LeftRecord, MemberRecord, PAST_MAX, RemovedRecord,
            RoomRecord,
        },
        operation::{Op, SignedOperation},
        role::Role,
        roster::Roster,
    },
};

/// The state of `set`, which holds the past of each of its operations, and the signed operations that the state names as
/// proofs. None if there is no host, or if it does not fit the bounds.
pub(super) fn settle(graph: &Graph, set: &PlaceSet) -> Option<(CheckpointState, Vec<SignedOperation>)> {
    let roster = merge::merge(graph, set);
    let host = roster.host()?;
    let handovers = handovers(graph, set)?;
    let appointments = appointments(graph, &roster, &handovers);
    let removed = removed(graph, set, &roster);
    let left = left(graph, set, &roster);
    let listed = |member: &&MemberId| {
        roster.members.contains_key(member)
            || removed.iter().any(|record| record.member == **member)
            || left.iter().any(|record| record.member == **member)
    };
    let silenced: Vec<MemberId> = roster.silenced.iter().filter(listed).copied().collect();
    let rooms = roster.room_epochs.iter().map(|epoch| RoomRecord {
        number: epoch.number,
        operation: epoch.operation,
        commitment: epoch.commitment,
    });
    let hashes = |operations: &[SignedOperation]| -> Vec<OperationHash> {
        operations.iter().map(SignedOperation::hash).collect()
    };
    let members = roster.members.iter().map(|(id, member)| MemberRecord {
        member: *id,
        next_seq: graph.next_seq(id, set),
        name: member.name.clone(),
        role: member.role,
        since: member.since,
        role_since: member.role_since,
    });
    let state = CheckpointState {
        members: members.collect::<Vec<_>>().try_into().ok()?,
        silenced: silenced.try_into().ok()?,
        removed: removed.try_into().ok()?,
        left: left.try_into().ok()?,
        locked: roster.locked,
        sharing_in_charge_only: roster.sharing_in_charge_only,
        policy: roster.policy_hash?,
        admission: roster.admission?,
        rooms: rooms.collect::<Vec<_>>().try_into().ok()?,
        handovers: hashes(&handovers).try_into().ok()?,
        appointments: hashes(&appointments).try_into().ok()?,
        past: past(graph, set).try_into().ok()?,
    };
    let last = handovers
        .last()
        .map(|handover| Entry::target_of(&handover.operation().op));
    let founder = graph.founder();
    let leads_to_host = last.map_or(founder == Some(host), |last| last == Some(host));
    leads_to_host.then(|| (state, handovers.into_iter().chain(appointments).collect()))
}

/// The operations that handed the meeting on, from the founder to the present host.
pub(super) fn handovers(graph: &Graph, set: &PlaceSet) -> Option<Vec<SignedOperation>> {
    let effects = Effects::of(graph, set);
    let handed_on = |place: &usize| {
        let entry = graph.entry(*place);
        let hands_on = matches!(entry.op(), Op::Role { role: Role::Host, .. });
        hands_on && entry.standing.role == Role::Host && effects.holds(*place)
    };
    let mut since: Vec<&Entry> = set
        .iter()
        .filter(handed_on)
        .map(|place| graph.entry(place))
        .collect();
    since.sort_unstable_by_key(|entry| entry.order());
    let known = match &graph.base {
        Some(base) => {
            let named = base.checkpoint.state.handovers.iter();
            named
                .map(|hash| base.proof(hash).cloned())
                .collect::<Option<Vec<_>>>()?
        }
        None => Vec::new(),
    };
    let since = since.into_iter().map(|entry| entry.signed.clone());
    Some(known.into_iter().chain(since).collect())
}

/// The operations that put the present co-hosts in charge, as far as they are known.
fn appointments(graph: &Graph, roster: &Roster, handovers: &[SignedOperation]) -> Vec<SignedOperation> {
    let in_charge = roster
        .members
        .values()
        .filter(|member| member.role.is_in_charge());
    let operations = in_charge.filter_map(|member| graph.operation(&member.role_since));
    let mut found: Vec<SignedOperation> = Vec::new();
    for operation in operations {
        let appoints = matches!(operation.operation().op, Op::Role { role, .. } if role.is_in_charge());
        let known = |other: &SignedOperation| other.hash() == operation.hash();
        if appoints && !handovers.iter().any(known) && !found.iter().any(known) {
            found.push(operation.clone());
        }
    }
    found.truncate(APPOINTMENTS_MAX);
    found
}

/// When somebody went: in the base's own order, or later in the log's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Before(usize),
    Since((u32, OperationHash)),
}

/// Oldest first. Of too many the oldest go, but equivocators last.
fn removed(graph: &Graph, set: &PlaceSet, roster: &Roster) -> Vec<RemovedRecord> {
    let known = graph
        .base
        .iter()
        .flat_map(|base| base.checkpoint.state.removed.iter());
    let before: BTreeMap<MemberId, usize> = known.map(|record| record.member).zip(0..).collect();
    let age = |record: &RemovedRecord| match graph.place(&record.operation) {
        Some(place) => Age::Since(graph.entry(place).order()),
        None => Age::Before(before.get(&record.member).copied().unwrap_or(0)),
    };
    let records = roster.removed.iter().map(|(member, removal)| RemovedRecord {
        member: *member,
        next_seq: graph.next_seq(member, set),
        operation: removal.operation,
        by: removal.by,
        reason: removal.reason,
        equivocator: roster.equivocators.contains(member),
    });
    let mut records: Vec<RemovedRecord> = records.collect();
    records.sort_unstable_by_key(|record| (age(record), record.member));
    let mut surplus = records.len().saturating_sub(FORMER_MAX);
    records.retain(|record| {
        let goes = surplus > 0 && !record.equivocator;
        surplus -= usize::from(goes);
        !goes
    });
    // More proven equivocators than that: the oldest go after all.
    records.split_off(records.len().saturating_sub(FORMER_MAX))
}

/// Oldest first; of too many the oldest go.
fn left(graph: &Graph, set: &PlaceSet, roster: &Roster) -> Vec<LeftRecord> {
    let known = graph
        .base
        .iter()
        .flat_map(|base| base.checkpoint.state.left.iter());
    let before = known.map(|record| record.member).zip((0..).map(Age::Before));
    let mut ages: BTreeMap<MemberId, Age> = before.collect();
    for place in set.iter() {
        let entry = graph.entry(place);
        if matches!(entry.op(), Op::Leave) {
            let age = Age::Since(entry.order());
            let known = ages.entry(entry.signed.author()).or_insert(age);
            *known = age.max(*known);
        }
    }
    let mut left: Vec<MemberId> = roster.left.iter().copied().collect();
    left.sort_unstable_by_key(|member| (ages.get(member).copied(), *member));
    let surplus = left.len().saturating_sub(FORMER_MAX);
    let newest = left.into_iter().skip(surplus);
    newest
        .map(|member| LeftRecord {
            member,
            next_seq: graph.next_seq(&member, set),
        })
        .collect()
}

/// The newest operations of the set, and of what its base knows.
fn past(graph: &Graph, set: &PlaceSet) -> Vec<OperationHash> {
    let mut since: Vec<(u32, OperationHash)> = set.iter().map(|place| graph.entry(place).order()).collect();
    since.sort_unstable_by_key(|order| Reverse(*order));
    let since = since.into_iter().map(|(_, hash)| hash);
    let before = graph
        .base
        .iter()
        .flat_map(|base| base.checkpoint.state.past.iter().copied());
    since.chain(before).take(PAST_MAX).collect()
}
