//! Audio: devices, Opus, mixing, and the two threads that join them.
//!
//! The way of a sample: [`device`] → `capture` (→ [`processing`]) → [`opus_encoder`] → the constant-size payload of
//! `subrosa_proto::media` → [`engine::AudioEvent::Captured`]; and back: [`engine::AudioHandle::push`] → `playback`
//! (one `Playout` per member and stream, [`opus_decoder`]) → [`mixer`] → [`device`].

pub mod device;
pub mod engine;
pub mod error;
pub mod level;
pub mod limiter;
pub mod measure;
pub mod mixer;
pub mod opus_encoder;
pub mod resample;
pub mod wav;

/// Samples per second everywhere inside the engine; devices and files of another rate are resampled at the edge.
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples of one block, 10 ms: the step of the devices, of processing and of mixing.
pub const BLOCK: usize = SAMPLE_RATE as usize / 100;

pub use device::DeviceSpec;
pub use engine::{AudioConfig, AudioEvent, AudioHandle, CapturedFrame, FrameDuration, MediaFrame};
pub use error::AudioError;
