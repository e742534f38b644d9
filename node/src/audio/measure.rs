//! What of a clip was heard, and how late: cross-correlation of the source with a recording of the listener.

use std::ops::RangeInclusive;

use realfft::RealFftPlanner;

use super::SAMPLE_RATE;

/// Length of the pieces whose delay is found one by one: long enough to be unmistakable.
const SEGMENT_SAMPLES: usize = SAMPLE_RATE as usize * 3 / 10;
/// How far a piece's delay may lie from the whole clip's: 200 ms, more than a jitter buffer moves.
const SEGMENT_REACH: usize = SAMPLE_RATE as usize / 5;
/// Pieces quieter than this share of the loudest one's level hold no speech and are not looked for.
const ACTIVE_SHARE: f64 = 0.1;
/// Similarity from which a piece counts as heard.
const HEARD: f64 = 0.5;
/// Parts of a piece that is not recognised as a whole, 100 ms each.
const PARTS: usize = 3;
/// How far a part's delay may lie from those of the pieces around it: 10 ms, which a jitter buffer's change adds.
const PART_REACH: usize = SAMPLE_RATE as usize / 100;
/// The same for the first and the last piece, of which one neighbour is not known: three frames.
const PART_REACH_AT_END: usize = SAMPLE_RATE as usize * 6 / 100;
/// How much earlier than the recording's start the clip may begin: 1 s.
const LEAD_SAMPLES: usize = SAMPLE_RATE as usize;

/// Where a clip is found in a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// When the clip's first sample is heard after the recording's first, in ms: the median over the pieces that were
    /// heard. Negative if the clip began before the recording.
    pub delay_ms: f64,
    /// Difference between the latest and the earliest piece, in ms: what the jitter buffer moved.
    pub spread_ms: f64,
    /// Mean correlation of all active pieces with what was heard in their place: 1 is identical, 0 unrelated. Opus at
    /// 24 kb/s keeps 0.8 to 0.95 of a voice's waveform.
    pub similarity: f64,
    /// Share of the active pieces' sound that was heard, in steps of a part.
    pub heard: f64,
}

/// A piece of the clip that holds speech.
struct Piece<'a> {
    /// Where it begins in the clip, in samples.
    start: usize,
    samples: &'a [f32],
    /// Correlation with what was heard in its place.
    score: f64,
    /// How much later than in the clip it was heard, in samples of the padded recording; `None`: not recognised.
    delay: Option<usize>,
}

/// Looks for `source` in `heard`, both at [`SAMPLE_RATE`]; `None` if the clip holds no sound or the recording is empty.
#[must_use]
pub fn locate(source: &[f32], heard: &[f32]) -> Option<Heard> {
    if source.is_empty() || heard.is_empty() {
        return None;
    }
    let mut padded = vec![0.0; LEAD_SAMPLES];
    padded.extend_from_slice(heard);
    padded.resize(padded.len() + source.len(), 0.0);
    let (whole, _) = best_match(source, &padded)?;
    let reach = whole.saturating_sub(SEGMENT_REACH)..=whole + SEGMENT_REACH;
    let pieces: Vec<Piece> = active(source)
        .into_iter()
        .map(|(start, samples)| Piece::find(start, samples, &padded, reach.clone()))
        .collect();
    if pieces.is_empty() {
        return None;
    }
    let mut delays: Vec<usize> = pieces.iter().filter_map(|piece| piece.delay).collect();
    delays.sort_unstable();
    let ms = |samples: f64| samples * 1_000.0 / f64::from(SAMPLE_RATE);
    let median = delays.get(delays.len() / 2).copied().unwrap_or(whole);
    let spread = delays
        .last()
        .zip(delays.first())
        .map_or(0, |(last, first)| last - first);
    let count = pieces.len() as f64;
    let in_parts: f64 = (0..pieces.len())
        .map(|index| heard_in_parts(&pieces, index, &padded))
        .sum();
    Some(Heard {
        delay_ms: ms(median as f64 - LEAD_SAMPLES as f64),
        spread_ms: ms(spread as f64),
        similarity: pieces.iter().map(|piece| piece.score).sum::<f64>() / count,
        heard: (delays.len() as f64 + in_parts) / count,
    })
}

