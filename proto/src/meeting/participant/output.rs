//! What goes in and out of a [`super::Participant`] beside bytes.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    ids::{LinkId, MeetingId, MemberId, RelayId, StreamId},
    media::reception_report::ReceptionReport,
    meeting::{
        conversation::{ConversationCommand, ConversationEvent, files::FileJob},
        credential::{Certified, CredentialError},
        kept::KeptRecord,
        keys::KeyReason,
        passphrase::Passphrase,
        role::Role,
        safety_code::SafetyCode,
    },
    noise::{Psk, Unadmitted},
    policy::{evidence::EvidenceLevel, permit::Permit},
    time::Timestamp,
    wire::door_message::RefusalWords,
};

/// A dial that the driver was asked for; a local handle, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// Where a link leads, as its handshake proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkPeer {
    /// A member, or somebody who wants to become one.
    Member(MemberId),
    /// A relay.
    Relay(RelayId),
}

/// Whom to dial, and how.
#[derive(Clone, Debug)]
pub enum DialTarget {
    /// A member leg: race the addresses, keep the first that completes the handshake.
    Member {
        /// Who must answer.
        member: MemberId,
        /// Where; at most [`crate::wire::control_message::ADDRESSES_MAX`].
        addresses: Vec<SocketAddr>,
        /// The meeting, part of the prologue.
        meeting: MeetingId,
        /// Lobby or member key.
        psk: Psk,
        /// From which socket of a search, in the order in which they were opened ([`Output::OpenSockets`]); else from that
        /// of all links.
        via: Option<u16>,
    },
    /// A relay leg.
    Relay {
        /// The proof that the policy allows it.
        permit: Permit,
        /// Its Noise static key.
        static_key: [u8; 32],
        /// Where.
        addresses: Vec<SocketAddr>,
        /// Where it is reached over TCP, if no UDP comes through.
        tcp_addresses: Vec<SocketAddr>,
    },
}

/// What the driver must do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Establish a link; answer with `handle_link_up` or `handle_dial_failed`.
    Dial {
        /// The handle to answer with.
        dial: DialId,
        /// Whom and how.
        target: DialTarget,
    },
    /// Dial one address more in a dial that may still be under way; without an answer of its own.
    DialAlso {
        /// Which dial.
        dial: DialId,
        /// Where.
        address: SocketAddr,
    },
    /// Send a probe from the socket of all links to each of these.
    Probe {
        /// Whose members recognise it.
        psk: Psk,
        /// Where.
        to: Vec<SocketAddr>,
    },
    /// Open so many sockets more, and send a probe from each to each of these. What they hear goes to `handle_probe`.
    OpenSockets {
        /// Whose members recognise the probes.
        psk: Psk,
        /// How many; at most [`crate::mesh::hole_punch::SOCKETS`] until [`Output::CloseSockets`].
        sockets: usize,
        /// Where.
        to: Vec<SocketAddr>,
    },
    /// Close the sockets that were opened for a search, but for those that dial.
    CloseSockets,
    /// Send one control frame on the link's control stream.
    Control {
        /// On which link.
        link: LinkId,
        /// The frame, without its length.
        bytes: Vec<u8>,
    },
    /// Send one datagram.
    Datagram {
        /// On which link.
        link: LinkId,
        /// The media packet.
        bytes: Vec<u8>,
    },
    /// Close the link after what was queued for it has been sent.
    Close {
        /// Which link.
        link: LinkId,
    },
    /// From now on accept member legs under exactly these keys.
    Accept {
        /// In the order in which they are tried.
        keys: Vec<Psk>,
    },
    /// Turn these away inside the handshake from the next [`Output::Accept`] on, which follows.
    TurnAway(Unadmitted),
    /// Also accept member legs under this key, until another such output.
    AcceptCode(Option<(MeetingId, Psk)>),
    /// Write this to the disk, after what came before, and before anything that follows is sent: the founder's node needs
    /// it to come back ([`super::Participant::resume`]).
    Keep(KeptRecord),
    /// Keep these in place of everything that was kept of the meeting: what lies before a checkpoint is forgotten. Replace it
    /// at once, or not at all.
    KeepAnew(Vec<KeptRecord>),
    /// Play this.
    Media(MediaFrame),
    /// Stop playing a member who is gone.
    MediaEnded {
        /// Who.
        member: MemberId,
    },
    /// What receivers report about this member's audio: the encoder adapts to it.
    Reported {
        /// Who reports.
        member: MemberId,
        /// What.
        report: ReceptionReport,
        /// What this node sends to them waits in a queue: more of it would only make that longer.
        congested: bool,
    },
    /// Ask GeoIP sources about a relay's addresses; answer with `handle_located`. Asked for only if there are sources.
    Locate {
        /// Which relay.
        relay: RelayId,
        /// Its addresses that nobody was asked about.
        addresses: Vec<IpAddr>,
    },
    /// Something for discovery; without any it has no effect.
    Discovery(super::DiscoveryOrder),
    /// Do something with a file; answer with `handle_file_outcome`.
    File(FileJob),
    /// Something for people.
    Event(Event),
}

