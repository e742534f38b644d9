//! Source authentication, the receiver's side: compares what arrived on each path with what the publisher signed.

use super::{MediaContext, source_authentication::SourceAuthentication};
use crate::{
    ids::{MeetingId, MemberId, StreamId},
    time::Timestamp,
};

/// A path, as the caller names it (a neighbour, a relay, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u64);

/// What was found out about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// What the path delivered is what the publisher signed.
    Verified {
        /// The path.
        path: PathId,
    },
    /// The path delivered a packet that the publisher did not send.
    Mismatch {
        /// The path.
        path: PathId,
    },
    /// The path delivers packets, and no signature covers them within a second.
    Unsigned {
        /// The path.
        path: PathId,
    },
}

/// An object that is not the publisher's, or of another run of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source authentication is not the publisher's")]
pub struct NotAuthentic;

/// Watches one stream of one publisher.
#[derive(Debug)]
pub struct SourceVerifier {}

impl SourceVerifier {
    /// For `stream` of `publisher`.
    #[must_use]
    pub fn new(_meeting: MeetingId, _publisher: MemberId, _stream: StreamId) -> Self {
        Self {}
    }

    /// A packet arrived on `path` and was opened, or was refused as a replay: then another path brought it first.
    pub fn handle_packet(
        &mut self,
        _now: Timestamp,
        _path: PathId,
        _instance: u64,
        _context: &MediaContext,
        _sframe: &[u8],
    ) {
        todo!()
    }

    /// An object arrived, on whatever path.
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn handle_authentication(
        &mut self,
        _now: Timestamp,
        _object: &SourceAuthentication,
    ) -> Result<(), NotAuthentic> {
        todo!()
    }

    /// The path is no longer used.
    pub fn remove_path(&mut self, _path: PathId) {
        todo!()
    }

    /// When to call [`SourceVerifier::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        todo!()
    }

    /// A timer fired.
    pub fn handle_timeout(&mut self, _now: Timestamp) {
        todo!()
    }

    /// The next finding.
    #[must_use]
    pub fn poll_verdict(&mut self) -> Option<Verdict> {
        todo!()
    }
}
