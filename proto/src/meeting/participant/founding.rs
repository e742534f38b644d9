//! How a participant begins: founding a meeting, or joining one by ticket.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    Event, Participant,
    checkpoints::Checkpoints,
    dirty::Dirty,
    discovery::Discovery,
    doorway::Doorway,
    evidence::Gathering,
    forwarding::Forwarding,
    lobby::Phase,
    rooms::Rooms,
    secrets::Secrets,
    timers::{HEARTBEAT_INTERVAL, Timer, Timers, WATCH_INTERVAL},
};
use crate::{
    identity::Identity,
    ids::{MeetingId, StreamId},
    meeting::{
        admission::{AdmissionBook, AdmissionMode},
        conversation::Conversation,
        keys::Publisher,
        name::Name,
        operation::Op,
        room_secret::{RoomSecret, TicketSecret},
        roster_log::{AuthorError, RosterLog},
    },
    mesh::hole_punch::HolePunch,
    policy::{
        DescriptorBook, DiscoveryRule, Evidence,
        permit::RouteJudge,
        route_policy::RoutePolicy,
        signed_descriptor::{SignedDescriptor, VerifiedDescriptor},
        signed_policy::{PolicyError, SignedPolicy},
    },
    random::Random,
    sframe::source_authenticator::SourceAuthenticator,
    time::Now,
    wire::ticket::{RELAYS_MAX, Ticket, TicketTerms, TicketTermsError},
};

/// How long a ticket is valid unless said otherwise: a week, for a meeting that is announced in advance.
pub(super) const TICKET_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What founding and joining have in common.
pub struct ParticipantConfig {
    /// Who we are.
    pub identity: Identity,
    /// The name to show to others.
    pub name: Name,
    /// Where others can dial this node.
    pub addresses: Vec<SocketAddr>,
    /// Whether direct links are wanted at all. If not, `addresses` is told to nobody.
    pub direct: bool,
    /// Relays that this node knows of; each is judged by the policy.
    pub relays: Vec<VerifiedDescriptor>,
    /// How far this node can and may look for members and relays; the policy narrows it.
    pub discovery: DiscoveryRule,
    /// What was found out about relays before; what is missing is asked for ([`super::Output::Locate`]).
    pub evidence: Evidence,
}

/// What a founder decides.
pub struct FoundingTerms {
    /// Which relays may carry the meeting.
    pub policy: RoutePolicy,
    /// How people get in.
    pub admission: AdmissionMode,
}