/// A decrypted audio payload on its way to the jitter buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFrame {
    /// Who speaks.
    pub member: MemberId,
    /// Which of their tracks.
    pub stream: StreamId,
    /// When the packet arrived.
    pub arrival: Timestamp,
    /// The audio payload ([`crate::media::payload`]).
    pub payload: Vec<u8>,
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Let a waiting person in.
    Admit(MemberId),
    /// Let all of these in who wait.
    AdmitAll(BTreeSet<MemberId>),
    /// Refuse a waiting person.
    Refuse(MemberId),
    /// Refuse a waiting person, and say why.
    RefuseBecause(MemberId, RefusalWords),
    /// Send a member back to the lobby, where it may knock again.
    SendBack(MemberId),
    /// Say the passphrase at the door.
    Passphrase(Passphrase),
    /// Make a code of words that stands for the ticket, once.
    OfferCode,
    /// Ask a member to switch its microphone off.
    RequestMute(MemberId),
    /// Ask everybody who is not in charge.
    RequestMuteOfAll,
    /// Ask those in charge for the word.
    AskToSpeak,
    /// Only those in charge may share (`true`), or everybody who may speak.
    Sharing(bool),
    /// Take a person's reactions away (`false`) or give them back.
    Reactions(MemberId, bool),
    /// Remove a member.
    Remove(MemberId),
    /// Let nobody else in, or let people in again.
    Lock(bool),
    /// Change a member's role.
    Role(MemberId, Role),
    /// Chat, hands, reactions, polls, files.
    Conversation(ConversationCommand),
    /// Say goodbye and stop.
    Leave,
}

