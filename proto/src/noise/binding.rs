//! The binding of a Noise static key to an identity: what messages 2 and 3 carry.

use std::time::Duration;

use aws_lc_rs::digest;
use bincode::{Decode, Encode};

use super::{HandshakeError, Leg};
use crate::{
    identity::{self, Identity, Signature},
    time::UnixSeconds,
    wire::codec,
};

/// The signature's domain.
const DOMAIN: &str = "subrosa-nq-static-v1";

/// The longest validity that a verifier accepts.
pub const VALIDITY_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How far before and after the signer's time a binding is valid. Reason: together [`VALIDITY_MAX`], so that clocks may
/// differ by up to twelve hours.
const VALIDITY_HALF: Duration = Duration::from_secs(12 * 3_600);

/// What a binding is for: a signature made for one connection's kind and meeting means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The kind of connection.
    pub leg: Leg,
    /// SHA-256 of the meeting's id or of the relay's identity, as in the prologue.
    pub hash: [u8; 32],
}

impl Context {
    /// The context of `leg` for a meeting's id or a relay's identity.
    #[must_use]
    pub fn new(leg: Leg, id: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, id).as_ref());
        Self { leg, hash }
    }

    /// The handshake's prologue: `"subrosa-nq/1" ‖ version ‖ leg ‖ hash`.
    pub(super) fn prologue(&self, version: u32) -> Vec<u8> {
        [
            &b"subrosa-nq/1"[..],
            &version.to_be_bytes(),
            &[self.leg as u8],
            &self.hash,
        ]
        .concat()
    }
}

/// An identity's statement that it uses a Noise static key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IdentityBinding {
    /// The Ed25519 key that signs.
    pub identity: [u8; 32],
    /// Valid from here.
    pub not_before: UnixSeconds,
    /// Valid until here.
    pub not_after: UnixSeconds,
    /// Under the domain `subrosa-nq-static-v1`, over `leg ‖ hash ‖ x25519 ‖ not_before ‖ not_after`, integers 64-bit big-endian.
    pub signature: Signature,
}

impl IdentityBinding {
    /// Binds `static_key` to `identity` for the twelve hours around `now`.
    pub(super) fn sign(
        identity: &Identity,
        context: &Context,
        static_key: &[u8; 32],
        now: UnixSeconds,
    ) -> Self {
        let not_before = UnixSeconds(now.0.saturating_sub(VALIDITY_HALF.as_secs()));
        let not_after = now.after(VALIDITY_HALF);
        let statement = statement(context, static_key, not_before, not_after);
        Self {
            identity: identity.public(),
            not_before,
            not_after,
            signature: identity.sign(DOMAIN, &statement),
        }
    }

    /// Decodes the payload of message 3, which is one binding.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] for anything but one binding in canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandshakeError> {
        codec::decode(bytes).map_err(|_| HandshakeError::Malformed)
    }

    /// Verifies that the binding holds for `static_key` in `context` at `now`; gives the identity.
    ///
    /// # Errors
    /// [`HandshakeError::BindingExpired`] outside its validity, [`HandshakeError::BadBinding`] for a validity that is too long or a
    /// signature that does not hold.
    pub fn verify(
        &self,
        context: &Context,
        static_key: &[u8; 32],
        now: UnixSeconds,
    ) -> Result<[u8; 32], HandshakeError> {
        let validity = self
            .not_after
            .0
            .checked_sub(self.not_before.0)
            .ok_or(HandshakeError::BadBinding)?;
        if validity > VALIDITY_MAX.as_secs() {
            return Err(HandshakeError::BadBinding);
        }
        if now < self.not_before || now > self.not_after {
            return Err(HandshakeError::BindingExpired);
        }
        let statement = statement(context, static_key, self.not_before, self.not_after);
        identity::verify(&self.identity, DOMAIN, &statement, &self.signature)
            .map_err(|_| HandshakeError::BadBinding)?;
        Ok(self.identity)
    }
}

