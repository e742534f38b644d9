//! Long-term identities: Ed25519 keys that sign, each signature under a named domain.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::ids::{MemberId, RelayId};

/// An Ed25519 signature (RFC 8032), 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// A secret identity: of a member or of a relay. Erased from memory on drop.
#[derive(Clone)]
pub struct Identity(SigningKey);

impl Identity {
    /// The identity whose Ed25519 seed is `seed`.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for storage in a file that only its owner can read.
    #[must_use]
    pub fn to_seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public key, 32 bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// This identity as a member.
    #[must_use]
    pub fn member_id(&self) -> MemberId {
        MemberId(self.public())
    }

    /// This identity as a relay.
    #[must_use]
    pub fn relay_id(&self) -> RelayId {
        RelayId(self.public())
    }

    /// Signs `domain ‖ 0x00 ‖ message`. A domain names the kind of statement and its version, so that a signature
    /// made for one purpose means nothing for another.
    #[must_use]
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        Signature(self.0.sign(&framed(domain, message)).to_bytes())
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.member_id().fingerprint())
    }
}

/// A signature that does not verify, or a public key that is no point of the curve or of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

/// Verifies what [`Identity::sign`] made, strictly (no small-order keys, canonical encodings).
///
/// # Errors
/// [`BadSignature`] for anything but a valid signature under `public`.
pub fn verify(
    public: &[u8; 32],
    domain: &str,
    message: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(public).map_err(|_| BadSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(&framed(domain, message), &signature)
        .map_err(|_| BadSignature)
}

fn framed(domain: &str, message: &[u8]) -> Vec<u8> {
    debug_assert!(!domain.as_bytes().contains(&0));
    [domain.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_only() {
        let identity = Identity::from_seed(&[3; 32]);
        let signature = identity.sign("a-v1", b"text");
        assert_eq!(verify(&identity.public(), "a-v1", b"text", &signature), Ok(()));
        assert_eq!(
            verify(&identity.public(), "b-v1", b"text", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            verify(&identity.public(), "a-v1", b"tex", &signature),
            Err(BadSignature)
        );
    }
}
