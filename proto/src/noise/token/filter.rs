//! The decision about each datagram ahead of the endpoint.

use std::{collections::VecDeque, net::SocketAddr};

use aws_lc_rs::constant_time;

use super::{
    PROOF_LEN, TAGGED_CID_LEN, TagKey,
    probe::{self, ProbeSender},
    replay::Memory,
};
use crate::{
    noise::{ACCEPT_KEYS_MAX, Psk, QUIC_VERSION, endpoint_config::CONNECTION_ID_LEN},
    time::Now,
};

/// The smallest datagram that may carry an Initial (RFC 9000 §14.1); nothing smaller is answered.
const INITIAL_BYTES_MIN: usize = 1_200;

/// The longest connection id (RFC 8999 allows 255, every version of QUIC so far 20).
const CID_LEN_MAX: usize = 20;

/// Keys of meetings that we dialled, kept to recognise version notices. Reason: as for accepting.
const DIAL_KEYS_MAX: usize = ACCEPT_KEYS_MAX;

/// What to do with a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it to the endpoint.
    Admit,
    /// Forget it.
    Drop(DropReason),
    /// Forget it and send these bytes back: the sender knows a key and speaks another version.
    OtherVersion(Vec<u8>),
    /// Forget it: somebody who knows a key shows where it is.
    Probe(ProbeSender),
}

/// Why a datagram is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A long header that is cut short or has too long a connection id.
    Malformed,
    /// An Initial that shows no knowledge of a key.
    Stranger,
    /// An Initial that was seen before.
    Replay,
    /// A version that we do not speak, or a version notice that nobody who knows a key has made.
    Version,
}

/// Decides about datagrams ahead of the endpoint. A pure state machine: the socket calls [`admits`] for what comes in and
/// [`sent`] for what goes out.
///
/// [`admits`]: InitialFilter::admits
/// [`sent`]: InitialFilter::sent
#[derive(Debug)]
pub struct InitialFilter {
    /// `None` on a relay's port, which is open.
    doors: Option<Vec<TagKey>>,
    dialled: VecDeque<TagKey>,
    memory: Memory,
}

/// The part of a long header that all versions share (RFC 8999 §5.1).
struct LongHeader<'a> {
    first: u8,
    version: u32,
    dst_cid: &'a [u8],
    src_cid: &'a [u8],
    rest: &'a [u8],
}

impl<'a> LongHeader<'a> {
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (&first, rest) = datagram.split_first()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (dst_cid, rest) = Self::connection_id(rest)?;
        let (src_cid, rest) = Self::connection_id(rest)?;
        Some(Self {
            first,
            version: u32::from_be_bytes(*version),
            dst_cid,
            src_cid,
            rest,
        })
    }

    fn connection_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (&len, rest) = bytes.split_first()?;
        let len = usize::from(len);
        (len <= CID_LEN_MAX).then(|| rest.split_at_checked(len))?
    }

    /// In our version, as in QUIC version 1 (RFC 9000 §17.2).
    const fn is_initial(&self) -> bool {
        self.first & 0x30 == 0
    }
}

/// Whether a datagram starts with a long header; all others pass unseen.
#[must_use]
fn has_long_header(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x80 != 0)
}

impl InitialFilter {
    /// A filter for a member's port: admits Initials under one of `keys` (at most [`ACCEPT_KEYS_MAX`]). Without keys nobody
    /// gets in.
    #[must_use]
    pub fn member(keys: &[Psk]) -> Self {
        let mut filter = Self {
            doors: Some(Vec::new()),
            ..Self::relay()
        };
        filter.set_keys(keys);
        filter
    }

    /// A filter for a relay's port: admits every Initial of our version, and answers to no other.
    #[must_use]
    pub fn relay() -> Self {
        Self {
            doors: None,
            dialled: VecDeque::new(),
            memory: Memory::default(),
        }
    }

    /// Replaces the keys of a member's port. What was seen stays remembered.
    pub fn set_keys(&mut self, keys: &[Psk]) {
        if let Some(doors) = &mut self.doors {
            *doors = keys.iter().take(ACCEPT_KEYS_MAX).map(TagKey::new).collect();
        }
    }

    /// Notes that we dial somebody under `psk`, so that their version notice is believed.
    pub fn dials(&mut self, psk: &Psk) {
        let id = psk.id();
        if self.dialled.iter().any(|key| key.id == id) {
            return;
        }
        if self.dialled.len() == DIAL_KEYS_MAX {
            self.dialled.pop_front();
        }
        self.dialled.push_back(TagKey::new(psk));
    }

    /// Notes what we send: a long header means that a handshake with `remote` is under way, and its Initials may come.
    pub fn sent(&mut self, now: Now, remote: SocketAddr, datagram: &[u8]) {
        if self.doors.is_some() && has_long_header(datagram) {
            self.memory.acquaint(now.monotonic, remote);
        }
    }

