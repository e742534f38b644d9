//! What a relay's operator asks an issuer to vouch for, signed by the relay: so the issuer knows that whoever asks holds the
//! relay's key.

use bincode::{Decode, Encode};

use super::{
    attestation::Claim,
    descriptor::{Contact, OperatorName},
};
use crate::{
    identity::{self, BadSignature, Identity, Signature},
    ids::RelayId,
    time::UnixSeconds,
    wire::{
        codec,
        line::{LineError, LineFormat},
    },
};

/// The domain of the relay's signature.
const DOMAIN: &str = "subrosa-attestation-request-v1";
/// How it is written as a line.
pub const LINE: LineFormat = LineFormat {
    record: "a request for an attestation",
    prefix: "subrosa-attestation-request:",
    version: 1,
};

/// Why text is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestTextError {
    /// Other text, damaged, or of another version.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The relay that it names did not sign it.
    #[error("the request is forged: the relay that it names did not sign it")]
    Forged,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RequestTerms {
    /// The relay that the attestation is to be about.
    pub relay: RelayId,
    /// What the issuer is to vouch for.
    pub claim: Claim,
    /// Who runs the relay.
    pub operator: OperatorName,
    /// How to reach the operator.
    pub contact: Contact,
    /// When it was asked.
    pub asked_at: UnixSeconds,
}

/// A request under its relay's signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttestationRequest {
    terms: RequestTerms,
    signature: Signature,
}

impl AttestationRequest {
    /// Signs `terms` with the relay's identity.
    #[must_use]
    pub fn sign(relay: &Identity, terms: RequestTerms) -> Self {
        let signature = relay.sign(DOMAIN, &codec::encode(&terms));
        Self { terms, signature }
    }

    /// One line: the prefix and base64url with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        LINE.write(self)
    }

    /// Reads [`Self::to_text`] and verifies the relay's signature.
    ///
    /// # Errors
    /// [`RequestTextError`] that tells other text, damage, another version and forgery apart.
    pub fn from_text(text: &str) -> Result<Self, RequestTextError> {
        let request: Self = LINE.read(text)?;
        request.verify().map_err(|_| RequestTextError::Forged)?;
        Ok(request)
    }

    fn verify(&self) -> Result<(), BadSignature> {
        let statement = codec::encode(&self.terms);
        identity::verify(&self.terms.relay.0, DOMAIN, &statement, &self.signature)
    }

    /// What is asked.
    #[must_use]
    pub fn terms(&self) -> &RequestTerms {
        &self.terms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::fixture::{any_country, relay};

    fn request(hosting: Option<super::super::Country>, at: u64) -> AttestationRequest {
        let terms = RequestTerms {
            relay: relay().relay_id(),
            claim: Claim {
                hosting,
                legal_seat: hosting,
                parent_seat: None,
            },
            operator: OperatorName::new("Example").unwrap(),
            contact: Contact::new("relay@example.org").unwrap(),
            asked_at: UnixSeconds(at),
        };
        AttestationRequest::sign(&relay(), terms)
    }

    #[test]
    fn a_changed_request_is_forged() {
        let mut changed = request(None, 1);
        changed.terms.asked_at = UnixSeconds(2);
        assert_eq!(
            AttestationRequest::from_text(&changed.to_text()),
            Err(RequestTextError::Forged)
        );
    }

    proptest! {
        #[test]
        fn requests_round_trip(hosting in proptest::option::of(any_country()), at: u64) {
            let request = request(hosting, at);
            prop_assert_eq!(AttestationRequest::from_text(&request.to_text()), Ok(request));
        }
    }
}
