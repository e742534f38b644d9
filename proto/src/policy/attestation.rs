//! An issuer's signed word on a relay's jurisdiction (evidence level L1).

use std::fmt;

use bincode::{Decode, Encode};
use data_encoding::HEXLOWER;

use super::Country;
use crate::{
    identity::{self, Identity, Signature},
    ids::RelayId,
    time::UnixSeconds,
};

/// The domain of an issuer's signature.
const DOMAIN: &str = "subrosa-attestation-v1";

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
    crate::wire::codec::encode(&(relay, *claim, valid_until))
}
