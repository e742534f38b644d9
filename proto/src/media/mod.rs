//! Audio as it is sent and received.
//!
//! The way of a frame: [`sender`] packs an Opus frame and its redundant predecessors into an [`payload::AudioPayload`]
//! (constant size, then encrypted by SFrame); at the receiver [`playout::Playout`] puts it into the
//! [`jitter_buffer::JitterBuffer`], asks that for a decision per frame, has the frame decoded, and stretches time a
//! little ([`time_stretch`]) so that the delay follows [`playout_delay`]. [`reception_report`] goes back to the sender,
//! whose [`redundancy`] ladder chooses how much protection the next frames carry.

pub mod clock_drift;
pub mod jitter_buffer;
pub mod loss_runs;
pub mod payload;
pub mod playout;
pub mod playout_delay;
pub mod reception_report;
pub mod reception_stats;
pub mod redundancy;
mod repair_wait;
pub mod sender;
mod sequence;
pub mod time_stretch;

/// Samples per second and channel everywhere in this module (Opus' own rate, RFC 6716 §2.1.3).
pub const SAMPLE_RATE_HZ: u32 = 48_000;
/// Samples in the block of 10 ms in which audio is mixed and handed to a device.
pub const BLOCK_SAMPLES: usize = 480;
