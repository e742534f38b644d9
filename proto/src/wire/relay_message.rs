//! What a client and a relay say to each other on the control stream (`proto/spec/relay.md`).
//!
//! A relay is blind: nothing here names a meeting, a member or a codec. Rooms, aliases and tracks are opaque ids that
//! only members can derive.

use bincode::{Decode, Encode};

use crate::{
    ids::{Alias, RoomId, TrackAlias},
    time::UnixSeconds,
    wire::{
        bounded::{BoundedBytes, BoundedText, BoundedVec},
        codec::{self, DecodeError},
        control_message::WireAddress,
    },
};

/// The largest envelope in bytes: a Noise message with an ML-KEM ciphertext and a roster update fit several times.
pub const ENVELOPE_BYTES_MAX: usize = 16 * 1024;
/// The largest access token in bytes.
pub const TOKEN_BYTES_MAX: usize = 1_024;
/// The largest signed descriptor in bytes, as it travels in [`RelayNotice::Welcome`] and [`RelayNotice::Redirect`].
pub const DESCRIPTOR_BYTES_MAX: usize = 8 * 1024;
/// Aliases in one [`RelayNotice::Joined`]; also the ceiling of the members that a relay may allow in a room.
pub const PRESENT_MAX: usize = 1_024;
/// Relays in one [`RelayNotice::Redirect`]: primary and backup, for two families of addresses.
pub const REDIRECT_MAX: usize = 4;
/// The largest explanation of a refusal, in bytes of UTF-8.
pub const DETAIL_BYTES_MAX: usize = 200;

/// Opaque bytes from one member to another; a Noise message of the pairwise channel.
pub type EnvelopeBytes = BoundedBytes<ENVELOPE_BYTES_MAX>;
/// An access token that an organisation signed.
pub type TokenBytes = BoundedBytes<TOKEN_BYTES_MAX>;
/// A signed relay descriptor, encoded.
pub type DescriptorBytes = BoundedBytes<DESCRIPTOR_BYTES_MAX>;

