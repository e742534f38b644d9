//! Links to other relays: dialled from the socket on which this one listens, as this relay.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use quinn_proto::{ConnectionHandle, TransportConfig};
use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    noise::{
        Clock,
        client::{self, RelayDial},
    },
    quic::{LinkState, RelayLink, UPSTREAM_DIAL_TIMEOUT, UPSTREAM_KEY_UPDATE_INTERVAL, relay_transport},
    random::Random,
    relay::{Origin, SessionId},
    time::Now,
};

use super::{
    event_loop::{EventLoop, touch},
    tcp::is_name,
};
use crate::driver::addresses::as_seen_from;

/// What it takes to dial.
pub(crate) struct Dialler {
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

/// Dials under way, and links whose keys are to be changed.
pub(super) struct Upstreams {
    dialler: Option<Dialler>,
    transport: Arc<TransportConfig>,
    dials: BTreeMap<RelayId, Attempt>,
    /// By when the keys change.
    keys: BTreeMap<ConnectionHandle, Instant>,
}

/// A relay that is dialled: one address after the other.
struct Attempt {
    static_key: [u8; 32],
    rest: VecDeque<SocketAddr>,
    handle: Option<ConnectionHandle>,
    deadline: Instant,
}

impl Upstreams {
    /// Without a dialler no relay is dialled.
    pub(super) fn new(dialler: Option<Dialler>) -> Self {
        Self {
            dialler,
            transport: Arc::new(relay_transport()),
            dials: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    /// When [`EventLoop::watch_dials`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        let dials = self.dials.values().map(|attempt| attempt.deadline);
        dials.chain(self.keys.values().copied()).min()
    }
}

impl EventLoop {
    /// The machine wants a link to a relay.
    pub(super) fn dial(
        &mut self,
        at: Instant,
        relay: RelayId,
        static_key: [u8; 32],
        addresses: &[SocketAddr],
    ) {
        let local = self.socket.local_addr().ok();
        let reachable = addresses
            .iter()
            .filter_map(|address| as_seen_from(local?, *address));
        let attempt = Attempt {
            static_key,
            rest: reachable.collect(),
            handle: None,
            deadline: at,
        };
        self.upstreams.dials.insert(relay, attempt);
        self.dial_next(at, relay);
    }

    /// Tries the next address of a relay; after the last the machine is told.
    fn dial_next(&mut self, at: Instant, relay: RelayId) {
        while let Some(attempt) = self.upstreams.dials.get_mut(&relay) {
            let Some(address) = attempt.rest.pop_front() else {
                break;
            };
            let static_key = attempt.static_key;
            let Some(handle) = self.begin_dial(at, relay, static_key, address) else {
                continue;
            };
            if let Some(attempt) = self.upstreams.dials.get_mut(&relay) {
                attempt.handle = Some(handle);
                attempt.deadline = at + UPSTREAM_DIAL_TIMEOUT;
            }
            return;
        }
        self.upstreams.dials.remove(&relay);
        self.relay.handle_upstream_failed(relay);
    }

    fn begin_dial(
        &mut self,
        at: Instant,
        relay: RelayId,
        static_key: [u8; 32],
        address: SocketAddr,
    ) -> Option<ConnectionHandle> {
        let dialler = self.upstreams.dialler.as_mut()?;
        let mut config = client::relay(RelayDial {
            relay,
            static_key,
            identity: dialler.identity.clone(),
            clock: Arc::clone(&dialler.clock),
            random: dialler.random.fork("dial"),
        });
        config.transport_config(Arc::clone(&self.upstreams.transport));
        // The name is TLS's; Noise has none.
        let (handle, connection) = self.endpoint.connect(at, config, address, "subrosa").ok()?;
        let origin = Origin::from(self.doorstep.block_of(address.ip()));
        let session = SessionId(u32::try_from(handle.0).unwrap_or(u32::MAX));
        let mut link = RelayLink::new(connection, session, origin, at, is_name);
        link.upstream = Some(relay);
        if self.links.len() <= handle.0 {
            self.links.resize_with(handle.0 + 1, || None);
        }
        let link = self.links[handle.0].insert(Box::new(link));
        touch(&mut self.touched, link, handle);
        Some(handle)
    }

    /// A dialled link came up, or ended before.
    pub(super) fn dial_ended(&mut self, now: Now, at: Instant, handle: ConnectionHandle, up: bool) {
        let Some(link) = self.links.get(handle.0).and_then(Option::as_ref) else {
            return;
        };
        let (Some(relay), session) = (link.upstream, link.session) else {
            return;
        };
        let current = self.upstreams.dials.get(&relay);
        if current.is_none_or(|attempt| attempt.handle != Some(handle)) {
            return;
        }
        if up {
            self.upstreams.dials.remove(&relay);
            self.upstreams
                .keys
                .insert(handle, at + UPSTREAM_KEY_UPDATE_INTERVAL);
            self.relay.handle_upstream_up(now, relay, session);
            tracing::debug!(relay = %relay.fingerprint(), "link to another relay");
        } else {
            self.dial_next(at, relay);
        }
    }

    /// Addresses that did not answer in time, and keys that are due.
    pub(super) fn watch_dials(&mut self, at: Instant) {
        let late = self
            .upstreams
            .dials
            .iter()
            .filter(|(_, attempt)| attempt.deadline <= at);
        let late: Vec<(RelayId, Option<ConnectionHandle>)> =
            late.map(|(relay, attempt)| (*relay, attempt.handle)).collect();
        for (relay, handle) in late {
            if let Some(link) = handle.and_then(|handle| self.links.get_mut(handle.0)?.as_mut()) {
                link.abandon(at);
                touch(&mut self.touched, link, ConnectionHandle(link.session.0 as usize));
            }
            self.dial_next(at, relay);
        }
        let due: Vec<ConnectionHandle> = self
            .upstreams
            .keys
            .iter()
            .filter(|(_, due)| **due <= at)
            .map(|(handle, _)| *handle)
            .collect();
        for handle in due {
            self.upstreams.keys.remove(&handle);
            let link = self.links.get_mut(handle.0).and_then(Option::as_mut);
            if let Some(link) = link.filter(|link| link.upstream.is_some() && link.state == LinkState::Up) {
                link.connection.force_key_update();
                self.upstreams
                    .keys
                    .insert(handle, at + UPSTREAM_KEY_UPDATE_INTERVAL);
            }
        }
    }
}
