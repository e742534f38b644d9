//! What happens to devices and places: they sleep, change networks, and relays of a region go dark.

use subrosa_proto::{meeting::participant::Participant, time::Timestamp};

use super::{Occurrence, World, transport::IDLE_TIMEOUT};
use crate::{
    network::Place,
    pipe::{PipeId, Side},
};

impl World<'_> {
    /// What happens, unless it happens to somebody who sleeps: then it waits, and datagrams are lost.
    pub(crate) fn awake(&mut self, occurrence: Occurrence) -> Option<Occurrence> {
        let sleeper = match &occurrence {
            Occurrence::NodeTimer(index) | Occurrence::DialFailed(index, ..) => Some(*index),
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
            Occurrence::Datagram(..) => {}
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
            self.now + IDLE_TIMEOUT,
            Occurrence::Overslept(index, self.nodes[index].run, self.now),
        );
    }

    /// Nothing was heard of a device for the idle timeout: the others' links to it die.
    pub(crate) fn oversleep(&mut self, index: usize, run: u32, since: Timestamp) {
        let node = &self.nodes[index];
        if node.run != run || node.asleep != Some(since) {
            return;
        }
        for (pipe, side) in node.links.values().copied().collect::<Vec<_>>() {
            self.pipes[pipe.0].dead = true;
            self.queue.plan(self.now, Occurrence::Down(pipe, 1 - side));
        }
    }

    pub(crate) fn wake(&mut self, index: usize) {
        let Some(_) = self.nodes[index].asleep.take() else {
            return;
        };
        self.network.silence(Place::Node(index), false);
        self.checkers.back(self.now, index);
        // Its own links' timers find out that they are dead.
        let links: Vec<(PipeId, Side)> = self.nodes[index].links.values().copied().collect();
        for (pipe, side) in links {
            if self.pipes[pipe.0].dead {
                self.bring_down(pipe, side);
            }
        }
        for missed in std::mem::take(&mut self.nodes[index].missed) {
            self.queue.plan(self.now, missed);
        }
        self.release_pipes();
        self.plan_node_timer(index);
    }

    /// Another network: the old address is gone with all links; the node is told its new address, as its driver would.
    pub(crate) fn move_node(&mut self, index: usize, region: Option<&str>, access: Option<&str>) {
        let relocated = self.network.relocate(Place::Node(index), region, access);
        debug_assert!(relocated.is_ok(), "checked when the scenario was read");
        let links: Vec<(PipeId, Side)> = self.nodes[index].links.values().copied().collect();
        for (pipe, _) in links {
            self.pipes[pipe.0].dead = true;
            for side in 0..2 {
                self.queue
                    .plan(self.now + IDLE_TIMEOUT, Occurrence::Down(pipe, side));
            }
        }
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
                self.orphan_pipes(Place::Relay(index));
            }
        }
    }
}