/// The pieces that hold speech, and where they begin.
fn active(source: &[f32]) -> Vec<(usize, &[f32])> {
    let pieces = source.chunks_exact(SEGMENT_SAMPLES);
    let loudest = pieces.clone().map(energy).fold(0.0, f64::max);
    pieces
        .enumerate()
        .map(|(index, piece)| (index * SEGMENT_SAMPLES, piece))
        .filter(|(_, piece)| energy(piece) > loudest * ACTIVE_SHARE * ACTIVE_SHARE)
        .collect()
}

impl<'a> Piece<'a> {
    /// Looks for a piece of the clip that is late by one of `delays`.
    fn find(start: usize, samples: &'a [f32], padded: &[f32], delays: RangeInclusive<usize>) -> Self {
        let from = (start + delays.start()).min(padded.len());
        let to = (start + samples.len() + delays.end()).min(padded.len());
        let found = best_match(samples, &padded[from..to]);
        let recognised = found.filter(|&(_, score)| score >= HEARD);
        Self {
            start,
            samples,
            score: found.map_or(0.0, |(_, score)| score.max(0.0)),
            delay: recognised.map(|(lag, _)| from + lag - start),
        }
    }
}

/// The share of piece `index` that was heard though the piece is not recognised as a whole. Where the jitter buffer moves
/// within it by about half a pitch period, its two sides cancel each other; each is still heard, as late as the piece
/// before or after it or between.
fn heard_in_parts(pieces: &[Piece], index: usize, padded: &[f32]) -> f64 {
    let piece = &pieces[index];
    let before = pieces[..index].iter().rev().find_map(|piece| piece.delay);
    let after = pieces[index + 1..].iter().find_map(|piece| piece.delay);
    let (None, Some(one), Some(other)) = (piece.delay, before.or(after), after.or(before)) else {
        return 0.0;
    };
    let reach = match before.and(after) {
        Some(_) => PART_REACH,
        None => PART_REACH_AT_END,
    };
    let delays = one.min(other).saturating_sub(reach)..=one.max(other) + reach;
    let length = SEGMENT_SAMPLES / PARTS;
    let heard = piece
        .samples
        .chunks_exact(length)
        .enumerate()
        .map(|(part, samples)| Piece::find(piece.start + part * length, samples, padded, delays.clone()))
        .filter(|part| part.delay.is_some())
        .count();
    heard as f64 / PARTS as f64
}

fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum()
}

/// The lag at which `needle` fits `haystack` best, and its normalised correlation (−1 to 1).
fn best_match(needle: &[f32], haystack: &[f32]) -> Option<(usize, f64)> {
    let lags = haystack.len().checked_sub(needle.len())? + 1;
    let products = correlate(needle, haystack)?;
    let needle_energy = energy(needle);
    // Silence fits everywhere: energies below this share of the needle's do not count as a match.
    let faint = needle_energy * 1e-4;
    let mut window = energy(&haystack[..needle.len()]);
    let mut best = None;
    for (lag, &product) in products.iter().enumerate().take(lags) {
        let score = f64::from(product) / (needle_energy * window.max(faint)).sqrt();
        if best.is_none_or(|(_, so_far)| score > so_far) {
            best = Some((lag, score));
        }
        if lag + needle.len() < haystack.len() {
            let (new, old) = (f64::from(haystack[lag + needle.len()]), f64::from(haystack[lag]));
            window += new * new - old * old;
        }
    }
    best.filter(|_| needle_energy > 0.0)
}

