//! What happens to devices and places: they sleep, change networks, and relays of a region go dark.

use std::time::Duration;

use subrosa_proto::{meeting::participant::Participant, time::Timestamp};

use super::{Occurrence, World};
use crate::{
    network::Place,
    transport::{PipeId, Side},
};

/// A device that sleeps for longer has no links when it wakes (the idle timeout of `proto/src/quic`).
const OVERSLEPT: Duration = Duration::from_secs(5);

impl World<'_> {
    /// What happens, unless it happens to somebody who sleeps: then it waits, and datagrams are lost.
    pub(crate) fn awake(&mut self, occurrence: Occurrence) -> Option<Occurrence> {
        let sleeper = match &occurrence {
            Occurrence::NodeTimer(index)
            | Occurrence::DialFailed(index, ..)
            | Occurrence::ConnectionTimer(Place::Node(index), ..) => Some(*index),
            Occurrence::Udp(udp) => match udp.to {
                Place::Node(index) => Some(index),
                Place::Relay(_) => None,
            },
            Occurrence::Up(pipe, side, ..)
            | Occurrence::Control(pipe, side, _)
            | Occurrence::Datagram(pipe, side, _)
            | Occurrence::Down(pipe, side) => self.node_at(*pipe, *side),
            _ => None,
        };
        let sleeper = sleeper.filter(|index| self.nodes[*index].asleep.is_some());
        let Some(index) = sleeper else {
            return Some(occurrence);
        };
        match occurrence {
            Occurrence::NodeTimer(_) => self.nodes[index].timer_at = None,
            // Connections' timers are looked at when it wakes.
            Occurrence::Datagram(..) | Occurrence::Udp(_) | Occurrence::ConnectionTimer(..) => {}
            other => self.nodes[index].missed.push(other),
        }
        None
    }

    fn node_at(&self, pipe: PipeId, side: Side) -> Option<usize> {
        match self.pipes[pipe.0].ends[side].place {
            Place::Node(index) => Some(index),
            Place::Relay(_) => None,
        }
    }

    pub(crate) fn sleep(&mut self, index: usize) {
        if self.nodes[index].asleep.is_some() || self.nodes[index].participant.is_none() {
            return;
        }
        self.nodes[index].asleep = Some(self.now);
        self.network.silence(Place::Node(index), true);
        self.checkers.away(self.now, index);
        self.queue.plan(
            self.now + OVERSLEPT,
            Occurrence::Overslept(index, self.nodes[index].run, self.now),
        );
    }

    /// Nothing was heard of a device for the idle timeout: the others' links to it die.
    pub(crate) fn oversleep(&mut self, index: usize, run: u32, since: Timestamp) {
        let node = &self.nodes[index];
        if node.run != run || node.asleep != Some(since) {
            return;
        }
        self.transport.overslept(self, index);
    }

    pub(crate) fn wake(&mut self, index: usize) {
        let Some(_) = self.nodes[index].asleep.take() else {
            return;
        };
        self.network.silence(Place::Node(index), false);
        self.checkers.back(self.now, index);
        self.transport.woke(self, index);
        self.plan_node_timer(index);
    }

    /// Another network: the old address is gone with all links; the node is told its new address, as its driver would.
    pub(crate) fn move_node(&mut self, index: usize, region: Option<&str>, access: Option<&str>) {
        let relocated = self.network.relocate(Place::Node(index), region, access);
        debug_assert!(relocated.is_ok(), "checked when the scenario was read");
        self.transport.moved(self, index);
        self.checkers.away(self.now, index);
        self.checkers.back(self.now, index);
        let node = &mut self.nodes[index];
        node.move_on();
        let (now, addresses) = (node.now(self.now), vec![node.address]);
        if let Some(participant) = node.participant.as_mut().filter(|_| !node.is_spy) {
            Participant::set_addresses(participant, now, addresses);
            self.drain_node(index);
        }
    }

    /// The relays of a region end, or start again.
    pub(crate) fn set_region(&mut self, region: &str, runs: bool) {
        for index in 0..self.relays.len() {
            if self.relays[index].spec.region.as_deref() != Some(region) {
                continue;
            }
            if runs {
                self.relays[index].start();
            } else if self.relays[index].relay.is_some() {
                self.relays[index].stop();
                self.transport.ended(self, Place::Relay(index));
            }
        }
    }
}
