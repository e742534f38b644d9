//! A member's record: where it can be reached, signed by its identity, sealed for those who hold the secret, padded to
//! one size (`proto/spec/rendezvous.md`).

use std::net::SocketAddr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bincode::{Decode, Encode};

use super::{DhtKey, RendezvousPoint, bucket::OVERLAP_SECONDS};
use crate::{
    identity::{self, Identity, Signature},
    ids::MemberId,
    policy::{SignedDescriptor, VerifiedDescriptor, descriptor::first_bad_address},
    random::Random,
    time::UnixSeconds,
    wire::{
        bounded::BoundedVec,
        codec,
        control_message::{ADDRESSES_MAX, WireAddress},
    },
};

/// The version of the sealed form.
pub const VERSION: u8 = 1;
/// The bytes of every sealed record. Reason: one size tells nothing about what is inside; eight addresses and a relay's
/// descriptor fit, mostly two.
pub const SEALED_BYTES: usize = 2_048;
/// Relays in a record: as many as carry each frame.
pub const RELAYS_MAX: usize = 2;
/// How long a record holds at most, in seconds: to the end of its bucket, with the overlaps.
pub const LIFE_SECONDS_MAX: u64 = super::bucket::BUCKET_SECONDS + 2 * OVERLAP_SECONDS;

/// The domain of the member's signature.
const DOMAIN: &str = "subrosa-rendezvous-v1";
const TAG_BYTES: usize = 16;
/// What the seal covers: length, body, signature, zeros.
const PLAIN_BYTES: usize = SEALED_BYTES - 1 - NONCE_LEN - TAG_BYTES;
const SIGNATURE_BYTES: usize = 64;

/// Where a member can be reached. [`MemberRecord::open`] gives out verified ones only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberRecord {
    /// Whose it is.
    pub member: MemberId,
    /// Rises with each record of this member; the Unix time at which it was made, or more.
    pub sequence: u64,
    /// The first second at which it does not hold.
    pub expires: UnixSeconds,
    /// Where its media socket can be dialled; empty if it wants no direct links.
    pub(super) addresses: BoundedVec<WireAddress, ADDRESSES_MAX>,
    /// Relays that it uses, as they signed themselves; each is verified and judged before use.
    pub(super) relays: BoundedVec<SignedDescriptor, RELAYS_MAX>,
}

/// Why a record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not [`SEALED_BYTES`] bytes, or another version.
    #[error("it is not a record of this version")]
    Form,
    /// Not sealed with the meeting's secret for this place.
    #[error("it is not sealed for this place")]
    Seal,
    /// Sealed, and malformed all the same.
    #[error("it is malformed")]
    Malformed,
    /// The member whose place it lies in did not sign it.
    #[error("the member did not sign it")]
    Forged,
    /// Its time is over.
    #[error("it expired at {0}")]
    Expired(UnixSeconds),
    /// It claims to hold for longer than a record may.
    #[error("it claims to hold until {0}")]
    TooLong(UnixSeconds),
    /// A newer one is known.
    #[error("a newer one is known")]
    Replayed,
    /// No room for another member.
    #[error("too many members are known already")]
    BookFull,
}

