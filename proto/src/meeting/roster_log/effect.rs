//! Which operations of a set are in force.
//!
//! Each operation in the log was allowed by its own past. Concurrent operations can take that back:
//! 1. **Equivocation.** Of an author with two operations of one number, all operations from that number on, and all
//!    that rest on a power which those gave, are *unsound*: without force, except that Removes stay (fail-closed).
//! 2. **The host's word stands.** Power to act as host passes along one line, so what hosts do (soundly) is totally
//!    ordered, and nothing takes it back.
//! 3. **A co-host's Remove** holds, unless the host concurrently removed or demoted its author, or raised its target
//!    to co-host or host. An unsound Remove gives way to any sound Remove of its author too.
//! 4. **Everything else a co-host does** holds, unless its author was concurrently removed, or demoted by the host.
//! 5. **An Admit** also gives way to every concurrent Lock in force.
//! 6. **A Leave** always holds.
//!
//! What was made beside the checkpoint at which the log begins, and is void, is never in force.

use super::{
    ancestors::PlaceSet,
    graph::{Entry, Graph},
};
use crate::{
    ids::OperationHash,
    meeting::{operation::Op, role::Role},
};

/// See the module.
pub(super) struct Effects<'a> {
    graph: &'a Graph,
    /// For each person, if it equivocated within the set: the first number, and the greatest hash with it.
    forks: Vec<Option<(u32, OperationHash)>>,
    unsound: PlaceSet,
    in_force: PlaceSet,
}

/// What takes power back, by the number of the person it hits; places ascend.
struct Revocations {
    /// By hosts: Remove and demotion.
    by_host: Vec<Vec<usize>>,
    /// By hosts: made co-host or host.
    promotions: Vec<Vec<usize>>,
    /// Every Remove in force.
    removes: Vec<Vec<usize>>,
}

impl<'a> Effects<'a> {
    pub(super) fn of(graph: &'a Graph, set: &PlaceSet) -> Self {
        let mut effects = Self {
            graph,
            forks: find_forks(graph, set),
            unsound: PlaceSet::default(),
            in_force: PlaceSet::default(),
        };
        effects.find_unsound(set);
        let mut revocations = effects.host_revocations(set);
        effects.judge_removes(set, &mut revocations);
        effects.judge_others(set, &revocations);
        effects.judge_admissions(set);
        effects
    }

    /// Whether the operation is in force.
    pub(super) fn holds(&self, place: usize) -> bool {
        self.in_force.contains(place)
    }

    /// The greatest hash of the person's first equivocation, if there is one.
    pub(super) fn fork(&self, person: usize) -> Option<OperationHash> {
        self.forks[person].map(|(_, hash)| hash)
    }

    fn is_sound(&self, place: usize) -> bool {
        !self.unsound.contains(place)
    }

    fn find_unsound(&mut self, set: &PlaceSet) {
        if self.forks.iter().all(Option::is_none) {
            return;
        }
        for place in set.iter() {
            // A checkpoint gives no power; what it states stands, even if its author contradicts itself later.
            if place == 0 && self.graph.base.is_some() {
                continue;
            }
            let Entry { author, standing, .. } = self.graph.entry(place);
            let forked = self.forks[*author].is_some_and(|(seq, _)| self.graph.entry(place).seq() >= seq);
            // A grant lies in the past, so it was judged before; the founding grants itself.
            let inherited = standing.role.is_in_charge() && self.unsound.contains(standing.grant);
            if forked || inherited {
                self.unsound.insert(place);
            }
        }
    }

    fn by_sound_host(&self, place: usize) -> bool {
        self.is_sound(place) && self.graph.entry(place).standing.role == Role::Host
    }

    fn host_revocations(&self, set: &PlaceSet) -> Revocations {
        let people = self.graph.people().len();
        let mut found = Revocations {
            by_host: vec![Vec::new(); people],
            promotions: vec![Vec::new(); people],
            removes: vec![Vec::new(); people],
        };
        for place in set.iter().filter(|&place| self.by_sound_host(place)) {
            let entry = self.graph.entry(place);
            match (entry.op(), entry.target) {
                (Op::Role { role, .. }, Some(target)) if role.is_in_charge() => {
                    found.promotions[target].push(place);
                }
                (Op::Role { .. } | Op::Remove { .. }, Some(target)) => found.by_host[target].push(place),
                _ => {}
            }
        }
        found
    }

