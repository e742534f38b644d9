//! Drives `proto::meeting::Participant` with quinn, files and an audio engine.

use crate::{config::NodeConfig, error::NodeError, node::Node};

/// Starts a participant; see [`Node::start`].
///
/// # Errors
/// See [`Node::start`].
pub(crate) async fn start(_config: NodeConfig) -> Result<Node, NodeError> {
    todo!()
}
