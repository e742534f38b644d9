//! What the two threads and the handle share, and what they say to each other.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use subrosa_proto::{
    ids::{MemberId, StreamId},
    media::{
        reception_report::ReceptionReport, reception_stats::ReceptionStats, redundancy::RedundancyLadder,
    },
    time::Timestamp,
};
use tokio::sync::mpsc;

use super::{
    AudioError,
    device::{Controls, Notice},
};

/// Events that may wait for the owner: 2 s of frames and whatever else happens meanwhile.
pub(super) const EVENTS_MAX: usize = 256;
/// Of these, places that frames leave free, so that a slow owner still learns of losses and errors.
const EVENTS_RESERVED: usize = 128;

/// One encoded frame of our own microphone, ready to be sealed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    /// Which of our tracks.
    pub stream: StreamId,
    /// When its first sample was captured.
    pub captured: Timestamp,
    /// The audio payload (`proto/spec/audio-payload.md`), redundancy included.
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
    /// How one received stream fares; every two seconds.
    Stats {
        /// Who sends it.
        member: MemberId,
        /// Which of its tracks.
        stream: StreamId,
        /// Counters since the stream began.
        stats: Box<ReceptionStats>,
        /// For the sender; `None` if nothing was expected since the last one.
        report: Option<ReceptionReport>,
    },
    /// The device is gone; silence takes its place and the engine keeps trying to get it back.
    DeviceLost {
        /// Stable name.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The device works again, both ways.
    DeviceBack,
    /// Something failed for good, e.g. the disk of the output file is full; the call goes on.
    Error {
        /// Stable name.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// `file:` devices: the input begins; its first sample is spoken at this time.
    ClipBegan(SystemTime),
    /// `file:` devices: the input is over; silence follows.
    ClipEnded,
    /// `file:` devices: the output begins; its first sample is heard at this time.
    RecordingBegan(SystemTime),
}

/// Counts since the engine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioCounters {
    /// Samples taken from the capture device (or silence in its place).
    pub captured_samples: u64,
    /// Samples given to the playback device (or nowhere while it is gone).
    pub played_samples: u64,
    /// Frames that were encoded but not taken by the owner in time.
    pub captured_dropped: u64,
    /// Received frames dropped because the playback thread stood still.
    pub received_dropped: u64,
    /// Received frames that are no audio payloads, or of one stream too many.
    pub received_refused: u64,
}

/// State that both threads and the handle see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) controls: Controls,
    pub(super) muted: AtomicBool,
    /// Bits of an `f32`.
    level: AtomicU32,
    pub(super) captured_samples: AtomicU64,
    pub(super) played_samples: AtomicU64,
    captured_dropped: AtomicU64,
    pub(super) received_dropped: AtomicU64,
    pub(super) received_refused: AtomicU64,
    ladder: Mutex<RedundancyLadder>,
    events: mpsc::Sender<AudioEvent>,
}

impl Shared {
    pub(super) fn new(
        controls: Controls,
        muted: bool,
        ladder: RedundancyLadder,
        events: mpsc::Sender<AudioEvent>,
    ) -> Self {
        Self {
            controls,
            muted: AtomicBool::new(muted),
            level: AtomicU32::new(0),
            captured_samples: AtomicU64::new(0),
            played_samples: AtomicU64::new(0),
            captured_dropped: AtomicU64::new(0),
            received_dropped: AtomicU64::new(0),
            received_refused: AtomicU64::new(0),
            ladder: Mutex::new(ladder),
            events,
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.controls.stop.load(Ordering::Relaxed)
    }

    pub(super) fn set_level(&self, level: f32) {
        self.level.store(level.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn level(&self) -> f32 {
        f32::from_bits(self.level.load(Ordering::Relaxed))
    }

    pub(super) fn ladder(&self) -> MutexGuard<'_, RedundancyLadder> {
        // The ladder stays usable even if a thread panicked while it held it.
        self.ladder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the owner; a frame is dropped, and counted, if the owner is too slow.
    pub(super) fn emit(&self, event: AudioEvent) {
        let frame = matches!(event, AudioEvent::Captured(_));
        let refused = frame && self.events.capacity() <= EVENTS_RESERVED;
        if (refused || self.events.try_send(event).is_err()) && frame {
            self.captured_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn emit_error(&self, error: &AudioError) {
        let (code, message, hint) = (error.code(), error.to_string(), error.hint());
        self.emit(AudioEvent::Error { code, message, hint });
    }

    /// Passes on what a device told; `lost` counts the directions that are gone.
    pub(super) fn emit_notice(&self, notice: Notice, lost: &mut u32) {
        match notice {
            Notice::Lost(error) => {
                *lost += 1;
                if *lost == 1 {
                    let (code, message, hint) = (error.code(), error.to_string(), error.hint());
                    self.emit(AudioEvent::DeviceLost { code, message, hint });
                }
            }
            Notice::Back => {
                *lost = lost.saturating_sub(1);
                if *lost == 0 {
                    self.emit(AudioEvent::DeviceBack);
                }
            }
            Notice::ClipBegan(at) => self.emit(AudioEvent::ClipBegan(at)),
            Notice::ClipEnded => self.emit(AudioEvent::ClipEnded),
            Notice::RecordingBegan(at) => self.emit(AudioEvent::RecordingBegan(at)),
        }
    }

    pub(super) fn counters(&self) -> AudioCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AudioCounters {
            captured_samples: read(&self.captured_samples),
            played_samples: read(&self.played_samples),
            captured_dropped: read(&self.captured_dropped),
            received_dropped: read(&self.received_dropped),
            received_refused: read(&self.received_refused),
        }
    }
}
