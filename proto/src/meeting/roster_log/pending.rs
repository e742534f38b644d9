//! Operations that wait for parents.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::OperationHash,
    meeting::{operation::SignedOperation, roster::Roster},
};

/// The most operations that wait. Reason: peers send parents before children, so few wait unless messages got lost;
/// what is pushed out is fetched again. 1,024 of at most 1 KiB take 1 MiB.
pub const PENDING_MAX: usize = 1_024;
/// The most hashes that are asked for at once: their answer is about one message.
pub const MISSING_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// With the order of arrival.
    waiting: BTreeMap<OperationHash, (u64, SignedOperation)>,
    /// Who names a parent, for each parent that is not in the log.
    children: BTreeMap<OperationHash, BTreeSet<OperationHash>>,
    arrivals: u64,
}

impl Pending {
    pub(super) fn contains(&self, hash: &OperationHash) -> bool {
        self.waiting.contains_key(hash)
    }

    pub(super) fn insert(&mut self, operation: SignedOperation, roster: &Roster) {
        if self.waiting.len() >= PENDING_MAX {
            self.evict(roster);
        }
        for parent in &operation.operation().parents {
            self.children.entry(*parent).or_default().insert(operation.hash());
        }
        self.arrivals += 1;
        self.waiting.insert(operation.hash(), (self.arrivals, operation));
    }

    /// Pushes out the oldest one by a stranger, else the oldest.
    fn evict(&mut self, roster: &Roster) {
        let known = |operation: &SignedOperation| {
            let author = operation.author();
            roster.members.contains_key(&author) || roster.left.contains(&author)
        };
        let oldest = self
            .waiting
            .values()
            .min_by_key(|(arrival, op)| (known(op), *arrival));
        if let Some(hash) = oldest.map(|(_, op)| op.hash()) {
            self.remove(&hash);
        }
    }

    /// Takes out one that came another way.
    pub(super) fn drop_one(&mut self, hash: &OperationHash) {
        self.remove(hash);
    }

    /// What waits.
    pub(super) fn operations(&self) -> impl Iterator<Item = &SignedOperation> {
        self.waiting.values().map(|(_, operation)| operation)
    }

    /// Takes everything out, in the order of arrival.
    pub(super) fn take_all(&mut self) -> Vec<SignedOperation> {
        self.children.clear();
        let mut waiting: Vec<_> = std::mem::take(&mut self.waiting).into_values().collect();
        waiting.sort_unstable_by_key(|(arrival, _)| *arrival);
        waiting.into_iter().map(|(_, operation)| operation).collect()
    }

    fn remove(&mut self, hash: &OperationHash) -> Option<SignedOperation> {
        let (_, operation) = self.waiting.remove(hash)?;
        for parent in &operation.operation().parents {
            if let Some(children) = self.children.get_mut(parent) {
                children.remove(hash);
                if children.is_empty() {
                    self.children.remove(parent);
                }
            }
        }
        Some(operation)
    }

    /// Takes out the operations that name `parent` and for which `ready` holds.
    pub(super) fn take_ready(
        &mut self,
        parent: &OperationHash,
        ready: impl Fn(&SignedOperation) -> bool,
    ) -> Vec<SignedOperation> {
        let children: Vec<OperationHash> = self.children.get(parent).into_iter().flatten().copied().collect();
        let (mut taken, is_ready) = (Vec::new(), |hash: &OperationHash, pending: &Self| {
            pending
                .waiting
                .get(hash)
                .is_some_and(|(_, operation)| ready(operation))
        });
        for child in children {
            if is_ready(&child, self) {
                taken.extend(self.remove(&child));
            }
        }
        taken
    }

    /// Drops everything that follows `refused`, which will never be in the log.
    pub(super) fn drop_descendants(&mut self, refused: &OperationHash) {
        let mut work = vec![*refused];
        // Ends: each operation is taken out of the map at most once.
        while let Some(parent) = work.pop() {
            work.extend(
                self.take_ready(&parent, |_| true)
                    .iter()
                    .map(SignedOperation::hash),
            );
        }
    }

    /// Whether an operation by somebody in charge waits for `hash`, directly or through others that wait.
    pub(super) fn is_vouched_for(&self, hash: &OperationHash, roster: &Roster) -> bool {
        let (mut work, mut seen) = (vec![*hash], BTreeSet::new());
        while let Some(parent) = work.pop() {
            for child in self.children.get(&parent).into_iter().flatten() {
                let author = self.waiting.get(child).map(|(_, operation)| operation.author());
                if author
                    .and_then(|author| roster.role(&author))
                    .is_some_and(|role| role.is_in_charge())
                {
                    return true;
                }
                if seen.insert(*child) {
                    work.push(*child);
                }
            }
        }
        false
    }

    /// The parents that neither the log nor this holds; those that the earliest arrivals wait for come first.
    pub(super) fn missing(&self, in_log: impl Fn(&OperationHash) -> bool) -> Vec<OperationHash> {
        let mut waiting: Vec<&(u64, SignedOperation)> = self.waiting.values().collect();
        waiting.sort_unstable_by_key(|(arrival, _)| *arrival);
        let parents = waiting
            .iter()
            .flat_map(|(_, operation)| &operation.operation().parents);
        let mut seen = BTreeSet::new();
        let lacking =
            parents.filter(|parent| !in_log(parent) && !self.contains(parent) && seen.insert(**parent));
        lacking.take(MISSING_MAX).copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
