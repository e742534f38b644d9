//! The roster of a set of operations. A pure function of the set: equal sets give equal rosters, in whatever order
//! they arrived (`proto/spec/roster.md`, "Merge").

use std::collections::BTreeMap;

use super::{
    ancestors::PlaceSet,
    effect::Effects,
    graph::{Entry, Graph},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        operation::{Op, RemoveReason},
        role::Role,
        roster::{Member, Removal, RoomEpoch, Roster},
    },
};

/// The roster of `set`, which holds the past of each of its operations.
pub(super) fn merge(graph: &Graph, set: &PlaceSet) -> Roster {
    let effects = Effects::of(graph, set);
    // Whoever was not touched since the base is as it says.
    let mut roster = graph
        .base
        .as_ref()
        .map_or_else(Roster::default, |base| base.roster.clone());
    for (number, history) in histories(graph, set, &effects).iter().enumerate() {
        let id = graph.people()[number];
        let fork = effects.fork(number);
        roster.members.remove(&id);
        roster.removed.remove(&id);
        roster.left.remove(&id);
        if fork.is_some() {
            roster.equivocators.insert(id);
        }
        let member = if fork.is_some() {
            None
        } else {
            history.member(graph)
        };
        if let Some(member) = member {
            roster.members.insert(id, member);
        } else if let Some(removal) = history.removal(graph, fork) {
            roster.removed.insert(id, removal);
        } else if history.has_left(graph) {
            roster.left.insert(id);
        }
    }
    merge_meeting(graph, set, &effects, &mut roster);
    roster
}

/// What is not about one person: founding, lock, policy, room.
fn merge_meeting(graph: &Graph, set: &PlaceSet, effects: &Effects, roster: &mut Roster) {
    let (mut locks, mut removes, mut founding) = (Vec::new(), Vec::new(), None);
    let (mut sharing, mut reactions) = (Vec::new(), BTreeMap::<MemberId, Vec<usize>>::new());
    for place in set.iter().filter(|&place| effects.holds(place)) {
        match graph.entry(place).op() {
            Op::Found {
                policy, admission, ..
            } => {
                roster.policy_hash = Some(*policy);
                roster.admission = Some(*admission);
                founding = Some(place);
            }
            // Only hosts make these, and what hosts do is totally ordered: the last one is in force.
            Op::Policy { policy } => roster.policy_hash = Some(*policy),
            Op::Lock { .. } => locks.push(place),
            Op::Sharing { .. } => sharing.push(place),
            Op::Reactions { member, .. } => reactions.entry(*member).or_default().push(place),
            Op::Remove { .. } => removes.push(place),
            Op::Admit { .. } | Op::Leave | Op::Role { .. } | Op::Checkpoint { .. } => {}
        }
    }
    // Every word in the log follows the base, and stands for what the base says about the same.
    if !locks.is_empty() {
        let is_lock = |&place: &usize| matches!(graph.entry(place).op(), Op::Lock { locked: true });
        roster.locked = graph.maximal(&locks).iter().any(is_lock);
    }
    // As with locks: of the latest words, the one that forbids.
    let forbids = |&place: &usize| {
        matches!(
            graph.entry(place).op(),
            Op::Sharing { in_charge_only: true } | Op::Reactions { allowed: false, .. }
        )
    };
    if !sharing.is_empty() {
        roster.sharing_in_charge_only = graph.maximal(&sharing).iter().any(forbids);
    }
    for (member, places) in reactions {
        if graph.maximal(&places).iter().any(forbids) {
            roster.silenced.insert(member);
        } else {
            roster.silenced.remove(&member);
        }
    }
    if removes.is_empty() && graph.base.is_some() {
        return;
    }
    let mut epochs = if removes.is_empty() {
        founding.into_iter().collect()
    } else {
        graph.maximal(&removes)
    };
    epochs.sort_unstable_by_key(|&place| graph.entry(place).order());
    roster.room_epochs = epochs
        .iter()
        .filter_map(|&place| room_epoch(graph.entry(place)))
        .collect();
}

/// The epoch that an operation begins.
pub(super) fn room_epoch(entry: &Entry) -> Option<RoomEpoch> {
    match entry.op() {
        Op::Found { room_secret, .. } | Op::Remove { room_secret, .. } => Some(RoomEpoch {
            number: entry.standing.epoch,
            operation: entry.signed.hash(),
            commitment: *room_secret,
        }),
        _ => None,
    }
}

/// Where somebody stands by the base.
#[derive(Clone, Copy)]
enum Standing<'a> {
    Member(&'a Member),
    Removed(&'a Removal),
    Left,
}

/// What the operations in force say about one person. Places ascend.
#[derive(Default)]
struct History<'a> {
    /// What the base says about the person. Place 0 stands for it in the lists.
    base: Option<Standing<'a>>,
    /// Found and Admit.
    admissions: Vec<usize>,
    /// Admissions without force; only their names are used, and only for people whom the host raised.
    void_admissions: Vec<usize>,
    /// The host's operations that made it co-host or host.
    promotions: Vec<usize>,
    /// Everything that set its role, with the role.
    roles: Vec<(usize, Role)>,
    removes: Vec<usize>,
    leaves: Vec<usize>,
}

