//! The appointments that lead from the founder to somebody in charge.

use std::collections::{BTreeMap, VecDeque};

use super::RosterLog;
use crate::{
    ids::MemberId,
    meeting::{
        charge::CHARGE_MAX,
        operation::{Op, SignedOperation},
    },
};

impl RosterLog {
    /// The shortest chain of appointments from the founder to `member`, for [`crate::meeting::charge::proven_by`]; empty
    /// for the founder. Nothing if there is none of at most [`CHARGE_MAX`].
    #[must_use]
    pub fn charge_of(&self, member: MemberId) -> Option<Vec<SignedOperation>> {
        let proofs = self
            .graph
            .base
            .iter()
            .flat_map(|base| base.checkpoint.proofs.iter());
        let operations = proofs.chain(self.graph.entries().map(|entry| &entry.signed));
        let mut by_author: BTreeMap<MemberId, Vec<(MemberId, &SignedOperation)>> = BTreeMap::new();
        for operation in operations {
            if let Op::Role { member, role } = operation.operation().op
                && role.is_in_charge()
            {
                by_author
                    .entry(operation.author())
                    .or_default()
                    .push((member, operation));
            }
        }
        // Breadth first: the shortest chain wins.
        let mut seen = BTreeMap::from([(self.host, Vec::new())]);
        let mut queue = VecDeque::from([self.host]);
        while let Some(author) = queue.pop_front() {
            let chain: Vec<&SignedOperation> = seen[&author].clone();
            if author == member {
                return Some(chain.into_iter().cloned().collect());
            }
            if chain.len() == CHARGE_MAX {
                continue;
            }
            for (appointed, operation) in by_author.get(&author).into_iter().flatten() {
                if !seen.contains_key(appointed) {
                    let longer = chain.iter().copied().chain([*operation]).collect();
                    seen.insert(*appointed, longer);
                    queue.push_back(*appointed);
                }
            }
        }
        None
    }
}
