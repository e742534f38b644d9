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
        codec,
        line::{LineError, LineFormat},
    },
};

/// The domain of a family's signature.
const DOMAIN: &str = "subrosa-family-v1";
/// How it is written as a line.
pub const LINE: LineFormat = LineFormat {
    record: "a family's signature",
    prefix: "subrosa-family:",
    version: 1,
};

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
        LINE.write(self)
    }

    /// Reads [`Self::to_text`]; verifies nothing.
    ///
    /// # Errors
    /// [`LineError`] that tells other text, damage and another version apart.
    pub fn from_text(text: &str) -> Result<Self, LineError> {
        LINE.read(text)
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
    use crate::policy::fixture::{after, issuer, relay};

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
}
