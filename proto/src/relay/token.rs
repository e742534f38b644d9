//! Access tokens: an organisation's signed word on who may use a relay, and how much (`proto/spec/relay-token.md`).
//!
//! A token is signed offline. It names no person: whoever holds it may use it, as often at one time as its quota says.

use aws_lc_rs::digest;
use bincode::{Decode, Encode};
use data_encoding::HEXLOWER;

use crate::{
    identity::{self, Identity, Signature},
    ids::RelayId,
    policy::attestation::IssuerId,
    time::UnixSeconds,
    wire::{
        armor::{self, ArmorError},
        bounded::BoundedVec,
        codec,
        relay_message::TokenBytes,
    },
};

/// The domain of an issuer's signature.
const DOMAIN: &str = "subrosa-relay-token-v1";
/// What a token's line begins with.
pub const TEXT_PREFIX: &str = "subrosa-token:";
/// The version of the format.
const VERSION: u8 = 1;
/// Most relays that one token names. Reason: it has to fit into a request beside room and alias.
pub const TOKEN_RELAYS_MAX: usize = 8;
/// The longest validity in seconds: 400 days, a year's contract and the month in which it is renewed. Tokens can be taken
/// back earlier by the relay's file.
pub const TOKEN_VALIDITY_SECONDS_MAX: u64 = 400 * 86_400;

/// A token's number: the beginning of the hash of what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 16]);

impl std::fmt::Display for TokenId {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl std::str::FromStr for TokenId {
    type Err = NotATokenId;
    fn from_str(text: &str) -> Result<Self, NotATokenId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotATokenId)?;
        Ok(Self(bytes.try_into().map_err(|_| NotATokenId)?))
    }
}

/// Text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is named by the 32 hexadecimal digits that `subrosa relay token show` prints")]
pub struct NotATokenId;

/// What all sessions of a token may use together. `None`: no limit of the token's own; the relay's limits hold in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TokenQuota {
    /// Sessions at one time, at each relay.
    pub sessions: Option<u32>,
    /// Media that they may send, in bits per second; two seconds' worth at once.
    pub bits_per_second: Option<u64>,
    /// Bytes that are forwarded for them over the token's life, at each relay.
    pub bytes: Option<u64>,
}

/// What an issuer signs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TokenTerms {
    /// Random, so that two tokens with the same terms are two tokens.
    pub serial: [u8; 16],
    /// The relays at which it holds; none: every relay that accepts the issuer.
    pub relays: BoundedVec<RelayId, TOKEN_RELAYS_MAX>,
    /// How much.
    pub quota: TokenQuota,
    /// The first second at which it holds.
    pub valid_from: UnixSeconds,
    /// The first second at which it no longer holds, at most [`TOKEN_VALIDITY_SECONDS_MAX`] later.
    pub valid_until: UnixSeconds,
}

/// Terms under an issuer's signature, which is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccessToken {
    issuer: IssuerId,
    terms: TokenTerms,
    signature: Signature,
}

/// Why a token is not accepted, or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Other or damaged text.
    #[error("this is not a relay token, which begins with `{TEXT_PREFIX}`: {0}")]
    Text(#[from] ArmorError),
    /// Made for another version of Subrosa.
    #[error("the token has version {0}, this program reads version {VERSION}")]
    OtherVersion(u8),
    /// Not a token.
    #[error("the token is malformed")]
    Malformed,
    /// The issuer that it names did not sign it.
    #[error("the token is forged: the issuer that it names did not sign it")]
    Forged,
    /// It does not hold yet.
    #[error("the token holds from {0} only")]
    NotYetValid(UnixSeconds),
    /// It holds no longer.
    #[error("the token expired at {0}; ask whoever gave it to you for a new one")]
    Expired(UnixSeconds),
    /// It claims to hold for longer than a token may, or ends before it begins.
    #[error("the token's validity is impossible")]
    Validity,
    /// It holds at other relays.
    #[error("the token is for other relays")]
    OtherRelay,
    /// This relay does not accept tokens of that issuer.
    #[error("this relay does not accept tokens of that issuer")]
    OtherIssuer,
    /// The operator took it back.
    #[error("the token was taken back")]
    Revoked,
}

