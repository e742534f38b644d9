//! Sound as nodes make and play it: the sender's choice of redundancy, the receiver's jitter buffer and time stretching, and
//! reports between the two. A frame says who sealed it when in place of sound; decoding gives out a tone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::LazyLock,
    time::Duration,
};

use subrosa_proto::{
    ids::MemberId,
    media::{
        SAMPLE_RATE_HZ,
        payload::{AudioPayload, SpeechLevel},
        playout::{FrameDecoder, Playout, UndecodableFrame},
        reception_report::{REPORT_INTERVAL_MS, ReceptionReport},
        reception_stats::ReceptionStats,
        redundancy::{LadderConfig, RedundancyLadder},
        sender::AudioSender,
    },
    meeting::participant::MediaFrame,
    random::Random,
    time::Timestamp,
};

use super::{Occurrence, World, node::Voice, planted::Planted};

/// What a device asks for at a time, in samples and as time: the step of the node's playback thread.
const STEP_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 200;
const STEP: Duration = Duration::from_millis(5);
/// Samples in a period of the tone: 200 Hz, so that time stretching finds joins as in a voice.
const PERIOD: usize = 240;
const LOUDNESS: f32 = 0.25;
/// Speech: −20 dBov.
const LEVEL: u8 = 20;
/// Frames that come and of which none is played for so long are stuck. Reason: five times what a buffer of conversation holds.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// From spoken frames to payloads, as in the node's capture thread.
pub(crate) struct Mouth {
    sender: AudioSender,
    ladder: RedundancyLadder,
}

impl Mouth {
    pub(crate) fn new(random: &mut Random) -> Self {
        let config = LadderConfig::default();
        Self {
            sender: AudioSender::new(config.duration, random),
            ladder: RedundancyLadder::new(config),
        }
    }

    /// The payload that carries this frame, and what redundancy adds.
    pub(crate) fn pack(&mut self, now: Timestamp, voice: Voice, pause_follows: bool) -> Option<Vec<u8>> {
        let settings = self.ladder.settings(now);
        let frame = voice.encode(self.sender.frame_bytes(&settings));
        let level = SpeechLevel::new(LEVEL);
        let payload = self.sender.pack(&frame, level, pause_follows, &settings).ok()?;
        let mut bytes = Vec::with_capacity(payload.wire_bytes());
        payload.write(&mut bytes);
        Some(bytes)
    }
}

/// Gives out a tone for each frame, and notes which frames it was asked to decode.
#[derive(Default)]
struct Tone {
    phase: usize,
    decoded: Vec<Voice>,
}

static WAVE: LazyLock<[f32; PERIOD]> = LazyLock::new(|| {
    std::array::from_fn(|n| LOUDNESS * (std::f32::consts::TAU * n as f32 / PERIOD as f32).sin())
});

impl FrameDecoder for Tone {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame> {
        self.decoded.push(Voice::decode(frame).ok_or(UndecodableFrame)?);
        self.conceal(out);
        Ok(())
    }

    fn decode_fec(&mut self, _next: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame> {
        self.conceal(out);
        Ok(())
    }

    fn conceal(&mut self, mut out: &mut [f32]) {
        while !out.is_empty() {
            let some = (PERIOD - self.phase).min(out.len());
            let (now, later) = out.split_at_mut(some);
            now.copy_from_slice(&WAVE[self.phase..self.phase + some]);
            self.phase = (self.phase + some) % PERIOD;
            out = later;
        }
    }
}

/// One voice as somebody hears it.
#[derive(Default)]
struct Ear {
    playout: Playout,
    tone: Tone,
    /// What checkers were told of its counters.
    told: ReceptionStats,
    /// Since when frames come and none is played.
    waits_since: Option<Timestamp>,
}

/// Everything that a process plays.
#[derive(Default)]
pub(crate) struct Ears {
    voices: BTreeMap<MemberId, Ear>,
    plays: bool,
    report_at: Timestamp,
    /// Sound that a fault keeps from the buffer, and until when.
    pub(crate) held_back: VecDeque<(Timestamp, MemberId, AudioPayload)>,
}

impl Ears {
    fn insert(&mut self, arrival: Timestamp, member: MemberId, payload: &AudioPayload) {
        let ear = self.voices.entry(member).or_default();
        // What comes after its turn, or again, is not waited for.
        let spare = |stats: ReceptionStats| stats.late + stats.duplicates;
        let before = spare(ear.playout.stats());
        ear.playout.insert(arrival, payload);
        if spare(ear.playout.stats()) == before {
            ear.waits_since.get_or_insert(arrival);
        }
    }

    /// Who sleeps plays nothing, and that is no fault.
    fn oversleep(&mut self) {
        for ear in self.voices.values_mut() {
            ear.waits_since = None;
        }
    }

