//! What members say to each other about forwarding (`proto/spec/forwarding.md`).

use bincode::{Decode, Encode};

use crate::{
    channel::envelope::CONTENT_BYTES_MAX,
    ids::MemberId,
    mesh::route_planner::{PARENTS_MAX, Parent},
    wire::bounded::{BoundedBytes, BoundedVec},
};

/// Links that a forwarder names. Reason: more are more than it could feed, and each takes 34 bytes for every member.
pub const NEIGHBOURS_MAX: usize = 64;
/// Publishers whose tracks a forwarder says that it carries. Reason: no more speak in one meeting at a time.
pub const TAKEN_MAX: usize = 16;

/// What a member offers to carry for others. Its user agreed to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// In all, in kbit/s; 0: nothing any more.
    pub budget_kbps: u32,
    /// What it carries now: whose track, and kbit/s for all who take it.
    pub taken: BoundedVec<(MemberId, u32), TAKEN_MAX>,
    /// To whom it has links, with round-trip times in milliseconds.
    pub neighbours: BoundedVec<(MemberId, u16), NEIGHBOURS_MAX>,
}

/// Why a track is not forwarded, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ForwardRefusal {
    /// The meeting's policy lets no member forward.
    Policy,
    /// The user does not forward.
    NotOffered,
    /// The budget is used up.
    Full,
    /// The track does not come here.
    NotHeld,
    /// Its frames would pass more members than they may.
    TooDeep,
}

/// One message about forwarding.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ForwardingMessage {
    /// See [`Offer`].
    Offer(Offer),
    /// From a publisher: take my audio from these, best first. None: choose yourself.
    Route(BoundedVec<Parent, PARENTS_MAX>),
    /// To a publisher: its audio does not come from this parent.
    Failed(Parent),
    /// To a forwarder, on a direct link: send me this member's audio.
    Subscribe(MemberId),
    /// No longer.
    Unsubscribe(MemberId),
    /// From a forwarder: this member's audio follows, and has passed so many members when it comes to the sender.
    Serving(MemberId, u8),
    /// It does not, or no longer.
    Refused(MemberId, ForwardRefusal),
    /// To a forwarder: carry this envelope to that member.
    Carry(MemberId, BoundedBytes<CONTENT_BYTES_MAX>),
    /// From a forwarder: an envelope from that member, as it says. The channel proves it.
    Carried(MemberId, BoundedBytes<CONTENT_BYTES_MAX>),
}
