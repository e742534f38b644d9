//! When to look at which connection again.

use std::{collections::BTreeSet, time::Instant};

use quinn_proto::ConnectionHandle;

/// One deadline for each connection, lazily: when a connection's deadline moves later, as each packet sent moves one,
/// its entry stays; the connection is looked at when that comes and is entered anew.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Instant, usize)>,
}

impl Timers {
    /// Makes sure that the connection is looked at by `deadline`. `entry` is the connection's present entry.
    pub(super) fn set_earlier(
        &mut self,
        entry: &mut Option<Instant>,
        deadline: Instant,
        handle: ConnectionHandle,
    ) {
        if entry.is_some_and(|registered| registered <= deadline) {
            return;
        }
        self.remove(*entry, handle);
        self.entries.insert((deadline, handle.0));
        *entry = Some(deadline);
    }

    /// Forgets a connection's entry.
    pub(super) fn remove(&mut self, entry: Option<Instant>, handle: ConnectionHandle) {
        if let Some(registered) = entry {
            self.entries.remove(&(registered, handle.0));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|&(at, _)| at)
    }

    /// A connection whose entry is due; the entry is gone.
    pub(super) fn expired(&mut self, now: Instant) -> Option<ConnectionHandle> {
        let &(at, _) = self.entries.first().filter(|&&(at, _)| at <= now)?;
        let (_, handle) = self.entries.pop_first().filter(|&(first, _)| first == at)?;
        Some(ConnectionHandle(handle))
    }
}
