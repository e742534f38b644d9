//! The sender's clock against ours.
//!
//! The lower envelope of the transit times (arrival minus frame number times duration) falls if the sender's clock is
//! fast and rises if it is slow. The slope is estimated over the minima of intervals by the median of the slopes of all
//! pairs (Theil–Sen), which a few delayed minima do not move; a step (another route) starts over.

use std::collections::VecDeque;

/// Length of an interval, of which the fastest packet counts.
const INTERVAL_US: i64 = 5_000_000;
/// Intervals remembered: two minutes.
const INTERVALS_MAX: usize = 24;
/// Intervals needed for a first estimate.
const INTERVALS_MIN: usize = 4;
/// A change between two intervals that no clock makes (400 ppm in 5 s): the route changed.
const STEP_US: i64 = 2_000;
/// Beyond this no quartz oscillator runs; the estimate is clamped.
const PPM_MAX: f64 = 500.0;

/// Estimates the drift from transit times.
#[derive(Debug, Default)]
pub struct ClockDrift {
    /// (arrival, transit) of the fastest packet of each past interval.
    minima: VecDeque<(i64, i64)>,
    current: Option<Interval>,
    ppm: f64,
}

#[derive(Debug)]
struct Interval {
    start: i64,
    fastest: (i64, i64),
}

impl ClockDrift {
    /// Takes a packet's arrival and transit time in µs. True if the estimate changed.
    pub fn insert(&mut self, arrival_us: i64, transit_us: i64) -> bool {
        let Some(current) = &mut self.current else {
            self.current = Some(Interval {
                start: arrival_us,
                fastest: (arrival_us, transit_us),
            });
            return false;
        };
        if arrival_us - current.start < INTERVAL_US {
            if transit_us < current.fastest.1 {
                current.fastest = (arrival_us, transit_us);
            }
            return false;
        }
        let minimum = current.fastest;
        *current = Interval {
            start: arrival_us,
            fastest: (arrival_us, transit_us),
        };
        if self
            .minima
            .back()
            .is_some_and(|last| (last.1 - minimum.1).abs() > STEP_US)
        {
            self.minima.clear();
        }
        self.minima.push_back(minimum);
        if self.minima.len() > INTERVALS_MAX {
            self.minima.pop_front();
        }
        self.estimate()
    }

    /// Forgets the transit times (their origin changed) but not the estimate.
    pub fn restart(&mut self) {
        self.minima.clear();
        self.current = None;
    }

    /// Parts per million; positive if the sender's clock is fast. 0 until known (20 s).
    #[must_use]
    pub const fn ppm(&self) -> f64 {
        self.ppm
    }

    fn estimate(&mut self) -> bool {
        if self.minima.len() < INTERVALS_MIN {
            return false;
        }
        let mut slopes = Vec::with_capacity(INTERVALS_MAX * (INTERVALS_MAX - 1) / 2);
        for (i, a) in self.minima.iter().enumerate() {
            for b in self.minima.iter().skip(i + 1).filter(|b| b.0 > a.0) {
                slopes.push((b.1 - a.1) as f64 / (b.0 - a.0) as f64);
            }
        }
        if slopes.is_empty() {
            return false;
        }
        slopes.sort_by(f64::total_cmp);
        self.ppm = (-slopes[slopes.len() / 2] * 1e6).clamp(-PPM_MAX, PPM_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(ppm: f64, jitter_us: i64, step_at: Option<i64>) -> f64 {
        let mut drift = ClockDrift::default();
        let mut noise = 12_345_u64;
        for n in 0..6_000_i64 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let sent = (n as f64 * 20_000.0 / (1.0 + ppm * 1e-6)) as i64;
            let step = if step_at.is_some_and(|at| n > at) {
                30_000
            } else {
                0
            };
            let arrival = sent + 40_000 + step + (noise >> 33) as i64 % jitter_us.max(1);
            drift.insert(arrival, arrival - n * 20_000);
        }
        drift.ppm()
    }

    #[test]
    fn drift_is_found_within_a_few_ppm() {
        for ppm in [-200.0, -20.0, 0.0, 50.0, 200.0] {
            assert!((estimate(ppm, 0, None) - ppm).abs() < 2.0);
            assert!((estimate(ppm, 15_000, None) - ppm).abs() < 15.0);
        }
    }

    #[test]
    fn a_route_change_is_not_drift() {
        assert!((estimate(30.0, 5_000, Some(3_000)) - 30.0).abs() < 10.0);
    }
}
