//! What happens when.

use serde::{Deserialize, Serialize};

use crate::world::{hostile::Misdeed, planted::Planted};

/// An action and its time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TimedAction {
    /// When.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What can be made to happen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Somebody joins with its own ticket, or the one of who invited it.
    Join {
        /// Who.
        who: String,
    },
    /// Nothing is in the way of somebody any more: it reaches every relay.
    Reach {
        /// Who.
        who: String,
    },
    /// Somebody says goodbye.
    Leave {
        /// Who.
        who: String,
    },
    /// Somebody in charge lets somebody in.
    Admit {
        /// Who.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge turns somebody away.
    Refuse {
        /// Who.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge removes a member.
    Remove {
        /// Who.
        who: String,
        /// In charge.
        by: String,
        /// The removed one does not go: it keeps its keys and listens to everything that is sent from then on.
        #[serde(default)]
        stays: bool,
    },
    /// Somebody in charge locks or unlocks.
    Lock {
        /// In charge.
        by: String,
        /// Locked from now on.
        locked: bool,
    },
    /// Another role.
    Role {
        /// Whose.
        who: String,
        /// In charge.
        by: String,
        /// `host`, `co-host`, `speaker`, `listener`.
        role: String,
    },
    /// Writes to everybody, or to one.
    Say {
        /// Who.
        who: String,
        /// What.
        text: String,
        /// To whom; everybody if absent.
        #[serde(default)]
        to: Option<String>,
    },
    /// Raises or lowers a hand.
    Hand {
        /// Whose.
        who: String,
        /// Up (default) or down.
        #[serde(default = "yes")]
        up: bool,
    },
    /// Somebody in charge takes down a hand.
    LowerHand {
        /// Whose.
        who: String,
        /// In charge.
        by: String,
    },
    /// Ceases to speak.
    Mute {
        /// Who.
        who: String,
    },
    /// Speaks again.
    Unmute {
        /// Who.
        who: String,
    },
    /// A process ends without a word.
    Crash {
        /// Whose.
        who: String,
    },
    /// It starts again with its identity and newest ticket.
    Restart {
        /// Whose.
        who: String,
        /// Its disk is gone, but for the ticket.
        #[serde(default)]
        forgets: bool,
    },
    /// Somebody in charge sends a member back to the lobby.
    SendBack {
        /// Who.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge turns somebody away, and says why.
    RefuseBecause {
        /// Who.
        who: String,
        /// In charge.
        by: String,
        /// Why.
        words: String,
    },
    /// Somebody in charge lets in those of these who wait.
    AdmitAll {
        /// Whom.
        whom: Vec<String>,
        /// In charge.
        by: String,
    },
    /// Says the passphrase at the door.
    SayPassphrase {
        /// Who.
        who: String,
        /// What.
        passphrase: String,
    },
    /// Somebody in charge asks a member for silence.
    RequestMute {
        /// Whom.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge asks all for silence.
    RequestMuteOfAll {
        /// In charge.
        by: String,
    },
    /// A listener asks for the word.
    AskToSpeak {
        /// Who.
        who: String,
    },
    /// Somebody in charge says who may share.
    Sharing {
        /// In charge.
        by: String,
        /// Only those in charge.
        in_charge_only: bool,
    },
    /// Somebody in charge takes a member's reactions away, or gives them back.
    Reactions {
        /// Whose.
        who: String,
        /// In charge.
        by: String,
        /// Whether they are shown.
        allowed: bool,
    },
    /// A relay's process ends without a word.
    KillRelay {
        /// Which.
        relay: String,
    },
    /// It starts again.
    RestartRelay {
        /// Which.
        relay: String,
    },
    /// All relays of a region end without a word.
    Outage {
        /// Where.
        region: String,
    },
    /// They start again.
    EndOutage {
        /// Where.
        region: String,
    },
    /// A device sleeps: it does nothing, hears nothing, and its timers fire when it wakes.
    Sleep {
        /// Whose.
        who: String,
    },
    /// It wakes.
    Wake {
        /// Whose.
        who: String,
    },
    /// A device comes into another network: it has another address, and its links are dead.
    Move {
        /// Whose.
        who: String,
        /// Where it is now; as before if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// Its new access link; as before if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access: Option<String>,
    },
    /// A relay begins to alter what it forwards.
    Tamper {
        /// Which.
        relay: String,
    },
    /// A relay begins to mistreat what it forwards, beside what it did before.
    Misbehave {
        /// Which.
        relay: String,
        /// What it does.
        how: Misdeed,
        /// To so many datagrams in a hundred.
        #[serde(default = "hundred")]
        percent: f64,
        /// For how long, in milliseconds.
        #[serde(default = "hundred")]
        ms: f64,
    },
    /// Somebody signs two operations with one number, shows each to half of the others, and listens on.
    Equivocate {
        /// Who: somebody in charge that wrote nothing before.
        who: String,
    },
    /// Something is wrong with somebody's machine from now on: a checker must catch it.
    Plant {
        /// Whose.
        who: String,
        /// What.
        fault: Planted,
    },
    /// These (members and relays) and the others reach each other no more.
    Partition {
        /// One side.
        side: Vec<String>,
    },
    /// These reach each other no more, but everybody else.
    Cut {
        /// Members and relays.
        side: Vec<String>,
    },
    /// Partition and cut end.
    Heal {},
    /// The report tells what was said until here.
    Mark {
        /// What for.
        name: String,
    },
}

const fn yes() -> bool {
    true
}

const fn hundred() -> f64 {
    100.0
}

impl Action {
    /// The side that it parts from the rest, if it does.
    pub(crate) const fn side_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Self::Partition { side } | Self::Cut { side } => Some(side),
            _ => None,
        }
    }

    /// Everybody whom it names.
    pub(crate) fn names(&self) -> Vec<&String> {
        match self {
            Self::Join { who }
            | Self::Leave { who }
            | Self::Reach { who }
            | Self::Mute { who }
            | Self::Unmute { who }
            | Self::Hand { who, .. }
            | Self::Say { who, to: None, .. }
            | Self::Crash { who }
            | Self::SayPassphrase { who, .. }
            | Self::AskToSpeak { who }
            | Self::Plant { who, .. }
            | Self::Equivocate { who }
            | Self::Sleep { who }
            | Self::Wake { who }
            | Self::Move { who, .. }
            | Self::Restart { who, .. } => vec![who],
            Self::Admit { who, by }
            | Self::Refuse { who, by }
            | Self::SendBack { who, by }
            | Self::RefuseBecause { who, by, .. }
            | Self::RequestMute { who, by }
            | Self::Reactions { who, by, .. }
            | Self::Remove { who, by, .. }
            | Self::LowerHand { who, by }
            | Self::Say {
                who, to: Some(by), ..
            }
            | Self::Role { who, by, .. } => vec![who, by],
            Self::Lock { by, .. } | Self::RequestMuteOfAll { by } | Self::Sharing { by, .. } => vec![by],
            Self::AdmitAll { whom, by } => whom.iter().chain([by]).collect(),
            Self::KillRelay { relay }
            | Self::RestartRelay { relay }
            | Self::Misbehave { relay, .. }
            | Self::Tamper { relay } => vec![relay],
            Self::Partition { side } | Self::Cut { side } => side.iter().collect(),
            Self::Outage { .. } | Self::EndOutage { .. } | Self::Heal {} | Self::Mark { .. } => Vec::new(),
        }
    }
}
