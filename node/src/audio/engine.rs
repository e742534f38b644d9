//! The engine: a capture thread and a playback thread behind one handle.

use std::{sync::Arc, time::Duration};

use subrosa_proto::{
    ids::{MemberId, StreamId},
    time::Timestamp,
};
use tokio::sync::mpsc;

use super::{device::DeviceSpec, error::AudioError};

/// The driver's monotonic clock: the same origin as every other `Timestamp` of this node.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How much sound one Opus frame holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameDuration {
    /// 10 ms: less delay, more packets.
    Ms10,
    /// 20 ms.
    #[default]
    Ms20,
}

impl FrameDuration {
    /// In samples at [`super::SAMPLE_RATE`].
    #[must_use]
    pub const fn samples(self) -> usize {
        match self {
            Self::Ms10 => super::BLOCK,
            Self::Ms20 => 2 * super::BLOCK,
        }
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        match self {
            Self::Ms10 => Duration::from_millis(10),
            Self::Ms20 => Duration::from_millis(20),
        }
    }
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct AudioConfig {
    /// Where sound comes from and goes to. Default: the session's sound server.
    pub device: DeviceSpec,
    /// Sound per packet. Default: 20 ms. 10 ms saves 10 ms of delay and doubles the packets.
    pub frame_duration: FrameDuration,
    /// Opus bit/s, 24,000 to 32,000 (up to 64,000 accepted). Default: 24,000, which leaves room for two redundant
    /// frames below 72 kb/s.
    pub bitrate: u32,
    /// Let packet sizes follow what is said. Default: off, because sizes would tell an observer about the speech.
    pub allow_vbr: bool,
    /// Start with the microphone muted. Default: no.
    pub muted: bool,
    /// Echo cancellation, noise suppression and gain for sound devices. Default: on; never applied to files and null.
    pub processing: bool,
}

impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            device: DeviceSpec::default(),
            frame_duration: FrameDuration::default(),
            bitrate: 24_000,
            allow_vbr: false,
            muted: false,
            processing: true,
        }
    }
}

/// One encoded frame of our own microphone, ready to be sealed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    /// Which of our tracks.
    pub stream: StreamId,
    /// When its first sample was captured.
    pub captured: Timestamp,
    /// The audio payload (`proto/spec/audio_payload.md`), redundancy included.
    pub payload: Vec<u8>,
}

/// One decrypted audio payload of another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFrame {
    /// Who sent it.
    pub member: MemberId,
    /// Which of its tracks.
    pub stream: StreamId,
    /// When it arrived here.
    pub arrival: Timestamp,
    /// The audio payload.
    pub payload: Vec<u8>,
}

/// What the engine tells its owner.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AudioEvent {
    /// A frame to send.
    Captured(CapturedFrame),
    /// Somebody began or stopped to speak; `None` is our own microphone.
    Speaking {
        /// Who.
        member: Option<MemberId>,
        /// Began or stopped.
        on: bool,
    },
    /// The device is gone; the engine keeps trying.
    DeviceLost {
        /// Stable name.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The device works again.
    DeviceBack,
    /// Something failed for good, e.g. the output file's disk is full; the call goes on.
    Error {
        /// Stable name.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do.
        hint: &'static str,
    },
}

/// Handle on the running engine; dropping it ends both threads and completes the output file.
#[derive(Debug)]
pub struct AudioHandle(());

/// The audio engine.
#[derive(Debug)]
pub struct AudioEngine;

impl AudioEngine {
    /// Opens the device and starts both threads.
    ///
    /// # Errors
    /// The device or file cannot be opened, or a setting is out of range.
    #[allow(clippy::todo)]
    pub fn start(
        config: AudioConfig,
        clock: Clock,
    ) -> Result<(AudioHandle, mpsc::Receiver<AudioEvent>), AudioError> {
        let _ = (config, clock);
        todo!()
    }
}

#[allow(clippy::todo)]
impl AudioHandle {
    /// Hands a received frame to the playback thread; never blocks, drops (and counts) when the thread is 1 s behind.
    pub fn push(&self, frame: MediaFrame) {
        let _ = frame;
        todo!()
    }

    /// Mutes or unmutes the microphone: muted, silence of the same size is sent.
    pub fn set_muted(&self, muted: bool) {
        let _ = muted;
        todo!()
    }

    /// Loudness of one member as a factor, 0 to 4; 1 leaves it unchanged.
    pub fn set_gain(&self, member: MemberId, gain: f32) {
        let _ = (member, gain);
        todo!()
    }

    /// Forgets a member that left.
    pub fn remove(&self, member: MemberId) {
        let _ = member;
        todo!()
    }

    /// Our microphone's level, 0 (silence) to 1 (full scale), of the last 20 ms.
    #[must_use]
    pub fn level(&self) -> f32 {
        todo!()
    }
}
