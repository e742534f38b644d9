//! `subrosa relay`.

use subrosa_node::error::{ErrorKind, NodeError};

use crate::args::RelayArgs;

/// Runs a relay until it is told to end.
pub(super) fn run(_args: &RelayArgs) -> Result<u8, NodeError> {
    Err(NodeError::new(ErrorKind::Internal, "not integrated yet", ""))
}
