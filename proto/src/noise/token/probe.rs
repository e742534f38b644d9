//! Probes: small datagrams that open a NAT for their sender, and tell a member of the meeting where it is
//! (`proto/spec/noise-quic.md`, Probes).

use aws_lc_rs::{
    cipher::{AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey},
    constant_time, hmac,
};
use zeroize::Zeroizing;

use super::{CHECK_LEN, TAGGED_CID_LEN, is_about, seconds};
use crate::{ids::MemberId, noise::Psk, random::Random, time::UnixSeconds};

/// Length of a probe in bytes. Nothing else with a long header is as short.
pub const PROBE_LEN: usize = 1 + TAGGED_CID_LEN;

/// Length of what names the sender.
const SENDER_LEN: usize = 4;
/// Where the zero bytes begin that show that a block was made with the key.
const CHECK_AT: usize = TAGGED_CID_LEN - CHECK_LEN;

/// Who sent a probe: the beginning of its identity. Members may share one; the handshake that follows proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeSender([u8; SENDER_LEN]);

impl From<MemberId> for ProbeSender {
    fn from(member: MemberId) -> Self {
        let [a, b, c, d, ..] = member.0;
        Self([a, b, c, d])
    }
}

/// Makes and recognises the probes of those who know a meeting's key.
pub struct ProbeKey {
    seal: EncryptingKey,
    open: DecryptingKey,
}

impl ProbeKey {
    /// The key that follows from `psk`.
    #[must_use]
    pub fn new(psk: &Psk) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &psk.0);
        let mut block = Zeroizing::new([0; 32]);
        block.copy_from_slice(hmac::sign(&key, b"subrosa-silent-port-v1 probe").as_ref());
        let aes = || UnboundCipherKey::new(&AES_256, &block[..]).expect("32 bytes are an AES-256 key");
        Self {
            seal: EncryptingKey::ecb(aes()).expect("AES works on single blocks"),
            open: DecryptingKey::ecb(aes()).expect("AES works on single blocks"),
        }
    }

    /// A probe: a first byte with its first bit set, then AES-256(seconds(4) ‖ sender(4) ‖ random(2) ‖ zero(6)).
    #[must_use]
    pub fn seal(&self, unix: UnixSeconds, sender: ProbeSender, random: &mut Random) -> [u8; PROBE_LEN] {
        let [first, a, b] = random.bytes();
        let mut block = [0; TAGGED_CID_LEN];
        block[..4].copy_from_slice(&seconds(unix).to_be_bytes());
        block[4..8].copy_from_slice(&sender.0);
        block[8..CHECK_AT].copy_from_slice(&[a, b]);
        self.seal.encrypt(&mut block).expect("the input is one block");
        let mut probe = [0x80 | first; PROBE_LEN];
        probe[1..].copy_from_slice(&block);
        probe
    }

    /// Who sent `datagram`, if it is a probe under this key that was made not too long before or after `unix`.
    #[must_use]
    pub fn open(&self, unix: UnixSeconds, datagram: &[u8]) -> Option<ProbeSender> {
        let mut block = block(datagram)?;
        self.open.decrypt(&mut block, DecryptionContext::None).ok()?;
        constant_time::verify_slices_are_equal(&block[CHECK_AT..], &[0; CHECK_LEN]).ok()?;
        let [made @ .., _, _, _, _, _, _, _, _, _, _, _, _] = block;
        if !is_about(u32::from_be_bytes(made), unix) {
            return None;
        }
        let [_, _, _, _, sender @ .., _, _, _, _, _, _, _, _] = block;
        Some(ProbeSender(sender))
    }
}

/// The block of what may be a probe.
pub(super) fn block(datagram: &[u8]) -> Option<[u8; TAGGED_CID_LEN]> {
    let (first, block) = datagram.split_first()?;
    (first & 0x80 != 0).then(|| block.try_into().ok())?
}

impl std::fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::token::CLOCK_DIFFERENCE_MAX;

    const NOW: UnixSeconds = UnixSeconds(1_795_293_120);

    #[test]
    fn a_probe_names_its_sender_under_its_key_and_about_its_time_only() {
        let key = ProbeKey::new(&Psk([1; 32]));
        let sender = ProbeSender::from(MemberId([9; 32]));
        let mut random = Random::from_seed([3; 32]);
        let probe = key.seal(NOW, sender, &mut random);
        assert_eq!(key.open(NOW, &probe), Some(sender));
        assert_eq!(ProbeKey::new(&Psk([2; 32])).open(NOW, &probe), None);
        let late = UnixSeconds(NOW.0 + u64::from(CLOCK_DIFFERENCE_MAX) + 1);
        assert_eq!(key.open(late, &probe), None);
        assert_ne!(key.seal(NOW, sender, &mut random), probe, "no two are alike");
        for bit in 8..PROBE_LEN * 8 {
            let mut changed = probe;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(NOW, &changed), None);
        }
        assert_eq!(key.open(NOW, &probe[..16]), None);
        assert_eq!(key.open(NOW, &[&probe[..], &[0]].concat()), None);
        let mut short_header = probe;
        short_header[0] &= 0x7f;
        assert_eq!(key.open(NOW, &short_header), None);
    }

    #[test]
    fn ten_thousand_random_datagrams_are_no_probes() {
        let key = ProbeKey::new(&Psk([1; 32]));
        let mut random = Random::from_seed([9; 32]);
        assert!((0..10_000).all(|_| {
            let mut datagram: [u8; PROBE_LEN] = random.bytes();
            datagram[0] |= 0x80;
            key.open(NOW, &datagram).is_none()
        }));
    }
}
