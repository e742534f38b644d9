//! Protection of QUIC packets: AES-256-GCM, and AES for headers (RFC 9001 §5.3, §5.4, with our keys).

use aws_lc_rs::{aead, hkdf};
use bytes::BytesMut;
use quinn_proto::crypto::{self, CryptoError, KeyPair, Keys};

use super::key_schedule::{Level, Role, expand};

/// Length of an AES-GCM tag in bytes.
const TAG_LEN: usize = 16;

/// Packets that may be sent under one key (RFC 9001 §6.6). quinn updates the key a little before.
const CONFIDENTIALITY_LIMIT: u64 = 1 << 23;

/// Packets that may fail to open before the connection must end (RFC 9001 §6.6).
const INTEGRITY_LIMIT: u64 = 1 << 52;

/// All keys of `level`, for the side `local`.
pub(super) fn keys(prk: &hkdf::Prk, level: Level, local: Role) -> Keys {
    let header = |role| -> Box<dyn crypto::HeaderKey> {
        Box::new(HeaderKey::new(&expand::<32>(prk, level, role, b"hp")))
    };
    let packet = |role| -> Box<dyn crypto::PacketKey> {
        let key = expand::<32>(prk, level, role, b"key");
        let iv = expand::<12>(prk, level, role, b"iv");
        Box::new(PacketKey::new(&key, &iv))
    };
    Keys {
        header: KeyPair {
            local: header(local),
            remote: header(local.peer()),
        },
        packet: KeyPair {
            local: packet(local),
            remote: packet(local.peer()),
        },
    }
}

/// One direction's AEAD key and IV.
pub(super) struct PacketKey {
    key: aead::LessSafeKey,
    iv: [u8; aead::NONCE_LEN],
}

impl PacketKey {
    pub(super) fn new(key: &[u8; 32], iv: &[u8; 12]) -> Self {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes are an AES-256 key");
        Self {
            key: aead::LessSafeKey::new(key),
            iv: *iv,
        }
    }

    /// The IV with the packet number added into its last 8 bytes (RFC 9001 §5.3).
    pub(super) fn nonce(&self, number: u64) -> aead::Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        aead::Nonce::assume_unique_for_key(nonce)
    }

    pub(super) fn aead(&self) -> &aead::LessSafeKey {
        &self.key
    }
}

impl crypto::PacketKey for PacketKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let (header, rest) = buf.split_at_mut(header_len);
        let (payload, tag_out) = rest.split_at_mut(rest.len() - TAG_LEN);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(packet), aead::Aad::from(&*header), payload)
            .expect("a packet is far below AES-GCM's limit");
        tag_out.copy_from_slice(tag.as_ref());
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let plain_len = self
            .key
            .open_in_place(self.nonce(packet), aead::Aad::from(header), payload)
            .map_err(|_| CryptoError)?
            .len();
        payload.truncate(plain_len);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn confidentiality_limit(&self) -> u64 {
        CONFIDENTIALITY_LIMIT
    }

    fn integrity_limit(&self) -> u64 {
        INTEGRITY_LIMIT
    }
}

/// One direction's header-protection key.
struct HeaderKey(aead::quic::HeaderProtectionKey);

impl HeaderKey {
    fn new(key: &[u8; 32]) -> Self {
        let key = aead::quic::HeaderProtectionKey::new(&aead::quic::AES_256, key)
            .expect("32 bytes are an AES-256 key");
        Self(key)
    }

    /// The mask for `packet`. quinn gives us only packets that are long enough to sample.
    fn mask(&self, pn_offset: usize, packet: &[u8]) -> [u8; 5] {
        // The sample starts where a packet number of four bytes would end (RFC 9001 §5.4.2).
        let start = pn_offset + 4;
        self.0
            .new_mask(&packet[start..start + self.0.algorithm().sample_len()])
            .expect("the sample has the algorithm's length")
    }
}

/// The bits of a first byte that are masked: four of a long header's, five of a short one's (RFC 9001 §5.4.1).
const fn masked_bits(first: u8) -> u8 {
    if first & 0x80 == 0 { 0x1f } else { 0x0f }
}

fn apply(mask: [u8; 5], number: &mut [u8], first: u8) {
    let number_len = usize::from(first & 0x03) + 1;
    for (byte, mask) in number.iter_mut().take(number_len).zip(&mask[1..]) {
        *byte ^= mask;
    }
}

impl crypto::HeaderKey for HeaderKey {
    fn decrypt(&self, pn_offset: usize, packet: &mut [u8]) {
        let mask = self.mask(pn_offset, packet);
        packet[0] ^= mask[0] & masked_bits(packet[0]);
        let first = packet[0];
        apply(mask, &mut packet[pn_offset..], first);
    }

    fn encrypt(&self, pn_offset: usize, packet: &mut [u8]) {
        let mask = self.mask(pn_offset, packet);
        let first = packet[0];
        apply(mask, &mut packet[pn_offset..], first);
        packet[0] ^= mask[0] & masked_bits(first);
    }

    fn sample_size(&self) -> usize {
        self.0.algorithm().sample_len()
    }
}

#[cfg(test)]
mod tests {
    use quinn_proto::crypto::{HeaderKey as _, PacketKey as _};

    use super::*;

    #[test]
    fn packets_open_unless_changed() {
        let key = PacketKey::new(&[1; 32], &[2; 12]);
        let mut packet = b"headerpayload".to_vec();
        packet.resize(packet.len() + TAG_LEN, 0);
        key.encrypt(7, &mut packet, 6);
        let mut payload = BytesMut::from(&packet[6..]);
        key.decrypt(7, b"header", &mut payload).unwrap();
        assert_eq!(&payload[..], b"payload");
        for (number, header) in [(8, b"header"), (7, b"Header")] {
            let mut payload = BytesMut::from(&packet[6..]);
            assert!(key.decrypt(number, header, &mut payload).is_err());
        }
    }

    #[test]
    fn header_protection_undoes_itself() {
        let key = HeaderKey::new(&[1; 32]);
        for first in [0xc3_u8, 0xc0, 0x43, 0x40] {
            let mut packet: Vec<u8> = (0..40).collect();
            packet[0] = first;
            let before = packet.clone();
            key.encrypt(9, &mut packet);
            assert_ne!(packet, before);
            key.decrypt(9, &mut packet);
            assert_eq!(packet, before);
        }
    }
}