fn statement(
    context: &Context,
    static_key: &[u8; 32],
    not_before: UnixSeconds,
    not_after: UnixSeconds,
) -> Vec<u8> {
    [
        &[context.leg as u8][..],
        &context.hash,
        static_key,
        &not_before.0.to_be_bytes(),
        &not_after.0.to_be_bytes(),
    ]
    .concat()
}

/// The payload of message 2.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ResponderPayload {
    /// The responder's identity.
    pub binding: IdentityBinding,
    /// QUIC transport parameters (RFC 9000 §18); empty in envelopes.
    pub transport_parameters: Vec<u8>,
}

impl ResponderPayload {
    /// Decodes the payload of message 2.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] for anything but one payload in canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandshakeError> {
        codec::decode(bytes).map_err(|_| HandshakeError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_293_120);

    fn binding() -> (IdentityBinding, Context) {
        let context = Context::new(Leg::Member, b"meeting");
        let identity = Identity::from_seed(&[3; 32]);
        (IdentityBinding::sign(&identity, &context, &[7; 32], NOW), context)
    }

    #[test]
    fn a_binding_holds_for_its_key_context_and_time_only() {
        let (binding, context) = binding();
        let own = Identity::from_seed(&[3; 32]).public();
        assert_eq!(binding.verify(&context, &[7; 32], NOW), Ok(own));
        assert_eq!(
            binding.verify(&context, &[8; 32], NOW),
            Err(HandshakeError::BadBinding)
        );
        for other in [
            Context::new(Leg::Envelope, b"meeting"),
            Context::new(Leg::Member, b"other"),
        ] {
            assert_eq!(
                binding.verify(&other, &[7; 32], NOW),
                Err(HandshakeError::BadBinding)
            );
        }
        let late = NOW.after(Duration::from_secs(12 * 3_600 + 1));
        assert_eq!(
            binding.verify(&context, &[7; 32], late),
            Err(HandshakeError::BindingExpired)
        );
        let early = UnixSeconds(NOW.0 - 12 * 3_600 - 1);
        assert_eq!(
            binding.verify(&context, &[7; 32], early),
            Err(HandshakeError::BindingExpired)
        );
    }

    #[test]
    fn a_validity_beyond_a_day_is_refused_though_signed() {
        let context = Context::new(Leg::Member, b"meeting");
        let identity = Identity::from_seed(&[3; 32]);
        let (from, to) = (NOW, NOW.after(Duration::from_secs(24 * 3_600 + 1)));
        let binding = IdentityBinding {
            identity: identity.public(),
            not_before: from,
            not_after: to,
            signature: identity.sign(DOMAIN, &statement(&context, &[7; 32], from, to)),
        };
        assert_eq!(
            binding.verify(&context, &[7; 32], NOW),
            Err(HandshakeError::BadBinding)
        );
    }

    #[test]
    fn payloads_round_trip() {
        let (binding, _) = binding();
        assert_eq!(
            IdentityBinding::decode(&codec::encode(&binding)),
            Ok(binding.clone())
        );
        let payload = ResponderPayload {
            binding,
            transport_parameters: vec![1, 2, 3],
        };
        assert_eq!(ResponderPayload::decode(&codec::encode(&payload)), Ok(payload));
    }

    proptest! {
        #[test]
        fn what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(binding) = IdentityBinding::decode(&bytes) {
                prop_assert_eq!(codec::encode(&binding), bytes.clone());
            }
            if let Ok(payload) = ResponderPayload::decode(&bytes) {
                prop_assert_eq!(codec::encode(&payload), bytes);
            }
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0_usize..800) {
            let (binding, context) = binding();
            let mut bytes = codec::encode(&binding);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(binding) = IdentityBinding::decode(&bytes) {
                prop_assert!(binding.verify(&context, &[7; 32], NOW).is_err());
            }
        }
    }
}
