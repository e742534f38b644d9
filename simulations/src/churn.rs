//! People who come and go at random: drawn from the seed into members and actions before the run begins.
//!
//! Arrivals are a Poisson process, stays are exponential, as is common for models of churn.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use subrosa_proto::random::Random;

use crate::scenario::{Action, MemberSpec, Scenario, TimedAction};

/// People that churn may bring at most.
const PEOPLE_MAX: usize = 5_000;

/// Who comes and goes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChurnSpec {
    /// Arrivals per minute, on average.
    pub arrivals_per_minute: f64,
    /// How long each stays, on average, in seconds.
    pub stay_s: f64,
    /// Nobody comes before.
    #[serde(default)]
    pub from_ms: u64,
    /// Nobody comes or goes afterwards.
    pub until_ms: u64,
    /// What those who come are like; their names are made from this one's.
    pub guest: MemberSpec,
}

/// The scenario with those who come and go written out.
///
/// # Errors
/// A sentence if that would be too many, or no rate.
pub fn expanded(scenario: &Scenario, seed: u64) -> Result<Cow<'_, Scenario>, String> {
    let Some(churn) = &scenario.churn else {
        return Ok(Cow::Borrowed(scenario));
    };
    let positive = |value: f64| value > 0.0 && value.is_finite();
    if !positive(churn.arrivals_per_minute) || !positive(churn.stay_s) {
        return Err("[churn]: `arrivals_per_minute` and `stay_s` are above 0".to_owned());
    }
    let mut root = [b'c'; 32];
    root[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = Random::from_seed(root);
    let mut draw = |mean_ms: f64| {
        let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        (-mean_ms * (1.0 - uniform).ln()).min(1e12) as u64
    };
    let mut scenario = scenario.clone();
    let mut comes_ms = churn.from_ms;
    for number in 1.. {
        comes_ms += draw(60_000.0 / churn.arrivals_per_minute);
        if comes_ms >= churn.until_ms {
            break;
        }
        if number > PEOPLE_MAX {
            return Err(format!("[churn]: more than {PEOPLE_MAX} people would come"));
        }
        let name = format!("{} {number}", churn.guest.name);
        let goes_ms = comes_ms + draw(churn.stay_s * 1_000.0);
        scenario.members.push(MemberSpec {
            name: name.clone(),
            joins_at_ms: Some(comes_ms),
            ..churn.guest.clone()
        });
        if goes_ms < churn.until_ms {
            scenario.actions.push(TimedAction {
                at_ms: goes_ms,
                action: Action::Leave { who: name },
            });
        } else if !scenario.expect.members.is_empty() {
            scenario.expect.members.push(name);
        }
    }
    Ok(Cow::Owned(scenario))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(arrivals_per_minute: f64) -> Scenario {
        Scenario {
            churn: Some(ChurnSpec {
                arrivals_per_minute,
                stay_s: 30.0,
                from_ms: 10_000,
                until_ms: 610_000,
                guest: MemberSpec {
                    name: "Guest".to_owned(),
                    ..MemberSpec::default()
                },
            }),
            ..Scenario::default()
        }
    }

    #[test]
    fn the_rate_and_the_stays_are_those_stated() {
        let drawn = scenario(60.0);
        let drawn = expanded(&drawn, 1).unwrap();
        let count = drawn.members.len() as f64;
        assert!((count - 600.0).abs() < 75.0, "{count}");
        let mean = drawn.actions.iter().map(|action| {
            let Action::Leave { who } = &action.action else {
                unreachable!()
            };
            let came = drawn.members.iter().find(|member| member.name == *who).unwrap();
            (action.at_ms - came.joins_at_ms.unwrap()) as f64
        });
        let mean = mean.sum::<f64>() / drawn.actions.len() as f64;
        assert!((26_000.0..33_000.0).contains(&mean), "{mean}");
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let spec = scenario(6.0);
        let text = |seed| expanded(&spec, seed).unwrap().to_toml();
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert!(expanded(&scenario(0.0), 1).is_err());
    }
}
