//! Delay and loss over time at each listener, by when frames were spoken.

use std::{collections::VecDeque, time::Duration};

use subrosa_proto::time::Timestamp;

/// How many bins a run is cut into, about.
const BINS: u64 = 240;
/// The shortest bin: ten frames of a speaker.
const BIN_MIN: Duration = Duration::from_millis(200);
/// What was spoken so shortly before somebody went may have been on its way.
const FLIGHT: Duration = Duration::from_secs(1);
/// Frames of a speaker that are remembered one by one: ten seconds.
const RECENT: usize = 500;

/// One listener in one bin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    /// Frames that were spoken for it.
    pub(super) due: u32,
    /// Of these, those that it heard.
    pub(super) heard: u32,
    delay_sum: Duration,
    /// The longest time from the microphone to the decrypted frame.
    pub(super) delay_max: Duration,
}

impl Bin {
    /// The mean time from the microphone to the decrypted frame.
    pub(super) fn delay(&self) -> Option<Duration> {
        (self.heard > 0).then(|| self.delay_sum / self.heard)
    }

    /// The share that was not heard.
    pub(super) fn loss(&self) -> Option<f64> {
        let lost = self.due.saturating_sub(self.heard);
        (self.due > 0).then(|| f64::from(lost) / f64::from(self.due))
    }
}

/// A speaker at a listener, from the first frame that was heard on.
#[derive(Clone, Copy, Debug)]
struct Open {
    first: u64,
    last_sealed: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) bin: Duration,
    /// For each listener, its bins.
    pub(super) listeners: Vec<Vec<Bin>>,
    /// For each listener and speaker.
    open: Vec<Vec<Option<Open>>>,
    recent: Vec<VecDeque<(u64, Timestamp)>>,
}

impl Series {
    pub(super) fn new(nodes: usize, seconds: u64) -> Self {
        let fair = Duration::from_millis(seconds * 1_000 / BINS);
        // Whole multiples of the shortest.
        let steps = fair.as_millis().div_ceil(BIN_MIN.as_millis()).max(1);
        let bin = BIN_MIN * u32::try_from(steps).unwrap_or(u32::MAX);
        let bins = usize::try_from(u128::from(seconds) * 1_000 / bin.as_millis()).unwrap_or(0) + 1;
        Self {
            bin,
            listeners: vec![vec![Bin::default(); bins]; nodes],
            open: vec![vec![None; nodes]; nodes],
            recent: vec![VecDeque::new(); nodes],
        }
    }

    fn bin(&mut self, listener: usize, at: Timestamp) -> &mut Bin {
        let index = u128::from(at.as_micros()) / self.bin.as_micros();
        let bins = &mut self.listeners[listener];
        let last = bins.len() - 1;
        &mut bins[usize::try_from(index).unwrap_or(last).min(last)]
    }

    pub(super) fn spoken(&mut self, at: Timestamp, speaker: usize, number: u64) {
        let recent = &mut self.recent[speaker];
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((number, at));
        for listener in 0..self.open.len() {
            if self.open[listener][speaker].is_some() {
                self.bin(listener, at).due += 1;
            }
        }
    }

    pub(super) fn heard(
        &mut self,
        at: Timestamp,
        listener: usize,
        speaker: usize,
        (number, sealed): (u64, Timestamp),
    ) {
        let first = match &mut self.open[listener][speaker] {
            Some(open) => {
                open.last_sealed = open.last_sealed.max(sealed);
                open.first
            }
            closed => {
                *closed = Some(Open {
                    first: number,
                    last_sealed: sealed,
                });
                // What was spoken since is on its way.
                let since: Vec<Timestamp> = self.frames(speaker, |(other, _)| other >= number);
                since.into_iter().for_each(|at| self.bin(listener, at).due += 1);
                number
            }
        };
        if number < first {
            return;
        }
        let bin = self.bin(listener, sealed);
        bin.heard += 1;
        bin.delay_sum += at - sealed;
        bin.delay_max = bin.delay_max.max(at - sealed);
    }

    fn frames(&self, speaker: usize, which: impl Fn((u64, Timestamp)) -> bool) -> Vec<Timestamp> {
        let frames = self.recent[speaker].iter().filter(|frame| which(**frame));
        frames.map(|(_, at)| *at).collect()
    }

    /// Neither hears the other any more.
    pub(super) fn forgot(&mut self, at: Timestamp, a: usize, b: usize) {
        self.close(at, a, b);
        self.close(at, b, a);
    }

    /// Nobody hears it any more, and it hears nobody.
    pub(super) fn ends(&mut self, at: Timestamp, node: usize) {
        for other in 0..self.open.len() {
            self.forgot(at, node, other);
        }
    }

    fn close(&mut self, at: Timestamp, listener: usize, speaker: usize) {
        let Some(open) = self.open[listener][speaker].take() else {
            return;
        };
        // Whoever was silent for longer than a flight takes has lost what was spoken.
        if at - open.last_sealed > FLIGHT {
            return;
        }
        let flying = |(_, spoken): (u64, Timestamp)| spoken > open.last_sealed;
        for spoken in self.frames(speaker, flying) {
            let bin = self.bin(listener, spoken);
            bin.due = bin.due.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(milliseconds)
    }

    #[test]
    fn every_other_frame_that_is_lost_is_a_loss_of_half() {
        let mut series = Series::new(2, 2);
        for number in 0..100 {
            let sealed = ms(number * 20);
            series.spoken(sealed, 0, number);
            if number >= 1 && number % 2 == 1 {
                series.heard(sealed + Duration::from_millis(15), 1, 0, (number, sealed));
            }
        }
        series.ends(ms(2_000), 1);
        let bins = &series.listeners[1];
        assert_eq!(series.bin, Duration::from_millis(200));
        assert!(
            bins[1..9]
                .iter()
                .all(|bin| bin.due == 10 && bin.loss() == Some(0.5)),
            "{bins:?}"
        );
        assert!(
            bins[..9]
                .iter()
                .all(|bin| bin.delay() == Some(Duration::from_millis(15)))
        );
        assert_eq!(bins[0].due, 9, "from the first that was heard on");
        assert!(series.listeners[0].iter().all(|bin| bin.due == 0));
    }

    #[test]
    fn a_silence_until_the_end_is_lost() {
        let mut series = Series::new(2, 4);
        for number in 0..200 {
            series.spoken(ms(number * 20), 0, number);
            if number < 50 {
                series.heard(ms(number * 20 + 15), 1, 0, (number, ms(number * 20)));
            }
        }
        series.ends(ms(4_000), 1);
        let bins = &series.listeners[1];
        assert!(bins[5..20].iter().all(|bin| bin.loss() == Some(1.0)), "{bins:?}");
    }

    #[test]
    fn what_was_on_its_way_when_somebody_went_is_not_lost() {
        let mut series = Series::new(2, 2);
        for number in 0..50 {
            series.spoken(ms(number * 20), 0, number);
            if number < 45 {
                series.heard(ms(number * 20 + 15), 1, 0, (number, ms(number * 20)));
            }
        }
        series.forgot(ms(1_000), 1, 0);
        series.spoken(ms(1_100), 0, 55);
        let (due, heard) = series.listeners[1]
            .iter()
            .fold((0, 0), |(d, h), bin| (d + bin.due, h + bin.heard));
        assert_eq!((due, heard), (45, 45));
    }
}
