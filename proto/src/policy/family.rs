//! Which relays belong to one operator. A *family* is a key; it signs for each of its relays, and each relay states its
//! membership in its own signed descriptor. So nobody joins a family against its will, and no family takes in a relay
//! against the relay's.

use std::fmt;

use bincode::{Decode, Encode};
use data_encoding::HEXLOWER;

use crate::{
    identity::{self, Identity, Signature},
    ids::RelayId,
    time::UnixSeconds,
    wire::{
        armor::{self, ArmorError},
        codec,
    },
};

/// The domain of a family's signature.
const DOMAIN: &str = "subrosa-family-v1";
/// What a membership's line begins with.
pub const TEXT_PREFIX: &str = "subrosa-family:";
/// The version of the line.
const TEXT_VERSION: u8 = 1;

/// A family: its Ed25519 key. Paths that shall be disjoint take different families.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FamilyId(pub [u8; 32]);

impl fmt::Debug for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FamilyId({})", HEXLOWER.encode(&self.0[..4]))
    }
}

impl fmt::Display for FamilyId {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Why text is not a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipTextError {
    /// Other or damaged text.
    #[error("this is not a family's signature, which begins with `{TEXT_PREFIX}`: {0}")]
    Text(#[from] ArmorError),
    /// Made for another version of Subrosa.
    #[error("the family's signature has version {0}, this program reads version {TEXT_VERSION}")]
    OtherVersion(u8),
    /// Undamaged, yet not a membership.
    #[error("the family's signature is malformed")]
    Malformed,
}

/// A family's word that a relay is one of its own (`proto/spec/descriptor.md`, "Family").
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Membership {
    family: FamilyId,
    valid_until: UnixSeconds,
    signature: Signature,
}

impl Membership {
    /// Signs that `relay` belongs to the family of `key` until `valid_until`.
    #[must_use]
    pub fn sign(key: &Identity, relay: RelayId, valid_until: UnixSeconds) -> Self {
        Self {
            family: FamilyId(key.public()),
            valid_until,
            signature: key.sign(DOMAIN, &codec::encode(&(relay, valid_until))),
        }
    }

    /// Whether the family signed this for `relay`.
    #[must_use]
    pub fn is_signed_for(&self, relay: RelayId) -> bool {
        let statement = codec::encode(&(relay, self.valid_until));
        identity::verify(&self.family.0, DOMAIN, &statement, &self.signature).is_ok()
    }

    /// One line: `subrosa-family:` and base64url with a checksum, as the family's operator puts it into the relay's settings.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(TEXT_PREFIX, TEXT_VERSION, &codec::encode(self))
    }

    /// Reads [`Self::to_text`]; verifies nothing.
    ///
    /// # Errors
    /// [`MembershipTextError`] that tells other text, damage and another version apart.
    pub fn from_text(text: &str) -> Result<Self, MembershipTextError> {
        let (version, payload) = armor::read(TEXT_PREFIX, text)?;
        if version != TEXT_VERSION {
            return Err(MembershipTextError::OtherVersion(version));
        }
        codec::decode(&payload).map_err(|_| MembershipTextError::Malformed)
    }

    /// Which family.
    #[must_use]
    pub fn family(&self) -> FamilyId {
        self.family
    }

    /// The first second at which it no longer holds.
    #[must_use]
    pub fn valid_until(&self) -> UnixSeconds {
        self.valid_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{NOW, after, issuer, relay};

    #[test]
    fn a_membership_is_about_one_relay_and_one_time() {
        let family = issuer(1);
        let membership = Membership::sign(&family, relay().relay_id(), after(60));
        assert!(membership.is_signed_for(relay().relay_id()));
        assert!(!membership.is_signed_for(RelayId([1; 32])));
        let mut longer = membership.clone();
        longer.valid_until = after(61);
        assert!(!longer.is_signed_for(relay().relay_id()));
        let mut other = membership.clone();
        other.family = FamilyId(issuer(2).public());
        assert!(!other.is_signed_for(relay().relay_id()));
        assert_eq!(Membership::from_text(&membership.to_text()), Ok(membership));
    }

    #[test]
    fn text_errors_are_told_apart() {
        let error = |text: &str| Membership::from_text(text).unwrap_err();
        assert_eq!(error("no"), MembershipTextError::Text(ArmorError::OtherText));
        assert_eq!(
            error(&armor::write(TEXT_PREFIX, 9, b"")),
            MembershipTextError::OtherVersion(9)
        );
        assert_eq!(
            error(&armor::write(TEXT_PREFIX, 1, b"")),
            MembershipTextError::Malformed
        );
        let family = issuer(1);
        let text = Membership::sign(&family, relay().relay_id(), NOW).to_text();
        assert!(Membership::from_text(&text[..text.len() - 2]).is_err());
    }
}
