//! A descriptor under its relay's signature, and what it takes to believe that it came from there.

use aws_lc_rs::digest;
use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    error::DecodeError,
};

use super::descriptor::{
    CLOCK_SKEW_SECONDS_MAX, Descriptor, DescriptorFault, DescriptorHash, VALIDITY_SECONDS_MAX,
};
use crate::{
    identity::{self, Identity, Signature},
    time::UnixSeconds,
    wire::{
        armor::{self, ArmorError, Damage},
        codec,
    },
};

/// The domain of the relay's signature and of the hash.
const DOMAIN: &str = "subrosa-descriptor-v1";
/// What a descriptor's line begins with.
pub const TEXT_PREFIX: &str = "subrosa-relay:";
/// The version of the format (`proto/spec/descriptor.md`).
pub const VERSION: u8 = 1;

/// A well-formed descriptor and a signature that is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The text is no relay descriptor at all.
    #[error("this is not a relay descriptor: one begins with `{TEXT_PREFIX}`")]
    NotADescriptor,
    /// The text was a descriptor before something happened to it.
    #[error("the relay descriptor is damaged: {0}")]
    Damaged(Damage),
    /// Made for another version of Subrosa.
    #[error("the relay descriptor has version {0}, this program reads version {VERSION}")]
    OtherVersion(u8),
    /// The bytes are not a descriptor, or a field breaks its bound.
    #[error("the relay descriptor is malformed")]
    Malformed,
    /// A field that is about to be signed breaks its bound.
    #[error("the relay descriptor cannot be signed: {0}")]
    Fault(#[from] DescriptorFault),
    /// The relay that it names did not sign it.
    #[error("the relay descriptor is forged: the relay that it names did not sign it")]
    Forged,
    /// An attestation in it is not signed by its issuer for this relay.
    #[error(
        "the relay descriptor is forged: an attestation in it is not signed by its issuer for this relay"
    )]
    ForgedAttestation,
    /// The family that it names did not sign for this relay.
    #[error("the relay descriptor is forged: the family that it names did not sign for this relay")]
    ForgedFamily,
    /// It does not hold yet.
    #[error("the relay descriptor holds from {0} only; check both clocks")]
    NotYetValid(UnixSeconds),
    /// It no longer holds.
    #[error("the relay descriptor expired at {0}; ask the relay's operator for a new one")]
    Expired(UnixSeconds),
    /// It claims to hold for longer than a descriptor may.
    #[error("the relay descriptor claims to hold for {0} seconds, {VALIDITY_SECONDS_MAX} are allowed")]
    ValidTooLong(u64),
    /// The relay has since made a newer one.
    #[error("the relay descriptor is old: its number is {found}, number {known} is known")]
    Replayed {
        /// The number of this one.
        found: u64,
        /// The number of the newest.
        known: u64,
    },
    /// The relay signed two descriptors that exclude each other.
    #[error("the relay signed two contradicting descriptors with number {0} and is not trusted")]
    Forked(u64),
    /// No room for another relay.
    #[error("too many relays are known already")]
    BookFull,
}

impl DescriptorError {
    /// The stable name, in snake case, for logs, events and scripts.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotADescriptor => "not_a_descriptor",
            Self::Damaged(_) => "damaged",
            Self::OtherVersion(_) => "other_version",
            Self::Malformed | Self::Fault(_) => "malformed",
            Self::Forged => "forged",
            Self::ForgedAttestation => "forged_attestation",
            Self::ForgedFamily => "forged_family",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::Expired(_) => "expired",
            Self::ValidTooLong(_) => "valid_too_long",
            Self::Replayed { .. } => "replayed",
            Self::Forked(_) => "forked",
            Self::BookFull => "book_full",
        }
    }
}

impl SignedDescriptor {
    /// Signs `descriptor`.
    ///
    /// # Errors
    /// [`DescriptorError::Fault`] if a bound does not hold or `relay` is not the relay that the descriptor names,
    /// [`DescriptorError::ForgedAttestation`], [`DescriptorError::ForgedFamily`] or [`DescriptorError::ValidTooLong`] as in [`Self::verify`].
    pub fn sign(descriptor: Descriptor, relay: &Identity) -> Result<Self, DescriptorError> {
        descriptor.check()?;
        if descriptor.relay != relay.relay_id() {
            return Err(DescriptorFault::OtherRelay.into());
        }
        check_validity(&descriptor)?;
        check_others(&descriptor)?;
        let signature = relay.sign(DOMAIN, &codec::encode(&descriptor));
        Ok(Self {
            descriptor,
            signature,
        })
    }

