//! How long frames wait before they are played.
//!
//! Times here are *transit times*: arrival minus frame position times duration, in µs, with an arbitrary origin. A frame
//! is due at `offset + position × duration`; the offset is the quantile of the recent transit times that lets nearly
//! all frames be there in time, plus a small margin. One frame that is later than all others barely moves a quantile;
//! several do at once (quick increase), and the offset falls only when they leave the window (slow decrease).

use std::collections::VecDeque;

/// Packets in the window: ten seconds at 20 ms.
const WINDOW_PACKETS: usize = 500;
/// Share of the packets that shall be in time, in thousandths.
const QUANTILE_PERMILLE: usize = 990;
/// Added to the quantile: what a timer in the playing thread may be early.
const MARGIN_US: i64 = 1_000;
/// A packet that is this much slower than the fastest is beyond rescue and does not count: waiting for it would end
/// the conversation.
const SPREAD_MAX_US: i64 = 250_000;
/// The spread to assume before anything is known.
const SPREAD_INITIAL_US: i64 = 10_000;
/// The assumed spread fades out over this many packets.
const WARM_UP_PACKETS: i64 = 100;

/// The adaptive playout offset of one stream.
#[derive(Debug)]
pub struct PlayoutDelay {
    window: VecDeque<i64>,
    sorted: Vec<i64>,
    assumed_spread_us: i64,
    /// Drift of the transit time per µs of media time, and the media time from which it is counted.
    slope: f64,
    slope_origin_us: i64,
}

impl Default for PlayoutDelay {
    fn default() -> Self {
        Self {
            window: VecDeque::with_capacity(WINDOW_PACKETS),
            sorted: Vec::with_capacity(WINDOW_PACKETS),
            assumed_spread_us: SPREAD_INITIAL_US,
            slope: 0.0,
            slope_origin_us: 0,
        }
    }
}

impl PlayoutDelay {
    /// Takes the transit time of the packet with media time `media_us` (position × duration).
    pub fn insert(&mut self, media_us: i64, transit_us: i64) {
        if self.window.is_empty() {
            self.slope_origin_us = media_us;
        }
        let value = transit_us - self.trend(media_us);
        if self.window.len() == WINDOW_PACKETS
            && let Some(oldest) = self.window.pop_front()
        {
            let index = self.sorted.partition_point(|x| *x < oldest);
            self.sorted.remove(index);
        }
        self.window.push_back(value);
        self.sorted
            .insert(self.sorted.partition_point(|x| *x < value), value);
    }

    /// Takes a new drift estimate: packets of the past are then compared as if they were sent at `media_us`.
    pub fn set_drift(&mut self, ppm: f64, media_us: i64) {
        let shift = self.trend(media_us);
        for value in self.window.iter_mut().chain(&mut self.sorted) {
            *value += shift;
        }
        self.slope_origin_us = media_us;
        self.slope = -ppm * 1e-6;
    }

    /// Forgets the transit times, whose origin changed, and assumes that they will spread as they did.
    pub fn restart(&mut self) {
        if !self.window.is_empty() {
            self.assumed_spread_us = self.spread();
        }
        self.window.clear();
        self.sorted.clear();
    }

    /// A frame of media time `media_us` is due when its transit time reaches this. `None` before the first packet.
    #[must_use]
    pub fn offset(&self, media_us: i64) -> Option<i64> {
        let fastest = self.sorted.first()?;
        Some(fastest + self.trend(media_us) + self.spread() + MARGIN_US)
    }

    /// How much later than the fastest recent packet frames are due, in µs: the delay aimed for.
    #[must_use]
    pub fn spread_us(&self) -> i64 {
        self.spread() + MARGIN_US
    }

    fn trend(&self, media_us: i64) -> i64 {
        (self.slope * (media_us - self.slope_origin_us) as f64) as i64
    }

    fn spread(&self) -> i64 {
        let measured = self.sorted.first().map_or(0, |fastest| {
            let count = self.sorted.partition_point(|x| *x <= fastest + SPREAD_MAX_US);
            let index = (count * QUANTILE_PERMILLE).div_ceil(1_000).clamp(1, count) - 1;
            self.sorted[index] - fastest
        });
        let cold = (WARM_UP_PACKETS - self.window.len() as i64).max(0);
        measured.max(self.assumed_spread_us * cold / WARM_UP_PACKETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_path_is_waited_for_by_the_margin_only() {
        let mut delay = PlayoutDelay::default();
        for n in 0..200 {
            delay.insert(n * 20_000, 70_000);
        }
        assert_eq!(delay.offset(200 * 20_000), Some(70_000 + MARGIN_US));
    }

    #[test]
    fn the_offset_rises_quickly_and_falls_slowly() {
        let mut delay = PlayoutDelay::default();
        let mut n = 0;
        let mut feed = |delay: &mut PlayoutDelay, count: i64, transit: i64| {
            for _ in 0..count {
                n += 1;
                delay.insert(n * 20_000, transit);
            }
            delay.spread_us() - MARGIN_US
        };
        assert_eq!(feed(&mut delay, 500, 0), 0);
        assert_eq!(feed(&mut delay, 4, 60_000), 0, "outliers");
        assert_eq!(feed(&mut delay, 4, 60_000), 60_000, "no outliers any more");
        assert_eq!(feed(&mut delay, 400, 0), 60_000);
        assert_eq!(feed(&mut delay, 100, 0), 0);
        assert_eq!(feed(&mut delay, 100, 2_000_000), 0, "beyond rescue");
    }

    #[test]
    fn drift_does_not_widen_the_window() {
        let mut delay = PlayoutDelay::default();
        delay.set_drift(200.0, 0);
        for n in 0..2_000 {
            delay.insert(n * 20_000, -(n * 4));
        }
        assert!(delay.spread_us() <= MARGIN_US + 2);
        let offset = delay.offset(2_000 * 20_000).unwrap();
        assert!((offset - (MARGIN_US - 8_000)).abs() <= 4, "{offset}");
        delay.set_drift(100.0, 2_000 * 20_000);
        assert!((delay.offset(2_000 * 20_000).unwrap() - offset).abs() <= 4);
    }

    #[test]
    fn after_a_pause_the_spread_is_remembered_and_fades() {
        let mut delay = PlayoutDelay::default();
        for n in 0..500 {
            delay.insert(n * 20_000, n % 10 * 3_000);
        }
        delay.restart();
        assert_eq!(delay.offset(0), None);
        delay.insert(600 * 20_000, 5_000_000);
        assert!(delay.spread_us() > 25_000);
        for n in 601..701 {
            delay.insert(n * 20_000, 5_000_000);
        }
        assert_eq!(delay.spread_us(), MARGIN_US);
    }
}
