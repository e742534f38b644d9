//! The loop's side towards discovery: starts it when the policy allows any, hands on orders and what is found, and measures
//! relays of the directory before one is chosen.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use subrosa_proto::{
    discovery::{DhtKey, Directory, directory::Candidate},
    meeting::participant::{Discovered, DiscoveryOrder, ParticipantConfig},
    policy::{DiscoveryRule, RouteJudge, VerifiedDescriptor},
    wire::ticket::Ticket,
};
use tokio::sync::mpsc;

use super::Driver;
use crate::{
    config::NodeConfig,
    discovery::{Found, Multiaddr, Order, Reach, Role, Service, ServiceConfig, bootstrap_address, measure},
    driver::clock::unix_now,
    error::{ErrorKind, NodeError},
    event::Event,
};

/// Permitted relays of the directory that are measured. Reason: each costs a handshake; two are chosen.
const MEASURED_MAX: usize = 8;
/// How long after the first relay was found others may come before they are measured.
const GATHER: Duration = Duration::from_millis(700);
/// Bootstrap nodes that are read from the settings.
const BOOTSTRAP_MAX: usize = 16;

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum News {
    /// Something was found.
    Found(Found),
    /// Found relays have gathered.
    Gathered,
    /// Permitted relays were measured.
    Measured(Vec<Candidate>),
    /// The services ended.
    Ended,
}

/// See the module.
pub(super) struct DiscoverySide {
    offered: DiscoveryRule,
    lan: bool,
    listen: SocketAddr,
    bootstrap: Vec<Multiaddr>,
    service: Option<Service>,
    failed: bool,
    directory: Directory,
    gathered_at: Option<tokio::time::Instant>,
    measured_sender: mpsc::Sender<Vec<Candidate>>,
    measured: mpsc::Receiver<Vec<Candidate>>,
}

impl DiscoverySide {
    /// What this node can look with: `local` is its media socket's address. Nothing is contacted yet.
    pub(super) fn new(
        config: &NodeConfig,
        local: SocketAddr,
        participant: &ParticipantConfig,
        ticket: Option<&Ticket>,
    ) -> Result<Self, NodeError> {
        let given = config.discovery.bootstrap.iter().take(BOOTSTRAP_MAX);
        let addresses = given.map(|text| bootstrap_address(text).map_err(|error| bootstrap_error(&error)));
        let bootstrap: Vec<Multiaddr> = addresses
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        let rule = config.discovery.rule;
        // On the loopback interface there are no neighbours; a node that hides its addresses tells them no neighbour.
        let lan = rule >= DiscoveryRule::Lan && !config.no_direct && !local.ip().is_loopback();
        let wide =
            rule >= DiscoveryRule::PermittedRelays && has_beginning(rule, &bootstrap, participant, ticket);
        let offered = match (wide, lan) {
            (true, _) => rule,
            (false, true) => DiscoveryRule::Lan,
            (false, false) => DiscoveryRule::Off,
        };
        let (measured_sender, measured) = mpsc::channel(1);
        Ok(Self {
            offered,
            lan,
            listen: local,
            bootstrap,
            service: None,
            failed: false,
            directory: Directory::default(),
            gathered_at: None,
            measured_sender,
            measured,
        })
    }

    /// How far this node can and may look.
    pub(super) fn offered(&self) -> DiscoveryRule {
        self.offered
    }

    /// The next news; never, while there is nothing to wait for. Loses nothing when it is dropped.
    pub(super) async fn news(&mut self) -> News {
        let gathered_at = self.gathered_at;
        let service = self.service.as_mut();
        tokio::select! {
            found = async {
                match service {
                    Some(service) => service.found().await,
                    None => std::future::pending().await,
                }
            } => found.map_or(News::Ended, News::Found),
            Some(relays) = self.measured.recv() => News::Measured(relays),
            () = super::sleep_until(gathered_at) => News::Gathered,
        }
    }

