//! Removing or adding a little time without a click.
//!
//! WSOLA (W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
//! time-scale modification of speech", ICASSP 1993): the signal is joined with itself at a distance of one lag, where
//! both sides look alike. In voiced speech that lag is a multiple of the pitch period, so the pitch stays.

/// Samples over which the two sides are faded into each other: 5 ms.
pub const OVERLAP: usize = 240;
/// The smallest lag: 2.5 ms, the period of a very high voice.
pub const LAG_MIN: usize = 120;
/// The largest lag: 15 ms, the period of a very deep voice.
pub const LAG_MAX: usize = 720;

/// The coarse search looks at every fourth sample of a moving average.
const DECIMATION: usize = 4;
/// Distance between the join points tried.
const JOIN_STEP: usize = 120;
/// Mean power below which any join is inaudible (−66 dB of full scale).
const QUIET_POWER: f32 = 2.5e-7;

/// A place where the signal may be joined with itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Join {
    at: usize,
    lag: usize,
    similarity: f32,
}

/// Removes between [`LAG_MIN`] and `lag_max` samples from `samples`, if a join of at least `similarity_min`
/// (normalised cross-correlation, −1 to 1) exists. Returns how many; 0 leaves `samples` as they are.
pub fn accelerate(samples: &mut Vec<f32>, lag_max: usize, similarity_min: f32) -> usize {
    let Some(Join { at, lag, .. }) = find_join(samples, lag_max, similarity_min) else {
        return 0;
    };
    for i in 0..OVERLAP {
        let weight = (i as f32 + 0.5) / OVERLAP as f32;
        samples[at + i] += (samples[at + lag + i] - samples[at + i]) * weight;
    }
    samples.drain(at + OVERLAP..at + OVERLAP + lag);
    lag
}

/// Adds between [`LAG_MIN`] and `lag_max` samples to `samples`, under the same condition as [`accelerate`].
pub fn expand(samples: &mut Vec<f32>, lag_max: usize, similarity_min: f32) -> usize {
    let Some(Join { at, lag, .. }) = find_join(samples, lag_max, similarity_min) else {
        return 0;
    };
    let inserted = samples[at..at + lag].to_vec();
    // After one lag the signal goes back to `at`: it fades from how it would go on to how it went on there.
    for i in 0..OVERLAP {
        let weight = (i as f32 + 0.5) / OVERLAP as f32;
        let (on, back) = (samples[at + lag + i], samples[at + i]);
        samples[at + i] = on + (back - on) * weight;
    }
    samples.splice(at..at, inserted);
    lag
}

fn find_join(samples: &[f32], lag_max: usize, similarity_min: f32) -> Option<Join> {
    let lag_max = lag_max.min(LAG_MAX).min(samples.len().checked_sub(OVERLAP)?);
    if lag_max < LAG_MIN {
        return None;
    }
    let power = samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32;
    if power < QUIET_POWER {
        return Some(Join {
            at: 0,
            lag: lag_max,
            similarity: 1.0,
        });
    }
    let coarse: Vec<f32> = samples
        .chunks_exact(DECIMATION)
        .map(|group| group.iter().sum::<f32>())
        .collect();
    let mut best: Option<Join> = None;
    let mut at = 0;
    while at + LAG_MIN + OVERLAP <= samples.len() {
        let room = samples.len() - OVERLAP - at;
        let found = best_lag(samples, &coarse, at, lag_max.min(room));
        if best.is_none_or(|best| found.similarity > best.similarity) {
            best = Some(found);
        }
        at += JOIN_STEP;
    }
    best.filter(|join| join.similarity >= similarity_min)
}

fn best_lag(samples: &[f32], coarse: &[f32], at: usize, lag_max: usize) -> Join {
    let overlap = OVERLAP / DECIMATION;
    let (mut rough, mut rough_similarity) = (LAG_MIN, f32::MIN);
    let start = at / DECIMATION;
    for lag in LAG_MIN / DECIMATION..=lag_max / DECIMATION {
        if start + lag + overlap > coarse.len() {
            break;
        }
        let similarity = similarity(
            &coarse[start..start + overlap],
            &coarse[start + lag..start + lag + overlap],
        );
        if similarity > rough_similarity {
            (rough, rough_similarity) = (lag * DECIMATION, similarity);
        }
    }
    let mut best = Join {
        at,
        lag: LAG_MIN,
        similarity: f32::MIN,
    };
    for lag in rough.saturating_sub(DECIMATION - 1).max(LAG_MIN)..=(rough + DECIMATION - 1).min(lag_max) {
        let similarity = similarity(&samples[at..at + OVERLAP], &samples[at + lag..at + lag + OVERLAP]);
        if similarity > best.similarity {
            best = Join { at, lag, similarity };
        }
    }
    best
}

/// Normalised cross-correlation; 0 if one side is silent, 1 if both are.
fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let (mut dot, mut aa, mut bb) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (x, y) in a.iter().zip(b) {
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    let floor = QUIET_POWER * a.len() as f32;
    if aa < floor && bb < floor {
        1.0
    } else {
        dot / (aa * bb).sqrt().max(floor)
    }
}

#[cfg(test)]
mod tests;
