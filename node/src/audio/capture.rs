//! The capture thread: device → processing → Opus → audio payload.

use std::sync::{Arc, atomic::Ordering};

use subrosa_proto::{
    ids::StreamId,
    media::{
        payload::{FrameDuration, SpeechLevel},
        redundancy::ProtectionSettings,
        sender::AudioSender,
    },
};

use super::{
    AudioError, BLOCK, CapturedFrame, Clock, OpusEncoder,
    device::Capture,
    level::{SpeechDetector, level},
    processing::Processing,
    shared::{AudioEvent, Shared},
};

/// Frames that announce a pause when the microphone is muted: one of them arrives even at 30 % loss, nearly always.
const PAUSE_FRAMES: u32 = 4;

pub(super) struct CaptureThread {
    pub(super) shared: Arc<Shared>,
    pub(super) device: Box<dyn Capture>,
    pub(super) processing: Option<Processing>,
    pub(super) encoder: OpusEncoder,
    pub(super) sender: AudioSender,
    pub(super) duration: FrameDuration,
    pub(super) clock: Clock,
}

impl CaptureThread {
    pub(super) fn run(mut self) {
        let mut detector = SpeechDetector::default();
        let mut applied = None;
        // Frames of the current pause that were sent.
        let mut pausing = 0;
        let mut frame = vec![0.0; self.duration.samples()];
        while !self.shared.stopped() {
            if let Err(error) = self.read_frame(&mut frame) {
                self.shared.emit_error(&error);
                return;
            }
            let captured_end = (self.clock)();
            let muted = self.shared.muted.load(Ordering::Relaxed);
            pausing = if muted { pausing + 1 } else { 0 };
            if muted {
                fade(&mut frame, pausing == 1);
            }
            self.shared.set_level(level(&frame));
            if let Some(on) = detector.update(&frame) {
                self.shared.emit(AudioEvent::Speaking { member: None, on });
            }
            if pausing > PAUSE_FRAMES {
                pausing = PAUSE_FRAMES;
                continue;
            }
            match self.pack(&frame, muted, captured_end, &mut applied) {
                Ok(payload) => {
                    // When the first sample was captured, as near as the driver's clock tells.
                    let micros = u64::try_from(self.duration.as_duration().as_micros()).unwrap_or(0);
                    let captured = subrosa_proto::time::Timestamp::from_micros(
                        captured_end.as_micros().saturating_sub(micros),
                    );
                    let stream = StreamId::AUDIO;
                    self.shared.emit(AudioEvent::Captured(CapturedFrame {
                        stream,
                        captured,
                        payload,
                    }));
                }
                Err(error) => self.shared.emit_error(&error),
            }
        }
    }

    fn read_frame(&mut self, frame: &mut [f32]) -> Result<(), AudioError> {
        for chunk in frame.chunks_exact_mut(BLOCK) {
            let mut block = [0.0; BLOCK];
            self.device.read(&mut block)?;
            self.shared
                .captured_samples
                .fetch_add(BLOCK as u64, Ordering::Relaxed);
            if let Some(processing) = &mut self.processing {
                processing.process(&mut block);
            }
            chunk.copy_from_slice(&block);
        }
        Ok(())
    }

    fn pack(
        &mut self,
        frame: &[f32],
        pause_follows: bool,
        now: subrosa_proto::time::Timestamp,
        applied: &mut Option<ProtectionSettings>,
    ) -> Result<Vec<u8>, AudioError> {
        let settings = self.shared.ladder().settings(now);
        if *applied != Some(settings) {
            self.encoder.set_bitrate(settings.frame_bitrate_bps)?;
            self.encoder
                .set_loss(settings.expected_loss_percent > 0, settings.expected_loss_percent)?;
            *applied = Some(settings);
        }
        let packet = self.encoder.encode(frame)?;
        let payload = self
            .sender
            .pack(&packet, SpeechLevel::from_pcm(frame), pause_follows, &settings)?;
        let mut bytes = Vec::with_capacity(payload.wire_bytes());
        payload.write(&mut bytes);
        Ok(bytes)
    }
}

/// Silences a frame: over its first 5 ms if sound precedes it, so that muting does not click.
fn fade(frame: &mut [f32], sound_precedes: bool) {
    let ramp = if sound_precedes { BLOCK / 2 } else { 0 };
    for (index, sample) in frame.iter_mut().enumerate() {
        *sample *= if index < ramp {
            1.0 - index as f32 / ramp as f32
        } else {
            0.0
        };
    }
}
