//! Doing what the machines ask for.

use subrosa_proto::{
    ids::LinkId,
    meeting::participant::{Event, Output, Participant},
    relay::RelayOutput,
    wire::media_packet::HEADER_BYTES,
};

use super::{Occurrence, SPINS_MAX, World, node::Voice};
use crate::network::Place;

/// The largest datagram on a modelled path, in bytes.
const DATAGRAM_BYTES_MAX: usize = 1_350;
/// Bytes of a control frame's length.
const LENGTH_BYTES: usize = 4;

impl World<'_> {
    /// Does what a participant asks for, until it asks for nothing, and plans its timer.
    pub(crate) fn drain_node(&mut self, index: usize) {
        while let Some(output) = self.nodes[index]
            .participant
            .as_mut()
            .and_then(|participant| participant.poll_output())
        {
            self.do_output(index, output);
        }
        self.plan_node_timer(index);
    }

    fn do_output(&mut self, index: usize, output: Output) {
        match output {
            Output::Dial { dial, target } => self.dial(index, dial, &target),
            Output::Control { link, bytes } => {
                for _ in 0..self.copies_of_control(index) {
                    self.send_frame(index, link, bytes.clone());
                }
            }
            Output::Datagram { .. } if self.sends_no_media(index) => {}
            Output::Datagram { link, bytes } => {
                self.overhear(index, &bytes);
                if let Some(&(pipe, side)) = self.nodes[index].links.get(&link) {
                    self.send_datagram(pipe, side, bytes);
                }
            }
            Output::Close { link } => {
                if let Some(&(pipe, side)) = self.nodes[index].links.get(&link) {
                    self.close(pipe, side);
                }
            }
            Output::TurnAway(unadmitted) => self.nodes[index].unadmitted = unadmitted,
            // Codes are for whoever is not in the scenario.
            Output::AcceptCode(_) => {}
            Output::Keep(record) => self.nodes[index].kept.push(record),
            Output::KeepAnew(records) => self.nodes[index].kept = records,
            Output::Accept { keys } => {
                self.nodes[index].accept = keys.iter().map(|key| key.id()).collect();
            }
            Output::Media(frame) => {
                let Some(voice) = Voice::decode(&frame.payload) else {
                    return;
                };
                let from = self.hears_as(index, frame.member);
                let claimed = self.ids.get(&from).copied();
                self.checkers.heard(self.now, index, claimed, voice);
            }
            Output::Event(event) => {
                self.keep_ticket(index, &event);
                let roster = self.nodes[index].participant.as_ref().map(Participant::roster);
                self.checkers.told(self.now, index, &event, roster);
                if self.shows_twice(index, &event) {
                    self.checkers.told(self.now, index, &event, roster);
                }
                self.trace
                    .note(self.now, index as u32, "event", format!("{event:?}").as_bytes());
            }
            _ => {}
        }
    }

    /// Sends a control frame on a participant's link.
    pub(crate) fn send_frame(&mut self, index: usize, link: LinkId, bytes: Vec<u8>) {
        self.checkers.control_sent(self.now, index, &bytes);
        self.keep_operations(index, &bytes);
        if let Some(&(pipe, side)) = self.nodes[index].links.get(&link) {
            self.send_control(pipe, side, bytes);
        }
    }

    /// People keep the newest ticket.
    fn keep_ticket(&mut self, index: usize, event: &Event) {
        let renewed = matches!(
            event,
            Event::Ticket(_) | Event::TicketRenewed | Event::Joined { .. }
        );
        if let Some(participant) = self.nodes[index].participant.as_ref().filter(|_| renewed) {
            self.nodes[index].ticket = Some(participant.ticket().clone());
        }
    }

    /// Everybody who must not be able to decrypt tries to.
    ///
    /// One ciphertext goes out on every path behind another clear header: it is tried once.
    fn overhear(&mut self, from: usize, datagram: &[u8]) {
        let sealed = datagram.get(HEADER_BYTES..).unwrap_or_default();
        let last = &mut self.nodes[from].last_sealed;
        if last == sealed {
            return;
        }
        last.clear();
        last.extend_from_slice(sealed);
        let sender = self.nodes[from].id();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(participant) = node.participant.as_ref().filter(|_| index != from) else {
                continue;
            };
            let outside = node.is_spy || !participant.is_member();
            if outside && participant.can_open(sender, datagram) {
                self.checkers.overheard(self.now, index, from);
            }
        }
        self.checkers.sealed(self.now, from, datagram);
        if let Some(newcomer) = self.checkers.take_probe(self.now)
            && let Some(participant) = &self.nodes[newcomer].participant
        {
            let ids: Vec<_> = self.nodes.iter().map(|node| node.id()).collect();
            self.checkers.probe(self.now, newcomer, participant, &ids);
        }
    }

    pub(crate) fn plan_node_timer(&mut self, index: usize) {
        let node = &self.nodes[index];
        let Some(at) = node
            .participant
            .as_ref()
            .filter(|_| !node.is_spy)
            .and_then(|p| p.poll_timeout())
        else {
            self.nodes[index].timer_at = None;
            return;
        };
        let at = self.fires_at(index, node.world_time(at).max(self.now));
        let node = &mut self.nodes[index];
        if node.timer_at == Some(at) {
            return;
        }
        if at == self.now {
            node.spins += 1;
            if node.spins > SPINS_MAX {
                self.checkers.spins(self.now, index);
                node.timer_at = None;
                return;
            }
        } else {
            node.spins = 0;
        }
        node.timer_at = Some(at);
        self.queue.plan(at, Occurrence::NodeTimer(index));
    }

    /// Does what a relay asks for, and sends what waits for its clients.
    pub(crate) fn drain_relay(&mut self, index: usize) {
        let now = Self::relay_now(self.now);
        while let Some(output) = self.relays[index].relay.as_mut().and_then(|r| r.poll_output()) {
            match output {
                RelayOutput::Close { session, .. } => {
                    if let Some(&(pipe, side)) = self.relays[index].sessions.get(&session) {
                        self.flush_session(index, session);
                        self.close(pipe, side);
                    }
                }
                RelayOutput::Dial { relay, addresses, .. } => self.dial_upstream(index, relay, &addresses),
                _ => {}
            }
        }
        while let Some(session) = self.relays[index].relay.as_mut().and_then(|r| r.poll_ready(now)) {
            self.flush_session(index, session);
        }
        let site = &mut self.relays[index];
        if let Some(at) = site.relay.as_ref().and_then(|relay| relay.poll_timeout()) {
            let at = at.max(self.now);
            if site.timer_at != Some(at) {
                site.timer_at = Some(at);
                self.queue.plan(at, Occurrence::RelayTimer(index));
            }
        }
    }

    fn flush_session(&mut self, index: usize, session: subrosa_proto::relay::SessionId) {
        let now = Self::relay_now(self.now);
        let Some(&(pipe, side)) = self.relays[index].sessions.get(&session) else {
            return;
        };
        while let Some(frame) = self.relays[index]
            .relay
            .as_mut()
            .and_then(|relay| relay.poll_control(session))
        {
            self.send_control(pipe, side, frame[LENGTH_BYTES..].to_vec());
        }
        while let Some(datagram) = self.relays[index]
            .relay
            .as_mut()
            .and_then(|relay| relay.poll_datagram(now, session, DATAGRAM_BYTES_MAX))
        {
            self.forward(index, pipe, side, datagram.to_vec());
        }
    }

    /// The place that a scenario's name stands for.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        let node = self.scenario.member(name).map(Place::Node);
        node.or_else(|| self.scenario.relay(name).map(Place::Relay))
    }
}
