//! Silence in, nothing out: for listeners without sound hardware, and for tests.

use super::{Capture, Pacer, Playback};
use crate::audio::{AudioError, STEP};

/// A microphone that hears nothing.
#[derive(Debug, Default)]
pub(super) struct NullCapture(Pacer);

impl Capture for NullCapture {
    fn read(&mut self, block: &mut [f32]) -> Result<(), AudioError> {
        block.fill(0.0);
        self.0.wait(block.len());
        Ok(())
    }
}

/// A loudspeaker that nobody hears.
#[derive(Debug, Default)]
pub(super) struct NullPlayback(Pacer);

impl Playback for NullPlayback {
    fn wait(&mut self) -> Result<usize, AudioError> {
        self.0.wait(STEP);
        Ok(STEP)
    }

    fn write(&mut self, _samples: &[f32]) -> Result<(), AudioError> {
        Ok(())
    }
}
