//! Resident memory of a process over time.

use std::fs;

/// KiB at seconds since the beginning.
#[derive(Default)]
pub(crate) struct Memory(Vec<(f64, f64)>);

impl Memory {
    /// Reads what the process holds now.
    pub(crate) fn sample(&mut self, at: f64, pid: u32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        if let Some(kib) = kib {
            self.0.push((at, kib));
        }
    }

    /// By the straight line that fits best what was measured after `warm` seconds: its start and end in KiB, and its slope
    /// in KiB per hour.
    pub(crate) fn drift(&self, warm: f64) -> (f64, f64, f64) {
        let samples: Vec<(f64, f64)> = self.0.iter().copied().filter(|(at, _)| *at >= warm).collect();
        let count = samples.len() as f64;
        if samples.len() < 2 {
            return (0.0, 0.0, 0.0);
        }
        let mean_at = samples.iter().map(|(at, _)| at).sum::<f64>() / count;
        let mean = samples.iter().map(|(_, kib)| kib).sum::<f64>() / count;
        let (mut product, mut square) = (0.0, 0.0);
        for (at, kib) in &samples {
            product += (at - mean_at) * (kib - mean);
            square += (at - mean_at).powi(2);
        }
        let slope = product / square;
        let line = |at: f64| mean + slope * (at - mean_at);
        (
            line(samples[0].0),
            line(samples[samples.len() - 1].0),
            slope * 3_600.0,
        )
    }
}
