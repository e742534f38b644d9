//! Where a member's record lies and what opens it: both derive from a secret of the meeting, so that whoever stores the
//! record learns neither meeting nor member, and whoever was removed finds nothing.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Bucket, DhtKey};
use crate::{
    ids::{MeetingId, MemberId},
    meeting::room_secret::{RoomSecret, TicketSecret, derive},
};

/// Places at which one record is stored. Reason: whoever surrounds one place, having seen a record stored there, does not
/// know the other.
pub const PLACES: u8 = 2;

/// Who may find: those with the ticket, or those in the meeting.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub enum RendezvousSecret {
    /// From the ticket's secret: where those in charge are found by people at the door.
    Door {
        /// The ticket's secret.
        secret: TicketSecret,
        /// The ticket's epoch.
        epoch: u32,
    },
    /// From the room secret: where members find each other.
    Members(RoomSecret),
}

impl std::fmt::Debug for RendezvousSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Door { .. } => "Door(..)",
            Self::Members(_) => "Members(..)",
        })
    }
}

/// One place in one bucket for one member.
#[derive(Clone)]
pub struct RendezvousPoint {
    /// The meeting, bound by the signature.
    pub(super) meeting: MeetingId,
    /// Whose record lies there.
    pub(super) member: MemberId,
    /// When.
    pub(super) bucket: Bucket,
    /// Where.
    pub(super) key: DhtKey,
    /// What seals it: AES-256.
    pub(super) seal: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for RendezvousPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RendezvousPoint({:?})", self.key)
    }
}

impl RendezvousPoint {
    /// Under what the record is stored.
    #[must_use]
    pub fn key(&self) -> DhtKey {
        self.key
    }

    /// Whose it is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }
}

impl RendezvousSecret {
    /// All places of `member` in `bucket`.
    pub fn points(
        &self,
        meeting: MeetingId,
        member: MemberId,
        bucket: Bucket,
    ) -> impl Iterator<Item = RendezvousPoint> + '_ {
        (0..PLACES).map(move |place| self.point(meeting, member, bucket, place))
    }

    fn point(&self, meeting: MeetingId, member: MemberId, bucket: Bucket, place: u8) -> RendezvousPoint {
        let (secret, door, epoch) = match self {
            Self::Door { secret, epoch } => (secret.expose(), 1_u8, *epoch),
            Self::Members(secret) => (secret.expose(), 0, 0),
        };
        let fields: [&[u8]; 6] = [
            &meeting.0,
            &member.0,
            &[door],
            &epoch.to_be_bytes(),
            &bucket.0.to_be_bytes(),
            &[place],
        ];
        RendezvousPoint {
            meeting,
            member,
            bucket,
            key: DhtKey::Rendezvous(derive(secret, "rendezvous key", &fields)),
            seal: Zeroizing::new(derive(secret, "rendezvous seal", &fields)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_secret_member_bucket_and_place_has_a_key_of_its_own() {
        let door = |epoch| RendezvousSecret::Door {
            secret: TicketSecret::from_bytes([1; 32]),
            epoch,
        };
        let secrets = [
            door(0),
            door(1),
            RendezvousSecret::Members(RoomSecret::from_bytes([1; 32])),
            RendezvousSecret::Members(RoomSecret::from_bytes([2; 32])),
        ];
        let mut keys = BTreeSet::new();
        let mut seals = BTreeSet::new();
        for secret in &secrets {
            for meeting in [MeetingId([0; 16]), MeetingId([1; 16])] {
                for member in [MemberId([0; 32]), MemberId([1; 32])] {
                    for bucket in [Bucket(0), Bucket(1)] {
                        for point in secret.points(meeting, member, bucket) {
                            keys.insert(point.key());
                            seals.insert(*point.seal);
                        }
                    }
                }
            }
        }
        assert_eq!(keys.len(), 4 * 2 * 2 * 2 * usize::from(PLACES));
        assert_eq!(seals.len(), keys.len());
    }

    /// Computed with Python's hmac from `proto/spec/rendezvous.md`.
    #[test]
    fn the_derivation_is_the_frozen_one() {
        let secret = RendezvousSecret::Members(RoomSecret::from_bytes([3; 32]));
        let point = secret
            .points(MeetingId([4; 16]), MemberId([5; 32]), Bucket(6))
            .nth(1)
            .unwrap();
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        assert_eq!(
            hex(&point.key().to_bytes()[9..]),
            "4169e732968ff1d77f788005d7e13ab840842e481d91c28c453a4fd2037264d6"
        );
        assert_eq!(
            hex(&*point.seal),
            "276b93db95fb3a21097187c548b6bb67e34302b5cc04c5f6f80472e17f08d570"
        );
    }
}
