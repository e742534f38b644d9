//! From the handshake's secrets to keys (`proto/spec/noise-quic.md`, Key schedule).

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::handshake::Split;

/// The first part of each label.
const PREFIX: &[u8] = b"subrosa-nq/1 ";

/// The most bytes that one export gives: HKDF-SHA-256's limit, 255 × 32 (RFC 5869 §2.3).
pub const EXPORT_BYTES_MAX: usize = 255 * 32;

/// The level of protection that keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Initial,
    Handshake,
    Data,
    Envelope,
}

impl Level {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Initial => b"initial ",
            Self::Handshake => b"hs ",
            Self::Data => b"1rtt ",
            Self::Envelope => b"envelope ",
        }
    }
}

/// The side that sends under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

impl Role {
    pub(super) const fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Initiator => b"initiator ",
            Self::Responder => b"responder ",
        }
    }
}

/// Any number of bytes, as `hkdf` wants to be told.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The secrets after a message: HKDF-Extract with the transcript hash as salt over both of Noise's keys.
pub(super) fn extract(split: &Split) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, &split.hash).extract(&split.keys[..])
}

fn expand_into(prk: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) {
    prk.expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("lengths are within HKDF's limit");
}

/// HKDF-Expand with `PREFIX ‖ level ‖ role ‖ kind`.
pub(super) fn expand<const N: usize>(
    prk: &hkdf::Prk,
    level: Level,
    role: Role,
    kind: &[u8],
) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    expand_into(prk, &[PREFIX, level.label(), role.label(), kind], &mut out[..]);
    out
}

/// The secret that a direction's key updates start from, and after each, what the next starts from.
pub(super) struct UpdateSecret(Zeroizing<[u8; 32]>);

impl UpdateSecret {
    pub(super) fn first(prk: &hkdf::Prk, role: Role) -> Self {
        Self(expand(prk, Level::Data, role, b"ku"))
    }

    /// The next key and IV of this direction. The secret that they come from is erased.
    pub(super) fn advance(&mut self) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 12]>) {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.0[..]);
        let (mut next, mut key, mut iv) = (
            Zeroizing::new([0; 32]),
            Zeroizing::new([0; 32]),
            Zeroizing::new([0; 12]),
        );
        expand_into(&prk, &[PREFIX, b"ku next"], &mut next[..]);
        expand_into(&prk, &[PREFIX, b"ku key"], &mut key[..]);
        expand_into(&prk, &[PREFIX, b"ku iv"], &mut iv[..]);
        self.0 = next;
        (key, iv)
    }
}

/// The exporter: keying material that both sides derive alike and nobody else can.
pub(super) struct Exporter(hkdf::Prk);

impl Exporter {
    pub(super) fn new(prk: &hkdf::Prk) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        expand_into(prk, &[PREFIX, b"exporter"], &mut secret[..]);
        Self(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &secret[..]))
    }

    /// Fills `out`; `false` if it is longer than [`EXPORT_BYTES_MAX`].
    #[must_use]
    pub(super) fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> bool {
        if out.len() > EXPORT_BYTES_MAX {
            return false;
        }
        // The lengths keep (label, context) from running into one another.
        let (label_len, context_len) = (
            (label.len() as u64).to_be_bytes(),
            (context.len() as u64).to_be_bytes(),
        );
        let info = [PREFIX, b"export ", &label_len, label, &context_len, context];
        expand_into(&self.0, &info, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_separate_keys() {
        let split = Split {
            keys: Zeroizing::new([1; 64]),
            hash: [2; 32],
        };
        let prk = extract(&split);
        let mut seen = std::collections::BTreeSet::new();
        for level in [Level::Initial, Level::Handshake, Level::Data, Level::Envelope] {
            for role in [Role::Initiator, Role::Responder] {
                for kind in [&b"key"[..], b"hp", b"iv"] {
                    assert!(seen.insert(*expand::<32>(&prk, level, role, kind)));
                }
            }
        }
        let mut updates = UpdateSecret::first(&prk, Role::Initiator);
        assert!(seen.insert(*updates.advance().0));
        assert!(seen.insert(*updates.advance().0));
    }

    #[test]
    fn the_exporter_separates_label_from_context_and_is_bounded() {
        let split = Split {
            keys: Zeroizing::new([1; 64]),
            hash: [2; 32],
        };
        let exporter = Exporter::new(&extract(&split));
        let (mut a, mut b) = ([0; 16], [0; 16]);
        assert!(exporter.export(b"ab", b"c", &mut a));
        assert!(exporter.export(b"a", b"bc", &mut b));
        assert_ne!(a, b);
        assert!(exporter.export(b"", b"", &mut vec![0; EXPORT_BYTES_MAX]));
        assert!(!exporter.export(b"", b"", &mut vec![0; EXPORT_BYTES_MAX + 1]));
    }
}