    /// Verifies signatures and validity at `now`.
    ///
    /// # Errors
    /// [`DescriptorError`], one variant for each reason.
    pub fn verify(self, now: UnixSeconds) -> Result<VerifiedDescriptor, DescriptorError> {
        let descriptor = &self.descriptor;
        let statement = codec::encode(descriptor);
        identity::verify(&descriptor.relay.0, DOMAIN, &statement, &self.signature)
            .map_err(|_| DescriptorError::Forged)?;
        check_validity(descriptor)?;
        if descriptor.valid_from.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            return Err(DescriptorError::NotYetValid(descriptor.valid_from));
        }
        if descriptor.valid_until <= now {
            return Err(DescriptorError::Expired(descriptor.valid_until));
        }
        check_others(descriptor)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(DOMAIN.as_bytes());
        hash.update(&[0]);
        hash.update(&statement);
        let hash = DescriptorHash(hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"));
        Ok(VerifiedDescriptor { signed: self, hash })
    }

    /// What it says, before anybody has verified it: for showing, never for deciding.
    #[must_use]
    pub fn unverified(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The bytes: version, descriptor, signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [vec![VERSION], codec::encode(self)].concat()
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`DescriptorError::OtherVersion`] or [`DescriptorError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let (&version, body) = bytes.split_first().ok_or(DescriptorError::Malformed)?;
        Self::from_body(version, body)
    }

    fn from_body(version: u8, body: &[u8]) -> Result<Self, DescriptorError> {
        if version != VERSION {
            return Err(DescriptorError::OtherVersion(version));
        }
        codec::decode(body).map_err(|_| DescriptorError::Malformed)
    }

    /// One line: `subrosa-relay:` and base64url with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(TEXT_PREFIX, VERSION, &codec::encode(self))
    }

    /// Reads [`Self::to_text`], forgiving spaces, line breaks and quotes.
    ///
    /// # Errors
    /// [`DescriptorError`] that tells damaged text from another version and from other text.
    pub fn from_text(text: &str) -> Result<Self, DescriptorError> {
        let (version, body) = armor::read(TEXT_PREFIX, text).map_err(|error| match error {
            ArmorError::OtherText => DescriptorError::NotADescriptor,
            ArmorError::Damaged(damage) => DescriptorError::Damaged(damage),
        })?;
        Self::from_body(version, &body)
    }
}

fn check_validity(descriptor: &Descriptor) -> Result<(), DescriptorError> {
    match descriptor.valid_until.0.checked_sub(descriptor.valid_from.0) {
        None | Some(0) => Err(DescriptorError::Malformed),
        Some(seconds) if seconds > VALIDITY_SECONDS_MAX => Err(DescriptorError::ValidTooLong(seconds)),
        Some(_) => Ok(()),
    }
}

/// A relay that shows a false attestation lies: the whole descriptor falls, not the attestation alone.
/// What others signed in it.
fn check_others(descriptor: &Descriptor) -> Result<(), DescriptorError> {
    let genuine = |attestation: &super::attestation::Attestation| attestation.is_signed_for(descriptor.relay);
    if !descriptor.attestations.iter().all(genuine) {
        return Err(DescriptorError::ForgedAttestation);
    }
    let family = descriptor.family.as_ref();
    if family.is_some_and(|family| !family.is_signed_for(descriptor.relay)) {
        return Err(DescriptorError::ForgedFamily);
    }
    Ok(())
}

impl<C> Decode<C> for SignedDescriptor {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let descriptor = Descriptor::decode(decoder)?;
        descriptor.check().map_err(|_| DecodeError::Other("descriptor"))?;
        Ok(Self {
            descriptor,
            signature: Signature::decode(decoder)?,
        })
    }
}

impl<'de, C> BorrowDecode<'de, C> for SignedDescriptor {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
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

#[cfg(test)]
mod tests;
