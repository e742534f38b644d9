//! From encoded frames to audio payloads with redundant copies.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    payload::{
        AudioHeader, AudioPayload, AudioPayloadError, FRAME_BYTES_MAX, FrameDuration, REDUNDANCY_MAX,
        SPACING_MAX, SpeechLevel,
    },
    redundancy::ProtectionSettings,
};
use crate::random::Random;

/// Frames remembered: as far back as a copy can reach.
const HISTORY_FRAMES: usize = (REDUNDANCY_MAX * SPACING_MAX) as usize;

/// Numbers frames, remembers the last few, and packs them.
#[derive(Debug)]
pub struct AudioSender {
    duration: FrameDuration,
    /// Frames sent, newest first.
    history: VecDeque<Bytes>,
    next_sequence: u32,
}

impl AudioSender {
    /// A sender that starts at a random frame number: a restarted sender is then recognised as such.
    #[must_use]
    pub fn new(duration: FrameDuration, random: &mut Random) -> Self {
        let next_sequence = u32::from_be_bytes(random.bytes());
        Self {
            duration,
            history: VecDeque::with_capacity(HISTORY_FRAMES + 1),
            next_sequence,
        }
    }

    /// Bytes of one Opus packet under `settings`: what to ask the encoder for.
    #[must_use]
    pub fn frame_bytes(&self, settings: &ProtectionSettings) -> usize {
        let bytes = u64::from(settings.frame_bitrate_bps) * u64::from(self.duration.millis()) / 8_000;
        usize::try_from(bytes)
            .unwrap_or(FRAME_BYTES_MAX)
            .clamp(1, FRAME_BYTES_MAX)
    }

    /// Packs the next frame. `pause_follows` announces that no frame follows for now (mute, push-to-talk released).
    ///
    /// The payload's size follows from `settings` alone. A frame remembered from larger settings that does not fit any
    /// more is left out.
    ///
    /// # Errors
    /// [`AudioPayloadError`] if the frame is empty or longer than [`Self::frame_bytes`], or the settings are out of
    /// range. The frame number is not used up then.
    pub fn pack(
        &mut self,
        frame: &[u8],
        level: SpeechLevel,
        pause_follows: bool,
        settings: &ProtectionSettings,
    ) -> Result<AudioPayload, AudioPayloadError> {
        let frame_bytes = self.frame_bytes(settings);
        let redundancy = settings.redundancy;
        let spacing = if redundancy == 0 { 1 } else { settings.spacing };
        let mut frames = vec![frame];
        for copy in 1..=usize::from(redundancy) {
            let remembered = (copy * usize::from(spacing))
                .checked_sub(1)
                .and_then(|back| self.history.get(back));
            frames.push(
                remembered
                    .filter(|old| old.len() <= frame_bytes)
                    .map_or(&[], |old| &old[..]),
            );
        }
        let header = AudioHeader {
            sequence: self.next_sequence,
            duration: self.duration,
            level,
            in_band_fec: settings.expected_loss_percent > 0,
            pause_follows,
            redundancy,
            spacing,
        };
        let payload = AudioPayload::new(header, frame_bytes, &frames)?;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.history.truncate(HISTORY_FRAMES - 1);
        self.history.push_front(Bytes::copy_from_slice(frame));
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: ProtectionSettings = ProtectionSettings {
        frame_bitrate_bps: 24_000,
        expected_loss_percent: 0,
        redundancy: 2,
        spacing: 3,
    };

    fn sender() -> AudioSender {
        AudioSender::new(FrameDuration::Ms20, &mut Random::from_seed([1; 32]))
    }

    #[test]
    fn payloads_carry_the_frames_that_their_spacing_names() {
        let mut sender = sender();
        let mut last = None;
        for n in 1..=20_u8 {
            last = sender.pack(&[n; 60], SpeechLevel::SILENCE, false, &SETTINGS).ok();
        }
        let frames: Vec<_> = last
            .unwrap()
            .frames()
            .map(|(back, frame)| (back, frame[0]))
            .collect();
        assert_eq!(frames, [(0, 20), (3, 17), (6, 14)]);
    }

    #[test]
    fn the_size_is_the_same_from_the_first_frame_and_for_any_content() {
        let mut sender = sender();
        for n in 1..=60_usize {
            let payload = sender
                .pack(&vec![1; n], SpeechLevel::new(n as u8), n == 30, &SETTINGS)
                .unwrap();
            assert_eq!(payload.wire_bytes(), 6 + 3 * 61);
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_is_refused_or_as_a_copy_left_out() {
        let mut sender = sender();
        assert!(
            sender
                .pack(&[1; 61], SpeechLevel::SILENCE, false, &SETTINGS)
                .is_err()
        );
        sender
            .pack(&[1; 60], SpeechLevel::SILENCE, false, &SETTINGS)
            .unwrap();
        let smaller = ProtectionSettings {
            frame_bitrate_bps: 16_000,
            spacing: 1,
            ..SETTINGS
        };
        let payload = sender
            .pack(&[2; 40], SpeechLevel::SILENCE, false, &smaller)
            .unwrap();
        assert_eq!(payload.frames().count(), 1);
        assert_eq!(payload.wire_bytes(), 6 + 3 * 41);
    }
}
