//! Probes that came, and the sockets of a search.

use std::net::SocketAddr;

use subrosa_proto::{
    meeting::participant::{DialId, DialTarget},
    noise::token::ProbeSender,
};

use super::Driver;
use crate::quic::search_sockets::Found;

impl Driver {
    pub(super) fn handle_probe(&mut self, remote: SocketAddr, sender: ProbeSender) {
        self.participant
            .handle_probe(self.clock.now(), sender, remote, None);
    }

    /// The participant says at once whether the socket is to dial.
    pub(super) fn handle_search_probe(&mut self, found: Found) {
        tracing::debug!(number = found.number, "a socket of a search heard a probe");
        let (sender, remote, number) = (found.sender, found.remote, found.number);
        self.heard = Some(found);
        self.participant
            .handle_probe(self.clock.now(), sender, remote, Some(number));
        self.drain();
        self.heard = None;
    }

    pub(super) fn dial(&mut self, dial: DialId, target: DialTarget) {
        let DialTarget::Member {
            via: Some(number), ..
        } = &target
        else {
            self.dialler.dial(dial, target);
            return;
        };
        match self.heard.take().filter(|found| found.number == *number) {
            Some(found) => self.dialler.dial_from(dial, target, found.socket),
            None => self.participant.handle_dial_failed(self.clock.now(), dial),
        }
    }
}
