//! What a user interface may ask of a node that takes part in a meeting.

use std::path::PathBuf;

use serde::Deserialize;
use subrosa_proto::{
    ids::MemberId,
    meeting::conversation::{files::FileId, item::ItemHash, reactions::Reaction},
};

/// One request. In JSON: `{"cmd":"mute"}`, `{"cmd":"admit","member":"<64 hex digits>"}` (docs/headless.md).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Command {
    /// Stop sending the microphone.
    Mute,
    /// Send the microphone again.
    Unmute,
    /// Let a waiting person in (host, co-host).
    Admit {
        /// Who knocks.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// Let in everybody who waits and is a contact (host, co-host).
    AdmitContacts,
    /// Refuse a waiting person (host, co-host).
    Refuse {
        /// Who knocks.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// What to tell them; at most 200 bytes are sent.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Send a member back to the lobby, where they may knock again; keys change at once (host, co-host).
    SendBack {
        /// Who goes.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// Say the passphrase that the door asks for.
    Passphrase {
        /// The passphrase.
        passphrase: Secret,
    },
    /// Ask a member to be silent: their node switches the microphone off, and they may switch it on again (host, co-host).
    RequestMute {
        /// Whom.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// Ask everybody who is not in charge to be silent (host, co-host).
    RequestMuteAll,
    /// Make a code of words that stands for the ticket, once and for ten minutes (host, co-host).
    OfferCode,
    /// As a listener, ask those in charge for the word.
    AskToSpeak,
    /// Say who may share: only those in charge, or everybody who may speak (host, co-host).
    Sharing {
        /// Only host and co-hosts.
        in_charge_only: bool,
    },
    /// Take a member's reactions away, or give them back (host, co-host).
    Reactions {
        /// Whose.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// Whether others show them.
        allowed: bool,
    },
    /// Remove a member; keys change at once (host, co-host).
    Remove {
        /// Who goes.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// Let nobody else in (host, co-host).
    Lock,
    /// Let people in again (host, co-host).
    Unlock,
    /// Change a member's role (host, co-host).
    Role {
        /// Whose role.
        #[serde(with = "hex_id")]
        member: MemberId,
        /// `host`, `co_host`, `speaker`, `interpreter` or `listener`.
        role: RoleName,
    },
    /// The safety code was compared with everybody who is here: they are contacts from now on.
    Verify,
    /// Say something to everybody, or to one (`to`).
    Say {
        /// At most 4,000 bytes; may have several lines.
        text: String,
        /// To whom; everybody if absent.
        #[serde(default, with = "hex_id_option")]
        to: Option<MemberId>,
    },
    /// Raise one's hand, or lower it (`"up":false`).
    Hand {
        /// Up or down.
        #[serde(default = "yes")]
        up: bool,
    },
    /// Take down somebody's hand (host, co-host).
    LowerHand {
        /// Whose.
        #[serde(with = "hex_id")]
        member: MemberId,
    },
    /// Show a reaction to everybody.
    React {
        /// `thumbs_up`, `thumbs_down`, `clap`, `heart`, `laugh`, `surprise`, `celebrate` or `think`.
        #[serde(with = "text")]
        reaction: Reaction,
    },
    /// Ask everybody (speakers).
    Poll {
        /// At most 300 bytes.
        question: String,
        /// Two to ten, of at most 120 bytes each.
        options: Vec<String>,
        /// Whether several may be chosen.
        #[serde(default)]
        multiple: bool,
    },
    /// Vote; a second vote replaces the first, and an empty one takes it back.
    Vote {
        /// The poll's id.
        #[serde(with = "text")]
        poll: ItemHash,
        /// Numbers of options, from 0.
        choices: Vec<u8>,
    },
    /// End a poll (who opened it, host, co-host).
    ClosePoll {
        /// The poll's id.
        #[serde(with = "text")]
        poll: ItemHash,
    },
    /// Offer a file to everybody, or to one (`to`).
    Send {
        /// Where it is.
        path: PathBuf,
        /// To whom; everybody if absent.
        #[serde(default, with = "hex_id_option")]
        to: Option<MemberId>,
    },
    /// Take an offered file.
    Accept {
        /// The file's id.
        #[serde(with = "text")]
        file: FileId,
    },
    /// Do not take an offered file.
    Decline {
        /// The file's id.
        #[serde(with = "text")]
        file: FileId,
    },
    /// Stop sending or receiving a file.
    Cancel {
        /// The file's id.
        #[serde(with = "text")]
        file: FileId,
    },
    /// Leave the meeting and end the node.
    Leave,
    /// Ask for a [`crate::event::Event::Member`] per member and a `Route` per peer.
    Who,
}

/// A secret that a person typed: it does not print, and is erased on drop.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Secret(zeroize::Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }
}

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Roles as the interfaces name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoleName {
    /// May do everything, and hand the role over.
    Host,
    /// May admit, refuse, remove, lock, and change roles below their own.
    CoHost,
    /// May speak.
    Speaker,
    /// May speak on an interpretation track.
    Interpreter,
    /// May listen only.
    Listener,
}

fn yes() -> bool {
    true
}

/// Whatever has a text form, in JSON both ways.
pub mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Reads the text form.
    ///
    /// # Errors
    /// If the text is no such thing.
    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| D::Error::custom(format!("{text:?}: {error}")))
    }

    /// Writes the text form.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer, T: Display>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
}

/// As [`hex_id`], or nothing.
pub mod hex_id_option {
    use serde::{Deserializer, Serializer};
    use subrosa_proto::ids::MemberId;

    /// Reads 64 hexadecimal digits or `null`.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MemberId>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Id(#[serde(with = "super::hex_id")] MemberId);
        Ok(<Option<Id> as serde::Deserialize>::deserialize(deserializer)?.map(|id| id.0))
    }

    /// Writes 64 hexadecimal digits or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(id: &Option<MemberId>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }
}

/// Identities as 64 hexadecimal digits, in JSON both ways.
pub mod hex_id {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use subrosa_proto::ids::MemberId;

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MemberId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.to_ascii_lowercase().parse().map_err(|_| {
            D::Error::custom("a member is named by 64 hexadecimal digits, as in the `member` event's `id`")
        })
    }

    /// Writes 64 hexadecimal digits.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(id: &MemberId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }
}