/// Client → relay.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RelayRequest {
    /// Enter a room under an alias. Answered by [`RelayNotice::Joined`] or [`RelayNotice::Refused`].
    Join {
        /// Which room.
        room: RoomId,
        /// Where envelopes for this client go. Several sessions may share one: a restarted client's old session lingers.
        alias: Alias,
        /// Where the relay asks for one.
        token: Option<TokenBytes>,
    },
    /// Leave a room; what was announced and subscribed there ends.
    Leave {
        /// Which room.
        room: RoomId,
    },
    /// This client will send a track.
    Announce {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// This client sends the track no more.
    Withdraw {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// This client wants a track, now or as soon as somebody announces it.
    Subscribe {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// This client wants the track no more.
    Unsubscribe {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// Opaque bytes for everybody under an alias in a room.
    Envelope {
        /// In which room.
        room: RoomId,
        /// For whom.
        to: Alias,
        /// What.
        bytes: EnvelopeBytes,
    },
    /// Answered by [`RelayNotice::Pong`] with the same number.
    Ping {
        /// Any number.
        nonce: u64,
    },
    /// Enter a room of another relay through this one. Answered as [`RelayRequest::Join`] is; from then on the room is used
    /// like one of this relay's.
    JoinThrough {
        /// The other relay's encoded signed descriptor.
        relay: DescriptorBytes,
        /// Which room of that relay.
        room: RoomId,
        /// Where envelopes for this client go.
        alias: Alias,
        /// For the other relay, where it asks for one.
        token: Option<TokenBytes>,
    },
    /// From a relay for one of its clients: enter a room under one more alias. Answered as [`RelayRequest::Join`] is, in the
    /// order of asking; again if the alias is there already, as somebody may have come anew.
    JoinAs {
        /// Which room.
        room: RoomId,
        /// The client's alias.
        alias: Alias,
        /// Where the relay asks for one; the first valid one is the session's.
        token: Option<TokenBytes>,
    },
    /// From a relay for one of its clients: opaque bytes for everybody under an alias in a room.
    EnvelopeFrom {
        /// In which room.
        room: RoomId,
        /// The client's alias, under which the relay joined.
        from: Alias,
        /// For whom.
        to: Alias,
        /// What.
        bytes: EnvelopeBytes,
    },
    /// From a relay for one of its clients: leave a room under one alias.
    LeaveAs {
        /// Which room.
        room: RoomId,
        /// The client's alias.
        alias: Alias,
    },
    /// Answered by [`RelayNotice::State`].
    State,
}

/// Relay → client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RelayNotice {
    /// The first notice of each session; again when the descriptor or the limits change.
    Welcome {
        /// The relay's current signed descriptor.
        descriptor: DescriptorBytes,
        /// What this session may do.
        limits: SessionLimits,
    },
    /// The answer to [`RelayRequest::Join`].
    Joined {
        /// Which room.
        room: RoomId,
        /// The aliases that were there already, ascending, without the joiner's own.
        present: BoundedVec<Alias, PRESENT_MAX>,
    },
    /// A session entered the room. Repeated when a further session enters under the same alias (a restart): what the
    /// alias' earlier session knew may be lost.
    Present {
        /// Which room.
        room: RoomId,
        /// Who.
        alias: Alias,
    },
    /// The last session under this alias left the room.
    Gone {
        /// Which room.
        room: RoomId,
        /// Who.
        alias: Alias,
    },
    /// To an announcer: somebody wants the track now.
    Subscribe {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// To an announcer: nobody wants the track now.
    Unsubscribe {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// To a subscriber: nobody announces the track any more. The subscription stays.
    TrackGone {
        /// In which room.
        room: RoomId,
        /// Which track.
        track: TrackAlias,
    },
    /// An envelope from somebody in the room.
    Envelope {
        /// In which room.
        room: RoomId,
        /// The alias under which the sender joined; the pairwise channel, not the relay, proves who it is.
        from: Alias,
        /// What.
        bytes: EnvelopeBytes,
    },
    /// A request, or media, was not served.
    Refused {
        /// What.
        what: Refusable,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        detail: BoundedText<DETAIL_BYTES_MAX>,
    },
    /// Go to one of these relays instead; each is subject to the meeting's policy. Follows a refusal, or a drain.
    Redirect {
        /// Which room.
        room: RoomId,
        /// Encoded signed descriptors.
        relays: BoundedVec<DescriptorBytes, REDIRECT_MAX>,
    },
    /// The relay ends after so many seconds; nothing new is accepted from now on.
    Draining {
        /// Seconds from now.
        deadline_s: u32,
    },
    /// The answer to [`RelayRequest::Ping`].
    Pong {
        /// The number from the request.
        nonce: u64,
    },
    /// Where the client's packets come from: after the first [`RelayNotice::Welcome`], and when it changes.
    Observed {
        /// The address beyond its NAT.
        address: WireAddress,
    },
    /// To a relay: an envelope for one of its clients.
    EnvelopeTo {
        /// In which room.
        room: RoomId,
        /// The client's alias.
        to: Alias,
        /// The alias under which the sender joined.
        from: Alias,
        /// What.
        bytes: EnvelopeBytes,
    },
    /// The other relay of [`RelayRequest::JoinThrough`]: before the first [`RelayNotice::Joined`] of its rooms, and when
    /// something of it changes.
    Through {
        /// Its newest signed descriptor, as it told it.
        descriptor: DescriptorBytes,
        /// The round-trip time from this relay to that one in microseconds, once measured.
        rtt_us: Option<u32>,
        /// Whether it ends soon.
        draining: bool,
    },
    /// The answer to [`RelayRequest::State`].
    State {
        /// How much of what the relay can serve is used.
        load: Load,
        /// The relay's clock. Nothing is decided by it; whoever asks may find that its own clock is wrong.
        time: UnixSeconds,
    },
}

/// How much of what a relay can serve is used, in steps so coarse that they tell of nobody's coming and going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Load {
    /// Less than a quarter.
    Idle,
    /// A quarter or more.
    Light,
    /// Half or more.
    Half,
    /// Three quarters or more.
    Heavy,
    /// All: newcomers are refused, or will be soon.
    Full,
}

impl Load {
    /// From thousandths.
    #[must_use]
    pub const fn from_permille(permille: u64) -> Self {
        match permille {
            0..250 => Self::Idle,
            250..500 => Self::Light,
            500..750 => Self::Half,
            750..1_000 => Self::Heavy,
            _ => Self::Full,
        }
    }

    /// The stable name, in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Light => "light",
            Self::Half => "half",
            Self::Heavy => "heavy",
            Self::Full => "full",
        }
    }
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Refusable {
    /// The whole session; the relay closes it.
    Session,
    /// [`RelayRequest::Join`].
    Join(RoomId),
    /// [`RelayRequest::Announce`].
    Announce(RoomId, TrackAlias),
    /// [`RelayRequest::Subscribe`].
    Subscribe(RoomId, TrackAlias),
    /// [`RelayRequest::Envelope`].
    Envelope(RoomId, Alias),
    /// Another request about this room.
    Room(RoomId),
    /// Media of this track: datagrams or stream objects were dropped.
    Media(TrackAlias),
    /// A control frame that is not a request of this version.
    Request,
    /// [`RelayRequest::EnvelopeFrom`]: room, sender, recipient.
    EnvelopeFrom(RoomId, Alias, Alias),
}

impl Refusable {
    /// The room that it is about, if it is about one.
    #[must_use]
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Join(room)
            | Self::Announce(room, _)
            | Self::Subscribe(room, _)
            | Self::Envelope(room, _)
            | Self::EnvelopeFrom(room, ..)
            | Self::Room(room) => Some(*room),
            Self::Session | Self::Media(_) | Self::Request => None,
        }
    }

    /// What was refused, in words for people.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Session => "the connection",
            Self::Join(_) => "entering a room",
            Self::Announce(..) => "offering a track",
            Self::Subscribe(..) => "listening to a track",
            Self::Envelope(..) | Self::EnvelopeFrom(..) => "a message to a member",
            Self::Room(_) => "a request",
            Self::Media(_) => "sound or video",
            Self::Request => "an unreadable request",
        }
    }
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The relay serves as many sessions as it may.
    SessionsFull,
    /// The sender's address block has as many sessions as it may.
    AddressBlockFull,
    /// The relay serves as many rooms as it may.
    RoomsFull,
    /// This session is in as many rooms as it may.
    SessionRoomsFull,
    /// The room has as many members as it may.
    RoomFull,
    /// As many sessions as may share an alias do.
    AliasFull,
    /// This session announced as many tracks as it may.
    TracksFull,
    /// This session subscribed to as many tracks as it may.
    SubscriptionsFull,
    /// As many sessions as may announce one track do.
    AnnouncersFull,
    /// This session announced the track in another room.
    TrackElsewhere,
    /// The session is not in that room.
    NotJoined,
    /// The session announced no such track.
    NotAnnounced,
    /// Nobody is there under that alias.
    NobodyThere,
    /// The recipient does not take its control frames fast enough.
    RecipientBusy,
    /// More requests or envelopes than this session may send.
    RequestRate,
    /// More media than this session may send.
    SessionBitrate,
    /// More media than this room may be forwarded.
    RoomBitrate,
    /// More media than this address block may send.
    AddressBlockBitrate,
    /// The month's traffic is used up.
    MonthlyTraffic,
    /// The relay asks for a token.
    TokenRequired,
    /// The token is not valid here.
    TokenInvalid,
    /// The relay is about to end.
    Draining,
    /// Not a request of this version.
    Malformed,
    /// The token holds no longer, or not yet.
    TokenExpired,
    /// As many sessions as may use the token at one time do.
    TokenSessionsFull,
    /// More media than all sessions of the token may send.
    TokenBitrate,
    /// The traffic that the token allows is used up.
    TokenTraffic,
    /// More media than the relay forwards in all.
    TotalBitrate,
    /// The relay serves other addresses only.
    AddressNotAllowed,
    /// The relay's memory is used up.
    MemoryFull,
    /// The relay does not carry to that other relay.
    NotCascaded,
    /// The other relay cannot be reached from this one.
    UpstreamLost,
}

