//! What each clear byte of a media packet means, in the one form that goes into the additional data.

use crate::{
    ids::{MeetingId, MemberId, StreamId},
    wire::media_packet::MediaKind,
};

/// Bytes of [`MediaContext::to_bytes`].
pub const CONTEXT_BYTES: usize = 1 + 1 + 16 + 32 + 1;

/// The meaning of the media packet's header: sender and receiver compute it by themselves (the track alias stands
/// for meeting, sender and stream), and the tag holds only if both computed the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaContext {
    /// Kind, which is also the version of the layout.
    pub kind: MediaKind,
    /// Priority layer of the packet.
    pub layer: u8,
    /// The meeting.
    pub meeting: MeetingId,
    /// The publisher.
    pub sender: MemberId,
    /// The publisher's track.
    pub stream: StreamId,
}

impl MediaContext {
    /// `kind(1) ‖ layer(1) ‖ meeting(16) ‖ sender(32) ‖ stream(1)`: SFrame's metadata (RFC 9605 §4.4.3).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CONTEXT_BYTES] {
        let mut out = [0; CONTEXT_BYTES];
        out[0] = self.kind as u8;
        out[1] = self.layer;
        out[2..18].copy_from_slice(&self.meeting.0);
        out[18..50].copy_from_slice(&self.sender.0);
        out[50] = self.stream.0;
        out
    }
}