/// Why a meeting could not be founded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoundError {
    /// The policy cannot be signed.
    #[error("the policy cannot be used: {0}")]
    Policy(#[from] PolicyError),
    /// The ticket cannot be issued.
    #[error("the ticket cannot be issued: {0}")]
    Ticket(#[from] TicketTermsError),
    /// The log cannot be begun.
    #[error("the roster cannot be begun: {0}")]
    Roster(#[from] AuthorError),
}

impl Participant {
    /// Founds a meeting with this node as host. The first ticket comes as an event.
    ///
    /// # Errors
    /// [`FoundError`] if the policy or the addresses cannot be put into a ticket.
    pub fn found(
        now: Now,
        config: ParticipantConfig,
        terms: FoundingTerms,
        mut random: Random,
    ) -> Result<Self, FoundError> {
        let meeting = MeetingId(random.bytes());
        let me = config.identity.member_id();
        let signed = SignedPolicy::sign(meeting, 0, terms.policy, &config.identity);
        let policy = signed.clone().verify(meeting, me)?;
        let judge = RouteJudge::new(policy.clone());
        let permitted: Vec<SignedDescriptor> = config
            .relays
            .iter()
            .filter(|descriptor| judge.permit(descriptor, &config.evidence, now.unix).is_ok())
            .take(RELAYS_MAX)
            .map(|descriptor| descriptor.signed().clone())
            .collect();
        let ticket_secret = TicketSecret::generate(&mut random);
        let ticket_terms = TicketTerms {
            meeting,
            secret: Zeroizing::new(*ticket_secret.expose()),
            epoch: 0,
            renewal: 0,
            admission: terms.admission,
            policy: signed,
            addresses: if config.direct {
                config.addresses.clone()
            } else {
                Vec::new()
            },
            relays: permitted,
            expires: now.unix.after(TICKET_LIFE),
        };
        let ticket = Ticket::issue(ticket_terms, &config.identity)?;
        let room_secret = RoomSecret::generate(&mut random);
        let found = Op::Found {
            policy: policy.hash(),
            name: config.name.clone(),
            admission: terms.admission,
            room_secret: room_secret.commitment(&meeting),
        };
        let log = RosterLog::found(&config.identity, meeting, found)?;
        let mut secrets = Secrets::new(ticket_secret, 0);
        let epoch = log.view().room_epoch().map(|epoch| epoch.operation);
        if let Some(epoch) = epoch {
            secrets.grant(epoch, room_secret);
        }
        let mut participant = Self::assemble(config, ticket, secrets, log, random, now);
        participant.phase = Phase::Member;
        participant.keep_news();
        if let Some(epoch) = epoch {
            participant.keep_secret(epoch);
        }
        participant.dirty.roster();
        participant.emit(Event::Ticket(participant.ticket.to_text()));
        participant.settle(now);
        Ok(participant)
    }

    /// Joins by ticket: knocks at the host's door by every permitted path, and goes on knocking for a while.
    #[must_use]
    pub fn join(now: Now, mut config: ParticipantConfig, ticket: Ticket, random: Random) -> Self {
        let terms = ticket.terms();
        let secrets = Secrets::new(TicketSecret::from_bytes(*terms.secret), terms.epoch);
        let log = RosterLog::new(terms.meeting, ticket.host());
        // A descriptor of the ticket that expired meanwhile is of no use; the host's node has a newer one.
        config.relays.extend(ticket.relays(now.unix).flatten());
        let mut participant = Self::assemble(config, ticket, secrets, log, random, now);
        participant.timers.set(Timer::Knock, now.monotonic);
        participant.timers.set(
            Timer::JoinDeadline,
            now.monotonic + participant.join_patience(now),
        );
        participant.begin_joining(now);
        participant.settle(now);
        participant
    }

    pub(super) fn assemble(
        config: ParticipantConfig,
        ticket: Ticket,
        secrets: Secrets,
        log: RosterLog,
        mut random: Random,
        now: Now,
    ) -> Self {
        let me = config.identity.member_id();
        let meeting = ticket.terms().meeting;
        let policy = ticket.policy().clone();
        let publisher = Publisher::new(
            config.identity.clone(),
            meeting,
            policy.hash(),
            random.fork("sender keys"),
        )
        .counting_from(u16::from_le_bytes(random.bytes()));
        let authenticator = SourceAuthenticator::new(
            config.identity.clone(),
            meeting,
            StreamId::AUDIO,
            publisher.instance(),
        );
        let conversation =
            Conversation::new(now, config.identity.clone(), meeting, random.fork("conversation"));
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, now.monotonic + HEARTBEAT_INTERVAL);
        timers.set(Timer::Watch, now.monotonic + WATCH_INTERVAL);
        let mut participant = Self {
            me,
            meeting,
            host: ticket.host(),
            name: config.name,
            addresses: if config.direct {
                config.addresses
            } else {
                Vec::new()
            },
            reflexive: super::reflexive::Reflexive::default(),
            punch: HolePunch::new(me),
            direct: config.direct,
            judge: RouteJudge::new(policy),
            gathering: Gathering::new(config.evidence),
            random,
            phase: Phase::Lobby { waiting: false },
            doorway: Doorway::new(now.monotonic),
            doorkeepers: BTreeSet::new(),
            welcomed: BTreeMap::new(),
            ticket,
            secrets,
            log,
            checkpoints: Checkpoints::new(),
            admission: AdmissionBook::new(),
            publisher,
            authenticator,
            distrusted: BTreeSet::new(),
            seen: BTreeMap::new(),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            relays: BTreeMap::new(),
            relay_links: BTreeMap::new(),
            told_ways: BTreeMap::new(),
            relay_tokens: Vec::new(),
            descriptors: DescriptorBook::new(),
            refused_relays: BTreeMap::new(),
            dials: BTreeMap::new(),
            next_dial: 0,
            channels: BTreeMap::new(),
            rooms: Rooms::default(),
            discovery: Discovery::new(config.discovery),
            conversation,
            forwarding: Forwarding::new(),
            timers,
            safety_code_at: None,
            dirty: Dirty::default(),
            outputs: VecDeque::new(),
            identity: config.identity,
        };
        for descriptor in config.relays {
            participant.consider_relay(now, descriptor);
        }
        participant.accept_keys();
        participant.dirty.rooms();
        participant
    }
}
