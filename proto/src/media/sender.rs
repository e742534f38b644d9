//! From encoded frames to audio payloads with redundant copies.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    payload::{AudioPayload, AudioPayloadError, FrameDuration, SpeechLevel},
    redundancy::ProtectionSettings,
};
use crate::random::Random;

/// Numbers frames, remembers the last few, and packs them.
#[derive(Debug)]
pub struct AudioSender {
    duration: FrameDuration,
    history: VecDeque<Bytes>,
    next_sequence: u32,
}

impl AudioSender {
    /// A sender that starts at a random frame number.
    #[must_use]
    pub fn new(duration: FrameDuration, random: &mut Random) -> Self {
        todo!()
    }

    /// Bytes of one Opus packet under `settings`: what to ask the encoder for.
    #[must_use]
    pub fn frame_bytes(&self, settings: &ProtectionSettings) -> usize {
        todo!()
    }

    /// Packs the next frame. `pause_follows` announces that no frame follows for now (mute, push-to-talk released).
    ///
    /// # Errors
    /// [`AudioPayloadError`] if the frame is empty or longer than [`super::payload::FRAME_BYTES_MAX`].
    pub fn pack(
        &mut self,
        frame: &[u8],
        level: SpeechLevel,
        pause_follows: bool,
        settings: &ProtectionSettings,
    ) -> Result<AudioPayload, AudioPayloadError> {
        todo!()
    }
}
