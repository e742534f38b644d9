//! Organisations that certify their members (`proto/spec/credential.md`): a root key signs that an identity belongs to
//! somebody, until a day, unless it is revoked.
//!
//! A credential is shown beside a name, in the lobby and in the roster. It admits nobody, and who trusts which root is for
//! each node's owner to say.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

use super::name::Name;
use crate::{
    identity::{Identity, Signature, verify},
    ids::MemberId,
    time::UnixSeconds,
    wire::{
        armor,
        bounded::{BoundedBytes, BoundedVec},
        codec,
        door_message::CREDENTIAL_BYTES_MAX,
    },
};

/// What a credential's text begins with.
pub const CREDENTIAL_PREFIX: &str = "subrosa-credential:";
/// What an organisation's text begins with.
pub const ORGANISATION_PREFIX: &str = "subrosa-org:";
/// What a revocation list's text begins with.
pub const REVOCATIONS_PREFIX: &str = "subrosa-revocations:";
/// The version of the three texts.
pub const VERSION: u8 = 1;
/// Serial numbers on a list. Reason: those of expired credentials are left out, and the list has to fit a line of text.
pub const REVOKED_MAX: usize = 512;
/// Organisations that a node trusts. Reason: a person keeps this list.
pub const TRUSTED_MAX: usize = 64;

const CREDENTIAL_DOMAIN: &str = "subrosa-credential-v1";
const REVOCATIONS_DOMAIN: &str = "subrosa-revocations-v1";

/// Where to find out about an organisation: its name for itself, and the key that is it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Organisation {
    /// What it calls itself; proves nothing.
    pub name: Name,
    /// Its Ed25519 root key.
    pub root: [u8; 32],
}

impl Organisation {
    /// The line to hand to those who are to trust it.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(ORGANISATION_PREFIX, VERSION, &codec::encode(self))
    }

    /// Reads that line.
    ///
    /// # Errors
    /// [`CredentialError::Text`].
    pub fn from_text(text: &str) -> Result<Self, CredentialError> {
        read(ORGANISATION_PREFIX, text)
    }

    /// The root key as people compare it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        MemberId(self.root).fingerprint()
    }
}

/// The statement.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Credential {
    /// Who certifies.
    pub organisation: Organisation,
    /// Whom.
    pub member: MemberId,
    /// By which name the organisation knows it.
    pub name: Name,
    /// Its number at this organisation, for revocation.
    pub serial: u64,
    /// Valid from here.
    pub not_before: UnixSeconds,
    /// Valid until here.
    pub not_after: UnixSeconds,
}

/// A credential as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedCredential {
    body: BoundedBytes<CREDENTIAL_BYTES_MAX>,
    signature: Signature,
}

/// Why a credential, an organisation or a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Not such a text, or damaged.
    #[error("the text is damaged, or is something else")]
    Text,
    /// Not a credential of this version.
    #[error("the credential is malformed")]
    Malformed,
    /// Not signed by the organisation's key.
    #[error("the signature is not the organisation's")]
    Signature,
    /// Made out to another identity.
    #[error("the credential is made out to {0}")]
    OtherMember(String),
    /// Not valid yet.
    #[error("the credential is not valid yet")]
    Early,
    /// Run out.
    #[error("the credential has expired")]
    Expired,
    /// Taken back.
    #[error("the organisation has revoked the credential")]
    Revoked,
    /// A list that is older than the one that is known.
    #[error("the list is older than the one that is known")]
    Outdated,
    /// More than [`REVOKED_MAX`] numbers, or not ascending.
    #[error("a list has at most {REVOKED_MAX} numbers, ascending")]
    List,
    /// The list is of an organisation that this node does not trust.
    #[error("the list is of an organisation that is not trusted here")]
    Untrusted,
}

fn read<T: Decode<()> + Encode>(prefix: &str, text: &str) -> Result<T, CredentialError> {
    let (version, payload) = armor::read(prefix, text).map_err(|_| CredentialError::Text)?;
    if version != VERSION {
        return Err(CredentialError::Text);
    }
    codec::decode(&payload).map_err(|_| CredentialError::Text)
}

impl SignedCredential {
    /// Signs `credential` with the organisation's root; its key replaces the one that the statement names.
    #[must_use]
    pub fn sign(mut credential: Credential, root: &Identity) -> Self {
        credential.organisation.root = root.public();
        let body = codec::encode(&credential);
        Self {
            signature: root.sign(CREDENTIAL_DOMAIN, &body),
            body: body.try_into().unwrap_or_default(),
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CredentialError> {
        codec::decode(bytes).map_err(|_| CredentialError::Malformed)
    }

    /// The line to hand to the member.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(CREDENTIAL_PREFIX, VERSION, &self.to_bytes())
    }

    /// Reads that line.
    ///
    /// # Errors
    /// [`CredentialError::Text`].
    pub fn from_text(text: &str) -> Result<Self, CredentialError> {
        read(CREDENTIAL_PREFIX, text)
    }

    /// Checks form and signature; whether it is valid now, and whether its root is trusted, are other questions.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn statement(&self) -> Result<Credential, CredentialError> {
        let credential: Credential = codec::decode(&self.body).map_err(|_| CredentialError::Malformed)?;
        let root = &credential.organisation.root;
        verify(root, CREDENTIAL_DOMAIN, &self.body, &self.signature)
            .map_err(|_| CredentialError::Signature)?;
        Ok(credential)
    }
}

