//! What happened in a stretch of a run.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::relay::Metrics;

/// What happened, and what the relay's metrics were before and after.
pub(crate) struct Phase {
    pub(super) published: u64,
    /// Frames of these that the load sent late, so that they came together with others'.
    pub(super) late: u64,
    pub(super) delivered: u64,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) delays_us: Vec<u32>,
    pub(super) before: Metrics,
    pub(super) after: Metrics,
    pub(super) resident: u64,
}

impl Phase {
    fn wanted(&self, members: usize) -> u64 {
        self.published * (members as u64 - 1)
    }

    pub(crate) fn missing_share(&self, members: usize) -> f64 {
        1.0 - self.delivered as f64 / self.wanted(members).max(1) as f64
    }

    /// The part of the frames that the load sent late.
    pub(crate) fn late_share(&self) -> f64 {
        self.late as f64 / self.published.max(1) as f64
    }

    fn forwarded(&self) -> f64 {
        self.after.since(&self.before, "frames_forwarded_total")
    }

    pub(super) fn forwarded_per_second(&self) -> f64 {
        self.forwarded() / self.wall.as_secs_f64()
    }

    fn drops(&self) -> BTreeMap<String, f64> {
        self.after.drops(&self.before)
    }

    /// The delay under which this share of the frames stayed, the load's own time included.
    pub(crate) fn delay_ms(&self, share: f64) -> f64 {
        let last = self.delays_us.len().saturating_sub(1) as f64;
        let at = self.delays_us.get((last * share) as usize);
        at.map_or(0.0, |us| f64::from(*us) / 1e3)
    }

    /// Frames forwarded for each second of the relay's CPU time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.forwarded() / self.cpu.as_secs_f64().max(0.01)
    }

    /// The relay's share of a core, in percent.
    pub(crate) fn cpu_percent(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64() * 100.0
    }

    pub(super) fn print(&self, name: &str, members: usize) {
        let (per_cpu, cpu) = (self.per_cpu_second(), self.cpu_percent());
        let queue = self.after.queue_delay_ms(&self.before, 0.99);
        println!(
            "| {name} | {:.0} | {:.0} | {cpu:.0} % | {per_cpu:.0} | {:.3} % | {:?} | {queue:.2} | {:.2} / {:.2} | {:.1} |",
            self.published as f64 / self.wall.as_secs_f64(),
            self.forwarded_per_second(),
            self.missing_share(members) * 100.0,
            self.drops(),
            self.delay_ms(0.5),
            self.delay_ms(0.99),
            self.resident as f64 / 1e6,
        );
        println!(
            "{}",
            json!({
                "figure": "relay_rooms", "run": name, "published": self.published, "wanted": self.wanted(members),
                "forwarded": self.forwarded(), "delivered": self.delivered, "drops": self.drops(),
                "seconds": self.wall.as_secs_f64(), "cpu_seconds": self.cpu.as_secs_f64(),
                "frames_per_cpu_second": per_cpu.round(), "queue_ms_p99_below": queue,
                "delay_ms_p50": self.delay_ms(0.5), "delay_ms_p99": self.delay_ms(0.99), "resident_bytes": self.resident,
            })
        );
    }
}
