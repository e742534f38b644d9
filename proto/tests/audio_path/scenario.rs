//! A sender, a path and a receiver in virtual time.

use std::{collections::BTreeMap, f32::consts::TAU};

use subrosa_proto::{
    ids::MemberId,
    media::{
        payload::{AudioPayload, FrameDuration, SpeechLevel},
        playout::{FrameDecoder, Playout, UndecodableFrame},
        reception_report::{REPORT_INTERVAL_MS, ReceptionReport},
        reception_stats::ReceptionStats,
        redundancy::{LadderConfig, ProtectionSettings, RedundancyLadder},
        sender::AudioSender,
    },
    random::Random,
    time::Timestamp,
};

use super::channel::{Channel, Path};

const TONE_HZ: f32 = 220.0;
const TONE_PEAK: f32 = 0.5;
/// Sending begins here, so that a path's earliest packets lie after the receiver's first pull.
const START_US: u64 = 5_000_000;
const WARM_US: u64 = START_US + 10_000_000;

/// What is played during one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u8,
    pub(crate) seconds: u64,
    pub(crate) duration: FrameDuration,
    pub(crate) path: Path,
    /// The sender's clock against the receiver's.
    pub(crate) drift_ppm: f64,
    /// Reports reach the sender, which adapts; otherwise it stays on the lowest rung.
    pub(crate) adaptive: bool,
    /// Talk and pause in turn, each so many µs.
    pub(crate) talk: Option<(u64, u64)>,
    /// Pulls come in groups of this many.
    pub(crate) pull_burst: u64,
    /// Each pull comes up to this many µs late.
    pub(crate) pull_late: u64,
    /// A fixed block length in samples.
    pub(crate) block: usize,
}

impl Scenario {
    pub(crate) const CLEAN: Self = Self {
        seed: 1,
        seconds: 60,
        duration: FrameDuration::Ms20,
        path: Path::CLEAN,
        drift_ppm: 0.0,
        adaptive: true,
        talk: None,
        pull_burst: 1,
        pull_late: 0,
        block: 480,
    };
}

/// What the receiver did with one frame of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Decoded(u32),
    Rebuilt(u32),
    Invented,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stats: ReceptionStats,
    /// The counters after the first ten seconds.
    pub(crate) warm: ReceptionStats,
    pub(crate) sent: u32,
    pub(crate) carried: u32,
    pub(crate) heard: Vec<(u64, Heard)>,
    /// Sending to decoding for each decoded frame, µs, with the time of decoding.
    pub(crate) delays: Vec<(u64, u64)>,
    /// The largest change from sample to sample, relative to that of the tone.
    pub(crate) step: f32,
    pub(crate) settings: ProtectionSettings,
    pub(crate) last_report: Option<ReceptionReport>,
}

impl Outcome {
    /// Invented frame intervals after the first ten seconds, as a share of all that were not silent.
    pub(crate) fn concealed_share(&self) -> f64 {
        let frames = |stats: &ReceptionStats| stats.played + stats.recovered() + stats.concealed;
        let concealed = self.stats.concealed - self.warm.concealed;
        concealed as f64 / (frames(&self.stats) - frames(&self.warm)).max(1) as f64
    }

    /// Mean and 95 % quantile of sending to decoding after the first ten seconds, in ms.
    pub(crate) fn delay_ms(&self) -> (f64, f64) {
        let mut delays: Vec<u64> = self
            .delays
            .iter()
            .filter(|(at, _)| *at >= WARM_US)
            .map(|(_, delay)| *delay)
            .collect();
        delays.sort_unstable();
        let mean = delays.iter().sum::<u64>() as f64 / delays.len().max(1) as f64;
        let high = delays.get(delays.len() * 95 / 100).copied().unwrap_or(0);
        (mean / 1_000.0, high as f64 / 1_000.0)
    }
}

/// Decodes frame numbers into one steady tone.
#[derive(Default)]
struct ModelDecoder {
    phase: f32,
    heard: Vec<Heard>,
}

impl ModelDecoder {
    fn tone(&mut self, out: &mut [f32]) {
        for sample in out {
            self.phase = (self.phase + TONE_HZ / 48_000.0).fract();
            *sample = TONE_PEAK * (TAU * self.phase).sin();
        }
    }

    fn number(frame: &[u8]) -> Result<u32, UndecodableFrame> {
        frame
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
            .ok_or(UndecodableFrame)
    }
}

impl FrameDecoder for ModelDecoder {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame> {
        self.heard.push(Heard::Decoded(Self::number(frame)?));
        self.tone(out);
        Ok(())
    }

