//! Key schedule (RFC 9605 §4.4.2): from a base key and a key id to an AEAD key that is ready to use, and a salt.

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA512, KeyType, Salt},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::random::Random;

/// Bytes of the authentication tag. The suites with short tags are not offered.
pub const TAG_BYTES: usize = 16;
/// Bytes of a base key: Nh of the suite, the output of its hash.
pub const BASE_KEY_BYTES: usize = 64;

/// AES_256_GCM_SHA512_128.
const SUITE: u16 = 0x0005;
const KEY_BYTES: usize = 32;

/// A secret of Nh bytes: the base key of a stream, or a link of a generation's chain. Erased on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; BASE_KEY_BYTES]);

impl Secret {
    /// Takes the bytes over; the caller erases its own copy.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; BASE_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// A fresh one.
    #[must_use]
    pub fn random(random: &mut Random) -> Self {
        let mut secret = Self([0; BASE_KEY_BYTES]);
        random.fill(&mut secret.0);
        secret
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; BASE_KEY_BYTES] {
        &self.0
    }

    /// The secret of the next ratchet step (RFC 9605 §5.1); nothing leads back.
    #[must_use]
    pub fn ratchet(&self) -> Self {
        self.derive(&[b"SFrame 1.0 Ratchet"])
    }

    /// HKDF-SHA-512 with an empty salt over this secret; `info` is the concatenation of the parts.
    #[must_use]
    pub fn derive(&self, info: &[&[u8]]) -> Self {
        let mut out = Self([0; BASE_KEY_BYTES]);
        hkdf(&self.0, info, &mut out.0);
        out
    }
}

impl PartialEq for Secret {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One key of one stream: AES-256-GCM with its key schedule already expanded, so that sealing a frame costs only the
/// frame. AWS-LC erases the expanded key when it is freed.
#[derive(Debug)]
pub struct FrameKey {
    pub(super) aead: LessSafeKey,
    salt: Salt12,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Salt12([u8; NONCE_LEN]);

impl std::fmt::Debug for Salt12 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl FrameKey {
    /// Derives key and salt for `kid` (RFC 9605 §4.4.2).
    #[must_use]
    pub fn derive(base_key: &[u8], kid: u64) -> Self {
        let (key, salt) = key_and_salt(base_key, kid);
        let key =
            UnboundKey::new(&AES_256_GCM, &*key).expect("the key has the length that the algorithm wants");
        Self {
            aead: LessSafeKey::new(key),
            salt: Salt12(*salt),
        }
    }

    /// The nonce of frame `counter`: salt XOR counter (RFC 9605 §4.4.3).
    pub(super) fn nonce(&self, counter: u64) -> Nonce {
        Nonce::assume_unique_for_key(nonce_bytes(&self.salt.0, counter))
    }
}

pub(super) fn nonce_bytes(salt: &[u8; NONCE_LEN], counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = *salt;
    for (byte, counter) in nonce[4..].iter_mut().zip(counter.to_be_bytes()) {
        *byte ^= counter;
    }
    nonce
}

type KeyAndSalt = (Zeroizing<[u8; KEY_BYTES]>, Zeroizing<[u8; NONCE_LEN]>);

pub(super) fn key_and_salt(base_key: &[u8], kid: u64) -> KeyAndSalt {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let mut salt = Zeroizing::new([0; NONCE_LEN]);
    let (kid, suite) = (kid.to_be_bytes(), SUITE.to_be_bytes());
    hkdf(base_key, &[b"SFrame 1.0 Secret key ", &kid, &suite], &mut *key);
    hkdf(base_key, &[b"SFrame 1.0 Secret salt ", &kid, &suite], &mut *salt);
    (key, salt)
}

struct OutputBytes(usize);

impl KeyType for OutputBytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn hkdf(secret: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let prk = Salt::new(HKDF_SHA512, &[]).extract(secret);
    prk.expand(info, OutputBytes(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("the output is shorter than HKDF's limit");
}