/// What a person should know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A new invitation: the first, or one that a removal renewed.
    Ticket(String),
    /// A removal renewed the ticket of a meeting that somebody else hosts; keep it to come back with.
    TicketRenewed,
    /// The host was reached and has to decide.
    Waiting,
    /// Nobody in charge answers yet; this node goes on knocking for so long.
    HostAbsent(Duration),
    /// The door asks for the passphrase.
    PassphraseWanted {
        /// The last one was wrong.
        wrong: bool,
    },
    /// Somebody in charge sent this node back to the lobby; it knocks again.
    SentBack,
    /// This member is in. The safety code follows.
    Joined {
        /// The policy in one line.
        policy: String,
    },
    /// The safety code, at first and whenever it changed with the roster.
    SafetyCode {
        /// The new one.
        code: SafetyCode,
        /// How many identities it covers.
        members: usize,
    },
    /// Somebody waits to be let in.
    Knock {
        /// Who.
        member: MemberId,
        /// The name they gave.
        name: String,
        /// Which way they come.
        via: Option<RoutePath>,
        /// Whether they were removed from this meeting before, or refused.
        returns: bool,
    },
    /// Somebody who waited is no longer at the door: gone, or somebody else in charge decided.
    KnockEnded {
        /// Who.
        member: MemberId,
    },
    /// Somebody in charge asks that this member be silent: switch its microphone off.
    MuteRequested {
        /// Who asks.
        by: MemberId,
    },
    /// A listener asks for the word.
    AskedToSpeak {
        /// Who.
        member: MemberId,
    },
    /// Somebody showed a credential.
    Certified {
        /// Who.
        member: MemberId,
        /// What it says, or why it says nothing.
        checked: Result<Certified, CredentialError>,
    },
    /// A code that stands for the ticket: to be read out, with one of the addresses.
    Code {
        /// The words.
        words: String,
        /// Where this node can be dialled.
        addresses: Vec<SocketAddr>,
        /// How long it is good.
        left: Duration,
    },
    /// The code is spent.
    CodeUsed {
        /// By whoever knew it; otherwise somebody guessed, or mistyped.
        right: bool,
    },
    /// Only those in charge may share (`true`), or everybody who may speak.
    Sharing(bool),
    /// A person's reactions were taken away or given back.
    Reactions {
        /// Whose.
        member: MemberId,
        /// Whether others show them.
        allowed: bool,
    },
    /// A roster entry came, changed or went.
    Member {
        /// Who.
        member: MemberId,
        /// The name they were admitted under.
        name: String,
        /// Their role.
        role: Role,
        /// What became of them.
        state: MemberState,
    },
    /// The meeting was locked or unlocked.
    Locked(bool),
    /// The way to a peer changed.
    Route {
        /// Which peer.
        peer: MemberId,
        /// All paths in use, best first; empty if there is none.
        paths: Vec<RoutePath>,
        /// The best path's round-trip time, once measured.
        rtt: Option<Duration>,
    },
    /// A rule forbade something.
    Refused {
        /// What: `relay`, `command`, `join`, `media`.
        what: &'static str,
        /// The rule's stable name.
        clause: String,
        /// A sentence for people.
        reason: String,
    },
    /// This member's sending keys changed.
    Keys {
        /// The generation now in use.
        generation: u64,
        /// How often it was ratcheted.
        step: u8,
        /// Why.
        reason: KeyReason,
        /// How many can decrypt.
        members: usize,
    },
    /// Chat, hands, reactions, polls, files.
    Conversation(ConversationEvent),
    /// The key that was missing (the fault `no_key`) is here: the member can be heard.
    KeyCame {
        /// Whose.
        member: MemberId,
    },
    /// Something failed; the meeting goes on.
    Fault {
        /// A stable name.
        code: &'static str,
        /// What failed and why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The end.
    Left(LeftReason),
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// In the meeting.
    Joined,
    /// Went by themselves.
    Left,
    /// Was removed.
    Removed,
}

/// One path of a route, with what its relay declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePath {
    /// A link of its own.
    Direct,
    /// Over a member who forwards.
    Member {
        /// Which.
        member: MemberId,
        /// The name they were admitted under.
        name: String,
    },
    /// Over a relay.
    Relay {
        /// Which.
        relay: RelayId,
        /// The operator's name.
        operator: String,
        /// ISO 3166-1 code.
        hosting: String,
        /// ISO 3166-1 code.
        legal_seat: String,
        /// How well the claim is supported.
        evidence: EvidenceLevel,
        /// Another relay on the way to it, which carries for this node.
        through: Option<Box<RoutePath>>,
        /// Another relay beyond it, which carries for the peer.
        beyond: Option<Box<RoutePath>>,
    },
}

/// Why a participant's part ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftReason {
    /// By its own wish.
    Left,
    /// A host or co-host removed it.
    Removed,
    /// The host refused.
    Refused,
    /// The meeting is locked.
    Locked,
    /// Too many wrong passphrases.
    Passphrase,
    /// Nobody could be reached in time.
    Unreachable {
        /// What was tried.
        detail: String,
    },
    /// The policy allows no path.
    NoPermittedPath {
        /// Which clause forbids what.
        detail: String,
    },
}
