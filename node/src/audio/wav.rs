//! WAV files: read whole, written so that a crash or a full disk leaves a readable file.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{SAMPLE_RATE, error::AudioError, resample::resample};

/// Longest input, in seconds of sound: an hour at 48 kHz takes 690 MB in memory.
const INPUT_SECONDS_MAX: u32 = 3_600;
/// Sampling rates that are plausible for sound; a damaged header shows others.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Bytes of the RIFF, `fmt ` and `data` headers of a PCM file.
const HEADER_BYTES: u32 = 44;
/// Samples between two updates of the lengths in the header: what a crash can lose, half a second.
const HEADER_INTERVAL: u32 = SAMPLE_RATE / 2;

/// Reads a WAV file as 48 kHz mono, full scale ±1: other rates are resampled, channels averaged.
///
/// # Errors
/// The file cannot be opened, is no WAV file, is damaged or cut short, holds no sound or more than an hour.
pub fn read(path: &Path) -> Result<Vec<f32>, AudioError> {
    let (samples, rate) = read_native(path)?;
    resample(&samples, rate, SAMPLE_RATE).ok_or_else(|| AudioError::NotAudio {
        path: path.to_owned(),
        reason: format!("its rate of {rate} Hz cannot be converted to {SAMPLE_RATE} Hz"),
    })
}

/// Reads a WAV file as mono at its own rate, which is returned with the samples.
///
/// # Errors
/// As [`read`].
pub fn read_native(path: &Path) -> Result<(Vec<f32>, u32), AudioError> {
    let damaged = |reason: String| AudioError::NotAudio {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(|source| AudioError::FileOpen {
        path: path.to_owned(),
        source,
    })?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(damaged("it is a folder".to_owned()));
    }
    let mut reader = hound::WavReader::new(io::BufReader::new(file)).map_err(|e| damaged(explain(&e)))?;
    let spec = reader.spec();
    if !RATES.contains(&spec.sample_rate) || spec.channels == 0 {
        return Err(damaged(format!(
            "{} channels at {} Hz",
            spec.channels, spec.sample_rate
        )));
    }
    if reader.duration() / spec.sample_rate > INPUT_SECONDS_MAX {
        return Err(damaged(format!("it is longer than {INPUT_SECONDS_MAX} s")));
    }
    let interleaved: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1_u64 << (spec.bits_per_sample.max(1) - 1)) as f32;
            reader
                .samples::<i32>()
                .map(|s| s.map(|s| s as f32 * scale))
                .collect::<Result<_, _>>()
        }
    }
    .map_err(|e| damaged(explain(&e)))?;
    let channels = usize::from(spec.channels);
    let mono: Vec<f32> = interleaved
        .chunks_exact(channels)
        .map(|frame| {
            frame
                .iter()
                .map(|s| if s.is_finite() { *s } else { 0.0 })
                .sum::<f32>()
                / channels as f32
        })
        .collect();
    if mono.is_empty() {
        return Err(damaged("it holds no sound".to_owned()));
    }
    Ok((mono, spec.sample_rate))
}

/// What is wrong, in words; `hound` reports a file cut short as an input/output error.
fn explain(error: &hound::Error) -> String {
    match error {
        hound::Error::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
        hound::Error::IoError(e) => format!("it ends early or cannot be read ({e})"),
        hound::Error::Unsupported => "its sample format is not supported".to_owned(),
        other => other.to_string(),
    }
}

/// Writes 48 kHz, 16 bit, mono, sample by sample to the disk; the header's lengths follow every half second and when
/// the writer is dropped.
#[derive(Debug)]
pub struct WavWriter {
    file: File,
    path: PathBuf,
    /// Samples written.
    samples: u32,
    /// Samples that the header promises.
    promised: u32,
    buffer: Vec<u8>,
    failed: bool,
}

impl WavWriter {
    /// Creates or overwrites `path`.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn create(path: &Path) -> Result<Self, AudioError> {
        let fail = |source| AudioError::FileWrite {
            path: path.to_owned(),
            source,
        };
        let mut file = File::create(path).map_err(fail)?;
        file.write_all(&header(0)).map_err(fail)?;
        let path = path.to_owned();
        Ok(Self {
            file,
            path,
            samples: 0,
            promised: 0,
            buffer: Vec::new(),
            failed: false,
        })
    }

    /// Appends samples of full scale ±1, clipped. After the first failure nothing is written any more, and what was
    /// written before stays readable.
    ///
    /// # Errors
    /// The disk is full or gone; reported once, later calls do nothing.
    pub fn write(&mut self, samples: &[f32]) -> Result<(), AudioError> {
        // The lengths in the header are 32 bit: stop there (12 hours) rather than wrap.
        let room = (u32::MAX - HEADER_BYTES) / 2 - self.samples;
        if self.failed || room < u32::try_from(samples.len()).unwrap_or(u32::MAX) {
            return Ok(());
        }
        self.buffer.clear();
        self.buffer
            .extend(samples.iter().flat_map(|&s| to_i16(s).to_le_bytes()));
        let written = self.file.write_all(&self.buffer).and_then(|()| {
            self.samples += u32::try_from(samples.len()).unwrap_or(0);
            if self.samples - self.promised >= HEADER_INTERVAL {
                self.update_header()
            } else {
                Ok(())
            }
        });
        written.map_err(|source| {
            self.failed = true;
            // Overwriting the header needs no space, so the file stays readable even now.
            let _ = self.update_header();
            AudioError::FileWrite {
                path: self.path.clone(),
                source,
            }
        })
    }

    /// Samples written so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        u64::from(self.samples)
    }

    fn update_header(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.samples))?;
        self.file
            .seek(SeekFrom::Start(u64::from(HEADER_BYTES + self.samples * 2)))?;
        self.promised = self.samples;
        Ok(())
    }
}

impl Drop for WavWriter {
    fn drop(&mut self) {
        let _ = self.update_header();
    }
}

/// RIFF header (Microsoft "Multimedia Programming Interface and Data Specifications 1.0") of `samples` samples.
fn header(samples: u32) -> [u8; HEADER_BYTES as usize] {
    let data = samples * 2;
    let mut out = [0; HEADER_BYTES as usize];
    out[0..4].copy_from_slice(b"RIFF");
    out[4..8].copy_from_slice(&(data + HEADER_BYTES - 8).to_le_bytes());
    out[8..16].copy_from_slice(b"WAVEfmt ");
    out[16..20].copy_from_slice(&16_u32.to_le_bytes());
    out[20..22].copy_from_slice(&1_u16.to_le_bytes());
    out[22..24].copy_from_slice(&1_u16.to_le_bytes());
    out[24..28].copy_from_slice(&SAMPLE_RATE.to_le_bytes());
    out[28..32].copy_from_slice(&(SAMPLE_RATE * 2).to_le_bytes());
    out[32..34].copy_from_slice(&2_u16.to_le_bytes());
    out[34..36].copy_from_slice(&16_u16.to_le_bytes());
    out[36..40].copy_from_slice(b"data");
    out[40..44].copy_from_slice(&data.to_le_bytes());
    out
}

/// Full scale ±1 to 16 bit, clipped.
#[must_use]
pub fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
#[path = "wav_tests.rs"]
pub(super) mod tests;
