//! WAV files as a microphone and as a pair of ears, in real time.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
};

use super::{Capture, Notice, Pacer, Playback};
use crate::audio::{
    AudioError, STEP,
    wav::{self, WavWriter},
};

/// Plays a clip once, then silence.
#[derive(Debug)]
pub(super) struct FileCapture {
    clip: Vec<f32>,
    /// Next sample of the clip.
    position: usize,
    /// The clip begins when this is set; silence until then.
    released: Arc<AtomicBool>,
    pacer: Pacer,
    notices: Sender<Notice>,
}

impl FileCapture {
    /// Reads `path` whole.
    ///
    /// # Errors
    /// The file is missing or is not a readable WAV file.
    pub(super) fn open(
        path: &Path,
        released: Arc<AtomicBool>,
        notices: Sender<Notice>,
    ) -> Result<Self, AudioError> {
        let clip = wav::read(path)?;
        Ok(Self {
            clip,
            position: 0,
            released,
            pacer: Pacer::new(),
            notices,
        })
    }
}

impl Capture for FileCapture {
    fn read(&mut self, block: &mut [f32]) -> Result<(), AudioError> {
        self.pacer.wait(block.len());
        block.fill(0.0);
        if self.position < self.clip.len() && self.released.load(Ordering::Relaxed) {
            if self.position == 0 {
                let _ = self.notices.send(Notice::ClipBegan(self.pacer.due(block.len())));
            }
            let rest = &self.clip[self.position..];
            let count = rest.len().min(block.len());
            block[..count].copy_from_slice(&rest[..count]);
            self.position += count;
            if self.position == self.clip.len() {
                let _ = self.notices.send(Notice::ClipEnded);
            }
        }
        Ok(())
    }
}

/// Writes what is heard.
#[derive(Debug)]
pub(super) struct FilePlayback {
    writer: WavWriter,
    pacer: Pacer,
    begun: bool,
    notices: Sender<Notice>,
}

impl FilePlayback {
    /// Creates or overwrites `path`; scripts rely on that. It must not be `input`, which would be lost.
    ///
    /// # Errors
    /// The file cannot be created, or is the input.
    pub(super) fn open(
        path: &Path,
        input: Option<&Path>,
        notices: Sender<Notice>,
    ) -> Result<Self, AudioError> {
        // Canonical paths see through links and `..`; an output that does not exist yet is no input.
        let same = input.is_some_and(|input| match (input.canonicalize(), path.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        });
        if same {
            return Err(AudioError::SameFile {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            writer: WavWriter::create(path)?,
            pacer: Pacer::new(),
            begun: false,
            notices,
        })
    }
}

impl Playback for FilePlayback {
    fn wait(&mut self) -> Result<usize, AudioError> {
        self.pacer.wait(STEP);
        if !std::mem::replace(&mut self.begun, true) {
            let _ = self.notices.send(Notice::RecordingBegan(self.pacer.due(0)));
        }
        Ok(STEP)
    }

    fn write(&mut self, samples: &[f32]) -> Result<(), AudioError> {
        self.writer.write(samples)
    }
}
