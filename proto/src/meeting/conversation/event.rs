//! What people ask of the conversation, what they are told, and why something is not done.

use std::time::Duration;

use super::{
    files::{FileEvent, FileId},
    item::{ItemHash, OrderKey},
    polls::PollView,
    reactions::Reaction,
    text::TextError,
};
use crate::{ids::MemberId, time::UnixSeconds};

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationCommand {
    /// Say something, to everybody or to one.
    Say {
        /// To whom; everybody if none.
        to: Option<MemberId>,
        /// What.
        text: String,
    },
    /// Raise or lower one's hand.
    Hand(bool),
    /// Take down somebody's hand (host, co-host).
    LowerHand(MemberId),
    /// Show a reaction to everybody.
    React(Reaction),
    /// Ask everybody.
    OpenPoll {
        /// What.
        question: String,
        /// What can be chosen.
        options: Vec<String>,
        /// Whether several may be chosen.
        multiple: bool,
    },
    /// Vote; a second vote replaces the first, an empty one takes it back.
    Vote {
        /// Which poll.
        poll: ItemHash,
        /// Numbers of options, from 0.
        choices: Vec<u8>,
    },
    /// End a poll (who opened it, host, co-host).
    ClosePoll(ItemHash),
    /// Offer a file whose size and hash the driver found.
    OfferFile {
        /// To whom; everybody if none.
        to: Option<MemberId>,
        /// The driver's handle of the file.
        source: u64,
        /// Its name, without folders.
        name: String,
        /// Bytes.
        size: u64,
        /// BLAKE3 of its content.
        hash: [u8; 32],
    },
    /// Take an offered file.
    AcceptFile(FileId),
    /// Do not take it.
    DeclineFile(FileId),
    /// Stop sending or receiving it.
    CancelFile(FileId),
}

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationEvent {
    /// Somebody said something; this member's own messages come too.
    Said(Said),
    /// Private messages that could not be delivered before their receiver went.
    Undelivered {
        /// Who went.
        to: MemberId,
        /// How many.
        messages: usize,
    },
    /// Whose hands are up, in order.
    Hands(Vec<MemberId>),
    /// Somebody reacted.
    Reacted {
        /// Who.
        member: MemberId,
        /// How.
        reaction: Reaction,
    },
    /// A poll opened, got a vote, or closed.
    Poll(PollView),
    /// About a file.
    File(FileEvent),
    /// Somebody signed two different items with one number: nothing more is taken from them.
    Equivocated(MemberId),
    /// Something was not done.
    Refused {
        /// `chat`, `hand`, `reaction`, `poll`, `vote`, `file`.
        what: &'static str,
        /// Why.
        why: Refusal,
    },
}

/// A chat message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub from: MemberId,
    /// To whom; everybody if none.
    pub to: Option<MemberId>,
    /// What.
    pub text: String,
    /// Where it stands among the others.
    pub order: OrderKey,
    /// When, by the sender's clock.
    pub sent: UnixSeconds,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too much at once.
    #[error("too fast: wait {:.1} s", .0.as_secs_f64())]
    Rate(Duration),
    /// The text breaks a rule.
    #[error("{0}")]
    Text(#[from] TextError),
    /// Somebody who is not in the meeting.
    #[error("nobody in the meeting has that identity")]
    Nobody,
    /// To oneself.
    #[error("that is this node itself")]
    Oneself,
    /// The role does not allow it.
    #[error("a {0} may not do that; ask the host or a co-host")]
    Role(&'static str),
    /// Somebody in charge stopped this person's reactions.
    #[error("somebody in charge stopped your reactions")]
    Stopped,
    /// No hand is up.
    #[error("that hand is not up")]
    HandDown,
    /// It is up already.
    #[error("the hand is up already")]
    HandUp,
    /// No such poll is open.
    #[error("no such poll is open")]
    NoPoll,
    /// Options or choices that do not fit.
    #[error("{0}")]
    Choice(&'static str),
    /// Too much waits to be delivered.
    #[error("too much waits to be delivered to them: try again when they are reachable")]
    Full,
    /// No such file is offered or under way.
    #[error("no such file is offered or under way")]
    NoFile,
    /// A file that is empty or too large.
    #[error("a file has 1 to {} bytes, this has {}", super::files::FILE_BYTES_MAX, .0)]
    FileSize(u64),
    /// Too many files.
    #[error("too many files are offered or under way: finish or cancel one")]
    TooManyFiles,
}

impl Refusal {
    /// The rule's stable name.
    #[must_use]
    pub fn clause(&self) -> &'static str {
        match self {
            Self::Rate(_) => "rate",
            Self::Text(_) => "text",
            Self::Nobody | Self::Oneself => "member",
            Self::Role(_) => "role",
            Self::Stopped => "stopped",
            Self::HandDown | Self::HandUp => "hand",
            Self::NoPoll => "poll",
            Self::Choice(_) => "choice",
            Self::Full => "backlog",
            Self::NoFile => "file",
            Self::FileSize(_) => "size",
            Self::TooManyFiles => "files",
        }
    }
}
