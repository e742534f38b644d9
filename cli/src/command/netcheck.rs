//! `subrosa netcheck`.

use subrosa_node::error::{ErrorKind, NodeError};

use crate::args::NetcheckArgs;

/// Runs the checks.
pub(super) fn run(_args: &NetcheckArgs) -> Result<u8, NodeError> {
    Err(NodeError::new(ErrorKind::Internal, "not integrated yet", ""))
}
