//! Keys that an endpoint keeps to itself: for Retry tokens and stateless resets, random per process.

use aws_lc_rs::{aead, hkdf, hmac};
use quinn_proto::crypto::{self, CryptoError};

use crate::random::Random;

/// The zero nonce: each token has a key of its own, from its random salt.
fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

/// Seals Retry tokens: each under AES-256-GCM with a key derived from this and the token's random bytes.
pub(super) struct RetryTokenKey(hkdf::Prk);

impl RetryTokenKey {
    pub(super) fn new(random: &mut Random) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"subrosa-nq/1 retry token");
        Self(salt.extract(&random.bytes::<32>()))
    }
}

impl crypto::HandshakeTokenKey for RetryTokenKey {
    fn aead_from_hkdf(&self, random_bytes: &[u8]) -> Box<dyn crypto::AeadKey> {
        let info = [random_bytes];
        let okm = self
            .0
            .expand(&info, &aead::AES_256_GCM)
            .expect("an AES-256 key is within HKDF's limit");
        Box::new(TokenAead(aead::LessSafeKey::new(aead::UnboundKey::from(okm))))
    }
}

struct TokenAead(aead::LessSafeKey);

impl crypto::AeadKey for TokenAead {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        self.0
            .seal_in_place_append_tag(nonce(), aead::Aad::from(additional_data), data)
            .map_err(|_| CryptoError)
    }

    fn open<'a>(&self, data: &'a mut [u8], additional_data: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        self.0
            .open_in_place(nonce(), aead::Aad::from(additional_data), data)
            .map_err(|_| CryptoError)
    }
}

/// Makes stateless-reset tokens. They are announced to peers as QUIC demands; we never send a reset
/// ([`super::endpoint_config()`]).
pub(super) struct ResetKey(hmac::Key);

impl ResetKey {
    pub(super) fn new(random: &mut Random) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>()))
    }
}

impl crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use quinn_proto::crypto::HandshakeTokenKey as _;

    use super::*;

    #[test]
    fn tokens_open_under_their_own_salt_only() {
        let key = RetryTokenKey::new(&mut Random::from_seed([1; 32]));
        let mut sealed = b"token".to_vec();
        key.aead_from_hkdf(b"salt").seal(&mut sealed, b"").unwrap();
        assert!(
            key.aead_from_hkdf(b"tlas")
                .open(&mut sealed.clone(), b"")
                .is_err()
        );
        assert_eq!(
            key.aead_from_hkdf(b"salt").open(&mut sealed, b"").unwrap(),
            b"token"
        );
    }
}
