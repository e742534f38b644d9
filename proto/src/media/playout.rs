//! One received stream, from payloads to samples.

use super::{
    BLOCK_SAMPLES, payload::AudioPayload, reception_report::ReceptionReport, reception_stats::ReceptionStats,
};
use crate::time::Timestamp;

/// The decoder refused a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the decoder refused an audio frame")]
pub struct UndecodableFrame;

/// A stateful decoder of one mono stream at 48 kHz (Opus in the node, a model in tests). Each call advances it by one
/// frame and fills `out` wholly: 480 or 960 samples, full scale ±1.0.
pub trait FrameDecoder {
    /// Decodes a frame.
    ///
    /// # Errors
    /// [`UndecodableFrame`] if the bytes are not such a frame; `out` is then ignored.
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame>;

    /// Decodes the in-band copy of the frame *before* `next`. The caller decodes `next` itself afterwards.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    fn decode_fec(&mut self, next: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame>;

    /// Invents what a missing frame may have sounded like.
    fn conceal(&mut self, out: &mut [f32]);
}

/// Jitter buffer, decoder calls and time stretching of one stream.
#[derive(Debug)]
pub struct Playout {}

impl Default for Playout {
    fn default() -> Self {
        Self::new()
    }
}

impl Playout {
    /// A stream of which nothing has arrived yet.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// Takes a payload that arrived at `arrival` (not later than the next pull's `now`).
    pub fn insert(&mut self, arrival: Timestamp, payload: &AudioPayload) {
        todo!()
    }

    /// The next 10 ms of sound; silence if there is nothing to play. Call it every 10 ms of the playing device's clock.
    pub fn pull_10ms(
        &mut self,
        now: Timestamp,
        decoder: &mut dyn FrameDecoder,
        out: &mut [f32; BLOCK_SAMPLES],
    ) {
        self.pull(now, decoder, out);
    }

    /// As [`Self::pull_10ms`] for a block of any length up to 10 ms. Shorter blocks (5 ms) save some delay: a frame
    /// waits for the next pull after its arrival.
    pub fn pull(&mut self, now: Timestamp, decoder: &mut dyn FrameDecoder, out: &mut [f32]) {
        todo!()
    }

    /// True while nothing is played because the sender pauses or was never heard: the mixer may skip the stream (but
    /// must go on pulling).
    #[must_use]
    pub fn is_silent(&self) -> bool {
        todo!()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> ReceptionStats {
        todo!()
    }

    /// The report for the sender on the time since the previous call; `None` if nothing was expected in it. Call it
    /// every [`super::reception_report::REPORT_INTERVAL_MS`].
    pub fn take_report(&mut self) -> Option<ReceptionReport> {
        todo!()
    }
}
