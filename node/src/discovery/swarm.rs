//! The task that owns libp2p: does what it is told, hands on what it finds, stores what the rules allow.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    futures::StreamExt,
    identify,
    kad::{self, store::RecordStore},
    mdns,
    multiaddr::Protocol,
    swarm::SwarmEvent,
};
use subrosa_proto::{
    discovery::{DhtKey, Request, store_rule},
    policy::{Country, DiscoveryRule, SignedDescriptor},
    time::UnixSeconds,
};
use tokio::sync::mpsc;

use super::{
    address::{Target, is_local, multiaddr_of, peer_of_relay, relay_of_peer},
    behaviour::{ADDRESSES_PER_PEER_MAX, ANNOUNCE_INTERVAL, Behaviour, BehaviourEvent, KAD_PROTOCOL},
    gate::{Gate, Reach},
    queries::{Queries, Table},
    service::{Found, Order, Role, ServiceConfig, Status},
};
use crate::driver::clock::unix_now;

/// Own records that are published at one time: one meeting's, in two hours, at each place.
const PUBLISHED_MAX: usize = 32;
/// After a new node of the table came, own records are published again after so long; several that come together share
/// one time.
const SETTLE: Duration = Duration::from_millis(500);
/// They are published again for new nodes at most so often.
const SETTLE_AGAIN: Duration = Duration::from_secs(15);
/// A search is made again for nodes that came within so long after it.
const RECENT: Duration = Duration::from_secs(30);
/// Searches of which that is remembered.
const RECENT_FINDS_MAX: usize = 64;
/// How often expired records are thrown away, and lost bootstrap nodes are tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(20);
/// Addresses on the local network that are remembered. Reason: [`gate`](super::gate) takes 256 nodes, with few addresses each.
const ANNOUNCED_MAX: usize = 1_024;
/// Peers of whom `identify` is remembered, for [`Status`].
const AGENTS_MAX: usize = 64;

