//! What a run found.

use std::fmt;

use serde::Serialize;

use crate::{network::QueueFigures, quantiles::Quantiles, transport::TransportKind};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The report's format.
    pub v: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What it shows.
    pub summary: String,
    /// The seed.
    pub seed: u64,
    /// What carried links.
    pub transport: TransportKind,
    /// Packets lost on each hop, in percent.
    pub loss_percent: f64,
    /// The network's round-trip time, in milliseconds.
    pub rtt_ms: f64,
    /// Virtual time, in seconds.
    pub seconds: u64,
    /// Equal for equal runs.
    pub trace_hash: String,
    /// See [`Figures`].
    pub figures: Figures,
    /// Each speaker at each listener.
    pub pairs: Vec<PairFigures>,
    /// From dialling to the first audio.
    pub first_audio_ms: Vec<FirstAudio>,
    /// Each relay.
    pub relays: Vec<RelayFigures>,
    /// Each member's traffic, and the queues of machines with an access link.
    pub machines: Vec<MachineFigures>,
    /// What was said between members until each mark of the scenario.
    pub marks: Vec<MarkFigures>,
    /// What people did and were told.
    pub timeline: Vec<String>,
    /// What must hold and did not; empty in a good run.
    pub violations: Vec<String>,
}

/// Sums over the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Events of the simulator.
    pub events: u64,
    /// What was delivered to machines or people.
    pub deliveries: u64,
    /// Chat messages that were shown to somebody, their authors included.
    pub lines: u64,
    /// Media packets that members sent on for others.
    pub forwarded: u64,
    /// Control frames that participants sent.
    pub control_frames: u64,
    /// Their bytes.
    pub control_bytes: u64,
    /// The most that one sent in one second.
    pub control_frames_per_second_max: u64,
    /// The most pairwise channels that one held.
    pub channels_max: usize,
    /// The most direct links that one held.
    pub links_max: usize,
    /// Frames that were due at a listener, where each is to be explained.
    pub frames_due: u64,
    /// Of these, what was not heard because somebody went while it travelled.
    pub frames_excused: u64,
    /// The longest time from the end of a partition to one roster on all machines, in milliseconds, where it is checked.
    pub healed_ms_max: u64,
}

/// What all members said to each other until a mark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MarkFigures {
    /// The mark's name.
    pub name: String,
    /// When, in seconds.
    pub at_s: f64,
    /// Control messages but pings.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One speaker at one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairFigures {
    /// Whose frames.
    pub speaker: String,
    /// At whom.
    pub listener: String,
    /// Frames that arrived and were opened.
    pub heard: u64,
    /// Frames between the first and the last that did not arrive.
    pub lost: u64,
    /// Their share, in percent.
    pub lost_percent: f64,
    /// From sealing to opening.
    pub delay_ms: DelayFigures,
    /// The longest silence, in milliseconds.
    pub gap_ms_max: f64,
    /// When it ended, in seconds.
    pub gap_at_s: f64,
    /// What the listener heard of it; all 0 where nothing is played.
    pub sound: SoundFigures,
}

/// One speaker as a listener's jitter buffer played it, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SoundFigures {
    /// From the mouth to the ear, without what devices add.
    pub mouth_to_ear_ms: DelayFigures,
    /// Packets that came.
    pub received: u64,
    /// Not there in their own packet when their turn came, recovered or not.
    pub lost: u64,
    /// Played from their own packet.
    pub played: u64,
    /// Played from a copy in a later packet, or rebuilt from it.
    pub recovered: u64,
    /// Invented.
    pub concealed: u64,
    /// Their share of all that was heard, in percent.
    pub concealed_percent: f64,
    /// Came after their turn.
    pub late: u64,
    /// Between arrival and playing, mean of the run.
    pub buffered_ms: f64,
}

