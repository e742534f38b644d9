//! Dialling: all addresses of a target at once, a relay's over TCP a little later; the first that completes the handshake wins.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    meeting::participant::{DialId, DialTarget},
    policy::permit::Route,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Driver, over_tcp, return_to_udp::RelayLeg};
use crate::{
    driver::{addresses::as_seen_from, link::Side},
    error::{ErrorKind, NodeError},
    event::Event,
    quic::endpoint::{Authenticated, DialError, Endpoint},
    store::identity_file,
};

/// Addresses that may be added to a dial under way. Reason: as many probes as a member sends while it is dialled, from two
/// addresses.
const MORE_MAX: usize = 10;

/// The outcome of a dial.
#[derive(Debug)]
pub(super) struct DialResult {
    dial: DialId,
    /// Of a relay: what it takes to dial it again.
    leg: Option<Box<RelayLeg>>,
    outcome: Result<Authenticated, DialError>,
}

/// Starts dials; results come on a channel.
pub(super) struct Dialler {
    endpoint: Arc<Endpoint>,
    results: mpsc::Sender<DialResult>,
    /// Who we are to each relay: a fresh identity for each, so that relays cannot recognise a person (security.md §1).
    pseudonyms: HashMap<RelayId, Identity>,
    /// Takes further addresses for each dial under way.
    under_way: HashMap<DialId, mpsc::Sender<SocketAddr>>,
}

impl Dialler {
    pub(super) fn new(endpoint: Arc<Endpoint>, results: mpsc::Sender<DialResult>) -> Self {
        Self {
            endpoint,
            results,
            pseudonyms: HashMap::new(),
            under_way: HashMap::new(),
        }
    }

    /// Dials one address more in a dial, if it is still under way.
    pub(super) fn dial_also(&mut self, dial: DialId, address: SocketAddr) {
        if let Some(more) = self.under_way.get(&dial) {
            let _ = more.try_send(address);
        }
    }

    /// Dials a member from a socket of a search.
    pub(super) fn dial_from(&mut self, dial: DialId, target: DialTarget, socket: UdpSocket) {
        let (endpoint, results) = (self.endpoint.clone(), self.results.clone());
        tokio::spawn(async move {
            let outcome = match target {
                DialTarget::Member {
                    member,
                    addresses,
                    meeting,
                    psk,
                    ..
                } if !addresses.is_empty() => {
                    endpoint
                        .connect_member_from(socket, addresses[0], meeting, &psk, member)
                        .await
                }
                _ => Err(DialError::NoAnswer),
            };
            let leg = None;
            let _ = results.send(DialResult { dial, leg, outcome }).await;
        });
    }

    pub(super) fn dial(&mut self, dial: DialId, target: DialTarget) {
        let leg = match &target {
            DialTarget::Relay {
                permit, static_key, ..
            } => match permit.route() {
                Route::Relay(relay) => self.pseudonym(relay).ok().map(|identity| RelayLeg {
                    relay,
                    static_key: *static_key,
                    identity,
                }),
                _ => None,
            },
            DialTarget::Member { .. } => None,
        };
        let (endpoint, results) = (self.endpoint.clone(), self.results.clone());
        let (more_sender, more) = mpsc::channel(MORE_MAX);
        self.under_way.insert(dial, more_sender);
        tokio::spawn(async move {
            let outcome = race(&endpoint, target, leg.clone(), more).await;
            let leg = leg.map(Box::new);
            let _ = results.send(DialResult { dial, leg, outcome }).await;
        });
    }

    fn pseudonym(&mut self, relay: RelayId) -> Result<Identity, NodeError> {
        if let Some(identity) = self.pseudonyms.get(&relay) {
            return Ok(identity.clone());
        }
        let identity = identity_file::fresh()?;
        self.pseudonyms.insert(relay, identity.clone());
        Ok(identity)
    }
}

