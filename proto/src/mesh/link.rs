//! Is a neighbour still there? Pings on a link's control stream, the round-trip time, and suspicion.
//!
//! QUIC's idle timeout closes a link after seconds; a listener hears silence long before. A link that is merely *silent*
//! stays open, but routes stop relying on it ([`super::route`]).

use std::{collections::VecDeque, time::Duration};

use super::queueing::{Queueing, STANDING_QUEUE};
use crate::time::Timestamp;

/// How often a link is pinged. Reason: four in the time in which a relay's loss must be noticed (1 s).
pub const PING_INTERVAL: Duration = Duration::from_millis(250);
/// A link on which nothing came for so long is silent. Reason: three pings at a round trip of up to 150 ms.
pub const SILENT_AFTER: Duration = Duration::from_millis(700);

/// Pings whose answers may still come. Reason: two seconds, beyond which a link is silent.
const OUTSTANDING_MAX: usize = 8;
/// A round trip that is longer than [`PING_INTERVAL`] shows in so many answers in a row that are not to the newest ping. One
/// or two come together with the newest one's, where something was lost before them.
const LATE_ANSWERS_MIN: u8 = 3;

/// Watches one link. Drain order: after `handle_*`, [`LinkMonitor::poll_ping`], then wait for
/// [`LinkMonitor::poll_timeout`].
#[derive(Clone, Debug)]
pub struct LinkMonitor {
    next_ping: Timestamp,
    /// Pings that have no answer yet, oldest first.
    outstanding: VecDeque<(u64, Timestamp)>,
    /// Answers in a row that were not to the newest ping.
    late_answers: u8,
    next_nonce: u64,
    last_heard: Timestamp,
    smoothed_rtt: Option<Duration>,
    queueing: Queueing,
}

impl LinkMonitor {
    /// A link that came up at `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            next_ping: now,
            outstanding: VecDeque::new(),
            late_answers: 0,
            next_nonce: 0,
            last_heard: now,
            smoothed_rtt: None,
            queueing: Queueing::new(),
        }
    }

    /// Something arrived on the link.
    pub fn handle_heard(&mut self, now: Timestamp) {
        self.last_heard = now;
    }

    /// The answer to a ping arrived. The estimate moves by an eighth of the difference (RFC 6298 §2). A late answer does not
    /// count unless all are late: what was lost before it would only blur the estimate.
    pub fn handle_pong(&mut self, now: Timestamp, nonce: u64) {
        self.last_heard = now;
        let Some(place) = self.outstanding.iter().position(|(known, _)| *known == nonce) else {
            return;
        };
        let (_, sent) = self.outstanding[place];
        self.outstanding.drain(..=place);
        self.late_answers = match self.outstanding.is_empty() {
            true => 0,
            false => self.late_answers.saturating_add(1),
        };
        if self.late_answers == 0 || self.late_answers >= LATE_ANSWERS_MIN {
            let sample = now - sent;
            self.smoothed_rtt = Some(self.smoothed_rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
            self.queueing.handle_round_trip(sample);
        }
    }

    /// The nonce of a ping that is to be sent now.
    pub fn poll_ping(&mut self, now: Timestamp) -> Option<u64> {
        if now < self.next_ping {
            return None;
        }
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        if self.outstanding.len() == OUTSTANDING_MAX {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((nonce, now));
        self.next_ping = now + PING_INTERVAL;
        Some(nonce)
    }

    /// When [`LinkMonitor::poll_ping`] has something, or the link becomes silent.
    #[must_use]
    pub fn poll_timeout(&self) -> Timestamp {
        self.next_ping
    }

    /// How long nothing came.
    #[must_use]
    pub fn silent_for(&self, now: Timestamp) -> Duration {
        now - self.last_heard
    }

    /// When anything last came.
    #[must_use]
    pub const fn last_heard(&self) -> Timestamp {
        self.last_heard
    }

    /// Whether nothing came for [`SILENT_AFTER`].
    #[must_use]
    pub fn is_silent(&self, now: Timestamp) -> bool {
        self.silent_for(now) > SILENT_AFTER
    }

    /// Whether what is sent on the link waits in a queue on the way: more of it would wait longer.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.queueing.delay() > STANDING_QUEUE
    }

    /// The smoothed round-trip time, once measured.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.smoothed_rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    #[test]
    fn pings_measure_the_round_trip() {
        let mut link = LinkMonitor::new(at(0));
        let nonce = link.poll_ping(at(0)).unwrap();
        assert_eq!(link.poll_ping(at(100)), None);
        link.handle_pong(at(40), nonce);
        assert_eq!(link.rtt(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn a_late_answer_to_an_old_ping_is_heard_but_not_measured() {
        let mut link = LinkMonitor::new(at(0));
        let old = link.poll_ping(at(0)).unwrap();
        link.poll_ping(at(250)).unwrap();
        link.handle_pong(at(300), old);
        assert_eq!(link.rtt(), None);
        assert!(!link.is_silent(at(900)));
    }

    #[test]
    fn a_round_trip_that_is_longer_than_the_interval_is_measured() {
        let mut link = LinkMonitor::new(at(0));
        let mut answers = VecDeque::new();
        for ms in (0..3_000).step_by(50) {
            if let Some(nonce) = link.poll_ping(at(ms)) {
                answers.push_back((ms + 600, nonce));
            }
            if answers.front().is_some_and(|(due, _)| *due == ms)
                && let Some((_, nonce)) = answers.pop_front()
            {
                link.handle_pong(at(ms), nonce);
            }
        }
        assert_eq!(link.rtt(), Some(Duration::from_millis(600)));
        // Answers that never come take no more room.
        for n in 0..100 {
            assert!(link.poll_ping(at(3_000 + 250 * n)).is_some());
        }
        assert_eq!(link.outstanding.len(), OUTSTANDING_MAX);
    }

    #[test]
    fn a_link_without_answers_is_silent_within_a_second() {
        let link = LinkMonitor::new(at(0));
        assert!(!link.is_silent(at(700)));
        assert!(link.is_silent(at(701)));
    }
}
