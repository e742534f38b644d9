//! The link between a machine and its region: two directions, each with a rate and a bounded queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use subrosa_proto::{random::Random, time::Timestamp};

use super::loss::{LossProcess, LossSpec};

/// What every packet of the modelled transport carries beside its payload: IPv4 and UDP headers (28), QUIC's short header with a connection id of 8
/// bytes and a packet number of 2 (RFC 9000 §17.3.1), AEAD tag (16), frame header (3; RFC 9221 §4).
pub(super) const MODELLED_OVERHEAD_BYTES: usize = 28 + 11 + 16 + 3;

/// What IPv4 and UDP add to a datagram.
pub(super) const UDP_OVERHEAD_BYTES: usize = 28;

/// A class of access links, as a scenario may state its own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSpec {
    /// What members call it.
    pub name: String,
    /// Toward the network, in kbit/s.
    pub up_kbps: u32,
    /// From the network, in kbit/s.
    pub down_kbps: u32,
    /// One way, in milliseconds.
    #[serde(default)]
    pub delay_ms: f64,
    /// Each packet is late by up to so much more, in milliseconds.
    #[serde(default)]
    pub jitter_ms: f64,
    /// What waits in each direction's queue at most, in bytes; 100 ms at its rate unless said otherwise, 16 kB at least.
    #[serde(default)]
    pub queue_bytes: Option<u32>,
    /// Lost in each direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossSpec>,
}

/// A built-in class.
struct Class {
    name: &'static str,
    up_kbps: u32,
    down_kbps: u32,
    delay_ms: f64,
    jitter_ms: f64,
    queue_bytes: Option<u32>,
    /// The Gilbert chain's parameters, if it loses anything.
    bursts: Option<(f64, f64)>,
}

/// The classes that every scenario knows.
///
/// Our assumptions, of the order that national regulators' fixed-line reports show: they are here to be different from one
/// another, not to predict anybody's line. A satellite in low orbit; LTE and satellite have deep queues and lose in bursts.
const CLASSES: [Class; 6] = [
    Class {
        name: "datacentre",
        up_kbps: 1_000_000,
        down_kbps: 1_000_000,
        delay_ms: 0.2,
        jitter_ms: 0.1,
        queue_bytes: Some(4_000_000),
        bursts: None,
    },
    Class {
        name: "fibre",
        up_kbps: 100_000,
        down_kbps: 300_000,
        delay_ms: 2.0,
        jitter_ms: 0.5,
        queue_bytes: None,
        bursts: Some((0.000_05, 0.5)),
    },
    Class {
        name: "cable",
        up_kbps: 20_000,
        down_kbps: 200_000,
        delay_ms: 7.0,
        jitter_ms: 3.0,
        queue_bytes: None,
        bursts: Some((0.000_2, 0.4)),
    },
    Class {
        name: "dsl",
        up_kbps: 5_000,
        down_kbps: 25_000,
        delay_ms: 12.0,
        jitter_ms: 2.0,
        queue_bytes: None,
        bursts: Some((0.000_3, 0.4)),
    },
    Class {
        name: "lte",
        up_kbps: 8_000,
        down_kbps: 30_000,
        delay_ms: 20.0,
        jitter_ms: 12.0,
        queue_bytes: Some(256_000),
        bursts: Some((0.001_5, 0.3)),
    },
    Class {
        name: "satellite",
        up_kbps: 10_000,
        down_kbps: 100_000,
        delay_ms: 25.0,
        jitter_ms: 15.0,
        queue_bytes: Some(256_000),
        bursts: Some((0.003, 0.2)),
    },
];

const QUEUE_BYTES_MIN: u32 = 16_000;

impl AccessSpec {
    /// The class of this name, among the scenario's own first.
    ///
    /// # Errors
    /// A sentence with all names.
    pub(super) fn find(name: &str, own: &[Self]) -> Result<Self, String> {
        if let Some(own) = own.iter().find(|class| class.name == name) {
            return Ok(own.clone());
        }
        let Some(class) = CLASSES.iter().find(|class| class.name == name) else {
            let known = CLASSES.iter().map(|class| class.name);
            let known: Vec<&str> = known.chain(own.iter().map(|class| class.name.as_str())).collect();
            return Err(format!("`{name}` is no class of access: {}", known.join(", ")));
        };
        Ok(Self {
            name: name.to_owned(),
            up_kbps: class.up_kbps,
            down_kbps: class.down_kbps,
            delay_ms: class.delay_ms,
            jitter_ms: class.jitter_ms,
            queue_bytes: class.queue_bytes,
            loss: class.bursts.map(|(p, r)| LossSpec::GilbertElliott {
                p,
                r,
                good: 0.0,
                bad: 1.0,
            }),
        })
    }
}