/// Sum of products for each lag, by FFT.
fn correlate(needle: &[f32], haystack: &[f32]) -> Option<Vec<f32>> {
    let size = (needle.len() + haystack.len()).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
    let transform = |signal: &[f32]| {
        let mut input = signal.to_vec();
        input.resize(size, 0.0);
        let mut output = forward.make_output_vec();
        forward.process(&mut input, &mut output).ok()?;
        Some(output)
    };
    let mut spectrum = transform(haystack)?;
    for (value, other) in spectrum.iter_mut().zip(transform(needle)?) {
        *value *= other.conj();
    }
    // Rounding leaves the ends, which are real, with an imaginary part that the inverse transform refuses.
    for end in [0, size / 2] {
        spectrum[end].im = 0.0;
    }
    let mut output = inverse.make_output_vec();
    inverse.process(&mut spectrum, &mut output).ok()?;
    output.iter_mut().for_each(|value| *value /= size as f32);
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise in bursts, as unmistakable as speech.
    fn clip(seed: u32, seconds: usize) -> Vec<f32> {
        let mut state = seed;
        (0..seconds * SAMPLE_RATE as usize)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let loud = if i / 9_600 % 3 == 2 { 0.0 } else { 0.4 };
                loud * ((state >> 8) as f32 / 8_388_608.0 - 1.0)
            })
            .collect()
    }

    #[test]
    fn a_delayed_clip_is_found_to_the_sample() {
        let source = clip(1, 2);
        let mut heard = vec![0.0; 48_000 * 3 + 1_234];
        heard.extend(source.iter().map(|s| s * 0.3));
        heard.extend(clip(9, 1));
        let found = locate(&source, &heard).unwrap();
        assert!(
            (found.delay_ms - (3_000.0 + 1_234.0 / 48.0)).abs() < 0.03,
            "{found:?}"
        );
        assert!(
            found.similarity > 0.99 && found.spread_ms < 0.1 && found.heard > 0.99,
            "{found:?}"
        );
    }

    #[test]
    fn a_clip_that_began_before_the_recording_has_a_negative_delay() {
        let source = clip(2, 2);
        let found = locate(&source, &source[4_800..]).unwrap();
        assert!((found.delay_ms + 100.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn something_else_is_not_heard() {
        let found = locate(&clip(3, 2), &clip(4, 4)).unwrap();
        assert!(found.similarity < 0.2 && found.heard < 0.1, "{found:?}");
        assert!(locate(&[0.0; 48_000], &clip(4, 1)).is_none());
        assert!(locate(&clip(3, 2), &[]).is_none());
    }

    #[test]
    fn moved_pieces_show_as_spread() {
        let source = clip(5, 3);
        let mut heard = source.clone();
        heard.splice(72_000..72_000, std::iter::repeat_n(0.0, 960));
        let found = locate(&source, &heard).unwrap();
        assert!((found.spread_ms - 20.0).abs() < 0.1, "{found:?}");
        assert!(found.similarity > 0.85, "{found:?}");
    }

    /// A low voice: 125 Hz, of which a move of 20 ms is two and a half periods, with pauses.
    fn voice(seconds: usize) -> Vec<f32> {
        let mut phase = 0.0_f32;
        (0..seconds * SAMPLE_RATE as usize)
            .map(|i| {
                let t = i as f32 / SAMPLE_RATE as f32;
                // The pitch glides, or every period would be like every other.
                phase += (125.0 + 12.0 * (t * 5.3).sin() + 9.0 * (t * 1.7).cos()) / SAMPLE_RATE as f32;
                let loud = 0.3 + 0.2 * (t * 19.0).sin();
                let angle = phase * std::f32::consts::TAU;
                loud * (angle.sin() + 0.3 * (3.0 * angle).sin())
            })
            .collect()
    }

    #[test]
    fn a_voice_that_the_jitter_buffer_moves_is_heard() {
        let source = voice(3);
        for at in (24_000..96_000).step_by(2_400) {
            let mut moved = source.clone();
            moved.splice(at..at, std::iter::repeat_n(0.0, 960));
            let found = locate(&source, &moved).unwrap();
            assert!(found.heard > 0.96, "at {at}: {found:?}");
        }
    }

    #[test]
    fn what_is_silenced_is_not_heard() {
        let source = clip(6, 3);
        for at in (24_000..96_000).step_by(2_400) {
            let mut silenced = source.clone();
            silenced[at..at + 33_600].fill(0.0);
            let found = locate(&source, &silenced).unwrap();
            // At its ends a piece of which a quarter is left still counts.
            assert!(found.heard < 0.91, "at {at}: {found:?}");
        }
    }
}