impl RefusalCode {
    /// The stable name, in snake case, for metrics, events and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionsFull => "sessions_full",
            Self::AddressBlockFull => "address_block_full",
            Self::RoomsFull => "rooms_full",
            Self::SessionRoomsFull => "session_rooms_full",
            Self::RoomFull => "room_full",
            Self::AliasFull => "alias_full",
            Self::TracksFull => "tracks_full",
            Self::SubscriptionsFull => "subscriptions_full",
            Self::AnnouncersFull => "announcers_full",
            Self::TrackElsewhere => "track_elsewhere",
            Self::NotJoined => "not_joined",
            Self::NotAnnounced => "not_announced",
            Self::NobodyThere => "nobody_there",
            Self::RecipientBusy => "recipient_busy",
            Self::RequestRate => "request_rate",
            Self::SessionBitrate => "session_bitrate",
            Self::RoomBitrate => "room_bitrate",
            Self::AddressBlockBitrate => "address_block_bitrate",
            Self::MonthlyTraffic => "monthly_traffic",
            Self::TokenRequired => "token_required",
            Self::TokenInvalid => "token_invalid",
            Self::Draining => "draining",
            Self::Malformed => "malformed",
            Self::TokenExpired => "token_expired",
            Self::TokenSessionsFull => "token_sessions_full",
            Self::TokenBitrate => "token_bitrate",
            Self::TokenTraffic => "token_traffic",
            Self::TotalBitrate => "total_bitrate",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::MemoryFull => "memory_full",
            Self::NotCascaded => "not_cascaded",
            Self::UpstreamLost => "upstream_lost",
        }
    }

    /// Whether a token, or another one, may help.
    #[must_use]
    pub const fn is_about_the_token(self) -> bool {
        matches!(
            self,
            Self::TokenRequired
                | Self::TokenInvalid
                | Self::TokenExpired
                | Self::TokenSessionsFull
                | Self::TokenTraffic
        )
    }
}