impl AccessToken {
    /// Signs `terms`.
    ///
    /// # Errors
    /// [`TokenError::Validity`] if the terms' validity is empty or too long.
    pub fn sign(issuer: &Identity, terms: TokenTerms) -> Result<Self, TokenError> {
        check_validity(&terms)?;
        let signature = issuer.sign(DOMAIN, &codec::encode(&terms));
        Ok(Self {
            issuer: IssuerId(issuer.public()),
            terms,
            signature,
        })
    }

    /// Whether the issuer signed it, for `relay`, and it holds at `now`. Whether the issuer is accepted is for the caller.
    ///
    /// # Errors
    /// [`TokenError`]: forged, expired, not valid yet, for other relays.
    pub fn verify(&self, relay: Option<RelayId>, now: UnixSeconds) -> Result<TokenId, TokenError> {
        let statement = codec::encode(&self.terms);
        identity::verify(&self.issuer.0, DOMAIN, &statement, &self.signature)
            .map_err(|_| TokenError::Forged)?;
        check_validity(&self.terms)?;
        if relay.is_some_and(|relay| !self.terms.relays.is_empty() && !self.terms.relays.contains(&relay)) {
            return Err(TokenError::OtherRelay);
        }
        if now < self.terms.valid_from {
            return Err(TokenError::NotYetValid(self.terms.valid_from));
        }
        if self.terms.valid_until <= now {
            return Err(TokenError::Expired(self.terms.valid_until));
        }
        Ok(self.id())
    }

    /// Its number. Two issuers' tokens never share one.
    #[must_use]
    pub fn id(&self) -> TokenId {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(DOMAIN.as_bytes());
        hash.update(&[0]);
        hash.update(&self.issuer.0);
        hash.update(&codec::encode(&self.terms));
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finish().as_ref()[..16]);
        TokenId(id)
    }

    /// Who signed it.
    #[must_use]
    pub fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// What was signed.
    #[must_use]
    pub fn terms(&self) -> &TokenTerms {
        &self.terms
    }

    /// The bytes that travel in a request: version, token.
    #[must_use]
    pub fn to_bytes(&self) -> TokenBytes {
        let bytes = [vec![VERSION], codec::encode(self)].concat();
        // 8 relays of 32 bytes, a key, a signature and a few numbers: below half of TOKEN_BYTES_MAX.
        bytes.try_into().unwrap_or_default()
    }

    /// Reads [`Self::to_bytes`]; verifies nothing.
    ///
    /// # Errors
    /// [`TokenError::OtherVersion`] or [`TokenError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let (&version, body) = bytes.split_first().ok_or(TokenError::Malformed)?;
        Self::from_body(version, body)
    }

    fn from_body(version: u8, body: &[u8]) -> Result<Self, TokenError> {
        if version != VERSION {
            return Err(TokenError::OtherVersion(version));
        }
        codec::decode(body).map_err(|_| TokenError::Malformed)
    }

    /// One line: `subrosa-token:` and base64url with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(TEXT_PREFIX, VERSION, &codec::encode(self))
    }

    /// Reads [`Self::to_text`]; verifies nothing.
    ///
    /// # Errors
    /// [`TokenError`] that tells other text, damage and another version apart.
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let (version, body) = armor::read(TEXT_PREFIX, text)?;
        Self::from_body(version, &body)
    }
}

