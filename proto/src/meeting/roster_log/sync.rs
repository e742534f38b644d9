//! Heads, and what a peer lacks.

use super::{Batch, RosterLog, graph::Entry};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::operation::{PARENTS_MAX, SignedOperation},
};

/// The most operations in a batch.
pub const BATCH_OPERATIONS_MAX: usize = 128;
/// The most bytes of bodies and signatures in a batch: with lengths it fits a control message of 64 KiB.
pub const BATCH_BYTES_MAX: usize = 48 * 1024;
const SIGNATURE_BYTES: usize = 64;

impl RosterLog {
    /// The operations that nobody follows yet, ascending; of more than [`PARENTS_MAX`] the most important.
    #[must_use]
    pub fn heads(&self) -> Vec<OperationHash> {
        self.choose_heads(None, None)
    }

    /// What a peer with these heads lacks, in batches: begin with cursor 0, continue with [`Batch::next`] and the same
    /// heads. Unknown heads are left out of account. The cursor counts in this replica's own order, so that a peer
    /// with more heads than fit in a message still gets everything. A compacted log begins with its checkpoint's operation.
    #[must_use]
    pub fn operations_since(&self, heads: &[OperationHash], cursor: u32) -> Batch {
        let known: Vec<usize> = heads.iter().filter_map(|head| self.graph.place(head)).collect();
        let mut covered = self.graph.closure(&known);
        // What was made beside the checkpoint stands as if it followed it, but whoever has it may lack the checkpoint.
        if !known.iter().any(|&place| self.graph.entry(place).follows) {
            covered.remove(0);
        }
        let start = usize::try_from(cursor).unwrap_or(usize::MAX);
        let lacking = (start..self.graph.len()).filter(|&place| !covered.contains(place));
        let (mut batch, mut bytes) = (Batch::default(), 0);
        for place in lacking {
            let operation = &self.graph.entry(place).signed;
            bytes += operation.body().len() + SIGNATURE_BYTES;
            if bytes > BATCH_BYTES_MAX || batch.operations.len() == BATCH_OPERATIONS_MAX {
                batch.next = u32::try_from(place).ok();
                break;
            }
            batch.operations.push(operation.clone());
        }
        batch
    }

    /// The operations that a peer named in its [`RosterLog::missing`], as far as they are here; at most
    /// [`super::MISSING_MAX`].
    #[must_use]
    pub fn operations(&self, wanted: &[OperationHash]) -> Vec<SignedOperation> {
        let here = wanted
            .iter()
            .take(super::MISSING_MAX)
            .filter_map(|hash| self.graph.operation(hash));
        here.cloned().collect()
    }

    /// Up to [`PARENTS_MAX`] heads, ascending. Of more, first the one that covers `must`, then those about `target`,
    /// then those by people in charge, then the deepest.
    pub(super) fn choose_heads(&self, must: Option<usize>, target: Option<MemberId>) -> Vec<OperationHash> {
        let mut heads: Vec<&Entry> = self
            .graph
            .heads()
            .iter()
            .map(|&place| self.graph.entry(place))
            .collect();
        if heads.len() > PARENTS_MAX {
            let covers = |entry: &Entry| {
                must.is_some_and(|must| {
                    (entry.follows || must > 0) && entry.past.contains(must)
                        || self.graph.place(&entry.signed.hash()) == Some(must)
                })
            };
            let covering = heads
                .iter()
                .find(|entry| covers(entry))
                .map(|entry| entry.signed.hash());
            let about = |entry: &Entry| {
                target.is_some()
                    && (Entry::target_of(entry.op()) == target || Some(entry.signed.author()) == target)
            };
            heads.sort_by_cached_key(|entry| {
                let hash = entry.signed.hash();
                let in_charge = entry.standing.role.is_in_charge();
                (
                    Some(hash) != covering,
                    !about(entry),
                    !in_charge,
                    std::cmp::Reverse(entry.depth),
                    hash,
                )
            });
            heads.truncate(PARENTS_MAX);
        }
        let mut hashes: Vec<OperationHash> = heads.iter().map(|entry| entry.signed.hash()).collect();
        hashes.sort_unstable();
        hashes
    }
}