/// What one session may do, as [`RelayNotice::Welcome`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionLimits {
    /// Rooms at the same time.
    pub rooms: u16,
    /// Announced tracks at the same time.
    pub tracks: u16,
    /// Subscribed tracks at the same time.
    pub subscriptions: u16,
    /// Media that the session may send, in bits per second.
    pub bits_per_second: u64,
    /// Media that the session may send at once, in bytes.
    pub burst_bytes: u32,
    /// Envelopes per second, over ten seconds.
    pub envelopes_per_second: u16,
}

impl RelayRequest {
    /// The canonical encoding, without length prefix.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one control frame's content.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but one canonical request within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

impl RelayNotice {
    /// The room that it is about, if it is about one.
    #[must_use]
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Joined { room, .. }
            | Self::Present { room, .. }
            | Self::Gone { room, .. }
            | Self::Subscribe { room, .. }
            | Self::Unsubscribe { room, .. }
            | Self::TrackGone { room, .. }
            | Self::Envelope { room, .. }
            | Self::EnvelopeTo { room, .. }
            | Self::Redirect { room, .. } => Some(*room),
            Self::Refused { what, .. } => what.room(),
            Self::Welcome { .. }
            | Self::Draining { .. }
            | Self::Pong { .. }
            | Self::Observed { .. }
            | Self::State { .. }
            | Self::Through { .. } => None,
        }
    }

    /// The canonical encoding, without length prefix.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one control frame's content.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but one canonical notice within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

#[cfg(test)]
#[path = "relay_message_tests.rs"]
mod tests;
