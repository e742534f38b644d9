//! quinn-proto's crypto session over the exchange of three messages.

use std::{any::Any, io::Cursor};

use aws_lc_rs::hkdf;
use quinn_proto::{
    ConnectionId, Side, TransportError,
    crypto::{ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session},
    transport_parameters::TransportParameters,
};

use super::{
    HandshakeError, Leg, PeerIdentity, PskId,
    framing::{Reassembly, frame},
    initial,
    key_schedule::{Exporter, Level, Role, UpdateSecret},
    packet_protection,
};

/// One side's part in the exchange: what differs between client and server.
pub(super) trait Exchange: Send + Sync + 'static {
    /// Takes the message that was due; gives what to do next.
    fn receive(&mut self, message: &[u8]) -> Result<Received, HandshakeError>;
}

/// What a message from the peer leads to.
pub(super) struct Received {
    /// The peer's transport parameters, if the message carried them.
    pub(super) transport_parameters: Option<Vec<u8>>,
    /// To send, in order, each followed by a change to the level whose keys it gives.
    pub(super) flights: Vec<Flight>,
    /// As `flights`, once the responder's confirmation has come.
    ///
    /// The responder forgets the keys of its confirmation when message 3 comes, so one that was lost, or came before the keys that
    /// open it, would never come again.
    pub(super) after_confirmation: Vec<Flight>,
    /// The peer, once the exchange is complete, and whether nothing more is due from it.
    pub(super) finished: Option<Finished>,
    /// The index and name of the key that fitted, once known.
    pub(super) accept_key: Option<(usize, PskId)>,
}

/// A message to send, and the keys to switch to after it. Either may be absent.
pub(super) struct Flight {
    /// Unframed; `Some` of nothing is the confirmation.
    pub(super) message: Option<Vec<u8>>,
    pub(super) keys: Option<(Level, hkdf::Prk)>,
}

/// The end of the exchange.
pub(super) struct Finished {
    pub(super) peer: [u8; 32],
    /// Whether the responder's confirmation is still due.
    pub(super) confirmation_due: bool,
}

/// A QUIC connection's handshake and what it left.
pub(super) struct NoiseSession {
    pub(super) role: Role,
    pub(super) leg: Leg,
    pub(super) psk: Option<PskId>,
    pub(super) exchange: Box<dyn Exchange>,
    pub(super) flights: std::collections::VecDeque<Flight>,
    /// What waits for the confirmation.
    held: Vec<Flight>,
    state: State,
    reassembly: Reassembly,
    accept_key: Option<usize>,
    transport_parameters: Option<Vec<u8>>,
    updates: Option<(UpdateSecret, UpdateSecret)>,
    exporter: Option<Exporter>,
    announced: bool,
}

/// How far the handshake is.
enum State {
    Exchanging,
    /// The responder's zero-length message is due; message 3 waits for it.
    Confirming([u8; 32]),
    Finished([u8; 32]),
    Failed,
}

impl NoiseSession {
    pub(super) fn new(role: Role, leg: Leg, psk: Option<PskId>, exchange: Box<dyn Exchange>) -> Self {
        Self {
            role,
            leg,
            psk,
            exchange,
            flights: std::collections::VecDeque::new(),
            held: Vec::new(),
            state: State::Exchanging,
            reassembly: Reassembly::default(),
            accept_key: None,
            transport_parameters: None,
            updates: None,
            exporter: None,
            announced: false,
        }
    }

    fn receive(&mut self, message: &[u8]) -> Result<(), HandshakeError> {
        match self.state {
            State::Exchanging => {
                let received = self.exchange.receive(message)?;
                if let Some(parameters) = received.transport_parameters {
                    self.transport_parameters = Some(parameters);
                }
                if let Some((index, psk)) = received.accept_key {
                    self.accept_key = Some(index);
                    self.psk = Some(psk);
                }
                self.flights.extend(received.flights);
                self.held = received.after_confirmation;
                if let Some(finished) = received.finished {
                    self.state = if finished.confirmation_due {
                        State::Confirming(finished.peer)
                    } else {
                        State::Finished(finished.peer)
                    };
                }
                Ok(())
            }
            State::Confirming(peer) if message.is_empty() => {
                self.flights.extend(std::mem::take(&mut self.held));
                self.state = State::Finished(peer);
                Ok(())
            }
            State::Confirming(_) | State::Finished(_) | State::Failed => Err(HandshakeError::Malformed),
        }
    }

    /// The keys of `level`; for the last level also what lives on after the handshake.
    fn install(&mut self, level: Level, prk: &hkdf::Prk) -> Keys {
        if level == Level::Data {
            self.updates = Some((
                UpdateSecret::first(prk, self.role),
                UpdateSecret::first(prk, self.role.peer()),
            ));
            self.exporter = Some(Exporter::new(prk));
        }
        packet_protection::keys(prk, level, self.role)
    }
}

impl Session for NoiseSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        let role = match side {
            Side::Client => Role::Initiator,
            Side::Server => Role::Responder,
        };
        initial::keys(dst_cid, role)
    }

    /// Nothing: what is known before the handshake has finished is not authentic yet.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.announced.then(|| Box::new(()) as Box<dyn Any>)
    }

    /// [`PeerIdentity`], after the handshake has finished.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let State::Finished(key) = self.state else {
            return None;
        };
        Some(Box::new(PeerIdentity {
            key,
            accept_key: self.accept_key,
            psk: self.psk,
            leg: self.leg,
        }))
    }

    /// No 0-RTT: it could be replayed.
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        Some(false)
    }

    fn is_handshaking(&self) -> bool {
        !matches!(self.state, State::Finished(_))
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let outcome = self.reassembly.push(buf).and_then(|message| {
            let Some(message) = message else {
                return Ok(false);
            };
            self.receive(&message)?;
            Ok(true)
        });
        match outcome {
            Ok(whole) => {
                let first = whole && !self.announced;
                self.announced |= whole;
                Ok(first)
            }
            Err(error) => {
                self.state = State::Failed;
                self.flights.clear();
                Err(error.into())
            }
        }
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(bytes) = &self.transport_parameters else {
            return Ok(None);
        };
        let side = match self.role {
            Role::Initiator => Side::Client,
            Role::Responder => Side::Server,
        };
        TransportParameters::read(side, &mut Cursor::new(bytes))
            .map(Some)
            .map_err(|_| HandshakeError::TransportParameters.into())
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let flight = self.flights.pop_front()?;
        if let Some(message) = flight.message {
            frame(&message, buf);
        }
        let (level, prk) = flight.keys?;
        Some(self.install(level, &prk))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let (local, remote) = self.updates.as_mut()?;
        let next = |secret: &mut UpdateSecret| -> Box<dyn PacketKey> {
            let (key, iv) = secret.advance();
            Box::new(packet_protection::PacketKey::new(&key, &iv))
        };
        Some(KeyPair {
            local: next(local),
            remote: next(remote),
        })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        initial::is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        match (&self.state, &self.exporter) {
            (State::Finished(_), Some(exporter)) if exporter.export(label, context, output) => Ok(()),
            _ => Err(ExportKeyingMaterialError),
        }
    }
}

/// `parameters` as they travel.
pub(super) fn encode_parameters(parameters: &TransportParameters) -> Vec<u8> {
    let mut bytes = Vec::new();
    parameters.write(&mut bytes);
    bytes
}
