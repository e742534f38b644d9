//! The gather window: under load, frames for one listener wait for company, so that several share a packet.

use std::time::Duration;

use crate::{relay::session::SessionId, time::Timestamp};

/// Load, in thousandths of a core, up to which every frame leaves at once.
const IDLE_PERMILLE: u16 = 600;
/// Load from which on the window is as long as it gets.
const BUSY_PERMILLE: u16 = 900;

/// Sessions whose frames wait, all until the same moment: the first one's arrival plus the window.
#[derive(Debug)]
pub(super) struct Gather {
    window_max: Duration,
    window: Duration,
    due: Option<Timestamp>,
    waiting: Vec<SessionId>,
}

impl Gather {
    pub(super) fn new(window_max: Duration) -> Self {
        Self {
            window_max,
            window: Duration::ZERO,
            due: None,
            waiting: Vec::new(),
        }
    }

    /// Sets the window for a driver that was busy for `permille` of its recent time.
    pub(super) fn set_load(&mut self, permille: u16) {
        let above = permille.clamp(IDLE_PERMILLE, BUSY_PERMILLE) - IDLE_PERMILLE;
        self.window = self.window_max * u32::from(above) / u32::from(BUSY_PERMILLE - IDLE_PERMILLE);
    }

    /// Sets the longest window; what waits already is released as it was to be.
    pub(super) fn set_window_max(&mut self, window_max: Duration) {
        self.window_max = window_max;
        self.window = self.window.min(window_max);
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Whether frames wait at all at present.
    pub(super) fn is_open(&self) -> bool {
        !self.window.is_zero()
    }

    pub(super) fn add(&mut self, now: Timestamp, session: SessionId) {
        self.due.get_or_insert(now + self.window);
        self.waiting.push(session);
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// The sessions whose time has come.
    pub(super) fn release(&mut self, now: Timestamp) -> Option<std::vec::Drain<'_, SessionId>> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.due = None;
        Some(self.waiting.drain(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_opens_with_load() {
        let mut gather = Gather::new(Duration::from_millis(1));
        for (load, micros) in [(0, 0), (600, 0), (750, 500), (900, 1_000), (1_000, 1_000)] {
            gather.set_load(load);
            assert_eq!(gather.window(), Duration::from_micros(micros));
        }
    }
}
