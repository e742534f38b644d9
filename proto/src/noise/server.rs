//! Accepting: configurations for incoming connections.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use quinn_proto::{
    ConnectionId, NoneTokenLog, ServerConfig, TimeSource, ValidationTokenConfig,
    crypto::{self, Keys, Session, UnsupportedVersion},
    transport_parameters::TransportParameters,
};
use zeroize::Zeroizing;

use super::{
    ACCEPT_KEYS_MAX, Clock, HandshakeError, Leg, Psk, PskId, QUIC_VERSION, Unadmitted,
    exchange::{Accept, ResponderExchange},
    initial,
    key_schedule::{Level, Role},
    resolver::x25519_public,
    session::{Exchange, Finished, Flight, NoiseSession, Received, encode_parameters},
    token_key::RetryTokenKey,
};
use crate::{identity::Identity, ids::MeetingId, random::Random};

/// How long a Retry token is good for.
pub const RETRY_TOKEN_LIFETIME: Duration = Duration::from_secs(15);

/// What a member needs to accept members.
pub struct MemberAccept {
    /// Who we are.
    pub identity: Identity,
    /// The keys that open this port, each with its meeting. At most [`super::ACCEPT_KEYS_MAX`]; the rest is ignored.
    pub keys: Vec<(MeetingId, Psk)>,
    /// Who is turned away though it knows a key.
    pub unadmitted: Unadmitted,
    /// Wall-clock time, for identity bindings and Retry tokens.
    pub clock: Clock,
    /// For ephemeral keys.
    pub random: Random,
}

/// What a relay needs to accept anybody.
pub struct RelayAccept {
    /// The relay's identity.
    pub identity: Identity,
    /// The secret half of the static X25519 key in the relay's descriptor.
    pub static_secret: Zeroizing<[u8; 32]>,
    /// Wall-clock time, for identity bindings and Retry tokens.
    pub clock: Clock,
    /// For ephemeral keys.
    pub random: Random,
}

/// A configuration that accepts members. The transport configuration is quinn's default; the driver sets its own.
#[must_use]
pub fn member(accept: MemberAccept) -> ServerConfig {
    let mut keys = accept.keys;
    keys.truncate(ACCEPT_KEYS_MAX);
    configure(
        accept.identity,
        Doors::Members(keys, accept.unadmitted),
        accept.clock,
        accept.random,
    )
}

/// A configuration that accepts anybody who knows the relay's static key.
#[must_use]
pub fn relay(accept: RelayAccept) -> ServerConfig {
    let doors = Doors::Anybody(accept.static_secret);
    configure(accept.identity, doors, accept.clock, accept.random)
}

/// The public half of a relay's static key, for its descriptor.
#[must_use]
pub fn static_public(static_secret: &[u8; 32]) -> [u8; 32] {
    x25519_public(static_secret)
}

fn configure(identity: Identity, doors: Doors, clock: Clock, mut random: Random) -> ServerConfig {
    let token_key = RetryTokenKey::new(&mut random);
    let time = TokenTime(Arc::clone(&clock));
    let accept = AcceptConfig {
        identity,
        doors,
        clock,
        random: Mutex::new(random),
    };
    let mut config = ServerConfig::new(Arc::new(accept), Arc::new(token_key));
    let mut no_tokens = ValidationTokenConfig::default();
    no_tokens.sent(0).log(Arc::new(NoneTokenLog));
    config
        .validation_token_config(no_tokens)
        .retry_token_lifetime(RETRY_TOKEN_LIFETIME)
        .time_source(Arc::new(time));
    config
}

/// Who may come in.
enum Doors {
    Members(Vec<(MeetingId, Psk)>, Unadmitted),
    Anybody(Zeroizing<[u8; 32]>),
}

