//! What a peer lacks.

use super::{Batch, RosterLog};
use crate::{ids::OperationHash, meeting::operation::SignedOperation};

/// The most operations in a batch.
pub const BATCH_OPERATIONS_MAX: usize = 128;
/// The most bytes of bodies and signatures in a batch: with lengths it fits a control message of 64 KiB.
pub const BATCH_BYTES_MAX: usize = 48 * 1024;
const SIGNATURE_BYTES: usize = 64;

impl RosterLog {
    /// What a peer with these heads lacks, in batches: begin with cursor 0, continue with [`Batch::next`] and the same
    /// heads. Unknown heads are left out of account. The cursor counts in this replica's own order, so that a peer
    /// with more heads than fit in a message still gets everything.
    #[must_use]
    pub fn operations_since(&self, heads: &[OperationHash], cursor: u32) -> Batch {
        let known: Vec<usize> = heads.iter().filter_map(|head| self.graph.place(head)).collect();
        let covered = self.graph.closure(&known);
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
        let places = wanted
            .iter()
            .take(super::MISSING_MAX)
            .filter_map(|hash| self.graph.place(hash));
        places
            .map(|place| self.graph.entry(place).signed.clone())
            .collect()
    }
}
