//! snow's handshake state behind a door that closes its traps (`proto/spec/noise-quic.md`, Traps).

use snow::{Builder, HandshakeState, params::NoiseParams};
use zeroize::{Zeroize, Zeroizing};

use super::{HandshakeError, Leg, Psk, resolver::Resolver};
use crate::random::Random;

/// The longest Noise message (Noise §3). Every buffer that snow writes to has this length: with buffers a little
/// shorter than a message (1,184–1,231 bytes for message 1) it panics instead of refusing.
pub(super) const NOISE_BYTES_MAX: usize = 65_535;

/// The protocol of the member leg and of envelopes.
pub(super) const MEMBER_PROTOCOL: &str = "Noise_XXhfs+psk0_25519+MLKEM768_AESGCM_SHA256";
/// The protocol of the relay leg.
pub(super) const RELAY_PROTOCOL: &str = "Noise_XKhfs_25519+MLKEM768_AESGCM_SHA256";

/// The parameters of `leg`. snow cannot parse our KEM's name: it gets one that it knows, so that it builds the right
/// pattern, and then the name that goes into the transcript is set to ours. The KEM itself comes from the resolver.
fn params(leg: Leg) -> NoiseParams {
    let (known, ours) = match leg {
        Leg::Member | Leg::Envelope => ("Noise_XXhfs+psk0_25519+Kyber1024_AESGCM_SHA256", MEMBER_PROTOCOL),
        Leg::Relay => ("Noise_XKhfs_25519+Kyber1024_AESGCM_SHA256", RELAY_PROTOCOL),
    };
    let mut params: NoiseParams = known.parse().expect("snow knows this pattern");
    ours.clone_into(&mut params.name);
    params
}

/// What a handshake starts from.
pub(super) struct Setup<'a> {
    pub(super) leg: Leg,
    pub(super) initiator: bool,
    pub(super) static_secret: &'a [u8; 32],
    /// Known beforehand by the initiator of the relay leg only.
    pub(super) remote_static: Option<&'a [u8; 32]>,
    /// On all legs but the relay's.
    pub(super) psk: Option<&'a Psk>,
    pub(super) prologue: &'a [u8],
}

/// A handshake under way. The first failure ends it: snow restores only part of its state after one.
pub(super) struct Handshake {
    state: Option<Box<HandshakeState>>,
    /// Taken from snow only after the message that carries it was authentic: snow shows it earlier.
    remote_static: Option<[u8; 32]>,
}

/// The two keys and the transcript hash after a message (Noise §5.2, `Split`).
pub(super) struct Split {
    /// k1 ‖ k2.
    pub(super) keys: Zeroizing<[u8; 64]>,
    pub(super) hash: [u8; 32],
}

impl Handshake {
    pub(super) fn new(setup: &Setup<'_>, random: &mut Random) -> Self {
        let mut build = || -> Result<HandshakeState, snow::Error> {
            let mut builder = Builder::with_resolver(params(setup.leg), Box::new(Resolver::new(random)))
                .prologue(setup.prologue)?
                .local_private_key(setup.static_secret)?;
            if let Some(psk) = setup.psk {
                builder = builder.psk(0, &psk.0)?;
            }
            if let Some(key) = setup.remote_static {
                builder = builder.remote_public_key(key)?;
            }
            if setup.initiator {
                builder.build_initiator()
            } else {
                builder.build_responder()
            }
        };
        let state = build().expect("each leg's setup has the keys that its pattern needs");
        Self {
            state: Some(Box::new(state)),
            remote_static: None,
        }
    }

    /// Writes the message that is due.
    pub(super) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut state = self.state.take().ok_or(HandshakeError::Malformed)?;
        let mut buffer = vec![0; NOISE_BYTES_MAX];
        let written = state.write_message(payload, &mut buffer).map_err(refused)?;
        self.state = Some(state);
        Ok(buffer[..written].to_vec())
    }

    /// Reads the message that is due; gives its payload.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, HandshakeError> {
        let mut state = self.state.take().ok_or(HandshakeError::Malformed)?;
        // Erased only as far as it was written: erasing all of it costs ten times what a wrong key does.
        let mut buffer = vec![0; NOISE_BYTES_MAX];
        let read = state.read_message(message, &mut buffer).map_err(refused)?;
        self.remote_static = state.get_remote_static().and_then(|key| key.try_into().ok());
        self.state = Some(state);
        let payload = Zeroizing::new(buffer[..read].to_vec());
        buffer[..read].zeroize();
        Ok(payload)
    }

    /// The peer's static key, once a message that authenticates it has been read.
    pub(super) fn remote_static(&self) -> Option<[u8; 32]> {
        self.state.as_ref().and(self.remote_static)
    }

    /// The keys at this point of the handshake. We use snow for the handshake only, never its transport state, so no
    /// key is used twice.
    pub(super) fn split(&mut self) -> Result<Split, HandshakeError> {
        let state = self.state.as_mut().ok_or(HandshakeError::Malformed)?;
        let (k1, k2) = state.dangerously_get_raw_split();
        let (k1, k2) = (Zeroizing::new(k1), Zeroizing::new(k2));
        let mut keys = Zeroizing::new([0; 64]);
        keys[..32].copy_from_slice(&k1[..]);
        keys[32..].copy_from_slice(&k2[..]);
        let mut hash = [0; 32];
        hash.copy_from_slice(state.get_handshake_hash());
        Ok(Split { keys, hash })
    }
}

// By value, as `map_err` passes it.
#[allow(clippy::needless_pass_by_value)]
fn refused(error: snow::Error) -> HandshakeError {
    match error {
        // A low-order ephemeral or an unreduced KEM key is authentic or not, but never honest.
        snow::Error::Decrypt | snow::Error::Dh | snow::Error::Kem => HandshakeError::Decrypt,
        _ => HandshakeError::Malformed,
    }
}

#[cfg(test)]
#[path = "handshake/tests.rs"]
mod tests;
