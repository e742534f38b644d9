//! One process's endpoint and its connections.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use quinn_proto::{ClientConfig, Connection, Endpoint, TransportConfig};
use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    meeting::participant::DialId,
    noise::{self, Clock, token::InitialFilter},
    quic::{EndpointOptions, RelayLink, relay_transport},
    random::Random,
    time::{Timestamp, UnixSeconds},
};

use super::member_link::MemberLink;

/// One end of a connection.
pub(super) enum Ends {
    /// A participant's.
    Member(Box<MemberLink>),
    /// A relay's; the node's own code.
    Relay(Box<RelayLink>),
}

/// A connection and when to look at it.
pub(super) struct QuicLink {
    pub(super) ends: Ends,
    /// When the planned timer fires; those planned before fire in vain.
    pub(super) timer: Option<Timestamp>,
    /// It waits to be served.
    pub(super) touched: bool,
    /// Because something came for it, not only to send.
    pub(super) woken: bool,
    /// When this side changes the keys.
    pub(super) key_update_at: Option<Instant>,
    /// When a dial or handshake of a relay has taken too long.
    pub(super) handshake_until: Option<Instant>,
}

impl QuicLink {
    pub(super) fn new(ends: Ends) -> Self {
        Self {
            ends,
            timer: None,
            touched: false,
            woken: true,
            key_update_at: None,
            handshake_until: None,
        }
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        match &mut self.ends {
            Ends::Member(link) => &mut link.connection,
            Ends::Relay(link) => &mut link.connection,
        }
    }

    /// When to look at it again.
    pub(super) fn next(&mut self) -> Option<Instant> {
        let (next, closed) = match &mut self.ends {
            Ends::Member(link) => (link.next(), link.connection.is_closed()),
            Ends::Relay(link) => (link.deadline(), link.connection.is_closed()),
        };
        let keys = self.key_update_at.filter(|_| !closed);
        [next, keys, self.handshake_until].into_iter().flatten().min()
    }
}

/// See the module.
pub(super) struct Machine {
    /// Which process: another one knows nothing of this one's connections.
    pub(super) run: u32,
    pub(super) endpoint: Endpoint,
    /// Keeps a member's port silent.
    pub(super) filter: InitialFilter,
    /// The machine's wall clock, as handshakes read it.
    unix: Arc<AtomicU64>,
    pub(super) random: Random,
    pub(super) links: BTreeMap<usize, QuicLink>,
    pub(super) options: EndpointOptions,
    pub(super) transport: Arc<TransportConfig>,
    /// Handshakes of others under way.
    pub(super) handshaking: usize,
    /// A participant's dials: how many addresses are still tried.
    pub(super) dials: BTreeMap<DialId, usize>,
    /// Who a participant is to each relay.
    pseudonyms: BTreeMap<RelayId, Identity>,
}

impl Machine {
    fn new(mut random: Random, run: u32, options: EndpointOptions, transport: Arc<TransportConfig>) -> Self {
        let config = Arc::new(noise::endpoint_config(&mut random));
        Self {
            run,
            endpoint: Endpoint::new(config, None, true, None),
            filter: InitialFilter::relay(),
            unix: Arc::default(),
            random,
            links: BTreeMap::new(),
            options,
            transport,
            handshaking: 0,
            dials: BTreeMap::new(),
            pseudonyms: BTreeMap::new(),
        }
    }

    /// A participant's: with the parameters of the node's endpoints.
    pub(super) fn member(random: Random, run: u32) -> Self {
        let options = EndpointOptions::default();
        let transport = options.transport();
        Self {
            filter: InitialFilter::member(&[]),
            ..Self::new(random, run, options, transport)
        }
    }

    /// A relay's: with the parameters of the relay's driver.
    pub(super) fn relay(random: Random, run: u32) -> Self {
        Self::new(random, run, EndpointOptions::relay(), Arc::new(relay_transport()))
    }

    pub(super) fn clock(&self) -> Clock {
        let unix = Arc::clone(&self.unix);
        Arc::new(move || UnixSeconds(unix.load(Ordering::Relaxed)))
    }

    pub(super) fn set_clock(&self, unix: UnixSeconds) {
        self.unix.store(unix.0, Ordering::Relaxed);
    }

    pub(super) fn pseudonym(&mut self, relay: RelayId) -> Identity {
        let random = &mut self.random;
        let fresh = || Identity::from_seed(&random.bytes());
        self.pseudonyms.entry(relay).or_insert_with(fresh).clone()
    }

    /// Dials; the connection's number, unless quinn refuses.
    pub(super) fn connect(
        &mut self,
        at: Instant,
        mut config: ClientConfig,
        to: std::net::SocketAddr,
    ) -> Option<(usize, Connection)> {
        config.transport_config(Arc::clone(&self.transport));
        // The name is TLS's; Noise has none.
        let (handle, connection) = self.endpoint.connect(at, config, to, "subrosa").ok()?;
        Some((handle.0, connection))
    }
}
