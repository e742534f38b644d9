//! What a node tells a user interface. The JSON form is the headless interface (docs/headless.md), version 1.

use serde::Serialize;
use subrosa_proto::ids::MemberId;

use crate::command::{RoleName, hex_id, hex_id_option};

/// The version of the JSON form: a field `"v"` of every line.
pub const EVENT_VERSION: u32 = 1;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The node's socket is open.
    Ready {
        /// This node's identity.
        #[serde(with = "hex_id")]
        node: MemberId,
        /// The media socket's address.
        listen: String,
    },
    /// The invitation to hand out; comes again when a removal renewed it.
    Ticket {
        /// One line, `subrosa:…`.
        ticket: String,
    },
    /// The host was reached and has to decide.
    Waiting {},
    /// Nobody in charge answers yet; this node goes on knocking.
    HostAbsent {
        /// For so many seconds.
        for_s: u64,
    },
    /// The door asks for the passphrase: answer with the command `passphrase`.
    PassphraseWanted {
        /// The last one was wrong.
        wrong: bool,
    },
    /// Somebody in charge sent this node back to the lobby; it knocks again.
    SentBack {},
    /// The key that was missing (the error `no_key`) is here: the member can be heard.
    KeyCame {
        /// Whose, in hexadecimal.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// This node is in. The safety code follows.
    Joined {
        /// The meeting's id in hexadecimal.
        meeting: String,
        /// This node's identity.
        #[serde(rename = "self", with = "hex_id")]
        me: MemberId,
        /// The policy in one line.
        policy: String,
    },
    /// The safety code, at first and whenever the roster changed.
    SafetyCode {
        /// 30 digits in groups of five.
        safety_code: String,
        /// The same as ten words.
        words: String,
        /// How many identities it covers.
        members: usize,
    },
    /// Somebody waits to be let in.
    Knock {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// The name they gave; proves nothing.
        name: String,
        /// What proves who they are.
        fingerprint: String,
        /// Which way they come: `direct`, or a relay with where it is hosted.
        via: String,
        /// Whether they were removed from this meeting before, or refused.
        returns: bool,
    },
    /// Somebody who knocked is no longer at the door.
    KnockEnded {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// What is known of somebody who knocks or came in; nothing is told of strangers.
    Standing {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// What.
        standing: StandingName,
        /// The contact's name: of this person, or of the one whose name this person shows.
        contact: Option<String>,
        /// When that contact was verified, in seconds since 1970.
        verified_unix: Option<u64>,
    },
    /// Somebody showed an organisation's credential.
    Certified {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// The organisation's name for itself.
        organisation: String,
        /// Its root key's fingerprint.
        root: String,
        /// By which name it knows this person.
        name: String,
        /// Whether this node's owner trusts that root. If not, the organisation's name proves nothing.
        trusted: bool,
        /// Until when, in seconds since 1970.
        not_after_unix: u64,
        /// Why the credential says nothing; the other fields are empty then.
        problem: Option<String>,
    },
    /// A code that stands for the ticket: `subrosa join WORDS --at ADDRESS`.
    Code {
        /// Four words.
        words: String,
        /// Where this node can be reached.
        addresses: Vec<String>,
        /// For how many seconds it is good.
        for_s: u64,
    },
    /// The code is spent.
    CodeUsed {
        /// By whoever knew it; otherwise somebody guessed or mistyped.
        right: bool,
    },
    /// Somebody in charge asked for silence; the microphone was switched off.
    MuteRequested {
        /// Who asked.
        #[serde(with = "hex_id")]
        by: MemberId,
    },
    /// A listener asks for the word.
    AskedToSpeak {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// Who may share changed.
    Sharing {
        /// Only host and co-hosts.
        in_charge_only: bool,
    },
    /// A member's reactions were taken away or given back.
    Reactions {
        /// Whose.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// Whether they are shown.
        allowed: bool,
    },
    /// The roster changed.
    Member {
        /// Who.
        #[serde(with = "hex_id")]
        id: MemberId,
        /// The name they were admitted under.
        name: String,
        /// Their role.
        role: RoleName,
        /// What became of them.
        state: MemberState,
    },
    /// The meeting was locked or unlocked.
    Locked {
        /// Whether nobody else is let in.
        locked: bool,
    },
    /// The way to a peer changed.
    Route(Route),
    /// Somebody began or ceased to speak.
    Speaking {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// Whether they speak.
        on: bool,
    },
    /// Reception from each peer, every 2 s.
    Stats {
        /// One entry per peer.
        peers: Vec<PeerStats>,
    },
    /// What this node forwards for others, when its user offered to: when that changes, at most every 2 s.
    Forward(ForwardStats),
    /// Something was not done because a rule forbids it.
    Refused {
        /// What was refused, e.g. `relay`, `command`, `join`.
        what: String,
        /// The rule's stable name, e.g. `hosting`.
        clause: String,
        /// A sentence for people.
        reason: String,
    },
    /// This node's sending keys changed.
    Keys {
        /// The generation now in use.
        generation: u64,
        /// `start`, `join`, `leave`, `remove`, `timer`, `frames`.
        reason: String,
        /// How many can decrypt what this node sends.
        members: usize,
    },
    /// The audio device runs: a common time base for measuring delay between two nodes of one computer.
    Audio {
        /// When the first sample of the input (with `file:`, of the clip) was taken: microseconds since
        /// 1970-01-01T00:00:00Z.
        input_started_unix_us: Option<u64>,
        /// When the first sample of the output is heard: microseconds since 1970-01-01T00:00:00Z.
        output_started_unix_us: Option<u64>,
    },
    /// Somebody said something; what this node says comes back as well.
    Chat(Chat),
    /// Private messages were not delivered before their receiver went.
    Undelivered {
        /// Who went.
        #[serde(with = "hex_id")]
        to: MemberId,
        /// How many.
        messages: usize,
    },
    /// Whose hands are up: who raised first comes first.
    Hands {
        /// In order.
        members: Vec<HexId>,
    },
    /// Somebody reacted.
    Reaction {
        /// Who.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// The reaction's name.
        reaction: String,
        /// Its picture.
        emoji: String,
    },
    /// A poll opened, got a vote, or closed.
    Poll(PollEvent),
    /// About a file.
    File(FileEvent),
    /// Something failed; the node goes on unless `left` follows.
    Error(ErrorEvent),
    /// The node is out of the meeting; the last event.
    Left {
        /// `left`, `removed`, `refused`, `locked`, `unreachable`, `leave_after`, `error`.
        reason: String,
    },
}

/// What is known of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingName {
    /// Verified before.
    Contact,
    /// Shows the name of a contact, or one that looks like it, and has another key.
    ChangedKey,
    /// Shows the name of somebody else who is here, or one that looks like it.
    SameName,
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// In the meeting.
    Joined,
    /// Went by themselves.
    Left,
    /// Was removed.
    Removed,
}

/// An identity in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HexId(#[serde(with = "hex_id")] pub MemberId);

/// A chat message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chat {
    /// Who.
    #[serde(with = "hex_id")]
    pub from: MemberId,
    /// To whom, if it is private.
    #[serde(with = "hex_id_option")]
    pub to: Option<MemberId>,
    /// What; may have several lines.
    pub text: String,
    /// Sorts messages in one order on all screens.
    pub order: String,
    /// Seconds since 1970, by the sender's clock.
    pub sent_unix: u64,
}

