//! One generation at its publisher: the chain's present step, who has it, and the streams that are sealed with it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    STREAMS_MAX,
    generation::{Binding, ChainLink},
    key_message::{ChainSecret, KeyMessage, KeyStatement},
    keys_changed::KeyReason,
    recipients::RecipientList,
};
use crate::{
    identity::Signature,
    ids::{MemberId, StreamId},
    sframe::{KeyId, MediaContext, encrypt, header::Header, key_schedule::FrameKey},
    time::Timestamp,
};

/// How a frame was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key.
    pub key: KeyId,
    /// The frame's number under that key and stream.
    pub counter: u64,
}

/// Why a frame was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Nobody is to receive it.
    #[error("nobody holds a key of this publisher")]
    NoRecipients,
    /// The context names another meeting or another sender.
    #[error("the frame's context is not this publisher's")]
    ForeignContext,
    /// More streams than [`STREAMS_MAX`].
    #[error("a publisher has at most {STREAMS_MAX} streams")]
    TooManyStreams,
}

#[derive(Debug)]
struct StreamKey {
    key: FrameKey,
    counter: u64,
}

#[derive(Debug)]
pub(super) struct OwnGeneration {
    pub(super) binding: Binding,
    pub(super) link: ChainLink,
    pub(super) reason: KeyReason,
    pub(super) started: Timestamp,
    pub(super) frames: u64,
    streams: BTreeMap<StreamId, StreamKey>,
    /// The recipients of the current step.
    pub(super) members: BTreeSet<MemberId>,
    /// Who can decrypt: acknowledged this step, or an earlier one from which it can ratchet.
    pub(super) acknowledged: BTreeSet<MemberId>,
    /// The members are all those of the roster at the statement's heads, but the publisher: receivers can tell by themselves.
    pub(super) everybody: bool,
    /// About the current step; made once, so that all recipients get the same words.
    pub(super) statement: KeyStatement,
    pub(super) signature: Signature,
}

impl OwnGeneration {
    pub(super) fn new(
        now: Timestamp,
        binding: Binding,
        link: ChainLink,
        reason: KeyReason,
        (members, everybody): (BTreeSet<MemberId>, bool),
        (statement, signature): (KeyStatement, Signature),
    ) -> Self {
        Self {
            binding,
            link,
            reason,
            started: now,
            frames: 0,
            streams: BTreeMap::new(),
            members,
            acknowledged: BTreeSet::new(),
            everybody,
            statement,
            signature,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.link.key.generation()
    }

    /// Goes on at `link`, the next step; its statement is about the members that are new in it, too.
    pub(super) fn advance(
        &mut self,
        link: ChainLink,
        (members, everybody): (&BTreeSet<MemberId>, bool),
        (statement, signature): (KeyStatement, Signature),
    ) {
        self.link = link;
        self.streams.clear();
        self.members.clone_from(members);
        self.everybody = everybody;
        (self.statement, self.signature) = (statement, signature);
    }

    /// Appends the sealed frame to `out`.
    pub(super) fn seal(
        &mut self,
        context: &MediaContext,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Sealed, SealError> {
        let key = self.link.key;
        if !self.streams.contains_key(&context.stream) {
            if self.streams.len() == STREAMS_MAX {
                return Err(SealError::TooManyStreams);
            }
            let stream = StreamKey {
                key: self.link.frame_key(&self.binding, context.stream),
                counter: 0,
            };
            self.streams.insert(context.stream, stream);
        }
        let stream = self.streams.get_mut(&context.stream).expect("inserted above");
        let counter = stream.counter;
        stream.counter += 1;
        self.frames += 1;
        let header = Header {
            kid: key.to_u64(),
            counter,
        };
        encrypt::seal(&stream.key, header, &context.to_bytes(), plaintext, out);
        Ok(Sealed { key, counter })
    }

    /// The current step for one recipient, who knows the recipients already or is given their list.
    pub(super) fn message(&self, with_list: bool) -> KeyMessage {
        KeyMessage {
            statement: self.statement.clone(),
            signature: self.signature,
            secret: ChainSecret(self.link.secret.clone()),
            recipients: with_list
                .then(|| RecipientList::new(self.members.clone()).expect("the publisher checked the bound")),
        }
    }
}