    fn start(&mut self, reach: Reach) -> Result<(), String> {
        // libp2p's mDNS knows IPv4 neighbours.
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ip = if self.listen.ip().is_unspecified() {
            any
        } else {
            self.listen.ip()
        };
        let listen = Vec::from_iter(self.lan.then(|| SocketAddr::new(ip, 0)));
        let service = Service::start(ServiceConfig {
            role: Role::Participant,
            seed: None,
            listen_tcp: listen.clone(),
            listen_quic: listen,
            public: Vec::new(),
            lan: self.lan,
            bootstrap: self.bootstrap.clone(),
            reach,
        });
        self.service = Some(service.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// Whether there is a node of the wide table that may be contacted.
fn has_beginning(
    rule: DiscoveryRule,
    bootstrap: &[Multiaddr],
    participant: &ParticipantConfig,
    ticket: Option<&Ticket>,
) -> bool {
    let (relays, evidence) = (&participant.relays, &participant.evidence);
    let Some(ticket) = ticket else {
        // Whoever founds a meeting is in it already; what the policy forbids is not contacted.
        return !bootstrap.is_empty() || !relays.is_empty();
    };
    let now = unix_now();
    let judge = RouteJudge::new(ticket.policy().clone());
    let anybody = rule == DiscoveryRule::Any && judge.discovery(DiscoveryRule::Any, now).is_ok();
    let of_ticket: Vec<VerifiedDescriptor> = ticket.relays(now).flatten().collect();
    let mut known = relays.iter().chain(&of_ticket);
    (anybody && !bootstrap.is_empty()) || known.any(|relay| judge.permit(relay, evidence, now).is_ok())
}

fn bootstrap_error(reason: &str) -> NodeError {
    NodeError::new(
        ErrorKind::Config,
        format!("a bootstrap node cannot be used: {reason}"),
        "give a relay's descriptor line, or an address such as /ip4/192.0.2.1/tcp/4433/p2p/12D3Koo…",
    )
}

impl Driver {
    pub(super) fn handle_discovery_order(&mut self, order: DiscoveryOrder) {
        match order {
            DiscoveryOrder::Reach { rule, relays } => self.set_reach(Reach { rule, relays }),
            DiscoveryOrder::Ask(request) => {
                if let Some(service) = &self.discovery.service {
                    service.try_order(Order::Request(request));
                }
            }
            other => tracing::warn!(?other, "an order that this driver does not know"),
        }
    }

    fn set_reach(&mut self, reach: Reach) {
        let side = &mut self.discovery;
        if reach.rule == DiscoveryRule::Off {
            // Dropping it ends it: a policy that ran out allows not even a goodbye.
            side.service = None;
        } else if let Some(service) = &side.service {
            service.try_order(Order::Reach(reach));
        } else if !side.failed
            && let Err(reason) = side.start(reach)
        {
            side.failed = true;
            let error = NodeError::new(
                ErrorKind::Internal,
                format!("discovery does not start: {reason}"),
                "the meeting goes on; members are reached at the ticket's addresses and over relays",
            );
            self.user.tell(Event::Error(error.to_event()));
        }
    }

    pub(super) fn handle_discovery_news(&mut self, news: News) {
        match news {
            News::Found(Found::Value { key, value }) => self.handle_value(key, value),
            News::Found(Found::Peers) => {}
            News::Gathered => {
                self.discovery.gathered_at = None;
                self.measure_relays();
            }
            News::Measured(relays) => {
                tracing::debug!(relays = relays.len(), "relays of the directory answered");
                self.participant
                    .handle_discovered(self.clock.now(), Discovered::Relays(relays));
            }
            News::Ended => self.discovery.service = None,
        }
    }

    fn handle_value(&mut self, key: DhtKey, value: Vec<u8>) {
        if !matches!(key, DhtKey::Descriptor(_)) {
            let found = Discovered::Value { key, value };
            self.participant.handle_discovered(self.clock.now(), found);
            return;
        }
        match self.discovery.directory.insert(unix_now(), key, &value) {
            Ok(new) => {
                tracing::debug!(new, "the directory names a relay");
                let at = tokio::time::Instant::now() + GATHER;
                self.discovery.gathered_at.get_or_insert(at);
            }
            Err(error) => tracing::debug!(%error, "what the directory gave is not believed"),
        }
    }

    /// Measures the way to relays of the directory. Only those that the policy permits get a packet.
    fn measure_relays(&self) {
        let judge = RouteJudge::new(self.participant.ticket().policy().clone());
        let now = unix_now();
        let evidence = self.geoip.evidence(self.discovery.directory.descriptors(now));
        let listed = self.discovery.directory.list(now, &judge, &evidence, None);
        let permitted: Vec<VerifiedDescriptor> = listed
            .into_iter()
            .filter(|relay| relay.verdict.is_ok())
            .map(|relay| relay.descriptor)
            .take(MEASURED_MAX)
            .collect();
        let (endpoint, results) = (self.endpoint.clone(), self.discovery.measured_sender.clone());
        tokio::spawn(async move {
            let _ = results.send(measure(&endpoint, permitted).await).await;
        });
    }
}
