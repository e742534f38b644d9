//! What a change must not fall below. A miss is told at the end and makes the bench fail.

use crate::figures::Fanout;

/// Frames forwarded per CPU-second at saturation, frames of 160 B to 100 listeners.
const SATURATION_160_MIN: f64 = 400_000.0;
/// Frames of 160 B at saturation, of which the first floor speaks.
const VOICE_BYTES: usize = 160;
/// The part of the throughput at saturation that three times the load must leave: less is a collapse.
const OVERLOAD_SHARE_MIN: f64 = 0.8;
/// The part of a light load that must be forwarded, before and after an overload: a relay that forwards almost nothing is
/// not measured, whatever it does per CPU-second.
const LIGHT_SHARE_MIN: f64 = 0.95;

/// Collects what was missed.
#[derive(Default)]
pub(crate) struct Floors {
    missed: Vec<String>,
}

impl Floors {
    fn require(&mut self, what: &str, value: f64, floor: f64) {
        if value < floor {
            self.missed.push(format!("{what}: {value:.2}, floor {floor:.2}"));
        }
    }

    /// A run below capacity: nearly everything is forwarded.
    pub(crate) fn light(&mut self, name: &str, bytes: usize, run: &Fanout, listeners: usize) {
        let what = format!("{name}, {bytes} B: part forwarded (dropped: {:?})", run.drops);
        self.require(&what, run.forwarded_share(listeners), LIGHT_SHARE_MIN);
    }

    /// The run at capacity.
    pub(crate) fn saturation(&mut self, bytes: usize, run: &Fanout) {
        if bytes == VOICE_BYTES {
            let what = format!("saturation, {bytes} B: frames per CPU-second");
            self.require(&what, run.per_cpu_second(), SATURATION_160_MIN);
        }
    }

    /// The run at three times the capacity, against the one at capacity.
    pub(crate) fn overload(&mut self, bytes: usize, saturated: &Fanout, run: &Fanout) {
        let share = run.forwarded_per_second() / saturated.forwarded_per_second();
        self.require(
            &format!("3x overload, {bytes} B: part of the throughput at saturation"),
            share,
            OVERLOAD_SHARE_MIN,
        );
    }

    /// Tells what was missed.
    ///
    /// # Errors
    /// If anything was.
    pub(crate) fn verdict(self) -> Result<(), String> {
        if self.missed.is_empty() {
            return Ok(());
        }
        Err(format!("below the floor:\n  {}", self.missed.join("\n  ")))
    }
}
