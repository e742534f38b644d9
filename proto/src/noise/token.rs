//! The silent port: who does not know a key of the meeting gets no byte back (`proto/spec/noise-quic.md`, Silent port).

use std::net::SocketAddr;

use quinn_proto::ConnectionId;

use super::Psk;
use crate::{
    random::Random,
    time::{Now, UnixSeconds},
};

/// A first destination connection id that shows knowledge of `psk` at the time `unix`.
#[must_use]
pub fn initial_dst_cid(psk: &Psk, unix: UnixSeconds, random: &mut Random) -> ConnectionId {
    let _ = (psk, unix, random);
    todo!()
}

/// What to do with a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it to the endpoint.
    Admit,
    /// Forget it.
    Drop,
    /// Forget it and send these bytes back: the sender knows a key and speaks another version.
    OtherVersion(Vec<u8>),
}

/// Decides about datagrams ahead of the endpoint.
#[derive(Debug)]
pub struct InitialFilter {}

impl InitialFilter {
    /// A filter for a member's port: admits Initials under one of `keys`.
    #[must_use]
    pub fn member(keys: &[Psk]) -> Self {
        let _ = keys;
        todo!()
    }

    /// A filter for a relay's port: admits every Initial of our version.
    #[must_use]
    pub fn relay() -> Self {
        todo!()
    }

    /// Judges a datagram from `remote`. Short-header packets are always admitted, at the cost of one comparison.
    pub fn admits(&mut self, now: Now, remote: SocketAddr, datagram: &[u8]) -> Verdict {
        let _ = (now, remote, datagram);
        todo!()
    }
}
