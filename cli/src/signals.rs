//! Ctrl-C and its kin.

use subrosa_node::error::{ErrorKind, NodeError};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask a process to end.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
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

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
