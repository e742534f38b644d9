//! Opus decoding (RFC 6716), as the jitter buffer asks for it.

use opusic_c::{Channels, Decoder, SampleRate};
use subrosa_proto::media::playout::{FrameDecoder, UndecodableFrame};

use super::AudioError;

/// Decoder effort, 0 to 10, from which lost frames are invented by a neural model of speech; 0.3 % of a core.
const COMPLEXITY: u8 = 5;
/// Effort from which the coarse sound of low bitrates is also enhanced; 1 to 2 % of a core.
const COMPLEXITY_ENHANCED: u8 = 7;

/// One voice, 48 kHz mono.
pub struct OpusDecoder(Decoder);

impl OpusDecoder {
    /// A decoder that has heard nothing yet. `enhanced` sounds better and costs four times as much.
    ///
    /// # Errors
    /// No memory.
    pub fn new(enhanced: bool) -> Result<Self, AudioError> {
        let mut inner = Decoder::new(Channels::Mono, SampleRate::Hz48000)?;
        inner.set_complexity(if enhanced { COMPLEXITY_ENHANCED } else { COMPLEXITY })?;
        Ok(Self(inner))
    }

    /// Changes the effort from the next frame on.
    pub fn set_enhanced(&mut self, enhanced: bool) {
        // Both values are in range, the only thing that libopus checks.
        let _ = self
            .0
            .set_complexity(if enhanced { COMPLEXITY_ENHANCED } else { COMPLEXITY });
    }

    fn run(&mut self, packet: &[u8], out: &mut [f32], fec: bool) -> Result<(), UndecodableFrame> {
        match self.0.decode_float_to_slice(packet, out, fec) {
            Ok(samples) if samples == out.len() => Ok(()),
            _ => Err(UndecodableFrame),
        }
    }
}

impl FrameDecoder for OpusDecoder {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame> {
        // An empty packet would mean concealment to libopus.
        if frame.is_empty() {
            return Err(UndecodableFrame);
        }
        self.run(frame, out, false)
    }

    fn decode_fec(&mut self, next: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame> {
        if next.is_empty() {
            return Err(UndecodableFrame);
        }
        self.run(next, out, true)
    }

    fn conceal(&mut self, out: &mut [f32]) {
        if self.run(&[], out, false).is_err() {
            out.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::audio::{OpusEncoder, level::level};
    use subrosa_proto::media::payload::FrameDuration;

    fn packets(count: usize) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(FrameDuration::Ms20, 24_000, false).unwrap();
        encoder.set_loss(true, 20).unwrap();
        (0..count)
            .map(|frame| {
                let samples: Vec<f32> = (0..960)
                    .map(|i| 0.3 * ((frame * 960 + i) as f32 * 300.0 * TAU / 48_000.0).sin())
                    .collect();
                encoder.encode(&samples).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_lost_frame_is_recovered_or_invented() {
        let packets = packets(20);
        let mut decoder = OpusDecoder::new(true).unwrap();
        let mut out = [0.0; 960];
        for packet in &packets[..15] {
            decoder.decode(packet, &mut out).unwrap();
        }
        assert!(level(&out) > 0.1);
        decoder.decode_fec(&packets[16], &mut out).unwrap();
        assert!(level(&out) > 0.1);
        decoder.decode(&packets[16], &mut out).unwrap();
        decoder.conceal(&mut out);
        assert!(level(&out) > 0.05);
    }

    #[test]
    fn what_a_peer_sends_is_an_error_not_a_panic() {
        let mut decoder = OpusDecoder::new(true).unwrap();
        let mut out = [0.0; 960];
        assert_eq!(decoder.decode(&[], &mut out), Err(UndecodableFrame));
        // A frame of 10 ms where 20 ms are expected, and any byte soup.
        assert_eq!(
            decoder.decode(&[0x80 | 0x10, 1, 2, 3], &mut out),
            Err(UndecodableFrame)
        );
        for first in 0..=255_u8 {
            let _ = decoder.decode(&[first, 0xff, 0x03, 0x80, 0x00, first], &mut out);
            let _ = decoder.decode_fec(&[first, 0xff, 0x03, 0x80, 0x00, first], &mut out);
        }
    }
}
