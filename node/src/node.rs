//! A participant's node as user interfaces see it: commands in, events out.

use tokio::sync::mpsc;

use crate::{command::Command, config::NodeConfig, error::NodeError, event::Event};

/// Events that may wait for the interface. Beyond it the node waits for nobody: `stats` and `speaking` are dropped first.
pub const EVENT_QUEUE_MAX: usize = 1_024;
/// Commands that may wait for the node.
pub const COMMAND_QUEUE_MAX: usize = 64;

/// A running node. Dropping it ends the node without saying goodbye; [`Command::Leave`] says it.
#[derive(Debug)]
pub struct Node {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
}

impl Node {
    /// Opens the socket and the audio device and starts. Returns once the socket listens; progress comes as events, and
    /// [`Event::Left`] is the last of them.
    ///
    /// # Errors
    /// [`NodeError`] if the ticket, the policy, a relay's descriptor, the audio device, the data directory or the
    /// listening address cannot be used.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        crate::driver::participant::start(config).await
    }

    pub(crate) fn from_channels(commands: mpsc::Sender<Command>, events: mpsc::Receiver<Event>) -> Self {
        Self { commands, events }
    }

    /// Hands a command to the node; waits while [`COMMAND_QUEUE_MAX`] are queued. What cannot be done comes back as
    /// [`Event::Refused`] or [`Event::Error`].
    pub async fn command(&self, command: Command) {
        // A node that has ended has said so with `Left`; commands after that have no effect.
        let _ = self.commands.send(command).await;
    }

    /// A handle that sends commands from elsewhere.
    #[must_use]
    pub fn commander(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// The next event; `None` after [`Event::Left`].
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}
