//! Who receives a key: the list, and the root that stands for it.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use crate::ids::{MeetingId, MemberId};

/// Most recipients of one publisher's key. Reason: a meeting of 200 and some room; a key message that lists them all
/// (8 KiB) fits an envelope of 16 KiB.
pub const RECIPIENTS_MAX: usize = 256;

/// SHA-256 over the recipients' sorted ids: one value for one set in one meeting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RecipientsRoot(pub [u8; 32]);

impl std::fmt::Debug for RecipientsRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RecipientsRoot({})",
            data_encoding::HEXLOWER.encode(&self.0[..4])
        )
    }
}

impl RecipientsRoot {
    /// `SHA-256("subrosa-recipients-v1" ‖ 0 ‖ meeting ‖ count as u32 big-endian ‖ ids in ascending order)`.
    #[must_use]
    pub fn of(meeting: &MeetingId, recipients: &BTreeSet<MemberId>) -> Self {
        let count = u32::try_from(recipients.len()).expect("a set of members in memory");
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"subrosa-recipients-v1\0");
        hash.update(&meeting.0);
        hash.update(&count.to_be_bytes());
        for member in recipients {
            hash.update(&member.0);
        }
        let mut root = [0; 32];
        root.copy_from_slice(hash.finish().as_ref());
        Self(root)
    }
}

/// At most [`RECIPIENTS_MAX`] members; on the wire in ascending order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientList(BTreeSet<MemberId>);

impl RecipientList {
    /// `None` if there are more than [`RECIPIENTS_MAX`].
    #[must_use]
    pub fn new(members: BTreeSet<MemberId>) -> Option<Self> {
        (members.len() <= RECIPIENTS_MAX).then_some(Self(members))
    }

    /// The members.
    #[must_use]
    pub const fn members(&self) -> &BTreeSet<MemberId> {
        &self.0
    }
}

impl Encode for RecipientList {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for RecipientList {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self(decode_ascending(decoder, RECIPIENTS_MAX)?))
    }
}
bincode::impl_borrow_decode!(RecipientList);

/// A set on the wire: a count of at most `max`, then the elements in ascending order, each once. Stops at the first
/// element that is out of order, so a peer makes us hold no more than it may send.
pub(super) fn decode_ascending<T: Ord + Decode<D::Context>, D: Decoder>(
    decoder: &mut D,
    max: usize,
) -> Result<BTreeSet<T>, DecodeError> {
    let count = usize::try_from(u64::decode(decoder)?).unwrap_or(usize::MAX);
    if count > max {
        return Err(DecodeError::Other("a set has more elements than it may"));
    }
    decoder.claim_container_read::<T>(count)?;
    let mut set = BTreeSet::new();
    for _ in 0..count {
        decoder.unclaim_bytes_read(size_of::<T>());
        let element = T::decode(decoder)?;
        if set.last().is_some_and(|last| *last >= element) {
            return Err(DecodeError::Other("a set is not in ascending order"));
        }
        set.insert(element);
    }
    Ok(set)
}