/// See the module.
pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    gate: Gate,
    role: Role,
    bootstrap: Vec<Multiaddr>,
    reach: Reach,
    found: mpsc::Sender<Found>,
    queries: Queries,
    published: BTreeMap<DhtKey, (Vec<u8>, UnixSeconds)>,
    announced: Option<Box<SignedDescriptor>>,
    announced_at: Option<Instant>,
    /// Searches that may have come before there was anybody to ask.
    recent_finds: BTreeMap<DhtKey, Instant>,
    republish_at: Option<Instant>,
    republished_at: Option<Instant>,
    agents: BTreeMap<PeerId, String>,
    reachable: Vec<Multiaddr>,
    refused: u64,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        gate: Gate,
        config: ServiceConfig,
        found: mpsc::Sender<Found>,
    ) -> Self {
        Self {
            swarm,
            gate,
            role: config.role,
            bootstrap: config.bootstrap,
            reach: config.reach,
            found,
            queries: Queries::default(),
            published: BTreeMap::new(),
            announced: None,
            announced_at: None,
            recent_finds: BTreeMap::new(),
            republish_at: None,
            republished_at: None,
            agents: BTreeMap::new(),
            reachable: Vec::new(),
            refused: 0,
        }
    }

    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        self.enter_bootstrap();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let republish = self.republish_at;
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.handle_order(order),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.handle_event(event),
                () = sleep_until(republish) => self.republish(),
                _ = housekeeping.tick() => self.keep_house(),
            }
        }
    }

    // --- orders -------------------------------------------------------------------------------------------------

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Reach(reach) => self.set_reach(reach),
            Order::Request(Request::Publish { key, value, expires }) => {
                self.published.retain(|_, (_, until)| unix_now() < *until);
                if self.published.len() < PUBLISHED_MAX || self.published.contains_key(&key) {
                    self.put(key, value.clone(), expires);
                    self.published.insert(key, (value, expires));
                }
            }
            Order::Request(Request::Find { key }) => {
                self.recent_finds.retain(|_, at| at.elapsed() < RECENT);
                if self.recent_finds.len() < RECENT_FINDS_MAX {
                    self.recent_finds.insert(key, Instant::now());
                }
                self.find(key);
            }
            Order::Request(Request::Relays { countries }) => self.find_relays(&countries),
            Order::Announce(descriptor) => {
                self.announced = Some(descriptor);
                self.announce();
            }
            Order::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Order::Request(other) => tracing::warn!(?other, "a request that discovery does not know"),
        }
    }

    fn set_reach(&mut self, reach: Reach) {
        let narrower = reach.rule < self.reach.rule
            || self
                .reach
                .relays
                .keys()
                .any(|relay| !reach.relays.contains_key(relay));
        self.gate.set(&reach, &self.bootstrap);
        self.reach = reach;
        if narrower {
            let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
            for peer in peers {
                self.swarm.behaviour_mut().kad.remove_peer(&peer);
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
        self.enter_bootstrap();
    }

    /// Whether the table that spans networks may be used.
    fn is_wide(&self) -> bool {
        self.reach.rule >= DiscoveryRule::PermittedRelays
    }

    /// Enters the nodes to begin with into the table: those the user named, and the permitted relays.
    fn enter_bootstrap(&mut self) {
        if !self.is_wide() {
            return;
        }
        let relays = self.reach.relays.iter().flat_map(|(relay, addresses)| {
            let peer = peer_of_relay(*relay);
            let addresses = addresses.iter();
            addresses.filter_map(move |address| Some(multiaddr_of(*address, peer?)))
        });
        let all: Vec<Multiaddr> = self.bootstrap.iter().cloned().chain(relays).collect();
        let me = *self.swarm.local_peer_id();
        let mut any = false;
        for address in all {
            let peer = address.iter().find_map(|part| match part {
                Protocol::P2p(peer) => Some(peer),
                _ => None,
            });
            if let Some(peer) = peer.filter(|peer| *peer != me)
                && self.gate.permits_dial(&address)
            {
                self.swarm.behaviour_mut().kad.add_address(&peer, address);
                any = true;
            }
        }
        if any {
            // Without nodes there is nothing to begin with; with some, it fails only if one was lost meanwhile.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
        }
    }

    fn put(&mut self, key: DhtKey, value: Vec<u8>, expires: UnixSeconds) {
        let left = Duration::from_secs(expires.0.saturating_sub(unix_now().0));
        let record = kad::Record {
            key: kad::RecordKey::new(&key.to_bytes()),
            value,
            publisher: None,
            expires: Some(Instant::now() + left),
        };
        let wide = self.is_wide();
        let behaviour = self.swarm.behaviour_mut();
        if let Some(lan) = behaviour.lan_kad.as_mut() {
            // It is kept here even where nobody else is: neighbours ask this node, too.
            let _ = lan.put_record(record.clone(), kad::Quorum::One);
        }
        if wide {
            let _ = behaviour.kad.put_record(record, kad::Quorum::One);
        }
    }

    fn find(&mut self, key: DhtKey) {
        let record = kad::RecordKey::new(&key.to_bytes());
        if self.is_wide() && self.queries.has_room() && !self.queries.is_running(Table::Wide, key) {
            let id = self.swarm.behaviour_mut().kad.get_record(record.clone());
            self.queries.started(Table::Wide, id, key);
        }
        if self.queries.has_room()
            && !self.queries.is_running(Table::Lan, key)
            && let Some(lan) = self.swarm.behaviour_mut().lan_kad.as_mut()
        {
            let id = lan.get_record(record);
            self.queries.started(Table::Lan, id, key);
        }
    }

    fn find_relays(&mut self, countries: &[Option<Country>]) {
        if !self.is_wide() {
            return;
        }
        self.queries.forget_announced();
        for country in countries {
            let key = DhtKey::country(*country);
            if self.queries.has_room() && !self.queries.is_running(Table::Wide, key) {
                let record = kad::RecordKey::new(&key.to_bytes());
                let id = self.swarm.behaviour_mut().kad.get_providers(record);
                self.queries.started(Table::Wide, id, key);
            }
        }
    }

    fn announce(&mut self) {
        let Some(descriptor) = self.announced.clone().filter(|_| self.is_wide()) else {
            return;
        };
        self.announced_at = Some(Instant::now());
        let stated = descriptor.unverified();
        let until = stated.valid_until;
        self.put(DhtKey::Descriptor(stated.relay), descriptor.to_bytes(), until);
        for country in [None, Some(stated.hosting)] {
            let key = kad::RecordKey::new(&DhtKey::country(country).to_bytes());
            if let Err(error) = self.swarm.behaviour_mut().kad.start_providing(key) {
                tracing::warn!(%error, "the relay cannot be announced");
            }
        }
    }

    fn republish(&mut self) {
        self.republish_at = None;
        self.republished_at = Some(Instant::now());
        let published: Vec<_> = self.published.iter().map(|(k, v)| (*k, v.clone())).collect();
        for (key, (value, expires)) in published {
            self.put(key, value, expires);
        }
        self.announce();
        self.recent_finds.retain(|_, at| at.elapsed() < RECENT);
        let finds: Vec<DhtKey> = self.recent_finds.keys().copied().collect();
        for key in finds {
            self.find(key);
        }
        let _ = self.found.try_send(Found::Peers);
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        let behaviour = self.swarm.behaviour_mut();
        behaviour
            .kad
            .store_mut()
            .retain(|_, record| !record.is_expired(now));
        if let Some(lan) = behaviour.lan_kad.as_mut() {
            lan.store_mut().retain(|_, record| !record.is_expired(now));
        }
        if behaviour.kad.kbuckets().next().is_none() || self.swarm.connected_peers().next().is_none() {
            self.enter_bootstrap();
        }
        if self
            .announced_at
            .is_some_and(|at| at.elapsed() >= ANNOUNCE_INTERVAL)
        {
            self.announce();
        }
    }

    fn status(&mut self) -> Status {
        let listeners = self.swarm.listeners().cloned().collect();
        let connected = self.swarm.connected_peers().copied().collect();
        let pending = self.swarm.network_info().connection_counters().num_pending();
        let behaviour = self.swarm.behaviour_mut();
        Status {
            listeners,
            connected,
            pending,
            table: behaviour.kad.kbuckets().map(|bucket| bucket.num_entries()).sum(),
            addresses_max: behaviour
                .kad
                .kbuckets()
                .flat_map(|bucket| {
                    bucket
                        .iter()
                        .map(|entry| entry.node.value.len())
                        .collect::<Vec<_>>()
                })
                .max()
                .unwrap_or(0),
            neighbours: behaviour
                .lan_kad
                .as_mut()
                .map_or(0, |lan| lan.kbuckets().map(|bucket| bucket.num_entries()).sum()),
            records: behaviour.kad.store_mut().records().count(),
            refused: self.refused,
            agents: self.agents.clone(),
            reachable: self.reachable.clone(),
        }
    }

    // --- events -------------------------------------------------------------------------------------------------

    fn handle_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.handle_table(Table::Wide, event),
            SwarmEvent::Behaviour(BehaviourEvent::LanKad(event)) => self.handle_table(Table::Lan, event),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.handle_neighbours(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.handle_identified(peer_id, &info),
            SwarmEvent::Behaviour(BehaviourEvent::AutonatClient(event))
                if event.result.is_ok() && self.reachable.len() < ADDRESSES_PER_PEER_MAX =>
            {
                self.reachable.push(event.tested_addr);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                // A relay that listens on an address of its own is reached there; behind NAT it states public ones.
                let wildcard = Target::of(&address).is_none_or(|target| target.ip.is_unspecified());
                if self.role == Role::Relay && !wildcard {
                    self.swarm.add_external_address(address);
                }
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                tracing::trace!(%error, "discovery: a dial failed");
            }
            _ => {}
        }
    }

    fn handle_identified(&mut self, peer: PeerId, info: &identify::Info) {
        if self.agents.len() < AGENTS_MAX {
            let words = format!("{} {}", info.agent_version, info.protocol_version);
            self.agents.insert(peer, words.chars().take(128).collect());
        }
        if !info.protocols.contains(&KAD_PROTOCOL) || !self.is_wide() {
            return;
        }
        for address in info.listen_addrs.iter().take(ADDRESSES_PER_PEER_MAX) {
            let Ok(address) = address.clone().with_p2p(peer) else {
                continue;
            };
            if self.gate.permits_dial(&address) {
                remember(&mut self.swarm.behaviour_mut().kad, peer, address);
            }
        }
    }

    fn handle_neighbours(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(list) => {
                let behaviour = self.swarm.behaviour_mut();
                for (peer, address) in list {
                    let near = Target::of(&address).is_some_and(|target| is_local(target.ip));
                    if near
                        && self.gate.note_lan_peer(peer)
                        && let Some(lan) = behaviour.lan_kad.as_mut()
                    {
                        remember(lan, peer, address);
                    }
                }
                if let Some(mdns) = behaviour.mdns.as_mut() {
                    forget_excess(mdns);
                }
                self.republish_soon();
            }
            mdns::Event::Expired(list) => {
                for (peer, address) in list {
                    self.gate.forget_lan_peer(&peer);
                    if let Some(lan) = self.swarm.behaviour_mut().lan_kad.as_mut() {
                        lan.remove_address(&peer, &address);
                    }
                }
            }
        }
    }

    fn republish_soon(&mut self) {
        let now = Instant::now();
        let earliest = self.republished_at.map_or(now, |at| at + SETTLE_AGAIN);
        self.republish_at.get_or_insert((now + SETTLE).max(earliest));
    }

    fn handle_table(&mut self, table: Table, event: kad::Event) {
        match event {
            kad::Event::RoutingUpdated {
                is_new_peer: true, ..
            } => self.republish_soon(),
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::PutRecord {
                        record: Some(record), ..
                    },
            } => self.store(table, record),
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::AddProvider {
                        record: Some(mut record),
                    },
            } => {
                record.addresses.truncate(ADDRESSES_PER_PEER_MAX);
                let known = store_rule::takes_providers(record.key.as_ref());
                let stored = known
                    && self
                        .table(table)
                        .is_some_and(|t| t.store_mut().add_provider(record).is_ok());
                self.refused += u64::from(!stored);
            }
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.handle_progress(table, id, result);
                if step.last {
                    self.queries.ended(table, id);
                }
                self.ask_descriptors();
            }
            _ => {}
        }
    }

    fn table(&mut self, table: Table) -> Option<&mut kad::Behaviour<kad::store::MemoryStore>> {
        let behaviour = self.swarm.behaviour_mut();
        match table {
            Table::Wide => Some(&mut behaviour.kad),
            Table::Lan => behaviour.lan_kad.as_mut(),
        }
    }

    fn handle_progress(&mut self, table: Table, id: kad::QueryId, result: kad::QueryResult) {
        match result {
            kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => {
                let record = found.record;
                if let Some(key) = self.queries.value(table, id, record.key.as_ref(), &record.value) {
                    let value = record.value;
                    // Full: whoever decides asks again.
                    let _ = self.found.try_send(Found::Value { key, value });
                }
            }
            kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) => {
                self.queries.announced(providers.iter().filter_map(relay_of_peer));
            }
            _ => {}
        }
    }

    fn ask_descriptors(&mut self) {
        while let Some(relay) = self.queries.next_descriptor() {
            let key = DhtKey::Descriptor(relay);
            let record = kad::RecordKey::new(&key.to_bytes());
            let id = self.swarm.behaviour_mut().kad.get_record(record);
            self.queries.started(Table::Wide, id, key);
        }
    }

    /// Stores a stranger's record if the rules allow it.
    fn store(&mut self, table: Table, mut record: kad::Record) {
        let now = unix_now();
        let Some(tables) = self.table(table) else {
            return;
        };
        let store = tables.store_mut();
        let stored = store.get(&record.key).map(|known| known.value.clone());
        let checked = store_rule::check(now, record.key.as_ref(), &record.value, stored.as_deref());
        let kept = checked.is_ok_and(|ttl| {
            let until = Instant::now() + ttl;
            record.expires = Some(record.expires.map_or(until, |at| at.min(until)));
            // Who published is nobody's business.
            record.publisher = None;
            store.put(record).is_ok()
        });
        self.refused += u64::from(!kept);
    }
}

