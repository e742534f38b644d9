//! A descriptor under its relay's signature, and what it takes to believe that it came from there.

use bincode::{Decode, Encode};

use super::descriptor::{Descriptor, DescriptorHash};
use crate::{
    identity::{Identity, Signature},
    time::UnixSeconds,
};

/// A descriptor and its relay's signature; not yet verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedDescriptor {
    descriptor: Descriptor,
    signature: Signature,
}

/// A descriptor whose form, signatures and validity have been checked. Only [`SignedDescriptor::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDescriptor {
    signed: SignedDescriptor,
    hash: DescriptorHash,
}

/// Why a descriptor is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Placeholder.
    #[error("malformed")]
    Malformed,
}

impl SignedDescriptor {
    /// Signs `descriptor`.
    ///
    /// # Errors
    /// [`DescriptorError`] if a bound does not hold or `relay` is not the relay that the descriptor names.
    pub fn sign(descriptor: Descriptor, relay: &Identity) -> Result<Self, DescriptorError> {
        let _ = (descriptor, relay);
        todo!()
    }

    /// Verifies form, signatures and validity at `now`.
    ///
    /// # Errors
    /// [`DescriptorError`], one variant for each reason.
    pub fn verify(self, now: UnixSeconds) -> Result<VerifiedDescriptor, DescriptorError> {
        let _ = now;
        todo!()
    }

    /// The bytes: version, descriptor, signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`DescriptorError::OtherVersion`] or [`DescriptorError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let _ = bytes;
        todo!()
    }

    /// One line: `subrosa-relay:` and base64url with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        todo!()
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// [`DescriptorError`] that tells damaged text from another version and from other text.
    pub fn from_text(text: &str) -> Result<Self, DescriptorError> {
        let _ = text;
        todo!()
    }
}

impl VerifiedDescriptor {
    /// The hash of the statement, which the next descriptor of the relay names as its previous.
    #[must_use]
    pub fn hash(&self) -> DescriptorHash {
        self.hash
    }

    /// As it was signed.
    #[must_use]
    pub fn signed(&self) -> &SignedDescriptor {
        &self.signed
    }
}

impl std::ops::Deref for VerifiedDescriptor {
    type Target = Descriptor;
    fn deref(&self) -> &Descriptor {
        &self.signed.descriptor
    }
}
