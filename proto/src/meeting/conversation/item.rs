//! What is said to everybody: signed items, each in its author's feed, each naming what its author had seen.

use aws_lc_rs::digest;
use bincode::{Decode, Encode};
use data_encoding::HEXLOWER;

use super::{
    polls::{CHOICES_MAX, OPTIONS_MAX, OPTIONS_MIN},
    text::{ChatText, OptionText, Question},
};
use crate::{
    identity::{self, BadSignature, Identity, Signature},
    ids::{MeetingId, MemberId},
    time::UnixSeconds,
    wire::{bounded::BoundedVec, codec, control_message::Heads},
};

/// Items that an item names as seen. Reason: those that nobody has answered yet; in a lively meeting a handful.
pub const PARENTS_MAX: usize = 8;
/// The largest encoded item: the closing of a poll in which a full meeting voted.
pub const ITEM_BYTES_MAX: usize = 10 * 1_024;
/// The highest clock value that is taken; honest ones stay below a million.
pub const LAMPORT_MAX: u64 = 1 << 62;
/// Votes that the closing of a poll can count: as many as a meeting has members.
pub const COUNTED_MAX: usize = 257;

const DOMAIN: &str = "subrosa-conversation-item-v1";

/// SHA-256 over an item: its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ItemHash(pub [u8; 32]);

impl std::fmt::Debug for ItemHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ItemHash({})", HEXLOWER.encode(&self.0[..4]))
    }
}

impl std::fmt::Display for ItemHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl std::str::FromStr for ItemHash {
    type Err = data_encoding::DecodeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        if text.len() != 64 {
            return Err(data_encoding::DecodeError {
                position: text.len(),
                kind: data_encoding::DecodeKind::Length,
            });
        }
        HEXLOWER
            .decode_mut(text.as_bytes(), &mut hash)
            .map_err(|partial| partial.error)?;
        Ok(Self(hash))
    }
}

/// One run of one author: whoever restarts has forgotten its numbers and begins another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FeedId {
    /// Who.
    pub author: MemberId,
    /// Which run: later ones have greater numbers ([`super::new_instance`]).
    pub instance: u64,
}

/// Where an item stands on every screen: by its author's clock, then by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// One more than the highest that the author had seen.
    pub lamport: u64,
    /// Decides between items that knew nothing of each other.
    pub hash: ItemHash,
}

impl std::fmt::Display for OrderKey {
    /// Text that sorts as the key does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{}", self.lamport, HEXLOWER.encode(&self.hash.0[..8]))
    }
}

/// A question to everybody.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Poll {
    /// What is asked.
    pub question: Question,
    /// What can be chosen: 2 to 10, all different.
    pub options: BoundedVec<OptionText, OPTIONS_MAX>,
    /// Whether several may be chosen.
    pub multiple: bool,
}

/// What an item says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ItemBody {
    /// A chat message.
    Say(ChatText),
    /// The author's hand goes up or down.
    Hand(bool),
    /// Somebody in charge takes down the hand that this item raised.
    LowerHand(ItemHash),
    /// A poll opens; its id is this item's hash.
    OpenPoll(Poll),
    /// The author's vote; replaces its former one.
    Vote {
        /// Which poll.
        poll: ItemHash,
        /// Bit `n` stands for option `n`; 0 takes the vote back.
        choices: u16,
    },
    /// The poll is over, and these votes count.
    ClosePoll {
        /// Which poll.
        poll: ItemHash,
        /// The votes, ascending.
        counted: BoundedVec<ItemHash, COUNTED_MAX>,
    },
}

/// An item without its signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Item {
    /// In which meeting.
    pub meeting: MeetingId,
    /// Whose feed.
    pub feed: FeedId,
    /// Its number in the feed, from 1.
    pub seq: u64,
    /// One more than the highest that the author had seen.
    pub lamport: u64,
    /// When, by the author's clock; for people only.
    pub sent: UnixSeconds,
    /// Items that the author had seen and nobody had followed, ascending.
    pub parents: BoundedVec<ItemHash, PARENTS_MAX>,
    /// The roster log's heads at the author: who is meant to receive this, and what the author may do.
    pub heads: Heads,
    /// What it says.
    pub body: ItemBody,
}

/// An item with its author's signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedItem {
    /// What was signed.
    pub item: Item,
    /// By the author.
    pub signature: Signature,
}

/// Why an item is taken by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// Of another meeting.
    #[error("an item of another meeting")]
    OtherMeeting,
    /// Numbers, orders or sizes that no honest author writes.
    #[error("an item that breaks a rule of its form")]
    Form,
    /// Not by its author.
    #[error("an item whose signature is not its author's")]
    Signature,
}

impl From<BadSignature> for ItemError {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

impl SignedItem {
    /// Signs `item`; the caller made it by the rules.
    #[must_use]
    pub fn sign(identity: &Identity, item: Item) -> Self {
        let signature = identity.sign(DOMAIN, &codec::encode(&item));
        Self { item, signature }
    }

    /// The item's name.
    #[must_use]
    pub fn hash(&self) -> ItemHash {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN.as_bytes());
        context.update(&[0]);
        context.update(&codec::encode(&self.item));
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        ItemHash(hash)
    }

    /// Where it stands on every screen.
    #[must_use]
    pub fn order(&self, hash: ItemHash) -> OrderKey {
        OrderKey {
            lamport: self.item.lamport,
            hash,
        }
    }

    /// Checks everything that does not depend on what else is known.
    ///
    /// # Errors
    /// [`ItemError`].
    pub fn verify(&self, meeting: &MeetingId) -> Result<(), ItemError> {
        let item = &self.item;
        if item.meeting != *meeting {
            return Err(ItemError::OtherMeeting);
        }
        let form = item.seq > 0
            && item.seq < LAMPORT_MAX
            && item.lamport > 0
            && item.lamport <= LAMPORT_MAX
            && !item.heads.is_empty()
            && item.parents.is_sorted_by(|a, b| a < b)
            && item.body.is_well_formed();
        if !form {
            return Err(ItemError::Form);
        }
        let bytes = codec::encode(item);
        if bytes.len() > ITEM_BYTES_MAX {
            return Err(ItemError::Form);
        }
        identity::verify(&item.feed.author.0, DOMAIN, &bytes, &self.signature)?;
        Ok(())
    }
}

impl ItemBody {
    fn is_well_formed(&self) -> bool {
        match self {
            Self::OpenPoll(poll) => poll.is_well_formed(),
            Self::Vote { choices, .. } => *choices <= CHOICES_MAX,
            Self::ClosePoll { counted, .. } => counted.is_sorted_by(|a, b| a < b),
            Self::Say(_) | Self::Hand(_) | Self::LowerHand(_) => true,
        }
    }
}

impl Poll {
    /// Whether there are two to ten options, all different.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let different: std::collections::BTreeSet<_> = self.options.iter().collect();
        self.options.len() >= OPTIONS_MIN && different.len() == self.options.len()
    }

    /// Whether a vote with these bits can be cast: bits of options only, and one at most unless several may be chosen.
    #[must_use]
    pub fn takes(&self, choices: u16) -> bool {
        usize::from(choices) < (1 << self.options.len()) && (self.multiple || choices.count_ones() <= 1)
    }
}