fn check_validity(terms: &TokenTerms) -> Result<(), TokenError> {
    match terms.valid_until.0.checked_sub(terms.valid_from.0) {
        Some(1..=TOKEN_VALIDITY_SECONDS_MAX) => Ok(()),
        _ => Err(TokenError::Validity),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn issuer() -> Identity {
        Identity::from_seed(&[7; 32])
    }

    fn terms() -> TokenTerms {
        TokenTerms {
            serial: [1; 16],
            relays: BoundedVec::default(),
            quota: TokenQuota::default(),
            valid_from: NOW,
            valid_until: UnixSeconds(NOW.0 + 10),
        }
    }

    #[test]
    fn a_token_holds_for_its_relays_and_its_time() {
        let relay = RelayId([3; 32]);
        let named = TokenTerms {
            relays: vec![relay].try_into().unwrap(),
            ..terms()
        };
        let token = AccessToken::sign(&issuer(), named).unwrap();
        assert_eq!(token.verify(Some(relay), NOW), Ok(token.id()));
        assert_eq!(
            token.verify(Some(RelayId([4; 32])), NOW),
            Err(TokenError::OtherRelay)
        );
        let (early, late) = (UnixSeconds(NOW.0 - 1), UnixSeconds(NOW.0 + 10));
        assert_eq!(token.verify(None, early), Err(TokenError::NotYetValid(NOW)));
        assert_eq!(token.verify(None, late), Err(TokenError::Expired(late)));
    }

    #[test]
    fn a_changed_token_is_forged() {
        let mut token = AccessToken::sign(&issuer(), terms()).unwrap();
        token.terms.quota.sessions = Some(1_000);
        assert_eq!(token.verify(None, NOW), Err(TokenError::Forged));
        let mut other = AccessToken::sign(&issuer(), terms()).unwrap();
        other.issuer = IssuerId(Identity::from_seed(&[8; 32]).public());
        assert_eq!(other.verify(None, NOW), Err(TokenError::Forged));
    }

    #[test]
    fn nobody_can_sign_an_impossible_validity() {
        for until in [0, NOW.0, NOW.0 + TOKEN_VALIDITY_SECONDS_MAX + 1] {
            let terms = TokenTerms {
                valid_until: UnixSeconds(until),
                ..terms()
            };
            assert_eq!(AccessToken::sign(&issuer(), terms), Err(TokenError::Validity));
        }
    }

    #[test]
    fn the_largest_token_fits_into_a_request() {
        let largest = TokenTerms {
            serial: [255; 16],
            relays: vec![RelayId([255; 32]); TOKEN_RELAYS_MAX].try_into().unwrap(),
            quota: TokenQuota {
                sessions: Some(u32::MAX),
                bits_per_second: Some(u64::MAX),
                bytes: Some(u64::MAX),
            },
            ..terms()
        };
        let token = AccessToken::sign(&issuer(), largest).unwrap();
        assert_eq!(AccessToken::from_bytes(&token.to_bytes()), Ok(token));
    }

    proptest! {
        #[test]
        fn tokens_round_trip_and_are_canonical(
            serial: [u8; 16], relays in proptest::collection::vec(any::<[u8; 32]>(), 0..=TOKEN_RELAYS_MAX),
            sessions: Option<u32>, bits: Option<u64>, bytes: Option<u64>, days in 1_u64..400,
        ) {
            let terms = TokenTerms {
                serial,
                relays: relays.into_iter().map(RelayId).collect::<Vec<_>>().try_into().unwrap(),
                quota: TokenQuota { sessions, bits_per_second: bits, bytes },
                valid_from: NOW,
                valid_until: UnixSeconds(NOW.0 + days * 86_400),
            };
            let token = AccessToken::sign(&issuer(), terms).unwrap();
            prop_assert_eq!(AccessToken::from_text(&token.to_text()).unwrap(), token.clone());
            let encoded = token.to_bytes();
            prop_assert_eq!(AccessToken::from_bytes(&encoded).unwrap().to_bytes(), encoded);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(token) = AccessToken::from_bytes(&bytes) {
                prop_assert_eq!(token.to_bytes().to_vec(), bytes);
            }
        }
    }
}
