//! Everything that members derive from the ticket's secret and from the room secret (`proto/spec/room-secret.md`).

use aws_lc_rs::{digest, hkdf};
use bincode::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    ids::{Alias, MeetingId, MemberId, RelayId, RoomId, StreamId, TrackAlias},
    random::Random,
    time::UnixSeconds,
};

const SECONDS_PER_DAY: u64 = 86_400;
/// How long before and after midnight (UTC) both days' rooms count, in seconds: twice the clock error of five minutes
/// that members are allowed.
pub const DAY_OVERLAP_SECONDS: u64 = 600;

/// A day number: days since 1970-01-01 in UTC. Rooms change with it, so that a relay cannot follow a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u64);

impl Day {
    /// The day of `now`.
    #[must_use]
    pub fn of(now: UnixSeconds) -> Self {
        Self(now.0 / SECONDS_PER_DAY)
    }

    /// The neighbouring day whose rooms also count at `now`, within [`DAY_OVERLAP_SECONDS`] of midnight.
    #[must_use]
    pub fn neighbour(now: UnixSeconds) -> Option<Self> {
        let second = now.0 % SECONDS_PER_DAY;
        let day = now.0 / SECONDS_PER_DAY;
        if second < DAY_OVERLAP_SECONDS {
            day.checked_sub(1).map(Self)
        } else if second >= SECONDS_PER_DAY - DAY_OVERLAP_SECONDS {
            Some(Self(day + 1))
        } else {
            None
        }
    }
}

/// Where a track's alias is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackContext {
    /// In a room at a relay.
    Room(RoomId),
    /// On the direct link between these two members, in either order.
    Link(MemberId, MemberId),
}

/// SHA-256 over a room secret and its meeting: says which secret an operation means without telling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RoomSecretCommitment(pub [u8; 32]);

/// The secret in a ticket: opens the lobby, nothing else. Erased on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TicketSecret([u8; 32]);

/// The secret that the members of one epoch share. Erased on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RoomSecret([u8; 32]);

macro_rules! secret {
    ($name:ident) => {
        impl $name {
            /// The secret with these bytes, from a ticket, a channel or a store.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// A fresh secret.
            #[must_use]
            pub fn generate(random: &mut Random) -> Self {
                Self(random.bytes())
            }

            /// The bytes, to be written into a ticket, a channel or a store.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}
secret!(TicketSecret);
secret!(RoomSecret);

impl TicketSecret {
    /// The PSK of links and envelopes to the lobby.
    #[must_use]
    pub fn lobby_psk(&self, meeting: &MeetingId, epoch: u32) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive(&self.0, "psk0", &[&meeting.0, &epoch.to_be_bytes()]))
    }

    /// The room in which people at the door and those in charge meet at `relay`.
    #[must_use]
    pub fn lobby_room(&self, meeting: &MeetingId, relay: &RelayId, day: Day) -> RoomId {
        RoomId(derive(
            &self.0,
            "lobby room",
            &[&meeting.0, &relay.0, &day.0.to_be_bytes()],
        ))
    }

    /// The address of `member` in a lobby room.
    #[must_use]
    pub fn lobby_alias(&self, room: &RoomId, member: &MemberId) -> Alias {
        Alias(derive(&self.0, "lobby alias", &[&room.0, &member.0]))
    }
}

impl RoomSecret {
    /// What an operation says about this secret.
    #[must_use]
    pub fn commitment(&self, meeting: &MeetingId) -> RoomSecretCommitment {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"subrosa-room-secret-commitment-v1\0");
        context.update(&meeting.0);
        context.update(&self.0);
        let mut commitment = RoomSecretCommitment([0; 32]);
        commitment.0.copy_from_slice(context.finish().as_ref());
        commitment
    }

    /// The PSK of links and envelopes between members.
    #[must_use]
    pub fn member_psk(&self, meeting: &MeetingId) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive(&self.0, "member psk", &[&meeting.0]))
    }

    /// The members' room at `relay`.
    #[must_use]
    pub fn member_room(&self, meeting: &MeetingId, relay: &RelayId, day: Day) -> RoomId {
        RoomId(derive(
            &self.0,
            "member room",
            &[&meeting.0, &relay.0, &day.0.to_be_bytes()],
        ))
    }

    /// The address of `member` in a members' room.
    #[must_use]
    pub fn alias(&self, room: &RoomId, member: &MemberId) -> Alias {
        Alias(derive(&self.0, "alias", &[&room.0, &member.0]))
    }

    /// The address of a member's stream in a room or on a direct link.
    #[must_use]
    pub fn track_alias(&self, context: &TrackContext, member: &MemberId, stream: StreamId) -> TrackAlias {
        TrackAlias(match context {
            TrackContext::Room(room) => derive(&self.0, "room track", &[&room.0, &member.0, &[stream.0]]),
            TrackContext::Link(a, b) => {
                let (a, b) = if a <= b { (a, b) } else { (b, a) };
                derive(&self.0, "link track", &[&a.0, &b.0, &member.0, &[stream.0]])
            }
        })
    }

    /// The secret of the ticket that replaces the old one when this secret came into use.
    #[must_use]
    pub fn next_ticket_secret(&self, meeting: &MeetingId) -> TicketSecret {
        TicketSecret(derive(&self.0, "ticket", &[&meeting.0]))
    }
}

