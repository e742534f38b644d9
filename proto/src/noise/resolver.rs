//! The cryptography under snow: aws-lc-rs for X25519, AES-256-GCM, SHA-256 and HMAC, `ml-kem` for ML-KEM-768, and
//! randomness that is passed in.

use std::sync::OnceLock;

use aws_lc_rs::{aead, agreement, constant_time, digest, hmac};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice, KemChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Kem, Random as NoiseRandom},
};
use zeroize::Zeroizing;

use super::kem::MlKem;
use crate::random::Random;

/// Length of X25519 keys and outputs in bytes (RFC 7748).
const DH_LEN: usize = 32;
/// Length of an AES-GCM tag in bytes.
const TAG_LEN: usize = 16;

/// Gives snow its primitives. Serves one handshake: asked twice, it would repeat its randomness.
pub(super) struct Resolver {
    /// Seeds the generator of ephemeral keys.
    seed: Zeroizing<[u8; 32]>,
    /// The randomness of one encapsulation: `Kem::encapsulate` is given no generator.
    encapsulation: Zeroizing<[u8; 32]>,
}

impl Resolver {
    /// A resolver for one handshake.
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            seed: Zeroizing::new(random.bytes()),
            encapsulation: Zeroizing::new(random.bytes()),
        }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn NoiseRandom>> {
        Some(Box::new(Generator(Random::from_seed(*self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha256::default()) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(AesGcm(None)) as Box<dyn Cipher>)
    }

    // snow knows one KEM by name, Kyber1024; `Pattern::params` uses that name to reach this function and then sets the
    // protocol name that is hashed to ours.
    fn resolve_kem(&self, _: &KemChoice) -> Option<Box<dyn Kem>> {
        Some(Box::new(MlKem::new(self.encapsulation.clone())))
    }
}

struct Generator(Random);

impl NoiseRandom for Generator {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill(dest);
        Ok(())
    }
}

/// X25519 that refuses an all-zero output, as snow does not (RFC 7748 §6.1): a peer that sends a point of small order
/// would otherwise take the DH out of the handshake.
#[derive(Default)]
struct X25519 {
    private: Zeroizing<[u8; DH_LEN]>,
    /// Computed when it is first asked for: a responder that tries a wrong key never asks.
    public: OnceLock<[u8; DH_LEN]>,
}

/// The X25519 public key of `private`.
pub(super) fn x25519_public(private: &[u8; DH_LEN]) -> [u8; DH_LEN] {
    let key = agreement::PrivateKey::from_private_key(&agreement::X25519, private)
        .expect("every 32 bytes are an X25519 private key");
    let public = key
        .compute_public_key()
        .expect("every X25519 private key has a public key");
    let mut out = [0; DH_LEN];
    out.copy_from_slice(public.as_ref());
    out
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        DH_LEN
    }

    fn priv_len(&self) -> usize {
        DH_LEN
    }

    fn set(&mut self, privkey: &[u8]) {
        self.private.copy_from_slice(privkey);
        self.public = OnceLock::new();
    }

    fn generate(&mut self, rng: &mut dyn NoiseRandom) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; DH_LEN]);
        rng.try_fill_bytes(&mut private[..])?;
        self.set(&private[..]);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.get_or_init(|| x25519_public(&self.private))
    }

    fn privkey(&self) -> &[u8] {
        &self.private[..]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        // snow passes its 56-byte buffer for the longest key that it knows.
        let peer = pubkey.get(..DH_LEN).ok_or(Error::Dh)?;
        let out = out.get_mut(..DH_LEN).ok_or(Error::Dh)?;
        let key = agreement::PrivateKey::from_private_key(&agreement::X25519, &self.private[..])
            .map_err(|_| Error::Dh)?;
        let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, peer);
        agreement::agree(&key, peer, Error::Dh, |shared| {
            if constant_time::verify_slices_are_equal(shared, &[0; DH_LEN]).is_ok() {
                return Err(Error::Dh);
            }
            out.copy_from_slice(shared);
            Ok(())
        })
    }
}

/// AES-256-GCM with Noise's nonce: 32 zero bits, then the counter big-endian (Noise §12.4).
struct AesGcm(Option<aead::LessSafeKey>);

impl AesGcm {
    fn key(&self) -> &aead::LessSafeKey {
        self.0
            .as_ref()
            .expect("snow's cipher state sets a key before it uses it")
    }

    fn nonce(counter: u64) -> aead::Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        aead::Nonce::assume_unique_for_key(nonce)
    }
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes are an AES-256 key");
        self.0 = Some(aead::LessSafeKey::new(key));
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, rest) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        let tag = self
            .key()
            .seal_in_place_separate_tag(Self::nonce(nonce), aead::Aad::from(authtext), text)
            .expect("a Noise message is far below AES-GCM's limit");
        rest[..TAG_LEN].copy_from_slice(tag.as_ref());
        plaintext.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let plain = self
            .key()
            .open_in_place(Self::nonce(nonce), aead::Aad::from(authtext), &mut buffer)
            .map_err(|_| Error::Decrypt)?;
        out.get_mut(..plain.len())
            .ok_or(Error::Decrypt)?
            .copy_from_slice(plain);
        Ok(plain.len())
    }
}

struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        digest::SHA256_OUTPUT_LEN
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let context = std::mem::take(self).0;
        out[..digest::SHA256_OUTPUT_LEN].copy_from_slice(context.finish().as_ref());
    }

    fn hmac(&mut self, key: &[u8], data: &[u8], out: &mut [u8]) {
        // snow's HKDF passes its temporary key in a buffer for the longest hash, so trailing zeros may follow; HMAC pads
        // keys shorter than a block with zeros anyway, so the result is the same (RFC 2104 §2).
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key[..key.len().min(64)]);
        out[..digest::SHA256_OUTPUT_LEN].copy_from_slice(hmac::sign(&key, data).as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_small_order_are_refused() {
        let mut dh = X25519::default();
        dh.set(&[7; 32]);
        // Orders 1 and 2, 4, and 8 (RFC 7748 §7; the list of Curve25519's small-order points).
        let mut one = [0; 32];
        one[0] = 1;
        let eight = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
            0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ];
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        for point in [[0; 32], one, eight, minus_one] {
            assert_eq!(dh.dh(&point, &mut [0; 56]), Err(Error::Dh));
        }
        let peer = x25519_public(&[9; 32]);
        assert_eq!(dh.dh(&peer, &mut [0; 56]), Ok(()));
    }

    #[test]
    fn hmac_of_a_padded_key_is_that_of_the_key() {
        let (mut short, mut long) = ([0; 32], [0; 32]);
        Sha256::default().hmac(&[5; 32], b"data", &mut short);
        let mut padded = [0; 64];
        padded[..32].copy_from_slice(&[5; 32]);
        Sha256::default().hmac(&padded, b"data", &mut long);
        assert_eq!(short, long);
    }
}
