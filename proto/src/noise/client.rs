//! Dialling: configurations for outgoing connections.

use std::sync::{Arc, Mutex, PoisonError};

use quinn_proto::{
    ClientConfig, ConnectError, NoneTokenStore,
    crypto::{self, Session},
    transport_parameters::TransportParameters,
};

use super::{
    Clock, HandshakeError, Leg, Psk, QUIC_VERSION,
    ack_delay::with_client_ack_delay,
    binding::Context,
    exchange::{Dial, InitiatorExchange},
    key_schedule::{Level, Role},
    session::{Exchange, Finished, Flight, NoiseSession, Received, encode_parameters},
    token,
};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, RelayId},
    random::Random,
};

/// What is needed to dial a member.
pub struct MemberDial {
    /// Who we are.
    pub identity: Identity,
    /// The meeting that both belong to; part of the prologue.
    pub meeting: MeetingId,
    /// The meeting's key.
    pub psk: Psk,
    /// Whom we expect; `None` accepts anybody who knows the key (the caller then looks at `peer_identity`).
    pub expected: Option<MemberId>,
    /// Wall-clock time, for tags and the validity of identity bindings.
    pub clock: Clock,
    /// For ephemeral keys and connection ids.
    pub random: Random,
}

/// What is needed to dial a relay.
pub struct RelayDial {
    /// The relay's identity; its binding must be signed by it.
    pub relay: RelayId,
    /// The relay's static X25519 key, from its descriptor.
    pub static_key: [u8; 32],
    /// Who we are to this relay: a fresh identity per (meeting, relay).
    pub identity: Identity,
    /// Wall-clock time, for the validity of identity bindings.
    pub clock: Clock,
    /// For ephemeral keys and connection ids.
    pub random: Random,
}

/// A configuration that dials one member, once or several times. The transport configuration is quinn's default; the
/// driver sets its own.
#[must_use]
pub fn member(dial: MemberDial) -> ClientConfig {
    let mut tags = dial.random;
    let random = tags.fork("handshakes");
    let (psk, clock) = (dial.psk.clone(), Arc::clone(&dial.clock));
    let tags = Mutex::new(tags);
    let mut config = configure(DialConfig {
        identity: dial.identity,
        context: Context::new(Leg::Member, &dial.meeting.0),
        psk: Some(dial.psk),
        remote_static: None,
        expected: dial.expected.map(|member| member.0),
        clock: dial.clock,
        random: Mutex::new(random),
    });
    config.initial_dst_cid_provider(Arc::new(move || {
        let mut tags = tags.lock().unwrap_or_else(PoisonError::into_inner);
        token::initial_dst_cid(&psk, clock(), &mut tags)
    }));
    config
}

/// A configuration that dials one relay.
#[must_use]
pub fn relay(dial: RelayDial) -> ClientConfig {
    let mut cids = dial.random;
    let random = cids.fork("handshakes");
    let cids = Mutex::new(cids);
    let mut config = configure(DialConfig {
        identity: dial.identity,
        context: Context::new(Leg::Relay, &dial.relay.0),
        psk: None,
        remote_static: Some(dial.static_key),
        expected: Some(dial.relay.0),
        clock: dial.clock,
        random: Mutex::new(random),
    });
    config.initial_dst_cid_provider(Arc::new(move || {
        let mut cids = cids.lock().unwrap_or_else(PoisonError::into_inner);
        token::untagged_dst_cid(&mut cids)
    }));
    config
}

fn configure(dial: DialConfig) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(dial));
    config.version(QUIC_VERSION).token_store(Arc::new(NoneTokenStore));
    config
}

struct DialConfig {
    identity: Identity,
    context: Context,
    psk: Option<Psk>,
    remote_static: Option<[u8; 32]>,
    expected: Option<[u8; 32]>,
    clock: Clock,
    random: Mutex<Random>,
}

impl crypto::ClientConfig for DialConfig {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        _server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        if version != QUIC_VERSION {
            return Err(ConnectError::UnsupportedVersion);
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let dial = Dial {
            identity: &self.identity,
            context: self.context,
            version,
            psk: self.psk.as_ref(),
            remote_static: self.remote_static.as_ref(),
            expected: self.expected,
        };
        let mut parameters = encode_parameters(params);
        if self.context.leg == Leg::Relay {
            parameters = with_client_ack_delay(parameters);
        }
        let (exchange, m1) = InitiatorExchange::start(&dial, &parameters, &mut random)
            .map_err(|error| ConnectError::InvalidServerName(error.to_string()))?;
        let exchange = Client {
            exchange: Some(exchange),
            clock: Arc::clone(&self.clock),
        };
        let psk = self.psk.as_ref().map(Psk::id);
        let mut session = NoiseSession::new(Role::Initiator, self.context.leg, psk, Box::new(exchange));
        session.flights.push_back(Flight {
            message: Some(m1),
            keys: None,
        });
        Ok(Box::new(session))
    }
}

struct Client {
    exchange: Option<InitiatorExchange>,
    clock: Clock,
}

impl Exchange for Client {
    fn receive(&mut self, message: &[u8]) -> Result<Received, HandshakeError> {
        let exchange = self.exchange.take().ok_or(HandshakeError::Malformed)?;
        let answered = exchange.answer(message, (self.clock)())?;
        Ok(Received {
            transport_parameters: Some(answered.transport_parameters),
            flights: vec![Flight {
                message: None,
                keys: Some((Level::Handshake, answered.handshake_prk)),
            }],
            after_confirmation: vec![Flight {
                message: Some(answered.m3),
                keys: Some((Level::Data, answered.final_prk)),
            }],
            finished: Some(Finished {
                peer: answered.peer,
                confirmation_due: true,
            }),
            accept_key: None,
        })
    }
}
