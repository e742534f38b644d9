//! Discovery: what this node asks the network for, and what it does with what is found. Whoever cannot be reached where the
//! ticket says is looked for; a meeting without a relay looks for one that its policy permits.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Output, Participant, lobby::Phase};
use crate::{
    discovery::{
        Agent, DhtKey, RendezvousSecret, Request, Situation,
        directory::{self, Candidate},
    },
    ids::{MemberId, RelayId},
    policy::{Country, DiscoveryRule, VerifiedDescriptor},
    time::Now,
    wire::control_message::ADDRESSES_MAX,
};

/// Relays that a meeting without any takes from the directory, and replaces if they fail: as many as carry each frame.
const RELAYS_CHOSEN: usize = 2;

/// What the driver's discovery is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoveryOrder {
    /// From now on contact this and nothing else.
    Reach {
        /// How far the policy and this node's user allow to look.
        rule: DiscoveryRule,
        /// Relays that the policy permits, and where they are.
        relays: BTreeMap<RelayId, Vec<SocketAddr>>,
    },
    /// Ask the network.
    Ask(Request),
}

/// What was found; nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discovered {
    /// A value that somebody gave for a key.
    Value {
        /// The key.
        key: DhtKey,
        /// The value.
        value: Vec<u8>,
    },
    /// Relays of the directory that answered.
    Relays(Vec<Candidate>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Discovery {
    /// How far this node can and may look, whatever the policy allows beyond it.
    offered: DiscoveryRule,
    agent: Agent,
    told: (DiscoveryRule, BTreeMap<RelayId, Vec<SocketAddr>>),
}

impl Discovery {
    pub(super) fn new(offered: DiscoveryRule) -> Self {
        Self {
            offered,
            agent: Agent::default(),
            told: (DiscoveryRule::Off, BTreeMap::new()),
        }
    }
}

impl Participant {
    /// Takes what discovery found. Wrong, old or unasked-for things have no effect.
    pub fn handle_discovered(&mut self, now: Now, discovered: Discovered) {
        match discovered {
            Discovered::Value { key, value } => self.handle_found_value(now, key, &value),
            Discovered::Relays(relays) => self.handle_found_relays(now, relays),
        }
        self.settle(now);
    }

    /// Values that were found and not believed.
    #[must_use]
    pub fn refused_discoveries(&self) -> u64 {
        self.discovery.agent.refused()
    }

    /// How far discovery may look now: as far as the policy allows and this node can.
    pub(super) fn discovery_rule(&self, now: Now) -> DiscoveryRule {
        DiscoveryRule::ALL
            .into_iter()
            .rev()
            .filter(|rule| *rule <= self.discovery.offered)
            .find(|rule| self.judge.discovery(*rule, now.unix).is_ok())
            .unwrap_or(DiscoveryRule::Off)
    }

    /// How far discovery has looked.
    pub(super) fn discovery_used(&self) -> DiscoveryRule {
        self.discovery.told.0
    }

    /// Publishes, searches, and tells the driver what may be contacted.
    pub(super) fn update_discovery(&mut self, now: Now) {
        if self.discovery.offered == DiscoveryRule::Off {
            return;
        }
        let rule = self.discovery_rule(now);
        self.tell_reach(rule);
        if rule == DiscoveryRule::Off {
            self.discovery.agent.stop();
            return;
        }
        let publish = self.secrets_to_be_found_by();
        let wanted = self.missing_people();
        let relays: Vec<VerifiedDescriptor> = self
            .relays
            .values()
            .map(|session| session.descriptor().clone())
            .collect();
        let countries = self.wanted_relay_countries(now, rule);
        let advertised = self.advertised();
        let situation = Situation {
            meeting: self.meeting,
            identity: &self.identity,
            publish: &publish,
            addresses: &advertised,
            relays: &relays,
            wanted: &wanted,
            countries: &countries,
        };
        let requests = self.discovery.agent.update(now, &situation, &mut self.random);
        for request in requests {
            self.outputs
                .push_back(Output::Discovery(DiscoveryOrder::Ask(request)));
        }
    }

    fn tell_reach(&mut self, rule: DiscoveryRule) {
        let relays = match rule {
            DiscoveryRule::Off | DiscoveryRule::Lan => BTreeMap::new(),
            DiscoveryRule::PermittedRelays | DiscoveryRule::Any => self
                .relays
                .iter()
                .map(|(relay, session)| (*relay, session.descriptor().addresses.clone()))
                .collect(),
        };
        let reach = (rule, relays);
        if reach != self.discovery.told {
            self.discovery.told = reach.clone();
            let (rule, relays) = reach;
            self.outputs
                .push_back(Output::Discovery(DiscoveryOrder::Reach { rule, relays }));
        }
    }

    fn door(&self) -> RendezvousSecret {
        RendezvousSecret::Door {
            secret: self.secrets.ticket.clone(),
            epoch: self.secrets.ticket_epoch,
        }
    }

    fn secrets_to_be_found_by(&self) -> Vec<RendezvousSecret> {
        let mut secrets = Vec::new();
        if matches!(self.phase, Phase::Member) {
            secrets.extend(self.secrets.current().cloned().map(RendezvousSecret::Members));
        }
        // People at the door know nobody but those whom the ticket names.
        if self.is_named_by_ticket(self.me) && !matches!(self.phase, Phase::Left) {
            secrets.push(self.door());
        }
        secrets
    }

    /// Members who should be reachable and are not, and where their records may lie.
    fn missing_people(&self) -> Vec<(MemberId, RendezvousSecret)> {
        match self.phase {
            Phase::Lobby { .. } => {
                let named = std::collections::BTreeSet::from([self.host, self.ticket.issuer()]);
                let missing = named
                    .into_iter()
                    .filter(|member| *member != self.me && !self.is_reachable(*member));
                missing.map(|member| (member, self.door())).collect()
            }
            Phase::Member => {
                let roster = self.log.view();
                let missing: Vec<MemberId> = roster
                    .members
                    .keys()
                    .filter(|member| **member != self.me && !self.is_reachable(**member))
                    .copied()
                    .collect();
                let secret = self.secrets.current().cloned().map(RendezvousSecret::Members);
                let inside = missing
                    .iter()
                    .filter_map(|member| Some((*member, secret.clone()?)));
                // Whoever lost its log is at its own door again.
                let at_door = missing
                    .iter()
                    .filter(|member| self.is_named_by_ticket(**member))
                    .map(|member| (*member, self.door()));
                inside.chain(at_door).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where to look for a relay: whoever is in charge does so for a meeting that has none, or of which one fails or drains.
    fn wanted_relay_countries(&self, now: Now, rule: DiscoveryRule) -> Vec<Option<Country>> {
        let wanted = rule >= DiscoveryRule::PermittedRelays
            && matches!(self.phase, Phase::Member)
            && self.is_in_charge()
            && self.missing_relays(now) > 0;
        if wanted {
            directory::countries_of(self.judge.policy().policy())
        } else {
            Vec::new()
        }
    }

    fn handle_found_value(&mut self, now: Now, key: DhtKey, value: &[u8]) {
        let Some(record) = self.discovery.agent.handle_record(now, key, value) else {
            return;
        };
        let member = record.member;
        let found: Vec<SocketAddr> = record.addresses().collect();
        let relays: Vec<VerifiedDescriptor> = record.relays(now.unix).collect();
        let peer = self.peer_mut(now, member);
        if !found.is_empty() {
            // The old addresses stay behind the new ones: a member may come back to where it was.
            let old = std::mem::take(&mut peer.addresses);
            let old = old.into_iter().filter(|address| !found.contains(address));
            peer.addresses = found.iter().copied().chain(old).take(ADDRESSES_MAX).collect();
            if peer.links.is_empty() {
                // A dial to where nobody answers any more may last for a while: this one does not wait for it.
                peer.redial.restart(now.monotonic);
            }
        }
        for relay in relays {
            self.consider_relay(now, relay);
        }
        self.dirty.routes();
    }

    /// How many relays the meeting lacks: two if it never had one, else those that no longer serve.
    fn missing_relays(&self, now: Now) -> usize {
        let wanted = match self.relays.len() {
            0 => RELAYS_CHOSEN,
            known => known.min(RELAYS_CHOSEN),
        };
        let serving = self
            .relays
            .values()
            .filter(|session| session.serves(now.monotonic));
        wanted.saturating_sub(serving.count() + self.gathering.awaited())
    }

    fn handle_found_relays(&mut self, now: Now, relays: Vec<Candidate>) {
        let missing = self.missing_relays(now);
        if missing == 0 || !self.is_in_charge() {
            return;
        }
        let known = self.relays.values().map(|session| session.descriptor().clone());
        let known: Vec<VerifiedDescriptor> = known.collect();
        for relay in directory::choose(relays, &known, missing) {
            self.make_room_for_relay(now);
            self.consider_relay(now, relay);
        }
        self.renew_ticket(now);
    }
}
