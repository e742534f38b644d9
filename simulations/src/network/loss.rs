//! Whether a packet arrives: independent loss, bursts, or a recorded trace.
//!
//! Bursts: E. N. Gilbert, "Capacity of a Burst-Noise Channel", Bell Syst. Tech. J. 39 (1960); E. O. Elliott, "Estimates of
//! Error Rates for Codes on Burst-Noise Channels", ibid. 42 (1963). One chain for each direction of a way, one step for each
//! packet.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use subrosa_proto::random::Random;

use super::uniform;

/// A loss model, as a scenario states it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "model", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossSpec {
    /// Each packet for itself.
    Independent {
        /// Lost packets, in percent.
        percent: f64,
    },
    /// Two states, each with its own loss.
    GilbertElliott {
        /// From the good to the bad state, for each packet: 0 to 1.
        p: f64,
        /// From the bad to the good state: above 0 to 1. A stay in the bad state lasts 1/r packets on average.
        r: f64,
        /// Lost in the good state, 0 to 1.
        #[serde(default)]
        good: f64,
        /// Lost in the bad state, 0 to 1.
        #[serde(default = "one")]
        bad: f64,
    },
    /// A recording, from a place that the seed draws, again and again. One of the four keys.
    Trace {
        /// `0` for a packet that arrives, `1` for one that is lost; white space does not count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<String>,
        /// The same in a file, named from the scenario file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost_file: Option<String>,
        /// How much later each packet comes, in milliseconds; negative: it is lost.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        delays_ms: Vec<f64>,
        /// The same in a file, with white space between.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delays_file: Option<String>,
    },
}

const fn one() -> f64 {
    1.0
}

impl LossSpec {
    /// Reads the files that it names, so that the scenario stands for itself.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(&mut self, folder: &Path) -> Result<(), String> {
        let Self::Trace {
            lost,
            lost_file,
            delays_ms,
            delays_file,
        } = self
        else {
            return Ok(());
        };
        let read = |name: &String| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("trace {}: {error}", path.display()))
        };
        if let Some(name) = lost_file.take() {
            *lost = Some(read(&name)?);
        }
        if let Some(name) = delays_file.take() {
            let number = |word: &str| {
                word.parse::<f64>()
                    .map_err(|_| format!("trace {name}: `{word}` is no number of milliseconds"))
            };
            *delays_ms = read(&name)?
                .split_whitespace()
                .map(number)
                .collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn process(&self, random: &mut Random) -> Result<LossProcess, String> {
        match self {
            Self::Independent { percent } if (0.0..100.0).contains(percent) => {
                Ok(LossProcess::Independent(percent / 100.0))
            }
            Self::Independent { .. } => Err("a loss of `percent` is from 0 to below 100".to_owned()),
            &Self::GilbertElliott { p, r, good, bad } => {
                let shares = [p, r, good, bad].iter().all(|share| (0.0..=1.0).contains(share));
                if !shares || r == 0.0 || good >= 1.0 {
                    return Err(
                        "`p`, `r`, `good` and `bad` are from 0 to 1, `r` above 0, `good` below 1".to_owned(),
                    );
                }
                let is_bad = uniform(random) < p / (p + r);
                Ok(LossProcess::GilbertElliott {
                    p,
                    r,
                    good,
                    bad,
                    is_bad,
                })
            }
            Self::Trace { lost, delays_ms, .. } => {
                let packets = trace(lost.as_deref(), delays_ms)?;
                let next = usize::try_from(random.next_u64() % packets.len() as u64).unwrap_or(0);
                Ok(LossProcess::Trace { packets, next })
            }
        }
    }
}

fn trace(lost: Option<&str>, delays_ms: &[f64]) -> Result<Vec<Option<Duration>>, String> {
    let packets: Vec<Option<Duration>> = match lost {
        Some(digits) => digits
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| match c {
                '0' => Ok(Some(Duration::ZERO)),
                '1' => Ok(None),
                other => Err(format!("a trace of losses has 0 and 1, not `{other}`")),
            })
            .collect::<Result<_, _>>()?,
        None => delays_ms
            .iter()
            .map(|ms| (*ms >= 0.0).then(|| Duration::from_secs_f64(ms / 1e3)))
            .collect(),
    };
    // Reliable frames are repeated until they arrive.
    if packets.iter().all(Option::is_none) {
        return Err("a trace lets at least one packet through".to_owned());
    }
    Ok(packets)
}

