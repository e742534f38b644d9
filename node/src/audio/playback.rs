//! The playback thread: received payloads → one jitter buffer and decoder for each stream → mixer → device.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, TryRecvError},
    },
    time::Duration,
};

use subrosa_proto::{
    ids::{MemberId, StreamId},
    media::{payload::AudioPayload, playout::Playout, reception_report::REPORT_INTERVAL_MS},
    time::Timestamp,
};

use super::{
    BLOCK, Clock, MediaFrame, OpusDecoder, STEP,
    device::{Notice, Playback},
    level::SpeechDetector,
    mixer::Mixer,
    processing::Played,
    shared::{AudioEvent, Shared},
};

/// Audio streams of one member that are played; a microphone, shared sound and two interpreters' channels. More would
/// let one member take everybody's processor.
const STREAMS_PER_MEMBER_MAX: usize = 4;
/// Up to this many voices are decoded with enhancement, so that a large meeting does not take the whole processor.
const ENHANCED_VOICES_MAX: usize = 4;
/// Received frames that may wait for the playback thread: 1 s of twenty voices.
pub(super) const FRAMES_MAX: usize = 1_024;

/// What the handle asks of the playback thread.
#[derive(Debug)]
pub(super) enum Command {
    Gain(MemberId, f32),
    Remove(MemberId),
}

/// One stream that is heard.
struct Voice {
    playout: Playout,
    decoder: OpusDecoder,
    detector: SpeechDetector,
    /// Loudness at the end of the last step.
    gain: f32,
}

pub(super) struct PlaybackThread {
    pub(super) shared: Arc<Shared>,
    pub(super) device: Box<dyn Playback>,
    pub(super) frames: Receiver<MediaFrame>,
    pub(super) commands: Receiver<Command>,
    pub(super) notices: Receiver<Notice>,
    pub(super) played: Option<Played>,
    pub(super) clock: Clock,
}

impl PlaybackThread {
    pub(super) fn run(mut self) {
        let mut voices = Voices::default();
        let mut mixer = Mixer::default();
        // Mixed and not yet played: what is left when the device asks for other amounts than whole steps.
        let mut ready = VecDeque::with_capacity(2 * BLOCK);
        let mut echo = Vec::with_capacity(BLOCK);
        let mut next_report = (self.clock)() + Duration::from_millis(REPORT_INTERVAL_MS);
        let (mut lost, mut failed) = (0, false);
        while !self.shared.stopped() {
            let wanted = match self.device.wait() {
                Ok(wanted) => wanted,
                Err(error) => return self.shared.emit_error(&error),
            };
            let now = (self.clock)();
            self.take_inputs(&mut voices, &mut lost);
            while ready.len() < wanted {
                let mut step = [0.0; STEP];
                voices.mix(now, &mut mixer, &mut step, &self.shared);
                ready.extend(step);
            }
            let samples: Vec<f32> = ready.drain(..wanted).collect();
            self.shared
                .played_samples
                .fetch_add(samples.len() as u64, Ordering::Relaxed);
            if let Err(error) = self.device.write(&samples)
                && !std::mem::replace(&mut failed, true)
            {
                self.shared.emit_error(&error);
            }
            self.pass_to_echo_canceller(&samples, &mut echo);
            if now >= next_report {
                next_report += Duration::from_millis(REPORT_INTERVAL_MS);
                next_report = next_report.max(now);
                voices.report(&self.shared);
            }
        }
    }

    fn take_inputs(&mut self, voices: &mut Voices, lost: &mut u32) {
        while let Ok(notice) = self.notices.try_recv() {
            self.shared.emit_notice(notice, lost);
        }
        while let Ok(command) = self.commands.try_recv() {
            voices.command(&command, &self.shared);
        }
        // No more than the queue holds, so that a flood cannot keep the thread here.
        for _ in 0..FRAMES_MAX {
            match self.frames.try_recv() {
                Ok(frame) => {
                    if voices.insert(&frame).is_none() {
                        self.shared.received_refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
    }

    fn pass_to_echo_canceller(&mut self, samples: &[f32], echo: &mut Vec<f32>) {
        let Some(played) = &mut self.played else { return };
        echo.extend_from_slice(samples);
        let whole = echo.len() / BLOCK * BLOCK;
        for block in echo[..whole].as_chunks::<BLOCK>().0 {
            // Full only when the capture thread stands still; the canceller then finds its delay anew.
            let _ = played.push(*block);
        }
        echo.drain(..whole);
    }
}

/// All streams that are heard.
#[derive(Default)]
struct Voices {
    voices: BTreeMap<(MemberId, StreamId), Voice>,
    /// Loudness of members that is not 1. Set by the user, at most one for each member.
    gains: BTreeMap<MemberId, f32>,
}

impl Voices {
    /// `None` if the frame is refused.
    fn insert(&mut self, frame: &MediaFrame) -> Option<()> {
        let payload = AudioPayload::parse(&frame.payload).ok()?;
        let key = (frame.member, frame.stream);
        if !self.voices.contains_key(&key) {
            let of_member = (frame.member, StreamId(0))..=(frame.member, StreamId(u8::MAX));
            if self.voices.range(of_member).count() >= STREAMS_PER_MEMBER_MAX {
                return None;
            }
            let gain = self.gains.get(&frame.member).copied().unwrap_or(1.0);
            let voice = Voice {
                playout: Playout::new(),
                decoder: OpusDecoder::new(false).ok()?,
                detector: SpeechDetector::default(),
                gain,
            };
            self.voices.insert(key, voice);
            self.share_effort();
        }
        self.voices.get_mut(&key)?.playout.insert(frame.arrival, &payload);
        Some(())
    }

    fn command(&mut self, command: &Command, shared: &Shared) {
        match *command {
            Command::Gain(member, gain) => {
                self.gains.insert(member, gain);
            }
            Command::Remove(member) => {
                self.gains.remove(&member);
                let before = self.voices.len();
                self.voices.retain(|(of, _), _| *of != member);
                if self.voices.len() < before {
                    self.share_effort();
                    shared.emit(AudioEvent::Speaking {
                        member: Some(member),
                        on: false,
                    });
                }
            }
        }
    }

    /// Chooses the decoders' effort by how many there are.
    fn share_effort(&mut self) {
        let enhanced = self.voices.len() <= ENHANCED_VOICES_MAX;
        for voice in self.voices.values_mut() {
            voice.decoder.set_enhanced(enhanced);
        }
    }

    fn mix(&mut self, now: Timestamp, mixer: &mut Mixer, out: &mut [f32; STEP], shared: &Shared) {
        for ((member, _), voice) in &mut self.voices {
            let mut samples = [0.0; STEP];
            voice.playout.pull(now, &mut voice.decoder, &mut samples);
            if let Some(on) = voice.detector.update(&samples) {
                shared.emit(AudioEvent::Speaking {
                    member: Some(*member),
                    on,
                });
            }
            let gain = self.gains.get(member).copied().unwrap_or(1.0);
            mixer.add(&samples, voice.gain, gain);
            voice.gain = gain;
        }
        mixer.finish(out);
    }

    fn report(&mut self, shared: &Shared) {
        for ((member, stream), voice) in &mut self.voices {
            let (member, stream) = (*member, *stream);
            let report = voice.playout.take_report();
            shared.emit(AudioEvent::Stats {
                member,
                stream,
                stats: Box::new(voice.playout.stats()),
                report,
            });
        }
    }
}
