//! The silent port: who does not know a key of the meeting gets no byte back (`proto/spec/noise-quic.md`, Silent port).
//!
//! A client's first connection id is a block that only holders of the key can make; [`InitialFilter`] drops what has
//! none, ahead of the QUIC endpoint and before any public-key operation.

use aws_lc_rs::{
    cipher::{AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey},
    constant_time, hmac,
};
use quinn_proto::ConnectionId;
use zeroize::Zeroizing;

use super::{Psk, PskId};
use crate::{random::Random, time::UnixSeconds};

mod filter;
mod probe;
mod replay;

pub use self::{
    filter::{DropReason, InitialFilter, Verdict},
    probe::{PROBE_LEN, ProbeKey, ProbeSender},
};

/// Length of a tagged connection id in bytes; our own ids have another length ([`super::endpoint_config::CONNECTION_ID_LEN`]).
pub const TAGGED_CID_LEN: usize = 16;

/// How far the sender's clock may be from ours, in seconds. Reason: as with identity bindings, half a day, so that a clock
/// set to the wrong time zone still gets in.
pub const CLOCK_DIFFERENCE_MAX: u32 = 12 * 3_600;

/// Zero bytes that show that a block was made with the key.
const CHECK_LEN: usize = 6;
/// Random bytes, so that no two blocks are alike.
const RANDOM_LEN: usize = 6;

/// Length of the proof in a version notice, in bytes: two words of the list of versions.
const PROOF_LEN: usize = 8;

/// A first destination connection id that shows knowledge of `psk` at the time `unix`:
/// AES-256(seconds(4) ‖ random(6) ‖ zero(6)).
#[must_use]
pub fn initial_dst_cid(psk: &Psk, unix: UnixSeconds, random: &mut Random) -> ConnectionId {
    ConnectionId::new(&TagKey::new(psk).seal(unix, random.bytes()))
}

/// A first destination connection id that shows nothing, of the same length, for relays.
#[must_use]
pub(super) fn untagged_dst_cid(random: &mut Random) -> ConnectionId {
    ConnectionId::new(&random.bytes::<TAGGED_CID_LEN>())
}

/// Wall-clock seconds, cut to 32 bits; compared modulo 2³².
// Truncation is meant.
#[allow(clippy::cast_possible_truncation)]
const fn seconds(unix: UnixSeconds) -> u32 {
    unix.0 as u32
}

/// Whether the seconds `made` are not too long before or after `unix`.
fn is_about(made: u32, unix: UnixSeconds) -> bool {
    let later = seconds(unix).wrapping_sub(made);
    later.min(later.wrapping_neg()) <= CLOCK_DIFFERENCE_MAX
}

/// What is derived from a meeting's key for the port. The labels carry no protocol version: these formats stay, so that
/// versions can recognise each other.
struct TagKey {
    id: PskId,
    seal: EncryptingKey,
    open: DecryptingKey,
    notice: hmac::Key,
    probe: ProbeKey,
}

impl TagKey {
    fn new(psk: &Psk) -> Self {
        let derive = |label: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &psk.0);
            let mut out = Zeroizing::new([0; 32]);
            out.copy_from_slice(hmac::sign(&key, label).as_ref());
            out
        };
        let block = derive(b"subrosa-silent-port-v1 cid");
        let aes = || UnboundCipherKey::new(&AES_256, &block[..]).expect("32 bytes are an AES-256 key");
        Self {
            id: psk.id(),
            seal: EncryptingKey::ecb(aes()).expect("AES works on single blocks"),
            open: DecryptingKey::ecb(aes()).expect("AES works on single blocks"),
            notice: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"subrosa-silent-port-v1 notice")[..]),
            probe: ProbeKey::new(psk),
        }
    }

    fn seal(&self, unix: UnixSeconds, random: [u8; RANDOM_LEN]) -> [u8; TAGGED_CID_LEN] {
        let mut block = [0; TAGGED_CID_LEN];
        block[..4].copy_from_slice(&seconds(unix).to_be_bytes());
        block[4..4 + RANDOM_LEN].copy_from_slice(&random);
        self.seal.encrypt(&mut block).expect("the input is one block");
        block
    }

    /// Whether `cid` was made with this key, not too long before or after `unix`.
    fn opens(&self, cid: &[u8; TAGGED_CID_LEN], unix: UnixSeconds) -> bool {
        let mut block = *cid;
        if self.open.decrypt(&mut block, DecryptionContext::None).is_err() {
            return false;
        }
        let check = &block[4 + RANDOM_LEN..];
        if constant_time::verify_slices_are_equal(check, &[0; CHECK_LEN]).is_err() {
            return false;
        }
        let made = u32::from_be_bytes([block[0], block[1], block[2], block[3]]);
        is_about(made, unix)
    }

    /// Shows that a version notice comes from a holder of the key: over the ids and versions that it names.
    fn proof(&self, dst_cid: &[u8], src_cid: &[u8], versions: &[u8]) -> [u8; PROOF_LEN] {
        let mut mac = hmac::Context::with_key(&self.notice);
        for part in [dst_cid, src_cid, versions] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut proof = [0; PROOF_LEN];
        proof.copy_from_slice(&mac.sign().as_ref()[..PROOF_LEN]);
        proof
    }
}

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TagKey({:?})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_293_120);

    #[test]
    fn a_tag_opens_under_its_key_and_about_its_time_only() {
        let key = TagKey::new(&Psk([1; 32]));
        let cid = key.seal(NOW, [5; 6]);
        assert!(key.opens(&cid, NOW));
        assert!(!TagKey::new(&Psk([2; 32])).opens(&cid, NOW));
        let difference = u64::from(CLOCK_DIFFERENCE_MAX);
        for (offset, opens) in [(0, true), (difference, true), (difference + 1, false)] {
            assert_eq!(key.opens(&cid, UnixSeconds(NOW.0 + offset)), opens);
            assert_eq!(key.opens(&cid, UnixSeconds(NOW.0 - offset)), opens);
        }
        for bit in 0..128 {
            let mut changed = cid;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.opens(&changed, NOW));
        }
    }

    #[test]
    fn tags_survive_the_year_2106() {
        let key = TagKey::new(&Psk([1; 32]));
        let cid = key.seal(UnixSeconds(u64::from(u32::MAX) - 10), [5; 6]);
        assert!(key.opens(&cid, UnixSeconds(u64::from(u32::MAX) + 10)));
    }

    #[test]
    fn ten_thousand_random_ids_do_not_open() {
        let key = TagKey::new(&Psk([1; 32]));
        let mut random = Random::from_seed([9; 32]);
        assert!((0..10_000).all(|_| !key.opens(&random.bytes(), NOW)));
    }
}