/// Which credentials of an organisation no longer hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revocations {
    /// The organisation's root key.
    pub root: [u8; 32],
    /// 1, 2, 3, …: a higher one replaces a lower one.
    pub number: u64,
    /// When it was made.
    pub issued: UnixSeconds,
    /// Serial numbers, ascending and distinct.
    pub serials: BoundedVec<u64, REVOKED_MAX>,
}

/// A list as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedRevocations {
    list: Revocations,
    signature: Signature,
}

impl SignedRevocations {
    /// Signs a list.
    ///
    /// # Errors
    /// [`CredentialError::List`].
    pub fn sign(
        number: u64,
        issued: UnixSeconds,
        serials: Vec<u64>,
        root: &Identity,
    ) -> Result<Self, CredentialError> {
        let list = Revocations {
            root: root.public(),
            number,
            issued,
            serials: serials.try_into().map_err(|_| CredentialError::List)?,
        };
        let signature = root.sign(REVOCATIONS_DOMAIN, &codec::encode(&list));
        let signed = Self { list, signature };
        signed.verify()?;
        Ok(signed)
    }

    /// Checks form and signature.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify(&self) -> Result<&Revocations, CredentialError> {
        if !self.list.serials.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(CredentialError::List);
        }
        let bytes = codec::encode(&self.list);
        verify(&self.list.root, REVOCATIONS_DOMAIN, &bytes, &self.signature)
            .map_err(|_| CredentialError::Signature)?;
        Ok(&self.list)
    }

    /// The line to hand to those who trust the organisation.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(REVOCATIONS_PREFIX, VERSION, &codec::encode(self))
    }

    /// Reads that line.
    ///
    /// # Errors
    /// [`CredentialError::Text`].
    pub fn from_text(text: &str) -> Result<Self, CredentialError> {
        read(REVOCATIONS_PREFIX, text)
    }
}

/// What a credential says about a member, once it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// Who certifies.
    pub organisation: Organisation,
    /// By which name the organisation knows the member.
    pub name: Name,
    /// Until when.
    pub not_after: UnixSeconds,
    /// Whether this node's owner trusts that organisation's key. If not, the name of the organisation proves nothing.
    pub trusted: bool,
}

/// The organisations that a node's owner trusts, each with the newest list of what it took back.
#[derive(Clone, Debug, Default)]
pub struct TrustedOrganisations {
    roots: BTreeMap<[u8; 32], Option<Revocations>>,
}

impl TrustedOrganisations {
    /// Trusts an organisation; false if there is no place left.
    pub fn trust(&mut self, organisation: &Organisation) -> bool {
        let known = self.roots.contains_key(&organisation.root);
        if !known && self.roots.len() < TRUSTED_MAX {
            self.roots.insert(organisation.root, None);
        }
        self.roots.contains_key(&organisation.root)
    }

    /// Takes a list.
    ///
    /// # Errors
    /// [`CredentialError`]: the one that is known stays.
    pub fn take(&mut self, signed: &SignedRevocations) -> Result<(), CredentialError> {
        let list = signed.verify()?;
        let known = self.roots.get_mut(&list.root).ok_or(CredentialError::Untrusted)?;
        if known.as_ref().is_some_and(|known| known.number > list.number) {
            return Err(CredentialError::Outdated);
        }
        *known = Some(list.clone());
        Ok(())
    }

    /// What `signed` says about `member`, whom the channel proved.
    ///
    /// # Errors
    /// [`CredentialError`]: it says nothing.
    pub fn check(
        &self,
        signed: &SignedCredential,
        member: MemberId,
        now: UnixSeconds,
    ) -> Result<Certified, CredentialError> {
        let credential = signed.statement()?;
        if credential.member != member {
            return Err(CredentialError::OtherMember(credential.member.fingerprint()));
        }
        if now < credential.not_before {
            return Err(CredentialError::Early);
        }
        if now > credential.not_after {
            return Err(CredentialError::Expired);
        }
        let list = self.roots.get(&credential.organisation.root);
        let revoked = |list: &Revocations| list.serials.binary_search(&credential.serial).is_ok();
        if list.is_some_and(|list| list.as_ref().is_some_and(revoked)) {
            return Err(CredentialError::Revoked);
        }
        Ok(Certified {
            trusted: list.is_some(),
            organisation: credential.organisation,
            name: credential.name,
            not_after: credential.not_after,
        })
    }
}

#[cfg(test)]
mod tests;