impl MemberRecord {
    /// A record of `member`. Addresses beyond [`ADDRESSES_MAX`] and those that nobody can dial are left out, as are relays
    /// beyond [`RELAYS_MAX`] or whose descriptors do not fit.
    #[must_use]
    pub fn new(
        member: MemberId,
        sequence: u64,
        addresses: &[SocketAddr],
        relays: &[VerifiedDescriptor],
    ) -> Self {
        let mut good: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            good.push(*address);
            if first_bad_address(&good).is_some() || good.len() > ADDRESSES_MAX {
                good.pop();
            }
        }
        let mut record = Self {
            member,
            sequence,
            expires: UnixSeconds(u64::MAX),
            addresses: good
                .into_iter()
                .map(WireAddress::from)
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or_default(),
            relays: BoundedVec::default(),
        };
        let mut chosen = Vec::new();
        for relay in relays {
            chosen.push(relay.signed().clone());
            match BoundedVec::try_from(chosen.clone()) {
                Ok(list) => record.relays = list,
                Err(_) => break,
            }
            if codec::encode(&record).len() > PLAIN_BYTES - 2 - SIGNATURE_BYTES {
                chosen.pop();
                record.relays = chosen.clone().try_into().unwrap_or_default();
            }
        }
        record
    }

    /// Where it can be dialled.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| (*address).into())
    }

    /// Its relays whose descriptors verify at `now`.
    pub fn relays(&self, now: UnixSeconds) -> impl Iterator<Item = VerifiedDescriptor> + '_ {
        self.relays
            .iter()
            .filter_map(move |relay| relay.clone().verify(now).ok())
    }

    /// Signs and seals it for one place; it holds to the end of the place's bucket.
    ///
    /// # Panics
    /// If `author` is not the member, or `point` is another member's: an error of this program.
    #[must_use]
    pub fn seal(&self, point: &RendezvousPoint, author: &Identity, random: &mut Random) -> Vec<u8> {
        assert!(author.member_id() == self.member && point.member == self.member);
        let record = Self {
            expires: point.bucket.end(),
            ..self.clone()
        };
        let body = codec::encode(&record);
        let signature = author.sign(DOMAIN, &signed_bytes(point, &body));
        let length = u16::try_from(body.len()).expect("a record is shorter than its padding");
        let mut plain = Vec::with_capacity(PLAIN_BYTES + TAG_BYTES);
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(&body);
        plain.extend_from_slice(&signature.0);
        assert!(plain.len() <= PLAIN_BYTES, "`new` leaves out what does not fit");
        plain.resize(PLAIN_BYTES, 0);
        let nonce: [u8; NONCE_LEN] = random.bytes();
        aead(point)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(point.key), &mut plain)
            .expect("a record is far below the cipher's limit");
        [&[VERSION][..], &nonce, &plain].concat()
    }

    /// Opens and verifies what was found at `point`.
    ///
    /// # Errors
    /// [`RecordError`], one variant for each reason.
    pub fn open(now: UnixSeconds, point: &RendezvousPoint, sealed: &[u8]) -> Result<Self, RecordError> {
        let (&version, rest) = sealed.split_first().ok_or(RecordError::Form)?;
        if version != VERSION || sealed.len() != SEALED_BYTES {
            return Err(RecordError::Form);
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(RecordError::Form)?;
        let mut plain = sealed.to_vec();
        let plain = aead(point)
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(point.key), &mut plain)
            .map_err(|_| RecordError::Seal)?;
        let (length, rest) = plain.split_first_chunk::<2>().ok_or(RecordError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (body, rest) = rest.split_at_checked(length).ok_or(RecordError::Malformed)?;
        let (signature, padding) = rest
            .split_first_chunk::<SIGNATURE_BYTES>()
            .ok_or(RecordError::Malformed)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(RecordError::Malformed);
        }
        identity::verify(
            &point.member.0,
            DOMAIN,
            &signed_bytes(point, body),
            &Signature(*signature),
        )
        .map_err(|_| RecordError::Forged)?;
        let record: Self = codec::decode(body).map_err(|_| RecordError::Malformed)?;
        let addresses: Vec<SocketAddr> = record.addresses().collect();
        if record.member != point.member || first_bad_address(&addresses).is_some() {
            return Err(RecordError::Malformed);
        }
        if record.expires <= now {
            return Err(RecordError::Expired(record.expires));
        }
        if record.expires > point.bucket.end() || record.expires.0 > now.0.saturating_add(LIFE_SECONDS_MAX) {
            return Err(RecordError::TooLong(record.expires));
        }
        Ok(record)
    }
}

/// Place, bucket and meeting are part of what is signed: a record means nothing elsewhere.
fn signed_bytes(point: &RendezvousPoint, body: &[u8]) -> Vec<u8> {
    [
        &point.meeting.0[..],
        &point.key.to_bytes()[..],
        &point.bucket.0.to_be_bytes(),
        body,
    ]
    .concat()
}

fn aead(point: &RendezvousPoint) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*point.seal).expect("AES-256 takes 32 bytes"))
}

fn aad(key: DhtKey) -> Aad<Vec<u8>> {
    Aad::from([&[VERSION][..], &key.to_bytes()].concat())
}

#[cfg(test)]
mod tests;