fn histories<'a>(graph: &'a Graph, set: &PlaceSet, effects: &Effects) -> Vec<History<'a>> {
    let base = graph.base.as_ref().map(|base| &base.roster);
    let mut histories: Vec<History> = graph
        .people()
        .iter()
        .map(|member| base.map_or_else(History::default, |base| History::of(base, member)))
        .collect();
    for place in set.iter() {
        let entry = graph.entry(place);
        let (author, holds) = (entry.author, effects.holds(place));
        match (entry.op(), entry.target) {
            _ if entry.void => {}
            (Op::Leave, _) => histories[author].leaves.push(place),
            (Op::Admit { .. }, Some(target)) if !holds => histories[target].void_admissions.push(place),
            _ if !holds => {}
            (Op::Found { .. }, _) => {
                histories[author].admissions.push(place);
                histories[author].roles.push((place, Role::Host));
            }
            (Op::Admit { role, .. }, Some(target)) => {
                histories[target].admissions.push(place);
                histories[target].roles.push((place, *role));
            }
            (Op::Remove { .. }, Some(target)) => histories[target].removes.push(place),
            (Op::Role { role, .. }, Some(target)) => {
                histories[target].roles.push((place, *role));
                if role.is_in_charge() {
                    histories[target].promotions.push(place);
                }
                if *role == Role::Host {
                    histories[author].roles.push((place, Role::CoHost));
                }
            }
            _ => {}
        }
    }
    histories
}

impl<'a> History<'a> {
    fn of(base: &'a Roster, person: &MemberId) -> Self {
        let mut history = Self::default();
        if let Some(member) = base.members.get(person) {
            history.base = Some(Standing::Member(member));
            history.admissions.push(0);
            history.roles.push((0, member.role));
        } else if let Some(removal) = base.removed.get(person) {
            history.base = Some(Standing::Removed(removal));
            history.removes.push(0);
        } else if base.left.contains(person) {
            history.base = Some(Standing::Left);
            history.leaves.push(0);
        }
        history
    }

    /// What the base says, if the person is in by it and `place` stands for it.
    fn base_member(&self, place: usize) -> Option<&'a Member> {
        match self.base {
            Some(Standing::Member(member)) if place == 0 => Some(member),
            _ => None,
        }
    }

    /// Whether every Remove and Leave lies in the past of `place`: whatever does not, beats it. The latest come first,
    /// since they beat most.
    fn stands(&self, graph: &Graph, place: usize) -> bool {
        let past = &graph.entry(place).past;
        self.removes
            .iter()
            .chain(&self.leaves)
            .all(|&end| past.contains(end))
    }

    /// The person as a member, if it is one.
    fn member(&self, graph: &Graph) -> Option<Member> {
        let first = |places: &[usize]| {
            let standing = places.iter().filter(|&&place| self.stands(graph, place));
            standing.copied().min_by_key(|&place| graph.entry(place).order())
        };
        let since = first(&self.admissions).or_else(|| first(&self.promotions))?;
        let (role_since, role) = self.role(graph)?;
        let name = match (graph.entry(since).op(), self.base_member(since)) {
            (_, Some(member)) => member.name.clone(),
            (Op::Found { name, .. } | Op::Admit { name, .. }, _) => name.clone(),
            _ => self.name_before(graph, since)?,
        };
        let hash = |place: usize| graph.entry(place).signed.hash();
        let by_base = |place: usize| self.base_member(place);
        Some(Member {
            name,
            role,
            since: by_base(since).map_or_else(|| hash(since), |member| member.since),
            role_since: by_base(role_since).map_or_else(|| hash(role_since), |member| member.role_since),
        })
    }

    /// The role in force: of those that nothing follows, the host's word, then the weaker role, then the hash.
    fn role(&self, graph: &Graph) -> Option<(usize, Role)> {
        let standing: BTreeMap<usize, Role> = self
            .roles
            .iter()
            .filter(|(place, _)| self.stands(graph, *place))
            .copied()
            .collect();
        let places: Vec<usize> = standing.keys().copied().collect();
        let key = |&place: &usize| {
            let entry = graph.entry(place);
            (
                entry.standing.role != Role::Host,
                standing[&place],
                entry.signed.hash(),
            )
        };
        let place = graph.maximal(&places).into_iter().min_by_key(key)?;
        Some((place, standing[&place]))
    }

    /// The name of somebody who is in because the host raised it, though its admission is void.
    fn name_before(&self, graph: &Graph, promotion: usize) -> Option<crate::meeting::name::Name> {
        let past = &graph.entry(promotion).past;
        let known = self
            .void_admissions
            .iter()
            .chain(&self.admissions)
            .filter(|&&place| past.contains(place));
        let last = known.copied().max_by_key(|&place| graph.entry(place).order())?;
        if let Some(member) = self.base_member(last) {
            return Some(member.name.clone());
        }
        match graph.entry(last).op() {
            Op::Found { name, .. } | Op::Admit { name, .. } => Some(name.clone()),
            _ => None,
        }
    }

    /// The last of `ends` that no admission follows.
    fn last_end(&self, graph: &Graph, ends: &[usize]) -> Option<usize> {
        let followed = |end: usize| {
            self.admissions
                .iter()
                .any(|&place| graph.entry(place).past.contains(end))
        };
        let open = ends.iter().copied().filter(|&end| !followed(end));
        open.max_by_key(|&place| graph.entry(place).order())
    }

    fn has_left(&self, graph: &Graph) -> bool {
        self.last_end(graph, &self.leaves).is_some()
    }

    /// How the person came to be removed, if it was; `proof` is the greater hash of its equivocation.
    fn removal(&self, graph: &Graph, proof: Option<OperationHash>) -> Option<Removal> {
        let by_operation = self.last_end(graph, &self.removes).and_then(|place| {
            if let (0, Some(Standing::Removed(removal))) = (place, self.base) {
                return Some(*removal);
            }
            let entry = graph.entry(place);
            let Op::Remove { reason, .. } = entry.op() else {
                return None;
            };
            Some(Removal {
                operation: entry.signed.hash(),
                by: Some(entry.signed.author()),
                reason: *reason,
            })
        });
        let by_proof = proof.map(|operation| Removal {
            operation,
            by: None,
            reason: RemoveReason::Equivocation,
        });
        by_operation.or(by_proof)
    }
}
