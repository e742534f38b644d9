//! `subrosa demo`.

use subrosa_node::error::{ErrorKind, NodeError};

use crate::args::DemoArgs;

/// Runs the demo.
pub(super) fn run(_args: &DemoArgs) -> Result<u8, NodeError> {
    Err(NodeError::new(ErrorKind::Internal, "not integrated yet", ""))
}
