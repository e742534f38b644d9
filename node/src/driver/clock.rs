//! The node's two clocks, in the core's types.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use subrosa_proto::time::{Now, Timestamp, UnixSeconds};

/// Reads the monotonic and the wall clock. Copies share one origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose [`Timestamp::ZERO`] is now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Monotonic time since the start.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The tokio instant of a timestamp, for timers.
    #[must_use]
    pub fn instant_of(&self, timestamp: Timestamp) -> tokio::time::Instant {
        (self.origin + std::time::Duration::from_micros(timestamp.as_micros())).into()
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            monotonic: self.timestamp(),
            unix: unix_now(),
        }
    }
}

/// The wall clock in whole seconds; 0 if it stands before 1970.
#[must_use]
pub fn unix_now() -> UnixSeconds {
    UnixSeconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
    )
}
