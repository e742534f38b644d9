//! A relay's machine.

use std::collections::BTreeMap;

use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    noise::server::static_public,
    policy::{
        descriptor::{Descriptor, Limits, LogPolicy, Operator, RELAY_PROTOCOL_VERSION},
        signed_descriptor::{SignedDescriptor, VerifiedDescriptor},
    },
    random::Random,
    relay::{Relay, RelayConfig, SessionId},
    time::{Timestamp, UnixSeconds},
};

use super::{
    hostile::Habit,
    node::{UNIX_START, unix},
};
use crate::{scenario::RelaySpec, transport::LinkEnd};

/// See the module.
pub(crate) struct RelaySite {
    pub(crate) spec: RelaySpec,
    pub(crate) id: RelayId,
    pub(crate) identity: Identity,
    /// Of the static key in its descriptor.
    pub(crate) static_secret: [u8; 32],
    pub(crate) descriptor: VerifiedDescriptor,
    config: RelayConfig,
    /// Relays to which it carries its clients.
    cascade: Vec<RelayId>,
    /// The process, if it runs.
    pub(crate) relay: Option<Relay>,
    pub(crate) run: u32,
    pub(crate) sessions: BTreeMap<SessionId, LinkEnd>,
    pub(crate) timer_at: Option<Timestamp>,
    /// It alters what it forwards.
    pub(crate) tampers: bool,
    /// What it does to what it forwards.
    pub(crate) habits: Vec<Habit>,
    /// Packets that came in.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl RelaySite {
    /// # Errors
    /// A sentence if the spec names no countries.
    pub(crate) fn new(index: usize, spec: RelaySpec, identity: &Identity) -> Result<Self, String> {
        let country = |code: &str| {
            code.parse()
                .map_err(|error| format!("relay {}: {error}", spec.name))
        };
        country(&spec.hosting)?;
        let hosting = country(spec.stated())?;
        let seat = country(spec.legal_seat.as_ref().unwrap_or(spec.stated()))?;
        // Another stream than the identity's, so that neither tells of the other.
        let static_secret = Random::from_seed(*identity.to_seed()).fork("static key").bytes();
        let label = |text: &str| text.to_owned();
        let number = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
        let descriptor = Descriptor {
            relay: identity.relay_id(),
            static_key: static_public(&static_secret),
            addresses: vec![([10, 1, number[0], number[1]], 4_433).into()],
            tcp_addresses: Vec::new(),
            asn: None,
            hosting,
            operator: Operator {
                name: subrosa_proto::policy::descriptor::OperatorName::new(label(&spec.name))
                    .map_err(|error| error.to_string())?,
                contact: subrosa_proto::policy::descriptor::Contact::new(format!(
                    "ops@{}.example",
                    spec.name
                ))
                .map_err(|error| error.to_string())?,
                legal_seat: seat,
                parent_seat: seat,
            },
            family: None,
            log_policy: LogPolicy::CountersOnly,
            limits: Limits::default(),
            attestations: Vec::new(),
            protocol_version: RELAY_PROTOCOL_VERSION,
            sequence: 1,
            previous: None,
            valid_from: UnixSeconds(UNIX_START - 3_600),
            valid_until: UnixSeconds(UNIX_START + 20 * 3_600),
        };
        let descriptor = SignedDescriptor::sign(descriptor, identity)
            .and_then(|signed| signed.verify(unix(Timestamp::ZERO)))
            .map_err(|error| error.to_string())?;
        let config = RelayConfig {
            descriptor: descriptor
                .signed()
                .to_bytes()
                .try_into()
                .map_err(|_| "the descriptor is too long".to_owned())?,
            limits: spec.limits.limits(),
            ..RelayConfig::default()
        };
        Ok(Self {
            config: config.clone(),
            cascade: Vec::new(),
            id: identity.relay_id(),
            identity: identity.clone(),
            static_secret,
            spec,
            descriptor,
            relay: Some(Relay::new(config)),
            run: 0,
            sessions: BTreeMap::new(),
            timer_at: None,
            tampers: false,
            habits: Vec::new(),
            packets: 0,
            bytes: 0,
        })
    }

    /// A number for a new session: the least that is free.
    pub(crate) fn new_session(&mut self, end: LinkEnd) -> SessionId {
        let free = (0..).map(SessionId).find(|id| !self.sessions.contains_key(id));
        let session = free.unwrap_or(SessionId(u32::MAX));
        self.sessions.insert(session, end);
        session
    }

    /// The process starts, if none runs.
    pub(crate) fn start(&mut self) {
        if self.relay.is_none() {
            let mut relay = Relay::new(self.config.clone());
            relay.set_cascade(self.cascade.iter().copied().collect());
            self.relay = Some(relay);
        }
    }

    /// It carries its clients to these from now on.
    pub(crate) fn agree_on_cascade(&mut self, others: Vec<RelayId>) {
        self.cascade = others;
        if let Some(relay) = &mut self.relay {
            relay.set_cascade(self.cascade.iter().copied().collect());
        }
    }

    /// The process ends.
    pub(crate) fn stop(&mut self) {
        self.relay = None;
        self.run += 1;
        self.sessions.clear();
        self.timer_at = None;
    }
}
