//! What a node tells a user interface. The JSON form is the headless interface (docs/headless.md), version 1.

use serde::Serialize;
use subrosa_proto::ids::MemberId;

use crate::command::{RoleName, hex_id};

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
    /// Something failed; the node goes on unless `left` follows.
    Error(ErrorEvent),
    /// The node is out of the meeting; the last event.
    Left {
        /// `left`, `removed`, `refused`, `locked`, `unreachable`, `leave_after`, `error`.
        reason: String,
    },
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

/// The way that media take to and from a peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Which peer.
    #[serde(with = "hex_id")]
    pub peer: MemberId,
    /// The kind of path.
    pub path: PathKind,
    /// The relays' operator names, or the forwarding member's id; empty for a direct path.
    pub via: String,
    /// ISO 3166-1 code of the country that hosts the relay.
    pub hosting: Option<String>,
    /// ISO 3166-1 code of the operator's legal seat.
    pub legal_seat: Option<String>,
    /// `declared`, `attested`, `checked`.
    pub evidence: Option<String>,
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
