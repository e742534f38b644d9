//! Who is in the meeting, as the conversation asks.

use std::sync::Arc;

use crate::{
    ids::OperationHash,
    meeting::{roster::Roster, roster_log::RosterLog},
};

/// The roster log, or a test's stand-in.
pub trait Standing {
    /// Who is in now.
    fn roster(&self) -> &Roster;
    /// Who was in, as somebody with these heads saw it; none if one of them is not known here.
    fn roster_at(&self, heads: &[OperationHash]) -> Option<Arc<Roster>>;
    /// The heads now.
    fn heads(&self) -> Vec<OperationHash>;
    /// Whether heads from long ago are no longer known.
    fn forgets(&self) -> bool {
        false
    }
}

impl Standing for RosterLog {
    fn roster(&self) -> &Roster {
        self.view()
    }

    fn roster_at(&self, heads: &[OperationHash]) -> Option<Arc<Roster>> {
        self.view_at(heads)
    }

    fn heads(&self) -> Vec<OperationHash> {
        Self::heads(self)
    }

    fn forgets(&self) -> bool {
        self.checkpoint().is_some()
    }
}