    fn decode_fec(&mut self, next: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame> {
        self.heard.push(Heard::Rebuilt(Self::number(next)? - 1));
        self.tone(out);
        Ok(())
    }

    fn conceal(&mut self, out: &mut [f32]) {
        self.heard.push(Heard::Invented);
        self.tone(out);
    }
}

struct Sender {
    scenario: Scenario,
    packer: AudioSender,
    ladder: RedundancyLadder,
    channel: Channel,
    sent_at: Vec<u64>,
    carried: u32,
    settings: ProtectionSettings,
}

impl Sender {
    /// When capture interval `n` is sent, on the receiver's clock.
    fn time_of(&self, n: u64) -> u64 {
        let exact = (n * self.scenario.duration.micros() as u64) as f64;
        START_US + (exact / (1.0 + self.scenario.drift_ppm * 1e-6)) as u64
    }

    /// Sends the frame of interval `n`, if the sender talks then; returns the arrivals.
    fn send(&mut self, n: u64) -> Vec<(u64, Vec<u8>)> {
        let now = self.time_of(n);
        let mut pause_follows = false;
        if let Some((talk, pause)) = self.scenario.talk {
            let into = |n: u64| self.time_of(n) % (talk + pause);
            if into(n) >= talk {
                return Vec::new();
            }
            pause_follows = into(n + 1) >= talk;
        }
        self.settings = self.ladder.settings(Timestamp::from_micros(now));
        let mut frame = vec![0xaa; self.packer.frame_bytes(&self.settings)];
        frame[..4].copy_from_slice(&(self.sent_at.len() as u32).to_be_bytes());
        self.sent_at.push(now);
        let payload = self
            .packer
            .pack(&frame, SpeechLevel::new(20), pause_follows, &self.settings);
        let mut bytes = Vec::new();
        payload.expect("frame of the size asked for").write(&mut bytes);
        let arrivals = self.channel.carry(now);
        self.carried += u32::from(!arrivals.is_empty());
        arrivals.into_iter().map(|at| (at, bytes.clone())).collect()
    }
}

/// Plays `scenario` through.
pub(crate) fn run(scenario: Scenario) -> Outcome {
    let mut random = Random::from_seed([scenario.seed; 32]);
    let duration = scenario.duration;
    let mut sender = Sender {
        scenario,
        packer: AudioSender::new(duration, &mut random),
        ladder: RedundancyLadder::new(LadderConfig {
            duration,
            ..LadderConfig::default()
        }),
        channel: Channel::new(scenario.path, &mut random),
        sent_at: Vec::new(),
        carried: 0,
        settings: RedundancyLadder::new(LadderConfig::default()).settings(Timestamp::ZERO),
    };
    let mut playout = Playout::new();
    let mut decoder = ModelDecoder::default();
    let mut in_flight: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
    let (mut interval, mut tag) = (0, 0);
    let mut outcome = Outcome {
        stats: ReceptionStats::default(),
        warm: ReceptionStats::default(),
        sent: 0,
        carried: 0,
        heard: Vec::new(),
        delays: Vec::new(),
        step: 0.0,
        settings: sender.settings,
        last_report: None,
    };
    let block_us = scenario.block as u64 * 1_000_000 / 48_000;
    // The device's phase against the sender's differs from run to run.
    let phase = random.next_u64() % 20_000;
    let mut last_sample = 0.0_f32;
    let mut next_report = START_US + REPORT_INTERVAL_MS * 1_000;
    for pull in 0..(START_US + scenario.seconds * 1_000_000) / block_us {
        let late = random.next_u64() % (scenario.pull_late + 1);
        let now = phase + pull / scenario.pull_burst * scenario.pull_burst * block_us + late;
        while sender.time_of(interval) <= now {
            for (at, bytes) in sender.send(interval) {
                tag += 1;
                in_flight.insert((at, tag), bytes);
            }
            interval += 1;
        }
        while let Some(entry) = in_flight.first_entry()
            && entry.key().0 <= now
        {
            let ((at, _), bytes) = entry.remove_entry();
            playout.insert(
                Timestamp::from_micros(at),
                &AudioPayload::parse(&bytes).expect("own payload"),
            );
        }
        let mut block = vec![0.0; scenario.block];
        playout.pull(Timestamp::from_micros(now), &mut decoder, &mut block);
        for sample in block {
            outcome.step = outcome.step.max((sample - last_sample).abs());
            last_sample = sample;
        }
        for heard in decoder.heard.drain(..) {
            outcome.heard.push((now, heard));
            if let Heard::Decoded(number) = heard {
                outcome.delays.push((now, now - sender.sent_at[number as usize]));
            }
        }
        if now <= WARM_US {
            outcome.warm = playout.stats();
        }
        if now >= next_report {
            next_report += REPORT_INTERVAL_MS * 1_000;
            if let Some(report) = playout.take_report() {
                outcome.last_report = Some(report);
                if scenario.adaptive {
                    sender.ladder.handle_report(
                        Timestamp::from_micros(now),
                        MemberId([9; 32]),
                        &report,
                        false,
                    );
                }
            }
        }
    }
    outcome.stats = playout.stats();
    outcome.sent = sender.sent_at.len() as u32;
    outcome.carried = sender.carried;
    outcome.settings = sender.settings;
    outcome.step /= TONE_PEAK * TAU * TONE_HZ / 48_000.0;
    outcome
}
