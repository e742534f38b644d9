//! An established pairwise channel: explicit counters, because a carrier may lose, reorder and repeat envelopes.

use aws_lc_rs::{aead, hkdf};

use super::{PairwiseError, replay_window::ReplayWindow};
use crate::noise::{
    key_schedule::{Exporter, Level, Role, expand},
    packet_protection::PacketKey,
};

/// Length of the counter before each sealed message, in bytes.
const COUNTER_LEN: usize = 8;
/// Length of an AES-GCM tag in bytes.
const TAG_LEN: usize = 16;

/// What sealing adds to a message, in bytes.
pub const OVERHEAD_BYTES: usize = COUNTER_LEN + TAG_LEN;

/// The longest message that a session seals, in bytes. Reason: with the overhead and a kind byte it fits a relay's envelope of
/// 16 KiB.
pub const PLAINTEXT_BYTES_MAX: usize = 16 * 1024 - 64;

/// Messages that a session seals. Reason: AES-GCM's limit for packets of up to 16 KiB (RFC 9001 §6.6, appendix B).
const MESSAGES_MAX: u64 = 1 << 23;

/// An established channel. Messages may be lost, reordered and repeated by the carrier.
pub struct Session {
    sealing: PacketKey,
    opening: PacketKey,
    next: u64,
    received: ReplayWindow,
    exporter: Exporter,
}

impl Session {
    pub(super) fn new(prk: &hkdf::Prk, local: Role) -> Self {
        let key = |role| {
            PacketKey::new(
                &expand(prk, Level::Envelope, role, b"key"),
                &expand(prk, Level::Envelope, role, b"iv"),
            )
        };
        Self {
            sealing: key(local),
            opening: key(local.peer()),
            next: 0,
            received: ReplayWindow::new(),
            exporter: Exporter::new(prk),
        }
    }

    /// Seals one message: `counter(8) ‖ ciphertext ‖ tag(16)`.
    ///
    /// # Errors
    /// [`PairwiseError::TooLong`] beyond [`PLAINTEXT_BYTES_MAX`]; [`PairwiseError::Exhausted`] after 2²³ messages, when a
    /// new handshake is due.
    pub fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, PairwiseError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(PairwiseError::TooLong);
        }
        if self.next >= MESSAGES_MAX {
            return Err(PairwiseError::Exhausted);
        }
        let counter = self.next.to_be_bytes();
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(&counter);
        sealed.extend_from_slice(plaintext);
        let tag = self
            .sealing
            .aead()
            .seal_in_place_separate_tag(
                self.sealing.nonce(self.next),
                aead::Aad::from(counter),
                &mut sealed[COUNTER_LEN..],
            )
            .map_err(|_| PairwiseError::TooLong)?;
        sealed.extend_from_slice(tag.as_ref());
        self.next += 1;
        Ok(sealed)
    }

    /// Opens one message, each only once.
    ///
    /// # Errors
    /// [`PairwiseError::Decrypt`] if it is not authentic, [`PairwiseError::Replay`] if it was opened before or is more than
    /// 1,024 behind the newest.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, PairwiseError> {
        let (counter, text) = sealed
            .split_first_chunk::<COUNTER_LEN>()
            .ok_or(PairwiseError::Decrypt)?;
        if text.len() > PLAINTEXT_BYTES_MAX + TAG_LEN {
            return Err(PairwiseError::TooLong);
        }
        let number = u64::from_be_bytes(*counter);
        if number >= MESSAGES_MAX {
            return Err(PairwiseError::Decrypt);
        }
        if !self.received.is_fresh(number) {
            return Err(PairwiseError::Replay);
        }
        let mut text = text.to_vec();
        let plain_len = self
            .opening
            .aead()
            .open_in_place(self.opening.nonce(number), aead::Aad::from(*counter), &mut text)
            .map_err(|_| PairwiseError::Decrypt)?
            .len();
        text.truncate(plain_len);
        self.received.accept(number);
        Ok(text)
    }

    /// Whether keys are nearly used up and a new handshake should be started.
    #[must_use]
    pub const fn is_nearly_exhausted(&self) -> bool {
        self.next >= MESSAGES_MAX - MESSAGES_MAX / 16
    }

    /// Keying material that both sides derive alike and nobody else can.
    ///
    /// # Errors
    /// [`PairwiseError::TooLong`] beyond 8,160 bytes.
    pub fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<(), PairwiseError> {
        if self.exporter.export(label, context, out) {
            Ok(())
        } else {
            Err(PairwiseError::TooLong)
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("sent", &self.next)
            .finish_non_exhaustive()
    }
}
