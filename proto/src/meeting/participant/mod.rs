//! The participant: one member's part in one meeting, as a pure state machine.
//!
//! Contract: call a `handle_*` function with what happened, then drain [`Participant::poll_output`] until `None`, then
//! wait until [`Participant::poll_timeout`] and call [`Participant::handle_timeout`]. Every function takes `now`; nothing
//! here reads a clock.
//!
//! It composes what the neighbouring modules decide: the roster log says who is in, `keys` who can decrypt, `mesh` which
//! way media go, `policy` which relays may carry them. One file per concern:
//!
//! | file | concern |
//! |---|---|
//! | `lobby`, `knocking`, `charge` | standing at the door |
//! | `door`, `welcome`, `passphrase` | answering it, letting in |
//! | `code` | a code of words in place of a ticket |
//! | `doorway` | what is remembered of the door |
//! | `returning` | the founder comes back; being sent back to the lobby |
//! | `moderation` | mute requests, acts that are forbidden, nobody in charge |
//! | `links`, `dialling` | direct links to members, and whom to dial with which keys |
//! | `addresses` | where members can be dialled |
//! | `reflexive` | where this node is seen from outside |
//! | `probing` | opening NATs for each other, searching for a way through them |
//! | `relays` | relays: judging, entering rooms, envelopes |
//! | `conduits` | telling a member something by the best channel |
//! | `messages` | what a message means, and who may say it |
//! | `checkpoints`, `state_transfer` | compacting the roster log, catching up with a compacted one |
//! | `roster_sync`, `roster_changes` | operations, what follows from a changed roster |
//! | `key_exchange` | sender keys |
//! | `secrets`, `rooms` | room secrets, and the aliases that derive from them |
//! | `discovery` | looking for members who moved, and for relays |
//! | `evidence` | what is found out about relays before they are judged |
//! | `routes` | which paths carry whose media |
//! | `forwarding` | members who carry for others |
//! | `inspection` | what may be looked at |
//! | `conversation` | chat, hands, reactions, polls, files |
//! | `media_path` | sealing, sending, receiving, opening frames |

mod addresses;
mod cascade;
mod charge;
mod checkpoints;
mod code;
mod commands;
mod conduits;
mod conversation;
mod dialling;
mod dirty;
mod discovery;
mod door;
mod doorway;
mod evidence;
#[cfg(test)]
mod fixture;
mod former_secrets;
mod forwarding;
mod founding;
mod inspection;
mod key_exchange;
mod knocking;
mod links;
mod lobby;
mod media_path;
mod messages;
mod missing_keys;
mod moderation;
pub mod output;
mod passphrase;
mod peer;
mod probing;
mod reflexive;
mod relays;
mod returning;
mod rooms;
mod roster_changes;
mod roster_sync;
mod routes;
mod secrets;
mod state_transfer;
mod tickets;
mod timers;
mod welcome;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

pub use discovery::{Discovered, DiscoveryOrder};
pub use doorway::BINDING_LABEL;
pub use forwarding::{ForwardCounters, ForwardingTerms};
pub use founding::{FoundError, FoundingTerms, ParticipantConfig};
pub use inspection::Holdings;
pub use output::{
    Command, DialId, DialTarget, Event, LeftReason, LinkPeer, MediaFrame, MemberState, Output, RoutePath,
};
pub use peer::PeerCounters;
pub use relays::RELAY_TOKENS_MAX;

use self::{
    checkpoints::Checkpoints,
    conduits::{ChannelKey, Conduit},
    dirty::Dirty,
    discovery::Discovery,
    doorway::Doorway,
    evidence::Gathering,
    forwarding::Forwarding,
    links::{DialPurpose, MemberLink},
    lobby::Phase,
    peer::Peer,
    rooms::Rooms,
    secrets::Secrets,
    timers::Timers,
};
use super::{
    admission::AdmissionBook, conversation::Conversation, keys::Publisher, name::Name, role::Role,
    roster_log::RosterLog,
};
use crate::{
    channel::pairwise::PairwiseChannel,
    identity::Identity,
    ids::{LinkId, MeetingId, MemberId, RelayId},
    mesh::{hole_punch::HolePunch, relay_session::RelaySession},
    policy::{DescriptorBook, permit::RouteJudge},
    random::Random,
    relay::token::AccessToken,
    sframe::source_authenticator::SourceAuthenticator,
    time::{Now, Timestamp},
    wire::{control_message::ControlMessage, ticket::Ticket},
};

/// One member's part in one meeting; see the module.
pub struct Participant {
    identity: Identity,
    me: MemberId,
    meeting: MeetingId,
    host: MemberId,
    name: Name,
    /// Where others can dial this node; empty if it wants no direct links.
    addresses: Vec<SocketAddr>,
    /// Where relays see it.
    reflexive: reflexive::Reflexive,
    punch: HolePunch,
    direct: bool,
    judge: RouteJudge,
    /// What was found out about relays.
    gathering: Gathering,
    random: Random,

