//! The engine: a capture thread and a playback thread behind one handle.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError, channel, sync_channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use subrosa_proto::{
    ids::MemberId,
    media::{
        payload::FrameDuration,
        reception_report::ReceptionReport,
        redundancy::{LadderConfig, RedundancyLadder},
        sender::AudioSender,
    },
    random::Random,
    time::Timestamp,
};
use tokio::sync::mpsc;

use super::{
    AudioError, DeviceSpec, OpusEncoder,
    capture::CaptureThread,
    device::Controls,
    playback::{Command, FRAMES_MAX, PlaybackThread},
    processing::Processing,
    shared::{AudioCounters, AudioEvent, EVENTS_MAX, MediaFrame, Shared},
};

/// The driver's monotonic clock: the same origin as every other [`Timestamp`] of this node.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Limits that leave each of four copies at least the 12,000 bit/s that Opus needs for speech.
const BITRATES_MAX: std::ops::RangeInclusive<u32> = 48_000..=256_000;
/// Loudest setting for a member: 12 dB more than it sent.
const GAIN_MAX: f32 = 4.0;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct AudioConfig {
    /// Where sound comes from and goes to. Default: the session's sound server.
    pub device: DeviceSpec,
    /// Sound per packet. Default: 20 ms. 10 ms saves 10 ms of delay and doubles the packets.
    pub frame_duration: FrameDuration,
    /// Opus bit/s of one copy of a frame, 12,000 to 64,000. Default: 32,000. More sounds better.
    pub bitrate: u32,
    /// Opus bit/s of all copies in a packet together. Default: 68,000, which with its header makes payloads of 72 kb/s.
    /// Above it copies get smaller, not fewer. Range: 48,000 to 256,000.
    pub bitrate_max: u32,
    /// How long after a frame its last copy may travel. Default: 40 ms: receivers that lose packets wait that
    /// long, and with 20 ms of network mouth to ear stays below 100 ms. 60 ms sounds better at 30 % loss.
    pub redundancy_span: Duration,
    /// Let packet sizes follow what is said. Default: off, because sizes would tell an observer about the speech.
    pub allow_vbr: bool,
    /// Start with the microphone muted. Default: no.
    pub muted: bool,
    /// Echo cancellation, noise suppression and gain for sound devices. Default: on; never applied to files and null.
    pub processing: bool,
    /// A file's clip waits for [`AudioHandle::release_clip`] instead of beginning at once. Default: no.
    pub hold_clip: bool,
}

impl Default for AudioConfig {
    fn default() -> Self {
        // The simulator's microphones have the same.
        let ladder = LadderConfig::default();
        Self {
            device: DeviceSpec::default(),
            frame_duration: ladder.duration,
            bitrate: ladder.frame_bitrate_bps,
            bitrate_max: ladder.bitrate_bps_max,
            redundancy_span: ladder.span_max,
            allow_vbr: false,
            muted: false,
            processing: true,
            hold_clip: false,
        }
    }
}

/// The audio engine; see [`AudioEngine::start`].
#[derive(Debug)]
pub struct AudioEngine;

impl AudioEngine {
    /// Opens the device and starts both threads. `random` chooses the first frame number.
    ///
    /// # Errors
    /// The device or file cannot be opened, or a setting is out of range.
    pub fn start(
        config: &AudioConfig,
        clock: Clock,
        random: &mut Random,
    ) -> Result<(AudioHandle, mpsc::Receiver<AudioEvent>), AudioError> {
        if !BITRATES_MAX.contains(&config.bitrate_max) {
            let given = config.bitrate_max.to_string();
            return Err(AudioError::Setting {
                name: "bitrate_max",
                given,
                allowed: "48000 to 256000 bit/s",
            });
        }
        let encoder = OpusEncoder::new(config.frame_duration, config.bitrate, config.allow_vbr)?;
        let controls = Controls::default();
        controls.released.store(!config.hold_clip, Ordering::Relaxed);
        let device = config.device.open(&controls)?;
        let (processing, played) = (device.acoustic && config.processing)
            .then(Processing::new)
            .unzip();
        let ladder = RedundancyLadder::new(LadderConfig {
            duration: config.frame_duration,
            frame_bitrate_bps: config.bitrate,
            bitrate_bps_max: config.bitrate_max,
            span_max: config.redundancy_span,
        });
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (frame_sender, frames) = sync_channel(FRAMES_MAX);
        let (command_sender, commands) = channel();
        let shared = Arc::new(Shared::new(controls, config.muted, ladder, event_sender));
        let playback = PlaybackThread {
            shared: shared.clone(),
            device: device.playback,
            frames,
            commands,
            notices: device.notices,
            played,
            clock: clock.clone(),
        };
        let capture = CaptureThread {
            shared: shared.clone(),
            device: device.capture,
            processing,
            encoder,
            sender: AudioSender::new(config.frame_duration, random),
            duration: config.frame_duration,
            clock,
        };
        // Made before the threads, so that a second thread that cannot start ends the first.
        let mut handle = AudioHandle {
            shared,
            frames: frame_sender,
            commands: command_sender,
            threads: Vec::new(),
        };
        handle.spawn("audio-playback", move || playback.run())?;
        handle.spawn("audio-capture", move || capture.run())?;
        Ok((handle, events))
    }
}

/// Handle on the running engine; dropping it ends both threads and completes the output file.
#[derive(Debug)]
pub struct AudioHandle {
    shared: Arc<Shared>,
    frames: SyncSender<MediaFrame>,
    commands: std::sync::mpsc::Sender<Command>,
    threads: Vec<JoinHandle<()>>,
}

impl AudioHandle {
    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), AudioError> {
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(AudioError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Hands a received frame to the playback thread; never blocks, and drops (and counts) the frame if that thread
    /// stands still.
    pub fn push(&self, frame: MediaFrame) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.frames.try_send(frame) {
            self.shared.received_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Mutes or unmutes the microphone. Muted, nothing is sent after a few frames that announce the pause.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Loudness of one member as a factor, 0 to 4 (clamped); 1 leaves it unchanged.
    pub fn set_gain(&self, member: MemberId, gain: f32) {
        let gain = if gain.is_finite() {
            gain.clamp(0.0, GAIN_MAX)
        } else {
            1.0
        };
        let _ = self.commands.send(Command::Gain(member, gain));
    }

    /// Forgets a member that left: its voice and its reports.
    pub fn remove(&self, member: MemberId) {
        let _ = self.commands.send(Command::Remove(member));
        self.shared.ladder().remove_receiver(&member);
    }

    /// Takes a receiver's report on our microphone; the redundancy of the next frames follows it.
    /// `congested`: what is sent there waits in a queue.
    pub fn handle_report(&self, now: Timestamp, from: MemberId, report: &ReceptionReport, congested: bool) {
        self.shared.ladder().handle_report(now, from, report, congested);
    }

    /// Lets the clip of a `file:` device begin ([`AudioConfig::hold_clip`]).
    pub fn release_clip(&self) {
        self.shared.controls.released.store(true, Ordering::Relaxed);
    }

    /// Our microphone's level (root mean square), 0 for silence to 1 for full scale, of the last frame.
    #[must_use]
    pub fn level(&self) -> f32 {
        self.shared.level()
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> AudioCounters {
        self.shared.counters()
    }
}

impl Drop for AudioHandle {
    fn drop(&mut self) {
        self.shared.controls.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic of the thread was reported by the panic hook; here it only means that the thread ended.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
