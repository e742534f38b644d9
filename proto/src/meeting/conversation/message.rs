//! What the conversation puts into control messages (`proto/spec/conversation.md`).

use bincode::{Decode, Encode};

use super::{
    files::message::{FileAck, FileChunk, FileControl},
    item::{FeedId, SignedItem},
    ranges::ToldRanges,
    reactions::Reaction,
    text::ChatText,
};
use crate::{time::UnixSeconds, wire::bounded::BoundedVec};

/// Items in one message.
pub const ITEMS_MAX: usize = 32;
/// Bytes of items in one message, so that it fits an envelope; one item may be as long by itself.
pub const ITEMS_BYTES_MAX: usize = 10 * 1_024;
/// Feeds in one digest; longer ones go in parts. Reason: fits an envelope.
pub const MARKS_MAX: usize = 80;

/// What the sender has of one feed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// Which feed.
    pub feed: FeedId,
    /// Which of its items.
    pub has: ToldRanges,
}

/// What the sender has of all feeds from `first` to `last`; of those without a mark it has nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Digest {
    /// The first feed that is covered.
    pub first: FeedId,
    /// The last feed that is covered.
    pub last: FeedId,
    /// Ascending.
    pub marks: BoundedVec<Mark, MARKS_MAX>,
}

/// What is said to one person only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DirectBody {
    /// What was here has expired.
    Nothing,
    /// A private chat message.
    Private {
        /// One more than the highest clock that the sender had seen.
        lamport: u64,
        /// When, by the sender's clock.
        sent: UnixSeconds,
        /// What.
        text: ChatText,
    },
    /// A reaction; everybody gets one of its own.
    Reaction(Reaction),
    /// About a file.
    File(FileControl),
}

/// One of a row of messages to one person: taken once, in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Direct {
    /// The sender's run.
    pub instance: u64,
    /// The lowest number that the sender still keeps: nothing below will come.
    pub base: u64,
    /// The message's number, from 1.
    pub seq: u64,
    /// What.
    pub body: DirectBody,
}

/// The conversation's messages.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ConversationMessage {
    /// Items, of any authors.
    Items(BoundedVec<SignedItem, ITEMS_MAX>),
    /// See [`Digest`]; answered by the items that the sender lacks and may have.
    Digest(Digest),
    /// See [`Direct`].
    Direct(Direct),
    /// All up to this number of this run were taken.
    DirectAck {
        /// The run of the one who is told.
        instance: u64,
        /// The last number.
        upto: u64,
    },
    /// A piece of a file.
    Chunk(FileChunk),
    /// How far a file has come.
    ChunkAck(FileAck),
}
