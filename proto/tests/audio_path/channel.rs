//! A seeded network path in virtual time.

use subrosa_proto::random::Random;

/// How packets get lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    None,
    /// Each with this probability.
    Independent(f64),
    /// Gilbert–Elliott with a loss-free and a lossy state: overall share and mean run length.
    Bursts {
        share: f64,
        mean: f64,
    },
    /// The path is dead for `length` every `period`, both in µs.
    Outages {
        period: u64,
        length: u64,
    },
}

/// How long packets take beyond the base delay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Jitter {
    None,
    /// Up to this many µs.
    Uniform(u64),
    /// Exponential with this mean in µs (overtaking is common).
    Exponential(f64),
    /// Every `period` µs the path stands still for `length` µs and then delivers at once.
    Stalls {
        period: u64,
        length: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) base_us: u64,
    pub(crate) jitter: Jitter,
    pub(crate) loss: Loss,
    /// Share of packets held back by 45 ms.
    pub(crate) reordered: f64,
    /// Share of packets delivered twice, the second time 7 ms later.
    pub(crate) duplicated: f64,
    /// From this time on the base delay is larger by the second value (µs).
    pub(crate) step: Option<(u64, u64)>,
}

impl Path {
    pub(crate) const CLEAN: Self = Self {
        base_us: 20_000,
        jitter: Jitter::None,
        loss: Loss::None,
        reordered: 0.0,
        duplicated: 0.0,
        step: None,
    };
}

pub(crate) struct Channel {
    path: Path,
    random: Random,
    bad: bool,
}

impl Channel {
    pub(crate) fn new(path: Path, random: &mut Random) -> Self {
        Self {
            path,
            random: random.fork("channel"),
            bad: false,
        }
    }

    fn unit(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn is_lost(&mut self, now: u64) -> bool {
        let draw = self.unit();
        match self.path.loss {
            Loss::None => false,
            Loss::Independent(p) => draw < p,
            Loss::Bursts { share, mean } => {
                let leave = 1.0 / mean;
                let enter = leave * share / (1.0 - share);
                self.bad = if self.bad { draw >= leave } else { draw < enter };
                self.bad
            }
            Loss::Outages { period, length } => now % period >= period - length,
        }
    }

    /// The times at which a packet sent at `now` arrives.
    pub(crate) fn carry(&mut self, now: u64) -> Vec<u64> {
        if self.is_lost(now) {
            return Vec::new();
        }
        let mut arrival = now + self.path.base_us;
        if let Some((from, extra)) = self.path.step
            && now >= from
        {
            arrival += extra;
        }
        let draw = self.unit();
        arrival += match self.path.jitter {
            Jitter::None => 0,
            Jitter::Uniform(max) => (draw * max as f64) as u64,
            Jitter::Exponential(mean) => (-(1.0 - draw).ln() * mean) as u64,
            Jitter::Stalls { period, length } => {
                let into = now % period;
                length.saturating_sub(into)
            }
        };
        if self.unit() < self.path.reordered {
            arrival += 45_000;
        }
        let mut arrivals = vec![arrival];
        if self.unit() < self.path.duplicated {
            arrivals.push(arrival + 7_000);
        }
        arrivals
    }
}
