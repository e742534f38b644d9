//! What is said and what is heard, as samples.

use std::path::Path;

use subrosa_node::audio::{SAMPLE_RATE, measure, wav};

use super::member::Member;

/// Rate at which pieces are compared: speech keeps its shape, and the search is thirty-six times shorter.
const COARSE_RATE: usize = 8_000;
/// How much later than in the file a piece may be heard: transport, jitter buffer, playback on a busy machine.
const REACH_SECONDS: f64 = 0.8;
/// Length of a piece.
pub(crate) const PIECE_SECONDS: f64 = 0.1;
/// Correlation from which a piece counts as heard.
const HEARD: f64 = 0.5;

/// One of the shipped voices, `alice` or `bob`, at 48 kHz.
pub(crate) fn speech(voice: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("assets/speech/{voice}.wav"));
    wav::read(&path).expect("the speech is shipped")
}

/// `seconds` of silence.
pub(crate) fn silence(seconds: f64) -> Vec<f32> {
    vec![0.0; samples(seconds)]
}

/// `seconds` of speech without pauses: every tenth of a second is recognisable.
pub(crate) fn babble(voice: &str, seconds: f64) -> Vec<f32> {
    let speech = speech(voice);
    let energy = |block: &[f32]| block.iter().map(|s| s * s).sum::<f32>();
    let block = SAMPLE_RATE as usize / 50;
    let loudest = speech.chunks_exact(block).map(energy).fold(0.0, f32::max);
    let active: Vec<f32> = speech
        .chunks_exact(block)
        .filter(|b| energy(b) > loudest * 0.02)
        .flatten()
        .copied()
        .collect();
    active.iter().copied().cycle().take(samples(seconds)).collect()
}

/// Writes a clip, 48 kHz, 16 bit, mono.
pub(crate) fn write_clip(path: &Path, sound: &[f32]) {
    write_at(path, sound, SAMPLE_RATE);
}

/// Writes samples of any rate.
pub(crate) fn write_at(path: &Path, sound: &[f32], sample_rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("writable");
    for sample in sound {
        writer.write_sample((sample * 32_767.0) as i16).expect("writable");
    }
    writer.finalize().expect("writable");
}

/// How well `listener` heard `sound`, wherever in its recording it is.
pub(crate) fn located(listener: &Member, sound: &[f32]) -> measure::Heard {
    measure::locate(sound, &listener.hearing()).expect("both are sound")
}

/// Asserts that `listener` heard `sound`.
pub(crate) fn assert_heard(listener: &Member, sound: &[f32], what: &str) {
    let found = located(listener, sound);
    println!("{what}: {found:?}");
    assert!(
        found.similarity > 0.6 && found.heard > 0.85,
        "{what}: {found:?}\n{}",
        listener.story()
    );
}

/// Asserts that `listener` recognisably heard `sound`, though voices may overlap and a busy machine stretches them.
/// Other speech has a similarity below 0.2.
pub(crate) fn assert_recognised(listener: &Member, sound: &[f32], what: &str) {
    let found = located(listener, sound);
    println!("{what}: {found:?}");
    assert!(
        found.similarity > 0.4 && found.heard > 0.4,
        "{what}: {found:?}\n{}",
        listener.story()
    );
}

/// A tenth of a second of a clip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Where it lies in the clip, in seconds.
    pub(crate) at: f64,
    /// Best correlation with what was heard at that time.
    pub(crate) score: f64,
}

impl Piece {
    /// Whether it was recognised.
    pub(crate) fn is_heard(self) -> bool {
        self.score >= HEARD
    }
}

/// Looks for each piece of `clip`, played by `speaker`, in what `listener` heard, at the time when it must have been.
pub(crate) fn pieces(speaker: &Member, clip: &[f32], listener: &Member) -> Vec<Piece> {
    let heard = coarse(&listener.hearing());
    let clip = coarse(clip);
    let offset = speaker.clip_began() - listener.recording_began();
    let length = (PIECE_SECONDS * COARSE_RATE as f64) as usize;
    let reach = (REACH_SECONDS * COARSE_RATE as f64) as usize;
    let mut pieces = Vec::new();
    for (index, piece) in clip.chunks_exact(length).enumerate() {
        let at = index as f64 * PIECE_SECONDS;
        let Some(from) = place(offset + at) else {
            continue;
        };
        if from + length > heard.len() || power(piece) < 1e-6 {
            continue;
        }
        let window = &heard[from..(from + length + reach).min(heard.len())];
        pieces.push(Piece {
            at,
            score: best_score(piece, window),
        });
    }
    pieces
}

/// The longest stretch of `pieces` within `from..to` (seconds of the clip) in which nothing was recognised, in seconds.
pub(crate) fn longest_gap(pieces: &[Piece], from: f64, to: f64) -> f64 {
    let (mut longest, mut current) = (0.0_f64, 0.0);
    for piece in pieces.iter().filter(|p| p.at >= from && p.at < to) {
        current = if piece.is_heard() {
            0.0
        } else {
            current + PIECE_SECONDS
        };
        longest = longest.max(current);
    }
    longest
}

/// Share of the pieces within `from..to` that were recognised; 0 if there are none.
pub(crate) fn share_heard(pieces: &[Piece], from: f64, to: f64) -> f64 {
    let within: Vec<_> = pieces.iter().filter(|p| p.at >= from && p.at < to).collect();
    within.iter().filter(|p| p.is_heard()).count() as f64 / within.len().max(1) as f64
}

/// Root mean square of what `listener` heard between two moments, in seconds since 1970.
pub(crate) fn level_between(listener: &Member, from: f64, to: f64) -> f64 {
    let began = listener.recording_began();
    let hearing = listener.hearing();
    let index = |unix: f64| samples((unix - began).max(0.0)).min(hearing.len());
    let part = &hearing[index(from)..index(to)];
    assert!(
        !part.is_empty(),
        "the recording does not reach that far\n{}",
        listener.story()
    );
    power(part).sqrt()
}

fn place(seconds: f64) -> Option<usize> {
    (seconds >= 0.0).then_some((seconds * COARSE_RATE as f64) as usize)
}

fn samples(seconds: f64) -> usize {
    (seconds * f64::from(SAMPLE_RATE)) as usize
}

fn power(sound: &[f32]) -> f64 {
    sound.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / sound.len().max(1) as f64
}

fn coarse(sound: &[f32]) -> Vec<f32> {
    let factor = SAMPLE_RATE as usize / COARSE_RATE;
    sound
        .chunks_exact(factor)
        .map(|group| group.iter().sum::<f32>() / factor as f32)
        .collect()
}

fn best_score(piece: &[f32], window: &[f32]) -> f64 {
    let own = power(piece);
    let scores = window.windows(piece.len()).map(|place| {
        let product: f32 = piece.iter().zip(place).map(|(a, b)| a * b).sum();
        f64::from(product) / piece.len() as f64 / (own * power(place).max(own * 1e-4)).sqrt()
    });
    scores.fold(-1.0, f64::max)
}
