//! Congestion control for links that carry live speech.

use std::{any::Any, sync::Arc, time::Instant};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig},
};

/// The window below which random loss does not push a link: at an RTT of 100 ms this is 1.3 Mbit/s, a dozen voices.
///
/// Cubic takes each loss for congestion. On a radio link with 20 % random loss its window falls to two packets, and
/// speech of a few kilobytes per second would wait for acknowledgements until it is stale. A relay sends no more than
/// the listener subscribed to and drops what is late, so a floor does no harm that a telephone call would not do.
/// Persistent congestion (RFC 9002 §7.6: everything lost over several RTTs) removes the floor until Cubic has grown
/// beyond it again.
const FLOOR_BYTES: u64 = 16 * 1024;

/// Makes Cubic controllers with a floor.
#[derive(Debug, Default)]
pub struct MediaWindow {
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for MediaWindow {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored {
            cubic: self.cubic.clone().build(now, current_mtu),
            collapsed: false,
        })
    }
}

struct Floored {
    cubic: Box<dyn Controller>,
    /// Persistent congestion was seen, and Cubic has not recovered to the floor since.
    collapsed: bool,
}

impl Floored {
    fn note_recovery(&mut self) {
        if self.cubic.window() >= FLOOR_BYTES {
            self.collapsed = false;
        }
    }
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
        self.note_recovery();
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
        self.note_recovery();
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.cubic.on_congestion_event(now, sent, persistent, lost_bytes);
        self.collapsed |= persistent;
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.collapsed {
            self.cubic.window()
        } else {
            self.cubic.window().max(FLOOR_BYTES)
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            collapsed: self.collapsed,
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // quinn-proto wants an `Instant`; nothing but a clock makes the first.
    #[allow(clippy::disallowed_methods)]
    #[test]
    fn random_loss_stops_at_the_floor_and_persistent_congestion_does_not() {
        let start = Instant::now();
        let mut window = Arc::new(MediaWindow::default()).build(start, 1_200);
        for i in 1..50 {
            let now = start + std::time::Duration::from_millis(100 * i);
            window.on_congestion_event(now, now, false, 1_200);
        }
        assert_eq!(window.window(), FLOOR_BYTES);
        let now = start + std::time::Duration::from_secs(10);
        window.on_congestion_event(now, now, true, 1_200);
        assert!(window.window() < FLOOR_BYTES);
    }
}
