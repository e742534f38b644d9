//! What a process is told by signals.

use subrosa_node::error::{ErrorKind, NodeError};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGINT or SIGTERM: end.
    End,
    /// SIGHUP: the terminal is gone, or, for a service, read the settings again.
    HangUp,
}

/// SIGINT, SIGTERM and SIGHUP.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn new() -> Result<Self, NodeError> {
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
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::HangUp,
        }
    }

    /// Waits for the next that asks to end.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}
