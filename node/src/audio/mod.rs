//! Audio: devices, Opus, mixing, and the two threads that join them.
//!
//! The way of a sample: [`device`] → `capture` (→ [`processing`]) → [`opus_encoder`] → the constant-size payload of
//! `subrosa_proto::media` → [`AudioEvent::Captured`]; and back: [`engine::AudioHandle::push`] → `playback`
//! (one `Playout` per member and stream, [`opus_decoder`]) → [`mixer`] → [`device`].

mod capture;
pub mod device;
pub mod engine;
pub mod error;
pub mod level;
pub mod limiter;
pub mod measure;
pub mod mixer;
pub mod opus_decoder;
pub mod opus_encoder;
mod playback;
pub mod processing;
pub mod resample;
mod shared;
pub mod wav;

/// Samples per second everywhere inside the engine; devices and files of another rate are resampled at the edge.
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples of one block, 10 ms: the step of capture and of processing.
pub const BLOCK: usize = SAMPLE_RATE as usize / 100;
/// Samples of one step, 5 ms: the step of mixing and playback, half a block because each frame waits for the next one.
pub const STEP: usize = BLOCK / 2;

pub use device::DeviceSpec;
pub use engine::{AudioConfig, AudioEngine, AudioHandle, Clock};
pub use error::AudioError;
pub use opus_decoder::OpusDecoder;
pub use opus_encoder::OpusEncoder;
pub use shared::{AudioCounters, AudioEvent, CapturedFrame, MediaFrame};
