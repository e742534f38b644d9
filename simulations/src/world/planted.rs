//! Faults that a scenario plants to see that the checkers catch them: they change what one machine sends, takes or tells. The
//! code under test stays as it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use subrosa_proto::{
    ids::{LinkId, MemberId},
    media::payload::AudioPayload,
    meeting::{
        conversation::ConversationEvent,
        operation::Op,
        participant::{Event, MediaFrame},
    },
    time::Timestamp,
    wire::control_message::ControlMessage,
};

use super::World;
use crate::network::Place;

/// How often a machine that floods says everything.
const FLOOD: usize = 200;
/// Of so many media packets a machine that loses frames loses one.
const LOSES_ONE_OF: u32 = 40;
/// Of so many frames of sound a machine that loses sound keeps one. Redundancy and FEC make up for less.
const KEEPS_SOUND_ONE_OF: u32 = 4;
/// How long a machine that holds sound back does so.
const HOLDS_BACK: Duration = Duration::from_millis(400);
/// More than any control frame may have.
const BLOATED_BYTES: usize = 70_000;

/// What is wrong with a machine, and which checker must say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planted {
    /// It takes no operation that removes somebody: its keys do not turn (confidentiality).
    IgnoresRemovals,
    /// It takes no operations at all: it sees another roster than the others (convergence).
    IgnoresRoster,
    /// It takes no keys: it hears nobody (recovery).
    IgnoresKeys,
    /// It dials a relay that the policy refuses (jurisdiction).
    DialsRefusedRelay,
    /// It says everything two hundred times (bounds).
    Floods,
    /// It sends a control frame that is larger than any may be (bounds).
    SendsBloatedFrame,
    /// Its timer fires again and again (bounds).
    Spins,
    /// Its media are never sent (delivery).
    FallsSilent,
    /// It loses some of the frames that reach it (explanation).
    LosesFrames,
    /// It loses most of the sound that it opened before it is played (playout).
    LosesSound,
    /// It holds sound back before it is played (playout).
    HoldsSoundBack,
    /// It plays nothing of what comes (playout).
    PlaysNothing,
    /// It shows each line of the chat twice (conversation).
    ShowsTwice,
    /// It takes everybody's voice for the host's (authenticity).
    MistakesVoices,
    /// It alters what it forwards: its listeners must find out.
    AltersForwarded,
    /// It says that it forwards, and does not: its listeners must find out.
    WithholdsForwarded,
    /// It sends on whatever it hears, whom the policy and its user did not ask (jurisdiction).
    ForwardsUnasked,
}

impl World<'_> {
    /// Plants a fault. One that is an act is done at once.
    pub(crate) fn plant(&mut self, index: usize, fault: Planted) {
        self.nodes[index].planted = Some(fault);
        match fault {
            Planted::DialsRefusedRelay => self.dial_refused_relay(index),
            Planted::SendsBloatedFrame => {
                if let Some(link) = self.nodes[index].links.keys().next().copied() {
                    self.send_frame(index, link, vec![0; BLOATED_BYTES]);
                }
            }
            _ => {}
        }
    }

    fn dial_refused_relay(&mut self, from: usize) {
        let permitted = crate::checker::jurisdiction::permitted(self.scenario).unwrap_or_default();
        let Some(refused) = permitted.iter().position(|permitted| !permitted) else {
            return;
        };
        self.transport.dial_refused_relay(self, from, refused);
    }

    fn has_planted(&self, index: usize, fault: Planted) -> bool {
        self.nodes[index].planted == Some(fault)
    }

    /// How often a control frame of this machine is sent.
    pub(crate) fn copies_of_control(&self, index: usize) -> usize {
        if self.has_planted(index, Planted::Floods) {
            FLOOD
        } else {
            1
        }
    }

    pub(crate) fn sends_no_media(&self, index: usize) -> bool {
        self.has_planted(index, Planted::FallsSilent)
    }

    /// What this machine makes of a media packet that it forwards; `None` if it keeps it.
    pub(crate) fn forwards(&self, index: usize, mut datagram: Vec<u8>) -> Option<Vec<u8>> {
        match self.nodes[index].planted {
            Some(Planted::WithholdsForwarded) => None,
            Some(Planted::AltersForwarded) => {
                if let Some(last) = datagram.last_mut() {
                    *last ^= 1;
                }
                Some(datagram)
            }
            _ => Some(datagram),
        }
    }

    /// Sends on what it was not asked to, on another link than it came by.
    pub(crate) fn forward_unasked(&mut self, index: usize, came_by: LinkId, datagram: &[u8]) {
        if !self.has_planted(index, Planted::ForwardsUnasked) {
            return;
        }
        let other = self.nodes[index].links.iter().find(|(link, _)| **link != came_by);
        if let Some(end) = other.map(|(_, end)| *end) {
            self.overhear(index, datagram);
            self.transport
                .send_datagram(self, Place::Node(index), end, datagram.to_vec());
        }
    }

    /// Whom this machine takes a frame of `member` to be from.
    pub(crate) fn hears_as(&self, index: usize, member: MemberId) -> MemberId {
        if self.has_planted(index, Planted::MistakesVoices) {
            self.nodes[0].id()
        } else {
            member
        }
    }

    /// Whether a frame of sound does not come to this machine's buffer, or not now.
    pub(crate) fn keeps_from_buffer(
        &mut self,
        index: usize,
        frame: &MediaFrame,
        payload: &AudioPayload,
    ) -> bool {
        let node = &mut self.nodes[index];
        match node.planted {
            Some(Planted::LosesSound) => {
                node.planted_count += 1;
                !node.planted_count.is_multiple_of(KEEPS_SOUND_ONE_OF)
            }
            Some(Planted::HoldsSoundBack) => {
                let held = (frame.arrival + HOLDS_BACK, frame.member, payload.clone());
                node.ears.held_back.push_back(held);
                self.begin_playing(index);
                true
            }
            _ => false,
        }
    }

    /// Whether this machine shows an event once more.
    pub(crate) fn shows_twice(&self, index: usize, event: &Event) -> bool {
        let said = matches!(event, Event::Conversation(ConversationEvent::Said(_)));
        said && self.has_planted(index, Planted::ShowsTwice)
    }

    /// When this machine's timer fires, if it should at `at`.
    pub(crate) fn fires_at(&self, index: usize, at: Timestamp) -> Timestamp {
        if self.has_planted(index, Planted::Spins) {
            self.now
        } else {
            at
        }
    }

    /// Whether a control frame never reaches this machine's protocol.
    pub(crate) fn ignores_control(&self, index: usize, bytes: &[u8]) -> bool {
        let Some(fault) = self.nodes[index].planted else {
            return false;
        };
        match (fault, ControlMessage::decode(bytes)) {
            (Planted::IgnoresRoster, Ok(ControlMessage::Operations(_)))
            | (Planted::IgnoresKeys, Ok(ControlMessage::Key(_))) => true,
            (Planted::IgnoresRemovals, Ok(ControlMessage::Operations(operations))) => operations
                .iter()
                .any(|signed| matches!(signed.operation().op, Op::Remove { .. })),
            _ => false,
        }
    }

    /// Whether a media packet never reaches this machine's protocol.
    pub(crate) fn loses_datagram(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        if node.planted != Some(Planted::LosesFrames) {
            return false;
        }
        node.planted_count += 1;
        node.planted_count.is_multiple_of(LOSES_ONE_OF)
    }
}
