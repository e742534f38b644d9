//! First connection ids that were seen, so that a recorded Initial opens nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::TAGGED_CID_LEN;
use crate::time::Timestamp;

/// Ids that are remembered. Reason: only holders of a key make entries; a meeting of 200 in which everybody dials everybody
/// again every quarter of an hour makes 19,200 at one node in a day. About 2 MiB.
const SEEN_MAX: usize = 20_000;

/// Addresses to which a handshake is under way. Reason: five times the largest meeting.
const ACQUAINTED_MAX: usize = 1_024;

/// How long packets of a handshake keep coming from the address that started it: quinn's probes double from one second, and
/// handshakes are given up earlier.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

type Cid = [u8; TAGGED_CID_LEN];
type Address = (IpAddr, u16);

/// An address as a key: IPv4 in IPv6 is IPv4, scopes do not count.
fn address(remote: SocketAddr) -> Address {
    (remote.ip().to_canonical(), remote.port())
}

/// Remembers ids and addresses within bounds.
#[derive(Debug, Default)]
pub(super) struct Memory {
    seen: BTreeMap<Cid, (Address, Timestamp)>,
    /// The ids of `seen`, oldest first.
    order: VecDeque<Cid>,
    acquainted: BTreeMap<Address, Timestamp>,
}

impl Memory {
    /// Whether an Initial with the valid id `cid` may pass: the first time, and while its handshake can be under way from the
    /// same address.
    pub(super) fn is_fresh(&mut self, now: Timestamp, remote: SocketAddr, cid: &Cid) -> bool {
        let remote = address(remote);
        if let Some((first, at)) = self.seen.get(cid) {
            return *first == remote && now - *at <= HANDSHAKE_TIME;
        }
        if self.order.len() == SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(*cid, (remote, now));
        self.order.push_back(*cid);
        true
    }

    /// Notes that a handshake with `remote` is under way.
    pub(super) fn acquaint(&mut self, now: Timestamp, remote: SocketAddr) {
        let remote = address(remote);
        if self.acquainted.len() >= ACQUAINTED_MAX && !self.acquainted.contains_key(&remote) {
            self.acquainted.retain(|_, at| now - *at <= HANDSHAKE_TIME);
            if self.acquainted.len() >= ACQUAINTED_MAX {
                let oldest = self.acquainted.iter().min_by_key(|(_, at)| **at);
                let oldest = oldest.map(|(address, _)| *address);
                oldest.and_then(|address| self.acquainted.remove(&address));
            }
        }
        self.acquainted.insert(remote, now);
    }

    /// Whether a handshake with `remote` may be under way.
    pub(super) fn is_acquainted(&self, now: Timestamp, remote: SocketAddr) -> bool {
        self.acquainted
            .get(&address(remote))
            .is_some_and(|at| now - *at <= HANDSHAKE_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], n))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_replay_passes_only_from_its_address_and_soon() {
        let mut memory = Memory::default();
        assert!(memory.is_fresh(at(0), peer(1), &[1; 16]));
        assert!(memory.is_fresh(at(9), peer(1), &[1; 16]));
        assert!(!memory.is_fresh(at(1), peer(2), &[1; 16]));
        assert!(!memory.is_fresh(at(11), peer(1), &[1; 16]));
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:1".parse().unwrap();
        assert!(memory.is_fresh(at(9), mapped, &[1; 16]));
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        for n in 0..SEEN_MAX as u128 + 10 {
            assert!(memory.is_fresh(at(0), peer(1), &n.to_be_bytes()));
        }
        assert_eq!(memory.seen.len(), SEEN_MAX);
        for n in 0..2_000 {
            memory.acquaint(at(u64::from(n) / 1_000), peer(n));
        }
        assert_eq!(memory.acquainted.len(), ACQUAINTED_MAX);
        assert!(memory.is_acquainted(at(2), peer(1_999)));
        assert!(!memory.is_acquainted(at(2), peer(0)));
        assert!(!memory.is_acquainted(at(12), peer(1_999)));
    }
}