impl Doors {
    fn accept(&self) -> Accept<'_> {
        match self {
            Self::Members(keys, _) => Accept::Members(Leg::Member, keys),
            Self::Anybody(secret) => Accept::Anybody(secret),
        }
    }

    const fn leg(&self) -> Leg {
        match self {
            Self::Members(..) => Leg::Member,
            Self::Anybody(_) => Leg::Relay,
        }
    }

    fn turns_away(&self, psk: Option<PskId>, peer: &[u8; 32]) -> bool {
        match self {
            Self::Members(_, unadmitted) => unadmitted.covers(psk, peer),
            Self::Anybody(_) => false,
        }
    }

    fn psk_id(&self, index: usize) -> Option<PskId> {
        match self {
            Self::Members(keys, _) => keys.get(index).map(|(_, psk)| psk.id()),
            Self::Anybody(_) => None,
        }
    }
}

struct AcceptConfig {
    identity: Identity,
    doors: Doors,
    clock: Clock,
    random: Mutex<Random>,
}

/// Retry tokens carry wall-clock time; it comes from the driver's clock.
struct TokenTime(Clock);

impl TimeSource for TokenTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs((self.0)().0)
    }
}

impl crypto::ServerConfig for AcceptConfig {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        if version != QUIC_VERSION {
            return Err(UnsupportedVersion);
        }
        Ok(initial::keys(dst_cid, Role::Responder))
    }

    fn retry_tag(&self, _version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        initial::retry_tag(orig_dst_cid, &[packet])
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let leg = self.doors.leg();
        let random = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            random.fork("session")
        };
        let server = Server {
            config: self,
            version,
            random,
            step: Step::AwaitM1(encode_parameters(params)),
        };
        Box::new(NoiseSession::new(Role::Responder, leg, None, Box::new(server)))
    }
}

struct Server {
    config: Arc<AcceptConfig>,
    version: u32,
    random: Random,
    step: Step,
}

enum Step {
    /// With our transport parameters.
    AwaitM1(Vec<u8>),
    /// With the key that message 1 proved.
    AwaitM3(Box<ResponderExchange>, Option<PskId>),
    Over,
}

impl Exchange for Server {
    fn receive(&mut self, message: &[u8]) -> Result<Received, HandshakeError> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::AwaitM1(parameters) => self.answer(message, parameters),
            Step::AwaitM3(exchange, psk) => {
                let (peer, prk) = exchange.finish(message, (self.config.clock)())?;
                if self.config.doors.turns_away(psk, &peer) {
                    return Err(HandshakeError::NotAdmitted);
                }
                Ok(Received {
                    transport_parameters: None,
                    flights: vec![Flight {
                        message: None,
                        keys: Some((Level::Data, prk)),
                    }],
                    after_confirmation: Vec::new(),
                    finished: Some(Finished {
                        peer,
                        confirmation_due: false,
                    }),
                    accept_key: None,
                })
            }
            Step::Over => Err(HandshakeError::Malformed),
        }
    }
}

impl Server {
    fn answer(&mut self, m1: &[u8], parameters: Vec<u8>) -> Result<Received, HandshakeError> {
        let (config, now) = (&self.config, (self.config.clock)());
        let accept = config.doors.accept();
        let mut exchange =
            ResponderExchange::read(&accept, &config.identity, self.version, m1, &mut self.random)?;
        let transport_parameters = exchange.payload.to_vec();
        let accept_key = exchange
            .accept_key
            .and_then(|index| Some((index, config.doors.psk_id(index)?)));
        let (m2, prk) = exchange.answer(&config.identity, parameters, now)?;
        self.step = Step::AwaitM3(Box::new(exchange), accept_key.map(|(_, psk)| psk));
        Ok(Received {
            transport_parameters: Some(transport_parameters),
            flights: vec![
                Flight {
                    message: Some(m2),
                    keys: Some((Level::Handshake, prk)),
                },
                // quinn's client is established only by a packet of the Handshake level, and the exchange has no message
                // of ours there.
                Flight {
                    message: Some(Vec::new()),
                    keys: None,
                },
            ],
            after_confirmation: Vec::new(),
            finished: None,
            accept_key,
        })
    }
}