/// A poll as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PollEvent {
    /// Its id.
    pub poll: String,
    /// Who opened it.
    #[serde(with = "hex_id")]
    pub by: MemberId,
    /// What is asked.
    pub question: String,
    /// What can be chosen.
    pub options: Vec<String>,
    /// Whether several may be chosen.
    pub multiple: bool,
    /// Votes for each option.
    pub votes: Vec<u32>,
    /// Members who voted.
    pub voters: usize,
    /// What this node chose.
    pub mine: Vec<u8>,
    /// `open`, `counting` (closed, some votes are still to come) or `closed`.
    pub state: PollState,
    /// Members whose votes came after the poll was closed.
    pub uncounted: usize,
}

/// How far a poll is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PollState {
    /// Votes are taken.
    Open,
    /// It is closed, and counted votes are on their way.
    Counting,
    /// The result is final, and the same everywhere.
    Closed,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileEvent {
    /// Its id.
    pub file: String,
    /// What.
    pub state: FileState,
    /// The other side, if there is one.
    #[serde(with = "hex_id_option")]
    pub peer: Option<MemberId>,
    /// A safe name, with `offered` and `offering`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes that are there, with `progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Where it was put, with `received`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it ended, with `ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// States of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The peer offers it.
    Offered,
    /// This node offers it.
    Offering,
    /// The peer takes it.
    Accepted,
    /// The peer does not take it.
    Declined,
    /// It is on its way.
    Progress,
    /// It is here, and its hash is right.
    Received,
    /// It is there, and its hash is right.
    Delivered,
    /// It ended otherwise.
    Ended,
}

