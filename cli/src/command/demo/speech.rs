//! What the demo's speakers say, and the files that they say it from.

use std::path::Path;

use subrosa_node::{
    audio::{
        SAMPLE_RATE,
        wav::{self, WavWriter},
    },
    error::{ErrorKind, NodeError},
};

/// The built-in sentences (made by tests/assets/speech/make.sh).
const BUILT_IN: [&[u8]; 2] = [
    include_bytes!("../../../../tests/assets/speech/alice.wav"),
    include_bytes!("../../../../tests/assets/speech/bob.wav"),
];
/// Longest speech that is taken, in seconds: a demo, not a recital.
const SPEECH_SECONDS_MAX: usize = 60;

/// One speaker's clip at [`SAMPLE_RATE`].
pub(super) struct Speech {
    pub(super) samples: Vec<f32>,
}

impl Speech {
    /// The `index`-th speaker's: the user's own file if there is one, else the built-in one.
    ///
    /// # Errors
    /// [`ErrorKind::AudioFile`] if a file cannot be read as sound; [`ErrorKind::Usage`] if it is too long.
    pub(super) fn load(index: usize, given: &[std::path::PathBuf], dir: &Path) -> Result<Self, NodeError> {
        let samples = if let Some(path) = given.get(index).or_else(|| given.first()) {
            wav::read(path)?
        } else {
            let path = dir.join(format!("speech-{}.wav", index + 1));
            std::fs::write(&path, BUILT_IN[index % BUILT_IN.len()])
                .map_err(|e| super::cannot_write(&path, &e))?;
            wav::read(&path)?
        };
        if samples.len() > SPEECH_SECONDS_MAX * SAMPLE_RATE as usize {
            return Err(NodeError::new(
                ErrorKind::Usage,
                format!("the speech is longer than {SPEECH_SECONDS_MAX} s"),
                "give a shorter file with --speech",
            ));
        }
        Ok(Self { samples })
    }

    /// Its length in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(SAMPLE_RATE)
    }

    /// Writes it to `path` after `lead_seconds` of silence, for `--audio file:`.
    ///
    /// # Errors
    /// [`ErrorKind::AudioFile`] if the file cannot be written.
    pub(super) fn write_after_silence(&self, lead_seconds: f64, path: &Path) -> Result<(), NodeError> {
        let mut writer = WavWriter::create(path)?;
        writer.write(&vec![0.0; lead_samples(lead_seconds)])?;
        writer.write(&self.samples)?;
        Ok(())
    }
}

/// Silence before a speech, in samples.
pub(super) fn lead_samples(seconds: f64) -> usize {
    (seconds.max(0.0) * f64::from(SAMPLE_RATE)) as usize
}
