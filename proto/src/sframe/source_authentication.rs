//! Source authentication, the publisher's side: it signs what it sent (`proto/spec/sframe.md`).

use bincode::{Decode, Encode};

use super::MediaContext;
use crate::meeting::keys::Sealed;
use crate::{
    identity::{Identity, Signature},
    time::Timestamp,
};

/// A signed list of hashes of packets that a publisher sent lately.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourceAuthentication {
    /// See [`crate::meeting::keys::KeyStatement::instance`].
    pub instance: u64,
    /// The publisher's signature.
    pub signature: Signature,
}

/// Collects what one stream of this member sent, and signs it.
#[derive(Debug)]
pub struct SourceAuthenticator {
    _identity: Identity,
}

impl SourceAuthenticator {
    /// For the stream of `context` (its kind and layer do not matter).
    #[must_use]
    pub fn new(identity: Identity, _context: &MediaContext, _instance: u64) -> Self {
        Self { _identity: identity }
    }

    /// A packet was sealed and is being sent; `sframe` is everything after the media packet's header.
    pub fn handle_sealed(
        &mut self,
        _now: Timestamp,
        _context: &MediaContext,
        _sealed: Sealed,
        _sframe: &[u8],
    ) {
        todo!()
    }

    /// When to call [`SourceAuthenticator::poll_object`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        todo!()
    }

    /// The next object, if it is due. Seal its encoding as a frame of kind `SourceAuthentication` and send it.
    #[must_use]
    pub fn poll_object(&mut self, _now: Timestamp) -> Option<SourceAuthentication> {
        todo!()
    }
}
