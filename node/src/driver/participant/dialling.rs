//! Dialling: all addresses of a target at once, a relay's over TCP a little later; the first that completes the handshake wins.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    meeting::participant::{DialId, DialTarget},
    policy::permit::Route,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Driver, return_to_udp::RelayLeg};
use crate::{
    driver::{addresses::as_seen_from, link::Side},
    error::{ErrorKind, NodeError},
    event::Event,
    quic::endpoint::{Authenticated, DialError, Endpoint},
    store::identity_file,
};

/// How long UDP is tried alone. Reason: longer than a handshake takes on most paths, shorter than anybody minds; whoever is further
/// away is still ahead over UDP, which takes a round trip less (RFC 8305 §5 has 250 ms for the same between addresses).
const FALLBACK_DELAY: Duration = Duration::from_millis(300);
/// Between attempts over TCP (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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
}

impl Dialler {
    pub(super) fn new(endpoint: Arc<Endpoint>, results: mpsc::Sender<DialResult>) -> Self {
        Self {
            endpoint,
            results,
            pseudonyms: HashMap::new(),
        }
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
        tokio::spawn(async move {
            let outcome = race(&endpoint, target, leg.clone()).await;
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
    if let (Some(&address), Some(leg)) = (addresses.first(), &leg) {
        for (number, tcp) in (0..).zip(tcp_addresses) {
            let (endpoint, leg) = (endpoint.clone(), leg.clone());
            attempts.spawn(async move {
                tokio::time::sleep(FALLBACK_DELAY + ATTEMPT_DELAY * number).await;
                endpoint
                    .connect_relay_over_tcp(tcp, address, leg.relay, leg.static_key, &leg.identity)
                    .await
            });
        }
    }
    for address in addresses {
        let (endpoint, target, leg) = (endpoint.clone(), target.clone(), leg.clone());
        attempts.spawn(async move { connect(&endpoint, address, target, leg).await });
    }
    let (mut last, mut first) = (DialError::NoAnswer, true);
    while let Some(outcome) = attempts.join_next().await {
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
