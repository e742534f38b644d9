//! What a user interface may ask of a node that takes part in a meeting.

use serde::Deserialize;
use subrosa_proto::ids::MemberId;

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
    /// Refuse a waiting person (host, co-host).
    Refuse {
        /// Who knocks.
        #[serde(with = "hex_id")]
        member: MemberId,
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
        /// `host`, `co_host`, `speaker` or `listener`.
        role: RoleName,
    },
    /// Leave the meeting and end the node.
    Leave,
    /// Ask for a [`crate::event::Event::Member`] per member and a `Route` per peer.
    Who,
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
    /// May listen only.
    Listener,
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
