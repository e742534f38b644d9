//! One key that a receiver holds: its link of the chain, and for each stream the AEAD key and the replay window.

use std::collections::BTreeMap;

use super::{
    STREAMS_MAX,
    generation::{Binding, ChainLink},
    key_message::KeyStatement,
};
use crate::{
    ids::StreamId,
    sframe::{
        KeyId, MediaContext, decrypt, header::Header, key_schedule::FrameKey, replay_window::ReplayWindow,
    },
    time::Timestamp,
};

/// Which frame was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The key that sealed it.
    pub key: KeyId,
    /// Its number under that key and stream.
    pub counter: u64,
}

/// Why a frame was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No key message gave this key, or its time is over.
    #[error("no key for this frame")]
    UnknownKey,
    /// The tag holds, and a frame with this number was opened before, or the number is too old to tell.
    #[error("the frame was received before")]
    Replay,
    /// Some byte differs from what the publisher sealed.
    #[error("the frame is not authentic")]
    BadTag,
    /// No SFrame header of this version.
    #[error("the frame is malformed")]
    Malformed,
    /// The context names another meeting or another sender.
    #[error("the frame's context is not this publisher's")]
    ForeignContext,
    /// The publisher has more streams than [`STREAMS_MAX`].
    #[error("a publisher has at most {STREAMS_MAX} streams")]
    TooManyStreams,
}

#[derive(Debug)]
struct StreamKey {
    key: FrameKey,
    window: ReplayWindow,
}

impl StreamKey {
    /// The tag comes first: that a packet is a replay says something about the path that brought it, and must not be said
    /// of a forgery that only bears an old number.
    fn open(
        &mut self,
        header: Header,
        metadata: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let start = out.len();
        decrypt::open(&self.key, header, metadata, sealed, out).map_err(|_| OpenError::BadTag)?;
        if !self.window.is_fresh(header.counter) {
            out.truncate(start);
            return Err(OpenError::Replay);
        }
        self.window.accept(header.counter);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct HeldKey {
    pub(super) binding: Binding,
    pub(super) link: ChainLink,
    /// What the publisher said about this key; `None` if we ratcheted to it and the message is still on its way.
    pub(super) statement: Option<KeyStatement>,
    /// A frame was opened with it.
    pub(super) used: bool,
    /// When to erase it, once a later key has taken its place.
    pub(super) erase_at: Option<Timestamp>,
    streams: BTreeMap<StreamId, StreamKey>,
}

impl HeldKey {
    pub(super) const fn new(binding: Binding, link: ChainLink) -> Self {
        Self {
            binding,
            link,
            statement: None,
            used: false,
            erase_at: None,
            streams: BTreeMap::new(),
        }
    }

    /// Appends the plaintext to `out` and advances the window, in this order.
    pub(super) fn open(
        &mut self,
        context: &MediaContext,
        header: Header,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let metadata = context.to_bytes();
        if let Some(stream) = self.streams.get_mut(&context.stream) {
            return stream.open(header, &metadata, sealed, out);
        }
        if self.streams.len() == STREAMS_MAX {
            return Err(OpenError::TooManyStreams);
        }
        let mut stream = StreamKey {
            key: self.link.frame_key(&self.binding, context.stream),
            window: ReplayWindow::default(),
        };
        stream.open(header, &metadata, sealed, out)?;
        // Kept only now, so that forged stream numbers fill nothing.
        self.streams.insert(context.stream, stream);
        Ok(())
    }
}