/// Enters an address of a node into a table. The oldest ones make room: libp2p keeps as many as a node names, and goes through
/// all of them for each.
fn remember(table: &mut kad::Behaviour<kad::store::MemoryStore>, peer: PeerId, address: Multiaddr) {
    table.add_address(&peer, address);
    let bucket = table.kbucket(peer);
    let addresses: Vec<Multiaddr> = bucket.map_or_else(Vec::new, |bucket| {
        let mut entries = bucket.iter().filter(|entry| *entry.node.key.preimage() == peer);
        let entry = entries.next();
        entry.map_or_else(Vec::new, |entry| entry.node.value.iter().cloned().collect())
    });
    let excess = addresses.len().saturating_sub(ADDRESSES_PER_PEER_MAX);
    for address in addresses.iter().take(excess) {
        table.remove_address(&peer, address);
    }
}

/// libp2p remembers whatever is announced on the local network for as long as the announcement says, and goes through all of it for
/// each. Beyond a bound, nodes with most addresses are forgotten first: honest ones have few.
fn forget_excess(mdns: &mut mdns::tokio::Behaviour) {
    let mut announced: BTreeMap<PeerId, usize> = BTreeMap::new();
    for peer in mdns.discovered_nodes() {
        *announced.entry(*peer).or_default() += 1;
    }
    let mut left = mdns.discovered_nodes().len();
    let mut peers: Vec<_> = announced.into_iter().collect();
    peers.sort_by_key(|(_, addresses)| *addresses);
    while left > ANNOUNCED_MAX
        && let Some((peer, addresses)) = peers.pop()
    {
        left -= addresses;
        #[expect(deprecated, reason = "there is no other way to make it forget")]
        mdns.expire_node(&peer);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