/// An access link at work.
pub(super) struct Access {
    pub(super) up: Queue,
    pub(super) down: Queue,
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

impl Access {
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn new(spec: &AccessSpec, random: &mut Random) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("access `{}`: {what}", spec.name));
        if spec.up_kbps == 0 || spec.down_kbps == 0 {
            return wrong("`up_kbps` and `down_kbps` are above 0");
        }
        if !(0.0..=60_000.0).contains(&spec.delay_ms) || !(0.0..=60_000.0).contains(&spec.jitter_ms) {
            return wrong("`delay_ms` and `jitter_ms` are from 0 to 60000");
        }
        let mut queue = |kbps: u32| {
            let by_rate = (kbps / 8 * 100).max(QUEUE_BYTES_MIN);
            Queue::new(
                kbps,
                spec.queue_bytes.unwrap_or(by_rate),
                spec.loss.as_ref(),
                random,
            )
        };
        Ok(Self {
            up: queue(spec.up_kbps)?,
            down: queue(spec.down_kbps)?,
            delay: Duration::from_secs_f64(spec.delay_ms / 1e3),
            jitter: Duration::from_secs_f64(spec.jitter_ms / 1e3),
        })
    }
}

impl Queue {
    /// Its rate, in kbit/s.
    pub(super) fn kbps(&self) -> u32 {
        u32::try_from(self.kbps).unwrap_or(u32::MAX)
    }
}

/// One direction: first in, first out, what does not fit is dropped (drop-tail).
pub(super) struct Queue {
    kbps: u64,
    bytes_max: u64,
    pub(super) loss: Option<LossProcess>,
    /// When the last byte that was let in leaves.
    free_at: Timestamp,
    /// The most that waited.
    pub(super) bytes_high: u64,
    /// Datagrams that did not fit.
    pub(super) dropped: u64,
    /// The most that waited with senders because it did not fit, in bytes.
    pub(super) held_high: u64,
}

impl Queue {
    fn new(kbps: u32, bytes_max: u32, loss: Option<&LossSpec>, random: &mut Random) -> Result<Self, String> {
        Ok(Self {
            kbps: u64::from(kbps),
            bytes_max: u64::from(bytes_max),
            loss: loss.map(|loss| loss.process(random)).transpose()?,
            free_at: Timestamp::ZERO,
            bytes_high: 0,
            dropped: 0,
            held_high: 0,
        })
    }

    /// The bytes that wait, those that are being sent included.
    fn waiting(&self, now: Timestamp) -> u64 {
        let micros = u64::try_from(self.free_at.saturating_since(now).as_micros()).unwrap_or(u64::MAX);
        micros.saturating_mul(self.kbps) / 8_000
    }

    /// How long a packet of `bytes` on the wire would take to pass if it came now.
    pub(super) fn wait(&self, now: Timestamp, bytes: usize) -> Duration {
        self.free_at.saturating_since(now) + self.serialization(bytes)
    }

    fn serialization(&self, bytes: usize) -> Duration {
        let bits = bytes as u64 * 8_000;
        Duration::from_micros(bits.div_ceil(self.kbps))
    }

    /// A packet of `bytes` on the wire comes. When its last byte leaves, or `None` if it does not fit.
    ///
    /// What must arrive (`reliable`) is not dropped: what does not fit waits with its sender, in order, as QUIC's streams
    /// do when their packets are lost to a full queue. Meanwhile no datagram fits.
    pub(super) fn offer(&mut self, now: Timestamp, bytes: usize, reliable: bool) -> Option<Timestamp> {
        let waiting = self.waiting(now) + bytes as u64;
        if waiting > self.bytes_max {
            if !reliable {
                self.dropped += 1;
                return None;
            }
            self.held_high = self.held_high.max(waiting - self.bytes_max);
        }
        self.bytes_high = self.bytes_high.max(waiting.min(self.bytes_max));
        self.free_at = self.free_at.max(now) + self.serialization(bytes);
        Some(self.free_at)
    }

    /// The bound.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(kbps: u32, bytes_max: u32) -> Queue {
        Queue::new(kbps, bytes_max, None, &mut Random::from_seed([0; 32])).unwrap()
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn delay_grows_under_load_up_to_the_bound() {
        // 1,000 bytes on the wire take 8 ms at 1 Mbit/s; four fit.
        let (mut queue, payload) = (queue(1_000, 4_000), 1_000);
        for n in 1..=4 {
            assert_eq!(queue.offer(at(0), payload, false), Some(at(8_000 * n)));
        }
        assert_eq!(queue.offer(at(0), payload, false), None);
        assert_eq!((queue.dropped, queue.bytes_high), (1, 4_000));
        // One has left.
        assert_eq!(queue.offer(at(8_000), payload, false), Some(at(40_000)));
        assert_eq!(queue.offer(at(90_000), payload, false), Some(at(98_000)));
    }

    #[test]
    fn what_must_arrive_waits_with_its_sender() {
        let (mut queue, payload) = (queue(1_000, 2_000), 1_000);
        for n in 1..=5 {
            assert_eq!(queue.offer(at(0), payload, true), Some(at(8_000 * n)));
        }
        assert_eq!((queue.bytes_high, queue.held_high), (2_000, 3_000));
        assert_eq!(queue.offer(at(8_000), payload, false), None);
    }

    #[test]
    fn every_class_can_be_built_and_the_scenarios_own_come_first() {
        let mut random = Random::from_seed([0; 32]);
        for class in CLASSES {
            let spec = AccessSpec::find(class.name, &[]).unwrap();
            assert!(Access::new(&spec, &mut random).is_ok());
        }
        let mut own = AccessSpec::find("dsl", &[]).unwrap();
        own.up_kbps = 1;
        assert_eq!(AccessSpec::find("dsl", &[own]).unwrap().up_kbps, 1);
        assert!(AccessSpec::find("pigeon", &[]).unwrap_err().contains("satellite"));
    }
}
