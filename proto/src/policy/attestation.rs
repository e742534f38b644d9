//! An issuer's signed word on a relay's jurisdiction (evidence level L1).

use std::fmt;

use bincode::{Decode, Encode};
use data_encoding::HEXLOWER;

use super::Country;
use crate::{
    identity::{self, Identity, Signature},
    ids::RelayId,
    time::UnixSeconds,
    wire::{
        codec,
        line::{LineError, LineFormat},
    },
};

/// The domain of an issuer's signature.
const DOMAIN: &str = "subrosa-attestation-v1";
/// How it is written as a line.
pub const LINE: LineFormat = LineFormat {
    record: "an attestation",
    prefix: "subrosa-attestation:",
    version: 1,
};

/// An issuer: its Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct IssuerId(pub [u8; 32]);

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerId({})", HEXLOWER.encode(&self.0[..4]))
    }
}

impl fmt::Display for IssuerId {
    /// 64 lower-case hexadecimal digits, as a policy file names an issuer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an issuer is named by the 64 hexadecimal digits of its key")]
pub struct NotAnIssuer;

impl std::str::FromStr for IssuerId {
    type Err = NotAnIssuer;
    fn from_str(text: &str) -> Result<Self, NotAnIssuer> {
        let bytes = HEXLOWER
            .decode(text.to_lowercase().as_bytes())
            .map_err(|_| NotAnIssuer)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAnIssuer)?))
    }
}

/// What an issuer vouches for. `None`: it says nothing about that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    /// Where the relay is hosted.
    pub hosting: Option<Country>,
    /// Where its operator has its legal seat.
    pub legal_seat: Option<Country>,
    /// Where whoever controls the operator has its seat.
    pub parent_seat: Option<Country>,
}

/// A claim about one relay, signed by its issuer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attestation {
    issuer: IssuerId,
    claim: Claim,
    valid_until: UnixSeconds,
    signature: Signature,
}

impl Attestation {
    /// Signs `claim` about `relay` until `valid_until`.
    #[must_use]
    pub fn sign(issuer: &Identity, relay: RelayId, claim: Claim, valid_until: UnixSeconds) -> Self {
        let signature = issuer.sign(DOMAIN, &statement(relay, &claim, valid_until));
        Self {
            issuer: IssuerId(issuer.public()),
            claim,
            valid_until,
            signature,
        }
    }

    /// Whether the issuer signed this about `relay`.
    #[must_use]
    pub fn is_signed_for(&self, relay: RelayId) -> bool {
        let statement = statement(relay, &self.claim, self.valid_until);
        identity::verify(&self.issuer.0, DOMAIN, &statement, &self.signature).is_ok()
    }

    /// One line: `subrosa-attestation:` and base64url with a checksum, as an issuer hands it to an operator.
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

    /// Who says so.
    #[must_use]
    pub fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// What is said.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The first second at which it no longer holds.
    #[must_use]
    pub fn valid_until(&self) -> UnixSeconds {
        self.valid_until
    }
}

fn statement(relay: RelayId, claim: &Claim, valid_until: UnixSeconds) -> Vec<u8> {
    codec::encode(&(relay, *claim, valid_until))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::fixture::{any_country, issuer, relay};

    #[test]
    fn an_attestation_is_about_one_relay() {
        let claim = Claim {
            hosting: Some("DE".parse().unwrap()),
            legal_seat: None,
            parent_seat: None,
        };
        let attestation = Attestation::sign(&issuer(1), relay().relay_id(), claim, UnixSeconds(5));
        assert!(attestation.is_signed_for(relay().relay_id()));
        assert!(!attestation.is_signed_for(RelayId([1; 32])));
        let mut longer = attestation;
        longer.valid_until = UnixSeconds(6);
        assert!(!longer.is_signed_for(relay().relay_id()));
    }

    #[test]
    fn issuers_are_named_by_their_key() {
        let id = IssuerId(issuer(1).public());
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!("ab".parse::<IssuerId>(), Err(NotAnIssuer));
        assert_eq!("g".repeat(64).parse::<IssuerId>(), Err(NotAnIssuer));
    }

    proptest! {
        #[test]
        fn attestations_round_trip(hosting in proptest::option::of(any_country()),
                                   legal_seat in proptest::option::of(any_country()), until: u64) {
            let claim = Claim { hosting, legal_seat, parent_seat: hosting };
            let attestation = Attestation::sign(&issuer(1), relay().relay_id(), claim, UnixSeconds(until));
            prop_assert_eq!(Attestation::from_text(&attestation.to_text()), Ok(attestation));
        }
    }
}