/// How long something took, in milliseconds; quantiles are right to 3 %, all 0 if it never happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DelayFigures {
    /// The median.
    pub p50: f64,
    /// 95 of 100 took no longer.
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl DelayFigures {
    /// The figures of these times.
    #[must_use]
    pub fn of(times: &Quantiles) -> Self {
        Self {
            p50: times.at(0.5),
            p95: times.at(0.95),
            p99: times.at(0.99),
            max: times.max(),
        }
    }
}

/// A joiner's first audio.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstAudio {
    /// Who.
    pub listener: String,
    /// After its process started, in milliseconds.
    pub after_ms: f64,
}

/// One relay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RelayFigures {
    /// The operator's name.
    pub name: String,
    /// Where it is hosted.
    pub hosting: String,
    /// Its descriptor says otherwise, and the policy would refuse it for the truth: nobody can tell.
    pub lies: bool,
    /// Packets that it received.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
}

/// One machine's part in the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MachineFigures {
    /// The member's or relay's name.
    pub name: String,
    /// Bytes sent, headers included.
    pub up_bytes: u64,
    /// Bytes received, headers included.
    pub down_bytes: u64,
    /// The access link's queues up and down, if it has one.
    pub queues: Option<[QueueFigures; 2]>,
}

impl Report {
    /// Whether everything held.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// The timeline in full.
    #[must_use]
    pub fn full_timeline(&self) -> String {
        self.timeline.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.scenario, self.summary)?;
        writeln!(
            f,
            "seed {}, {} s of virtual time, round trip {} ms, loss {} %, trace {}",
            self.seed, self.seconds, self.rtt_ms, self.loss_percent, self.trace_hash
        )?;
        writeln!(
            f,
            "{} events, {} deliveries, {} control frames ({} bytes, at most {} in a second from one node)",
            self.figures.events,
            self.figures.deliveries,
            self.figures.control_frames,
            self.figures.control_bytes,
            self.figures.control_frames_per_second_max
        )?;
        if !self.pairs.is_empty() {
            writeln!(
                f,
                "\nspeaker → listener        heard   lost   p50   p99 ms   longest silence          mouth to ear p50  p99 ms  invented"
            )?;
        }
        for pair in &self.pairs {
            let names = format!("{} → {}", pair.speaker, pair.listener);
            writeln!(
                f,
                "{names:<22} {:>8} {:>6} {:>5.0} {:>5.0} {:>12.1} ms at {:>7.3} s {:>20.0} {:>4.0} {:>9.2} %",
                pair.heard,
                pair.lost,
                pair.delay_ms.p50,
                pair.delay_ms.p99,
                pair.gap_ms_max,
                pair.gap_at_s,
                pair.sound.mouth_to_ear_ms.p50,
                pair.sound.mouth_to_ear_ms.p99,
                pair.sound.concealed_percent
            )?;
        }
        for first in &self.first_audio_ms {
            writeln!(
                f,
                "first audio at {}: {:.1} ms after dialling ({:.2} round trips)",
                first.listener,
                first.after_ms,
                first.after_ms / self.rtt_ms
            )?;
        }
        for relay in &self.relays {
            let lies = if relay.lies { ", says otherwise" } else { "" };
            writeln!(
                f,
                "relay {} ({}{lies}): {} packets, {} bytes",
                relay.name, relay.hosting, relay.packets_in, relay.bytes_in
            )?;
        }
        for machine in &self.machines {
            if let Some([up, down]) = &machine.queues {
                writeln!(
                    f,
                    "{}: up {} kB, queue {} of {} B, {} dropped; down {} kB, queue {} of {} B, {} dropped",
                    machine.name,
                    machine.up_bytes / 1_000,
                    up.bytes_max,
                    up.bytes_bound,
                    up.dropped,
                    machine.down_bytes / 1_000,
                    down.bytes_max,
                    down.bytes_bound,
                    down.dropped
                )?;
            }
        }
        if self.violations.is_empty() {
            return writeln!(f, "\nAll checks hold.");
        }
        writeln!(f, "\n{} violations:", self.violations.len())?;
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        Ok(())
    }
}
