//! Doing what the machines ask for.

use subrosa_proto::{
    ids::LinkId,
    meeting::participant::{Event, Output, Participant},
    wire::media_packet::HEADER_BYTES,
};

use super::{Occurrence, SPINS_MAX, World};
use crate::network::Place;

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
            Output::Dial { dial, target } => self.transport.dial(self, index, dial, &target),
            Output::Control { link, bytes } => {
                for _ in 0..self.copies_of_control(index) {
                    self.send_frame(index, link, bytes.clone());
                }
            }
            // They open the NAT on the way; that they arrive is not modelled.
            Output::Probe { to, .. } => {
                for address in to {
                    self.nodes[index].sends_to(address);
                }
            }
            Output::Datagram { .. } if self.sends_no_media(index) => {}
            Output::Datagram { link, bytes } => {
                let Some(bytes) = self.as_forwarded(index, bytes) else {
                    return;
                };
                if let Some(&end) = self.nodes[index].links.get(&link) {
                    self.transport.send_datagram(self, Place::Node(index), end, bytes);
                }
            }
            Output::Close { link } => {
                if let Some(&end) = self.nodes[index].links.get(&link) {
                    self.transport.close(self, Place::Node(index), end);
                }
            }
            Output::TurnAway(unadmitted) => self.nodes[index].unadmitted = unadmitted,
            // Codes are for whoever is not in the scenario.
            Output::AcceptCode(_) => {}
            Output::Keep(record) => self.nodes[index].kept.push(record),
            Output::KeepAnew(records) => self.nodes[index].kept = records,
            Output::Accept { keys } => {
                self.nodes[index].accept = keys.iter().map(|key| key.id()).collect();
                self.transport.doors_changed(self, index, &keys);
            }
            Output::Media(frame) => self.hear(index, &frame),
            Output::MediaEnded { member } => self.stop_hearing(index, member),
            Output::Reported {
                member,
                report,
                congested,
            } => self.take_report(index, member, &report, congested),
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

    /// What goes out of a participant's media packet: its own as it is, somebody else's as its machine forwards it.
    fn as_forwarded(&mut self, index: usize, bytes: Vec<u8>) -> Option<Vec<u8>> {
        self.overhear(index, &bytes);
        let sealed = bytes.get(HEADER_BYTES..).unwrap_or_default();
        if self.sealed.sealer(sealed) == Some(index) {
            return Some(bytes);
        }
        self.forwards(index, bytes)
    }

    /// Sends a control frame on a participant's link.
    pub(crate) fn send_frame(&mut self, index: usize, link: LinkId, bytes: Vec<u8>) {
        self.checkers.control_sent(self.now, index, &bytes);
        self.keep_operations(index, &bytes);
        if let Some(&end) = self.nodes[index].links.get(&link) {
            self.transport.send_control(self, Place::Node(index), end, bytes);
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
    pub(crate) fn overhear(&mut self, from: usize, datagram: &[u8]) {
        let sealed = datagram.get(HEADER_BYTES..).unwrap_or_default();
        if self.nodes[from].last_sealed == sealed {
            return;
        }
        if let Some(sealer) = self.sealed.sealer(sealed)
            && sealer != from
        {
            self.checkers.forwarded(self.now, from, datagram.len());
            return;
        }
        self.sealed.note(from, sealed);
        let last = &mut self.nodes[from].last_sealed;
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
        self.transport.drain_relay(self, index);
        let site = &mut self.relays[index];
        if let Some(at) = site.relay.as_ref().and_then(|relay| relay.poll_timeout()) {
            let at = at.max(self.now);
            if site.timer_at != Some(at) {
                site.timer_at = Some(at);
                self.queue.plan(at, Occurrence::RelayTimer(index));
            }
        }
    }

    /// The place that a scenario's name stands for.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        let node = self.scenario.member(name).map(Place::Node);
        node.or_else(|| self.scenario.relay(name).map(Place::Relay))
    }
}