    phase: Phase,
    doorway: Doorway,
    /// While at the door: those besides the host who proved that they are in charge.
    doorkeepers: BTreeSet<MemberId>,
    /// When a welcome was last sent on a conduit; only the last [`timers::WELCOME_INTERVAL`] is kept.
    welcomed: BTreeMap<Conduit, Timestamp>,
    /// The ticket to come back with, in its newest form.
    ticket: Ticket,
    secrets: Secrets,
    log: RosterLog,
    checkpoints: Checkpoints,
    admission: AdmissionBook,
    publisher: Publisher,
    authenticator: SourceAuthenticator,
    /// Members whose key messages named ghosts: they get no more of this member's keys.
    distrusted: BTreeSet<MemberId>,
    /// Name and role of everybody in the roster as people were last told, for when they go.
    seen: BTreeMap<MemberId, (String, Role)>,

    peers: BTreeMap<MemberId, Peer>,
    links: BTreeMap<LinkId, MemberLink>,
    relays: BTreeMap<RelayId, RelaySession>,
    relay_links: BTreeMap<LinkId, RelayId>,
    /// What members were told of relays that this node uses through others.
    told_ways: BTreeMap<RelayId, RelayId>,
    /// For relays that ask for one.
    relay_tokens: Vec<AccessToken>,
    /// The newest descriptor of each relay that was judged: an older one does not take it back.
    descriptors: DescriptorBook,
    /// Relays that the policy refused, with the sentence that says why; each is reported once.
    refused_relays: BTreeMap<RelayId, String>,
    dials: BTreeMap<DialId, DialPurpose>,
    next_dial: u64,
    channels: BTreeMap<ChannelKey, PairwiseChannel>,
    rooms: Rooms,

    discovery: Discovery,
    conversation: Conversation,
    forwarding: Forwarding,

    timers: Timers,
    /// When the safety code was told last.
    safety_code_at: Option<Timestamp>,
    dirty: Dirty,
    outputs: VecDeque<Output>,
}

impl Participant {
    /// This member's identity.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.me
    }

    /// The meeting.
    #[must_use]
    pub fn meeting(&self) -> MeetingId {
        self.meeting
    }

    /// The newest ticket, to come back with.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Whether this node is in the meeting.
    #[must_use]
    pub fn is_member(&self) -> bool {
        matches!(self.phase, Phase::Member)
    }

    /// Frames that came from each peer and could not be used, by reason.
    pub fn counters(&self) -> impl Iterator<Item = (MemberId, PeerCounters)> + '_ {
        self.peers.iter().map(|(id, peer)| (*id, peer.counters))
    }

    /// The next thing to do; drain until `None` after each `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Participant::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if matches!(self.phase, Phase::Left) {
            return None;
        }
        let relays = self.relays.values().filter_map(RelaySession::poll_timeout);
        let links = self.links.values().map(|link| link.monitor.poll_timeout());
        let own = [
            self.conversation.poll_timeout().filter(|_| self.is_member()),
            self.timers.next(),
            self.punch.poll_timeout(),
            self.publisher.poll_timeout(),
            self.authenticator.poll_timeout(),
        ];
        relays.chain(links).chain(own.into_iter().flatten()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.handle_timers(now);
        self.punch.handle_timeout(now.monotonic, &mut self.random);
        self.ping_links(now);
        self.ping_relays(now);
        self.publisher.handle_timeout(now.monotonic);
        self.send_source_authentication(now);
        if self.is_member() {
            let reaches = |member: &MemberId| self.peers.get(member).is_some_and(peer::Peer::has_way);
            self.conversation.handle_timeout(now, &self.log, &reaches);
        }
        self.settle(now);
    }

    /// Brings everything that depends on what just changed up to date; the end of every `handle_*`.
    fn settle(&mut self, now: Now) {
        if matches!(self.phase, Phase::Left) {
            return;
        }
        if self.dirty.take_roster() {
            self.apply_roster(now);
        }
        if self.dirty.take_rooms() {
            self.rebuild_rooms(now);
        }
        self.pump_keys(now);
        self.pump_conversation(now);
        // Whatever changes whom there is to talk to changes routes too; time alone does so at each `Timer::Watch`.
        if self.dirty.take_routes() {
            self.plan_routes(now);
            self.dial_what_is_due(now);
            self.open_missing_channels(now);
        }
        self.pump_punch(now);
        self.pump_relays(now);
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn fault(&mut self, code: &'static str, message: String, hint: &str) {
        self.emit(Event::Fault {
            code,
            message,
            hint: hint.to_owned(),
        });
    }

    /// The name to show for somebody: as admitted, else the fingerprint.
    fn name_of(&self, member: MemberId) -> String {
        let roster = self.log.view();
        roster
            .members
            .get(&member)
            .map_or_else(|| member.fingerprint(), |m| m.name.to_string())
    }
}