    /// Judges a datagram from `remote`. Only Initials and foreign versions are looked at: whatever else belongs to no
    /// connection, the endpoint forgets without an answer.
    pub fn admits(&mut self, now: Now, remote: SocketAddr, datagram: &[u8]) -> Verdict {
        if !has_long_header(datagram) {
            return Verdict::Admit;
        }
        if let Some(block) = probe::block(datagram) {
            return self.judge_probe(now, remote, datagram, &block);
        }
        let Some(header) = LongHeader::parse(datagram) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        match header.version {
            QUIC_VERSION if !header.is_initial() => Verdict::Admit,
            QUIC_VERSION => self.judge_initial(now, remote, &header),
            0 => self.judge_notice(now, remote, &header),
            _ => self.judge_other_version(now, remote, &header, datagram.len()),
        }
    }

    fn judge_probe(
        &mut self,
        now: Now,
        remote: SocketAddr,
        datagram: &[u8],
        block: &[u8; TAGGED_CID_LEN],
    ) -> Verdict {
        let doors = self.doors.as_deref().unwrap_or_default();
        let sender = doors.iter().find_map(|key| key.probe.open(now.unix, datagram));
        match sender {
            None => Verdict::Drop(DropReason::Stranger),
            // One that was recorded shows where its sender was, from wherever it comes.
            Some(_) if !self.memory.is_fresh(now.monotonic, remote, block) => {
                Verdict::Drop(DropReason::Replay)
            }
            Some(sender) => Verdict::Probe(sender),
        }
    }

    fn judge_initial(&mut self, now: Now, remote: SocketAddr, header: &LongHeader<'_>) -> Verdict {
        let Some(doors) = &self.doors else {
            return Verdict::Admit;
        };
        // An id that one of us gave out: part of a handshake, or a stranger's guess.
        if header.dst_cid.len() == CONNECTION_ID_LEN && self.memory.is_acquainted(now.monotonic, remote) {
            return Verdict::Admit;
        }
        let Some((_, cid)) = find(doors, header.dst_cid, now) else {
            return Verdict::Drop(DropReason::Stranger);
        };
        if !self.memory.is_fresh(now.monotonic, remote, &cid) {
            return Verdict::Drop(DropReason::Replay);
        }
        self.memory.acquaint(now.monotonic, remote);
        Verdict::Admit
    }

    fn judge_other_version(
        &mut self,
        now: Now,
        remote: SocketAddr,
        header: &LongHeader<'_>,
        len: usize,
    ) -> Verdict {
        let doors = self.doors.as_deref().unwrap_or_default();
        let Some((key, cid)) = find(doors, header.dst_cid, now).filter(|_| len >= INITIAL_BYTES_MIN) else {
            return Verdict::Drop(DropReason::Version);
        };
        if !self.memory.is_fresh(now.monotonic, remote, &cid) {
            return Verdict::Drop(DropReason::Replay);
        }
        Verdict::OtherVersion(notice(key, header))
    }

    fn judge_notice(&self, now: Now, remote: SocketAddr, header: &LongHeader<'_>) -> Verdict {
        let refused = Verdict::Drop(DropReason::Version);
        let Some((versions, proof)) = header.rest.split_last_chunk::<PROOF_LEN>() else {
            return refused;
        };
        if !self.memory.is_acquainted(now.monotonic, remote) {
            return refused;
        }
        let Some((key, _)) = find(&self.dialled, header.src_cid, now) else {
            return refused;
        };
        let expected = key.proof(header.dst_cid, header.src_cid, versions);
        match constant_time::verify_slices_are_equal(proof, &expected) {
            Ok(()) => Verdict::Admit,
            Err(_) => refused,
        }
    }
}

/// The key that made `cid`.
fn find<'a>(
    keys: impl IntoIterator<Item = &'a TagKey>,
    cid: &[u8],
    now: Now,
) -> Option<(&'a TagKey, [u8; TAGGED_CID_LEN])> {
    let cid = cid.try_into().ok()?;
    let key = keys.into_iter().find(|key| key.opens(&cid, now.unix))?;
    Some((key, cid))
}

/// A Version Negotiation packet (RFC 8999 §6) that names our version and proves that its sender knows the key.
fn notice(key: &TagKey, header: &LongHeader<'_>) -> Vec<u8> {
    let versions = QUIC_VERSION.to_be_bytes();
    // The ids change places, as the packet goes back.
    let (dst_cid, src_cid) = (header.src_cid, header.dst_cid);
    let proof = key.proof(dst_cid, src_cid, &versions);
    let mut packet = vec![0xc0, 0, 0, 0, 0];
    for cid in [dst_cid, src_cid] {
        // At most CID_LEN_MAX.
        packet.push(u8::try_from(cid.len()).unwrap_or(0));
        packet.extend_from_slice(cid);
    }
    packet.extend_from_slice(&versions);
    packet.extend_from_slice(&proof);
    packet
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