/// Dials every address; the first handshake that completes is kept, the others end when their tasks are dropped.
async fn race(
    endpoint: &Arc<Endpoint>,
    target: DialTarget,
    leg: Option<RelayLeg>,
    mut more: mpsc::Receiver<SocketAddr>,
) -> Result<Authenticated, DialError> {
    let Ok(local) = endpoint.local_addr() else {
        return Err(DialError::NoAnswer);
    };
    let (addresses, tcp_addresses) = match &target {
        DialTarget::Member { addresses, .. } => (addresses.clone(), Vec::new()),
        DialTarget::Relay {
            addresses,
            tcp_addresses,
            ..
        } => (addresses.clone(), tcp_addresses.clone()),
    };
    let addresses: Vec<SocketAddr> = addresses
        .into_iter()
        .filter_map(|address| as_seen_from(local, address))
        .collect();
    let mut attempts = JoinSet::new();
    for (number, address) in (0..).zip(addresses) {
        let (to, target, relay) = (endpoint.clone(), target.clone(), leg.clone());
        let udp = attempts.spawn(async move { connect(&to, address, target, relay).await });
        // Over TCP a relay stands in for its first UDP address.
        if let (0, Some(leg)) = (number, &leg) {
            let tcp_addresses = tcp_addresses.clone();
            attempts.spawn(over_tcp::dial(
                endpoint.clone(),
                tcp_addresses,
                address,
                leg.clone(),
                udp,
            ));
        }
    }
    let (mut last, mut first) = (DialError::NoAnswer, true);
    let mut added = 0;
    loop {
        let outcome = tokio::select! {
            outcome = attempts.join_next() => outcome,
            Some(address) = more.recv(), if added < MORE_MAX => {
                added += 1;
                if let Some(address) = as_seen_from(local, address) {
                    let (endpoint, target, leg) = (endpoint.clone(), target.clone(), leg.clone());
                    attempts.spawn(async move { connect(&endpoint, address, target, leg).await });
                }
                continue;
            }
        };
        let Some(outcome) = outcome else { break };
        match outcome {
            Ok(Ok(authenticated)) => return Ok(authenticated),
            // Unless every address gave a final answer, there is hope.
            Ok(Err(error)) if first || !is_final(&error) => {
                (last, first) = (error, false);
            }
            Ok(Err(_)) => {}
            // A task of ours that panicked or was cancelled has reported that elsewhere.
            Err(_) => {}
        }
    }
    Err(last)
}

/// Whether whoever answered will give the same answer to the next dial.
fn is_final(error: &DialError) -> bool {
    matches!(
        error,
        DialError::WrongIdentity | DialError::WrongKey | DialError::OtherVersion
    )
}

async fn connect(
    endpoint: &Endpoint,
    address: SocketAddr,
    target: DialTarget,
    leg: Option<RelayLeg>,
) -> Result<Authenticated, DialError> {
    match (target, leg) {
        (
            DialTarget::Member {
                member, meeting, psk, ..
            },
            _,
        ) => {
            endpoint
                .connect_member(address, meeting, &psk, Some(member))
                .await
        }
        (DialTarget::Relay { .. }, Some(leg)) => {
            endpoint
                .connect_relay(address, leg.relay, leg.static_key, &leg.identity)
                .await
        }
        (DialTarget::Relay { .. }, None) => Err(DialError::NoAnswer),
    }
}

impl Driver {
    pub(super) fn handle_dialled(&mut self, result: DialResult) {
        self.dialler.under_way.remove(&result.dial);
        match result.outcome {
            Ok(authenticated) => {
                let leg = result.leg.map(|leg| *leg);
                self.take_in(Some(result.dial), Side::Dialled, authenticated, leg);
            }
            Err(error) => {
                tracing::debug!(%error, "a dial failed");
                let hopeless = is_final(&error) && !self.other_ways && !self.participant.is_member();
                let message = format!("the ticket is not accepted: {error}");
                self.last_dial_error = Some(error);
                self.participant.handle_dial_failed(self.clock.now(), result.dial);
                if hopeless && self.left.is_none() {
                    self.give_up(&NodeError::new(
                        ErrorKind::TicketRefused,
                        message,
                        "ask the host for the present ticket, and check that both of you run the same version of Subrosa",
                    ));
                }
            }
        }
    }

    /// Ends a join that no further try can save.
    fn give_up(&mut self, error: &NodeError) {
        self.user.tell(Event::Error(error.to_event()));
        self.left = Some("error".to_owned());
    }
}
