//! Failures that end a command, with a stable code, an exit status and advice.

use crate::{audio::AudioError, event::ErrorEvent};

/// What failed, why, and what to do. Built where the failure is understood, shown unchanged by every interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// Decides code and exit status.
    pub kind: ErrorKind,
    /// What failed and why, one sentence.
    pub message: String,
    /// What to do, one sentence.
    pub hint: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $code:literal, $exit:literal;)*) => {
        /// Kinds of failure. Codes and exit statuses are stable (docs/exit-codes.md).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }
        impl ErrorKind {
            /// The stable name, as in the headless `error` event.
            #[must_use]
            pub const fn code(self) -> &'static str { match self { $(Self::$name => $code,)* } }
            /// The process's exit status.
            #[must_use]
            pub const fn exit_status(self) -> u8 { match self { $(Self::$name => $exit,)* } }
            /// Every kind, for the documentation's test.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The kind with the stable name `code`.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> { Self::ALL.iter().copied().find(|kind| kind.code() == code) }
        }
    };
}

kinds! {
    /// A fault of ours.
    Internal => "internal", 1;
    /// A flag or argument is wrong.
    Usage => "usage", 2;
    /// The ticket's text is damaged.
    TicketDamaged => "ticket_damaged", 10;
    /// The ticket is no longer valid.
    TicketExpired => "ticket_expired", 11;
    /// The ticket is of another protocol version.
    TicketVersion => "ticket_version", 12;
    /// The ticket's policy differs from the one that the user asked for.
    TicketPolicy => "ticket_policy", 13;
    /// The ticket is well-formed, but nobody accepts it (renewed after a removal, or forged).
    TicketRefused => "ticket_refused", 14;
    /// Nobody could be reached.
    Unreachable => "unreachable", 20;
    /// No path is allowed by the policy.
    NoPermittedPath => "no_permitted_path", 21;
    /// The host refused.
    Refused => "refused", 22;
    /// This member was removed.
    Removed => "removed", 23;
    /// The meeting is locked.
    Locked => "locked", 24;
    /// Too many wrong passphrases.
    Passphrase => "passphrase", 27;
    /// A relay refused or is down.
    Relay => "relay", 25;
    /// A descriptor is forged, expired, replayed or malformed.
    Descriptor => "descriptor", 26;
    /// The address is in use, or may not be bound.
    Bind => "bind", 30;
    /// An audio file is missing, not audio, or cannot be written.
    AudioFile => "audio_file", 40;
    /// No audio server answers.
    AudioDevice => "audio_device", 41;
    /// The disk is full or a file cannot be written.
    Storage => "storage", 50;
    /// A configuration or policy file is wrong.
    Config => "config", 51;
    /// A check of the demo, of netcheck or of a relay's health failed.
    Check => "check_failed", 60;
}

impl NodeError {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The same as an event.
    #[must_use]
    pub fn to_event(&self) -> ErrorEvent {
        ErrorEvent {
            code: self.kind.code().to_owned(),
            message: self.message.clone(),
            hint: self.hint.clone(),
        }
    }
}

impl From<AudioError> for NodeError {
    fn from(error: AudioError) -> Self {
        let kind = match &error {
            AudioError::UnknownDevice { .. } | AudioError::SameFile { .. } | AudioError::Setting { .. } => {
                ErrorKind::Usage
            }
            AudioError::FileOpen { .. } | AudioError::NotAudio { .. } | AudioError::FileWrite { .. } => {
                ErrorKind::AudioFile
            }
            AudioError::NoServer { .. } | AudioError::NoDevice { .. } | AudioError::Lost { .. } => {
                ErrorKind::AudioDevice
            }
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string(), error.hint())
    }
}
