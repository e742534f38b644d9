//! What checkers and user interfaces may look at without changing anything.

use super::Participant;
use crate::{
    ids::{MemberId, OperationHash, StreamId},
    meeting::roster::Roster,
    wire::media_packet::MediaHeader,
};

/// How much a participant holds of what peers could make grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// People of whom something is known.
    pub peers: usize,
    /// Direct links.
    pub links: usize,
    /// Pairwise channels over relays.
    pub channels: usize,
    /// Rooms at relays.
    pub rooms: usize,
    /// Dials under way.
    pub dials: usize,
    /// Packets that wait for their key.
    pub early: usize,
    /// Operations of the roster log.
    pub operations: usize,
    /// States of the roster log that come in parts.
    pub assemblies: usize,
}

impl Participant {
    /// Who is in the meeting, as this node knows it; empty at the door.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        self.log.view()
    }

    /// The checkpoint at which this node's roster log begins; none if that is the founding.
    #[must_use]
    pub fn checkpoint(&self) -> Option<OperationHash> {
        self.log.checkpoint().map(|base| base.operation.hash())
    }

    /// Whether a key that this node holds opens `datagram`, sent by `sender`. Changes nothing, not even the replay
    /// window: a checker asks it of nodes that must not be able to.
    #[must_use]
    pub fn can_open(&self, sender: MemberId, datagram: &[u8]) -> bool {
        let Ok((header, sframe)) = MediaHeader::parse(datagram) else {
            return false;
        };
        let context = crate::sframe::MediaContext {
            kind: header.kind,
            layer: header.layer,
            meeting: self.meeting,
            sender,
            stream: StreamId::AUDIO,
        };
        self.peers
            .get(&sender)
            .is_some_and(|peer| peer.keys.can_open(&context, sframe))
    }

    /// See [`Holdings`].
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        Holdings {
            peers: self.peers.len(),
            links: self.links.len(),
            channels: self.channels.len(),
            rooms: self.rooms.by_id.len(),
            dials: self.dials.len(),
            operations: self.log.len(),
            assemblies: self.assemblies(),
            early: self.peers.values().map(|peer| peer.early.len()).sum(),
        }
    }
}