/// The way that media take to and from a peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Which peer.
    #[serde(with = "hex_id")]
    pub peer: MemberId,
    /// The kind of path.
    pub path: PathKind,
    /// The relays' operator names, or the forwarding members' names; empty for a direct path.
    pub via: String,
    /// ISO 3166-1 code of the country that hosts the relay.
    pub hosting: Option<String>,
    /// ISO 3166-1 code of the operator's legal seat.
    pub legal_seat: Option<String>,
    /// `declared`, `attested`, `checked`.
    pub evidence: Option<String>,
    /// `udp`, or `tcp` where no UDP comes through: how this node reaches the relay.
    pub transport: Option<String>,
    /// Round-trip time in milliseconds, once measured.
    pub rtt_ms: Option<f64>,
}

/// Kinds of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// A link of its own.
    Direct,
    /// Over one or two relays.
    Relay,
    /// Over another member.
    Member,
    /// No path at present.
    None,
}

/// Reception from one peer since joining, except where a unit says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerStats {
    /// Which peer.
    #[serde(with = "hex_id")]
    pub member: MemberId,
    /// Audio packets received.
    pub received: u64,
    /// Audio frames whose packet never came.
    pub lost: u64,
    /// Lost frames restored from redundancy or FEC.
    pub recovered: u64,
    /// Frames that had to be invented.
    pub concealed: u64,
    /// Interarrival jitter in ms (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// Delay in the jitter buffer in ms.
    pub delay_ms: f64,
    /// Received bits per second over the last interval.
    pub bitrate: u64,
    /// Frames that could not be decrypted.
    pub undecryptable: u64,
}

/// What this node forwards for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ForwardStats {
    /// What it offers, in kbit/s, as far as policy and uplink allow; 0: nothing at present.
    pub offered_kbps: u32,
    /// Members whose audio it forwards.
    pub tracks: usize,
    /// Subscriptions that it serves.
    pub listeners: usize,
    /// Audio packets sent on since joining.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that the budget did not cover.
    pub dropped: u64,
    /// Subscriptions that were refused.
    pub refused: u64,
    /// Sealed control messages carried between members who share no link.
    pub envelopes: u64,
}

/// A failure for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorEvent {
    /// A stable name, e.g. `ticket_expired`.
    pub code: String,
    /// What failed and why.
    pub message: String,
    /// What to do.
    pub hint: String,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten)]
    event: &'a Event,
}

impl Event {
    /// The event as one line of JSON, without a line break.
    ///
    /// # Panics
    /// Never: every event serializes.
    #[must_use]
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(&Line {
            v: EVENT_VERSION,
            event: self,
        })
        .expect("events serialize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_versioned_lines() {
        let line = Event::Waiting {}.to_json_line();
        assert_eq!(line, r#"{"v":1,"event":"waiting"}"#);
    }
}
