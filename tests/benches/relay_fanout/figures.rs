//! What one run of the load measured.

use std::{collections::BTreeMap, time::Duration};

/// One run's figures, of the relay and of its listeners.
pub(crate) struct Fanout {
    /// Frames that the load handed to its publishers' connections.
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) forwarded: u64,
    pub(crate) packets: u64,
    pub(crate) sends: u64,
    pub(crate) delivered: u64,
    /// Frames that the relay did not forward, by reason.
    pub(crate) drops: BTreeMap<String, u64>,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Sorted.
    pub(crate) delays_us: Vec<u32>,
}

impl Fanout {
    pub(crate) fn published_per_second(&self) -> f64 {
        self.published as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn forwarded_per_second(&self) -> f64 {
        self.forwarded as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.forwarded as f64 / self.cpu.as_secs_f64()
    }

    /// The part of what publishers sent, times listeners, that was forwarded.
    pub(crate) fn forwarded_share(&self, listeners: usize) -> f64 {
        self.forwarded as f64 / (self.published * listeners as u64).max(1) as f64
    }

    /// A quantile of the time from a publisher's send to a listener's receipt, both in this process.
    pub(crate) fn delay_ms(&self, quantile: f64) -> f64 {
        let at = (self.delays_us.len() as f64 * quantile) as usize;
        f64::from(self.delays_us.get(at).copied().unwrap_or(0)) / 1_000.0
    }
}