    fn take_held_back(&mut self, now: Timestamp) {
        while self.held_back.front().is_some_and(|(until, ..)| *until <= now)
            && let Some((_, member, payload)) = self.held_back.pop_front()
        {
            self.insert(now, member, &payload);
        }
    }

    /// The reports that are due.
    fn take_reports(&mut self, now: Timestamp) -> Vec<(MemberId, ReceptionReport)> {
        if now < self.report_at {
            return Vec::new();
        }
        self.report_at = now + Duration::from_millis(REPORT_INTERVAL_MS);
        let voices = self.voices.iter_mut();
        voices
            .filter_map(|(member, ear)| Some((*member, ear.playout.take_report()?)))
            .collect()
    }
}

impl World<'_> {
    /// A frame of somebody's voice was opened: whose it is and when it came is checked; then it waits for its turn to be heard.
    pub(crate) fn hear(&mut self, index: usize, frame: &MediaFrame) {
        let Ok(payload) = AudioPayload::parse(&frame.payload) else {
            return;
        };
        let own = payload.frames().next();
        let Some(voice) = own.and_then(|(_, bytes)| Voice::decode(&bytes)) else {
            return;
        };
        let from = self.hears_as(index, frame.member);
        let claimed = self.ids.get(&from).copied();
        self.checkers.heard(self.now, index, claimed, voice);
        if !self.scenario.playout || self.keeps_from_buffer(index, frame, &payload) {
            return;
        }
        let node = &mut self.nodes[index];
        node.ears.insert(frame.arrival, frame.member, &payload);
        self.begin_playing(index);
    }

    /// The playing device of a process that hears its first frame begins to ask for sound.
    pub(crate) fn begin_playing(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if !std::mem::replace(&mut node.ears.plays, true) {
            let now = node.now(self.now).monotonic;
            node.ears.report_at = now + Duration::from_millis(REPORT_INTERVAL_MS);
            let phase = Duration::from_micros(self.devices.next_u64() % 5_000);
            self.queue
                .plan(self.now + phase, Occurrence::Playback(index, node.run));
        }
    }

    /// A device asks for the next step of sound.
    pub(crate) fn play(&mut self, index: usize, run: u32) {
        let node = &mut self.nodes[index];
        if node.run != run || node.is_spy {
            return;
        }
        let next = self.now + node.world_duration(STEP);
        self.queue.plan(next, Occurrence::Playback(index, run));
        if node.asleep.is_some() {
            node.ears.oversleep();
            return;
        }
        let now = node.now(self.now).monotonic;
        node.ears.take_held_back(now);
        let plays = node.planted != Some(Planted::PlaysNothing);
        for (member, ear) in &mut node.ears.voices {
            let mut step = [0.0; STEP_SAMPLES];
            if plays {
                ear.playout.pull(now, &mut ear.tone, &mut step);
            }
            for voice in ear.tone.decoded.drain(..) {
                ear.waits_since = None;
                self.checkers.played(self.now, index, voice);
            }
            let waits = ear.waits_since.map(|since| now.saturating_since(since));
            if waits > Some(STUCK_AFTER)
                && let Some(speaker) = self.ids.get(member)
            {
                self.checkers.sound_is_stuck(self.now, index, *speaker);
            }
        }
        let reports = node.ears.take_reports(now);
        if reports.is_empty() {
            return;
        }
        self.count_sound(index);
        let node = &mut self.nodes[index];
        let now = node.now(self.now);
        if let Some(participant) = &mut node.participant {
            for (member, report) in reports {
                participant.handle_reception_report(now, member, report);
            }
            self.drain_node(index);
        }
    }

    /// Tells what was counted since the last time.
    pub(crate) fn count_sound(&mut self, index: usize) {
        for (member, ear) in &mut self.nodes[index].ears.voices {
            let stats = ear.playout.stats();
            let before = std::mem::replace(&mut ear.told, stats);
            if let Some(speaker) = self.ids.get(member) {
                self.checkers.sound_counted((*speaker, index), &before, &stats);
            }
            self.trace
                .note(self.now, index as u32, "sound", format!("{stats:?}").as_bytes());
        }
    }

    /// A member is gone from a machine's meeting.
    pub(crate) fn stop_hearing(&mut self, index: usize, member: MemberId) {
        self.count_sound(index);
        let node = &mut self.nodes[index];
        node.ears.voices.remove(&member);
        if let Some(mouth) = &mut node.mouth {
            mouth.ladder.remove_receiver(&member);
        }
    }

    /// A listener says how a machine's voice comes to it.
    pub(crate) fn take_report(
        &mut self,
        index: usize,
        from: MemberId,
        report: &ReceptionReport,
        congested: bool,
    ) {
        let node = &mut self.nodes[index];
        let now = node.now(self.now).monotonic;
        if let Some(mouth) = &mut node.mouth {
            mouth.ladder.handle_report(now, from, report, congested);
        }
    }
}
