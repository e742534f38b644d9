//! What a relay is told by signals.

use subrosa_node::error::{ErrorKind, NodeError};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGINT or SIGTERM: end.
    End,
    /// SIGHUP: read the settings again.
    Reload,
}

/// SIGINT, SIGTERM and SIGHUP.
pub(super) struct RelaySignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl RelaySignals {
    /// Takes them over.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(super) fn new() -> Result<Self, NodeError> {
        let take = |kind| {
            signal(kind).map_err(|e| {
                NodeError::new(
                    ErrorKind::Internal,
                    format!("cannot watch for signals: {e}"),
                    "close other programs, or raise the limit on open files (ulimit -n)",
                )
            })
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Waits for the next that asks to end.
    pub(super) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}