/// A loss model at work.
#[derive(Clone, Debug)]
pub(super) enum LossProcess {
    Independent(f64),
    GilbertElliott {
        p: f64,
        r: f64,
        good: f64,
        bad: f64,
        is_bad: bool,
    },
    Trace {
        packets: Vec<Option<Duration>>,
        next: usize,
    },
}

impl LossProcess {
    /// How much later the next packet comes, or that it is lost.
    pub(super) fn next(&mut self, random: &mut Random) -> Option<Duration> {
        let lost = match self {
            Self::Independent(share) => uniform(random) < *share,
            Self::GilbertElliott {
                p,
                r,
                good,
                bad,
                is_bad,
            } => {
                let turns = uniform(random) < if *is_bad { *r } else { *p };
                *is_bad ^= turns;
                uniform(random) < if *is_bad { *bad } else { *good }
            }
            Self::Trace { packets, next } => {
                let packet = packets[*next];
                *next = (*next + 1) % packets.len();
                return packet;
            }
        };
        (!lost).then_some(Duration::ZERO)
    }

    /// The share that is lost in the long run, and by how much bursts widen the variance of a sample's share.
    pub(super) fn mean(&self) -> (f64, f64) {
        match self {
            Self::Independent(share) => (*share, 1.0),
            Self::GilbertElliott { p, r, good, bad, .. } => {
                let share = p / (p + r);
                // The chain's correlation from packet to packet is 1 - p - r.
                let correlation = (1.0 - p - r).max(0.0);
                let widened = (1.0 + correlation) / (1.0 - correlation).max(1e-6);
                (good * (1.0 - share) + bad * share, widened)
            }
            Self::Trace { packets, .. } => {
                let lost = packets.iter().filter(|packet| packet.is_none()).count();
                let runs = packets
                    .windows(2)
                    .filter(|pair| pair[0].is_some() && pair[1].is_none());
                let burst = lost as f64 / runs.count().max(1) as f64;
                (lost as f64 / packets.len() as f64, (2.0 * burst).max(1.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(spec: &LossSpec, count: usize) -> Vec<bool> {
        let mut random = Random::from_seed([3; 32]);
        let mut process = spec.process(&mut random).unwrap();
        (0..count).map(|_| process.next(&mut random).is_none()).collect()
    }

    fn bursts(lost: &[bool]) -> Vec<usize> {
        let runs = lost.split(|lost| !lost).map(<[bool]>::len);
        runs.filter(|length| *length > 0).collect()
    }

    #[test]
    fn bursts_have_the_stated_share_and_length() {
        let spec = LossSpec::GilbertElliott {
            p: 0.02,
            r: 0.25,
            good: 0.0,
            bad: 1.0,
        };
        let lost = drawn(&spec, 200_000);
        let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        assert!((share - 0.02 / 0.27).abs() < 0.004, "{share}");
        let bursts = bursts(&lost);
        let mean = bursts.iter().sum::<usize>() as f64 / bursts.len() as f64;
        assert!((mean - 4.0).abs() < 0.15, "{mean}");
        let (stated, widened) = spec.process(&mut Random::from_seed([0; 32])).unwrap().mean();
        assert!((stated - 0.02 / 0.27).abs() < 1e-9 && widened > 6.0);
    }

    #[test]
    fn a_trace_is_played_again_and_again() {
        let spec = LossSpec::Trace {
            lost: Some("0 1 1 0".to_owned()),
            lost_file: None,
            delays_ms: Vec::new(),
            delays_file: None,
        };
        let lost = drawn(&spec, 400);
        assert_eq!(lost.iter().filter(|lost| **lost).count(), 200);
        assert!(bursts(&lost[4..396]).iter().all(|length| *length <= 2));
    }

    #[test]
    fn nonsense_is_refused() {
        let mut random = Random::from_seed([0; 32]);
        let all_lost = LossSpec::Trace {
            lost: None,
            lost_file: None,
            delays_ms: vec![-1.0],
            delays_file: None,
        };
        for spec in [
            LossSpec::Independent { percent: 100.0 },
            LossSpec::GilbertElliott {
                p: 0.1,
                r: 0.0,
                good: 0.0,
                bad: 1.0,
            },
            all_lost,
        ] {
            assert!(spec.process(&mut random).is_err(), "{spec:?}");
        }
    }
}
