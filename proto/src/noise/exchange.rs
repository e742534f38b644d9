//! The three messages with what we put into them, the same for QUIC and for envelopes.

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::{
    ACCEPT_KEYS_MAX, HandshakeError, Leg, Psk,
    binding::{Context, IdentityBinding, ResponderPayload},
    handshake::{Handshake, Setup},
    key_schedule::extract,
    resolver::x25519_public,
};
use crate::{identity::Identity, ids::MeetingId, random::Random, time::UnixSeconds, wire::codec};

/// What an initiator knows before it starts.
pub(super) struct Dial<'a> {
    pub(super) identity: &'a Identity,
    pub(super) context: Context,
    pub(super) version: u32,
    pub(super) psk: Option<&'a Psk>,
    pub(super) remote_static: Option<&'a [u8; 32]>,
    /// Whom it wants to reach, if it knows.
    pub(super) expected: Option<[u8; 32]>,
}

/// A handshake after message 1, on the initiator's side.
pub(super) struct InitiatorExchange {
    handshake: Handshake,
    identity: Identity,
    context: Context,
    static_public: [u8; 32],
    expected: Option<[u8; 32]>,
}

/// What message 2 gave to the initiator.
pub(super) struct Answered {
    /// The secrets of the handshake level.
    pub(super) handshake_prk: hkdf::Prk,
    /// The secrets after message 3.
    pub(super) final_prk: hkdf::Prk,
    pub(super) m3: Vec<u8>,
    pub(super) peer: [u8; 32],
    pub(super) transport_parameters: Vec<u8>,
}

impl InitiatorExchange {
    /// Starts; gives message 1 with `payload`. Fails only if `remote_static` is a point of small order.
    pub(super) fn start(
        dial: &Dial<'_>,
        payload: &[u8],
        random: &mut Random,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        // A static key per handshake: what it costs is below the noise, and there is none to steal later.
        let static_secret = Zeroizing::new(random.bytes::<32>());
        let mut handshake = Handshake::new(
            &Setup {
                leg: dial.context.leg,
                initiator: true,
                static_secret: &static_secret,
                remote_static: dial.remote_static,
                psk: dial.psk,
                prologue: &dial.context.prologue(dial.version),
            },
            random,
        );
        let m1 = handshake.write(payload)?;
        let exchange = Self {
            handshake,
            identity: dial.identity.clone(),
            context: dial.context,
            static_public: x25519_public(&static_secret),
            expected: dial.expected,
        };
        Ok((exchange, m1))
    }

    /// Reads message 2 and writes message 3.
    pub(super) fn answer(mut self, m2: &[u8], now: UnixSeconds) -> Result<Answered, HandshakeError> {
        let payload = ResponderPayload::decode(&self.handshake.read(m2)?)?;
        let remote_static = self.handshake.remote_static().ok_or(HandshakeError::Malformed)?;
        let peer = payload.binding.verify(&self.context, &remote_static, now)?;
        if self.expected.is_some_and(|expected| expected != peer) {
            return Err(HandshakeError::WrongIdentity);
        }
        let handshake_prk = extract(&self.handshake.split()?);
        let binding = IdentityBinding::sign(&self.identity, &self.context, &self.static_public, now);
        let m3 = self.handshake.write(&codec::encode(&binding))?;
        let final_prk = extract(&self.handshake.split()?);
        Ok(Answered {
            handshake_prk,
            final_prk,
            m3,
            peer,
            transport_parameters: payload.transport_parameters,
        })
    }
}

/// What a responder knows before it is called.
pub(super) enum Accept<'a> {
    /// Members of these meetings, on this leg.
    Members(Leg, &'a [(MeetingId, Psk)]),
    /// Anybody, with the static key that the relay's descriptor names.
    Anybody(&'a Zeroizing<[u8; 32]>),
}

/// A handshake after message 1 was read, on the responder's side.
pub(super) struct ResponderExchange {
    handshake: Handshake,
    context: Context,
    static_public: [u8; 32],
    /// The payload of message 1.
    pub(super) payload: Zeroizing<Vec<u8>>,
    /// The index of the key that fitted.
    pub(super) accept_key: Option<usize>,
}

impl ResponderExchange {
    /// Reads message 1. With several keys each is tried: a wrong one fails at the first tag, before any public-key
    /// operation.
    pub(super) fn read(
        accept: &Accept<'_>,
        identity: &Identity,
        version: u32,
        m1: &[u8],
        random: &mut Random,
    ) -> Result<Self, HandshakeError> {
        let (leg, keys, static_secret) = match accept {
            Accept::Members(leg, keys) => (*leg, *keys, Zeroizing::new(random.bytes::<32>())),
            Accept::Anybody(secret) => {
                let context = Context::new(Leg::Relay, &identity.public());
                return Self::try_read(context, version, secret, None, m1, random);
            }
        };
        let mut error = HandshakeError::Decrypt;
        for (index, (meeting, psk)) in keys.iter().take(ACCEPT_KEYS_MAX).enumerate() {
            let context = Context::new(leg, &meeting.0);
            match Self::try_read(context, version, &static_secret, Some(psk), m1, random) {
                Ok(exchange) => {
                    return Ok(Self {
                        accept_key: Some(index),
                        ..exchange
                    });
                }
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    fn try_read(
        context: Context,
        version: u32,
        static_secret: &[u8; 32],
        psk: Option<&Psk>,
        m1: &[u8],
        random: &mut Random,
    ) -> Result<Self, HandshakeError> {
        let mut handshake = Handshake::new(
            &Setup {
                leg: context.leg,
                initiator: false,
                static_secret,
                remote_static: None,
                psk,
                prologue: &context.prologue(version),
            },
            random,
        );
        let payload = handshake.read(m1)?;
        Ok(Self {
            handshake,
            context,
            static_public: x25519_public(static_secret),
            payload,
            accept_key: None,
        })
    }

    /// Writes message 2; gives the secrets of the handshake level with it.
    pub(super) fn answer(
        &mut self,
        identity: &Identity,
        transport_parameters: Vec<u8>,
        now: UnixSeconds,
    ) -> Result<(Vec<u8>, hkdf::Prk), HandshakeError> {
        let payload = ResponderPayload {
            binding: IdentityBinding::sign(identity, &self.context, &self.static_public, now),
            transport_parameters,
        };
        let m2 = self.handshake.write(&codec::encode(&payload))?;
        Ok((m2, extract(&self.handshake.split()?)))
    }

    /// Reads message 3; gives the peer and the final secrets.
    pub(super) fn finish(
        mut self,
        m3: &[u8],
        now: UnixSeconds,
    ) -> Result<([u8; 32], hkdf::Prk), HandshakeError> {
        let binding = IdentityBinding::decode(&self.handshake.read(m3)?)?;
        let remote_static = self.handshake.remote_static().ok_or(HandshakeError::Malformed)?;
        let peer = binding.verify(&self.context, &remote_static, now)?;
        Ok((peer, extract(&self.handshake.split()?)))
    }
}