/// HKDF-SHA256 (RFC 5869) with our salt; the info names purpose and context, each field with its length, so that no two
/// contexts have one encoding.
pub(crate) fn derive<const N: usize>(secret: &[u8; 32], label: &str, fields: &[&[u8]]) -> [u8; N] {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut info = Vec::with_capacity(160);
    for field in [label.as_bytes()].iter().chain(fields) {
        info.push(u8::try_from(field.len()).expect("contexts are short"));
        info.extend_from_slice(field);
    }
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"subrosa-room-secret-v1").extract(secret);
    let mut out = [0; N];
    prk.expand(&[&info], Length(N))
        .and_then(|okm| okm.fill(&mut out))
        .expect("at most 32 bytes are asked for");
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// `tests/vectors/room_secret.json`, computed with Python's hmac from `proto/spec/room-secret.md`.
    #[test]
    fn derivations_are_the_frozen_ones() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/room_secret.json");
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            check(&case);
        }
    }

    fn check(case: &Value) {
        let bytes = |key: &str| {
            data_encoding::HEXLOWER
                .decode(case[key].as_str().unwrap().as_bytes())
                .unwrap()
        };
        let ticket = TicketSecret::from_bytes(bytes("ticket_secret").try_into().unwrap());
        let room = RoomSecret::from_bytes(bytes("room_secret").try_into().unwrap());
        let meeting = MeetingId(bytes("meeting").try_into().unwrap());
        let relay = RelayId(bytes("relay").try_into().unwrap());
        let member = MemberId(bytes("member").try_into().unwrap());
        let other = MemberId(bytes("other_member").try_into().unwrap());
        let epoch = u32::try_from(case["ticket_epoch"].as_u64().unwrap()).unwrap();
        let day = Day(case["day"].as_u64().unwrap());
        let stream = StreamId(u8::try_from(case["stream"].as_u64().unwrap()).unwrap());

        assert_eq!(ticket.lobby_psk(&meeting, epoch).as_slice(), bytes("lobby_psk"));
        let lobby = ticket.lobby_room(&meeting, &relay, day);
        assert_eq!(lobby.0.as_slice(), bytes("lobby_room"));
        assert_eq!(
            ticket.lobby_alias(&lobby, &member).0.as_slice(),
            bytes("lobby_alias")
        );
        assert_eq!(room.commitment(&meeting).0.as_slice(), bytes("commitment"));
        assert_eq!(room.member_psk(&meeting).as_slice(), bytes("member_psk"));
        let members = room.member_room(&meeting, &relay, day);
        assert_eq!(members.0.as_slice(), bytes("member_room"));
        assert_eq!(room.alias(&members, &member).0.as_slice(), bytes("alias"));
        let in_room = room.track_alias(&TrackContext::Room(members), &member, stream);
        assert_eq!(in_room.0.as_slice(), bytes("room_track"));
        for context in [
            TrackContext::Link(member, other),
            TrackContext::Link(other, member),
        ] {
            assert_eq!(
                room.track_alias(&context, &member, stream).0.as_slice(),
                bytes("link_track")
            );
        }
        assert_eq!(
            room.next_ticket_secret(&meeting).expose().as_slice(),
            bytes("next_ticket_secret")
        );
    }

    #[test]
    fn neighbouring_days_overlap_around_midnight() {
        let midnight = 20_778 * SECONDS_PER_DAY;
        let days = |seconds: u64| {
            (
                Day::of(UnixSeconds(seconds)),
                Day::neighbour(UnixSeconds(seconds)),
            )
        };
        assert_eq!(days(midnight - 601), (Day(20_777), None));
        assert_eq!(days(midnight - 600), (Day(20_777), Some(Day(20_778))));
        assert_eq!(days(midnight + 599), (Day(20_778), Some(Day(20_777))));
        assert_eq!(days(midnight + 600), (Day(20_778), None));
        assert_eq!(days(0), (Day(0), None));
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", RoomSecret::from_bytes([9; 32])), "RoomSecret(..)");
        assert_eq!(
            format!("{:?}", TicketSecret::from_bytes([9; 32])),
            "TicketSecret(..)"
        );
    }
}