    /// Rules 2 and 3. Sound Removes first: unsound ones give way to them.
    fn judge_removes(&mut self, set: &PlaceSet, revocations: &mut Revocations) {
        let graph = self.graph;
        let is_remove = |place: &usize| {
            let entry = graph.entry(*place);
            matches!(entry.op(), Op::Remove { .. }) && !entry.void
        };
        let (sound, unsound): (Vec<usize>, Vec<usize>) = set
            .iter()
            .filter(is_remove)
            .partition(|&place| self.is_sound(place));
        for removes in [sound, unsound] {
            let standing: Vec<usize> = removes
                .into_iter()
                .filter(|&place| self.remove_holds(place, revocations))
                .collect();
            for place in standing {
                self.in_force.insert(place);
                if let Some(target) = graph.entry(place).target {
                    revocations.removes[target].push(place);
                }
            }
        }
        revocations
            .removes
            .iter_mut()
            .for_each(|places| places.sort_unstable());
    }

    fn remove_holds(&self, place: usize, revocations: &Revocations) -> bool {
        if self.by_sound_host(place) {
            return true;
        }
        let Entry { author, target, .. } = self.graph.entry(place);
        let target = target.expect("a Remove has a target");
        let raised =
            self.forks[target].is_none() && self.any_concurrent(place, &revocations.promotions[target]);
        let outranked = self.any_concurrent(place, &revocations.by_host[*author]);
        // While sound Removes are judged, this list is empty: co-hosts do not rule each other.
        let removed = !self.is_sound(place) && self.any_concurrent(place, &revocations.removes[*author]);
        !raised && !outranked && !removed
    }

    /// Rules 2, 4 and 6.
    fn judge_others(&mut self, set: &PlaceSet, revocations: &Revocations) {
        for place in set.iter() {
            let entry = self.graph.entry(place);
            let holds = match entry.op() {
                Op::Remove { .. } => continue,
                _ if entry.void => false,
                Op::Leave => true,
                _ if self.by_sound_host(place) => true,
                _ => {
                    self.is_sound(place)
                        && !self.any_concurrent(place, &revocations.removes[entry.author])
                        && !self.any_concurrent(place, &revocations.by_host[entry.author])
                }
            };
            if holds {
                self.in_force.insert(place);
            }
        }
    }

    /// Rule 5. What an Admit or a Role says about somebody who was concurrently removed is settled with that person's
    /// history ([`super::merge`]).
    fn judge_admissions(&mut self, set: &PlaceSet) {
        let (mut locks, mut admits) = (PlaceSet::default(), Vec::new());
        for place in set.iter().filter(|&place| self.holds(place)) {
            match self.graph.entry(place).op() {
                Op::Lock { locked: true } => locks.insert(place),
                Op::Admit { .. } => admits.push(place),
                _ => {}
            }
        }
        for place in admits {
            if self.graph.entry(place).concurrent.intersects(&locks) {
                self.in_force.remove(place);
            }
        }
    }

    fn any_concurrent(&self, place: usize, others: &[usize]) -> bool {
        others.iter().any(|&other| self.graph.concurrent(place, other))
    }
}

fn find_forks(graph: &Graph, set: &PlaceSet) -> Vec<Option<(u32, OperationHash)>> {
    let mut forks = vec![None; graph.people().len()];
    if let Some(base) = &graph.base {
        for (number, member) in graph.people().iter().enumerate() {
            if base.roster.equivocators.contains(member) {
                forks[number] = base
                    .roster
                    .removed
                    .get(member)
                    .map(|removal| (0, removal.operation));
            }
        }
    }
    // Ascending by number within an author: the first one found is the lowest.
    for (author, seq, places) in graph.forks() {
        let twins = places.iter().filter(|&&place| set.contains(place));
        let hashes: Vec<OperationHash> = twins.map(|&place| graph.entry(place).signed.hash()).collect();
        if hashes.len() > 1 && forks[author].is_none() {
            forks[author] = hashes.iter().max().map(|hash| (seq, *hash));
        }
    }
    forks
}
