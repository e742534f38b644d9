//! Ports in random order, none twice.

use std::net::{IpAddr, SocketAddr};

use crate::random::Random;

/// The least port that is tried. Reason: NATs take those below for servers, if at all (RFC 4787 §4.1, REQ-3).
pub const PORT_MIN: u16 = 1_024;
/// Ports that are tried in one search. Reason: see the module above.
pub const PORTS_MAX: usize = 1_536;

/// The ports of one address that were tried: one bit for each.
#[derive(Debug)]
pub(super) struct PortSearch {
    ip: IpAddr,
    tried: Vec<u64>,
    count: usize,
}

impl PortSearch {
    pub(super) fn new(ip: IpAddr) -> Self {
        Self {
            ip,
            tried: vec![0; usize::from(u16::MAX) / 64 + 1],
            count: 0,
        }
    }

    /// Another port, until [`PORTS_MAX`] were given.
    pub(super) fn next(&mut self, random: &mut Random) -> Option<SocketAddr> {
        if self.count == PORTS_MAX {
            return None;
        }
        // Few are taken: more than two draws are rare.
        loop {
            let port = u16::from_le_bytes(random.bytes());
            let (word, bit) = (usize::from(port / 64), 1 << (port % 64));
            if port >= PORT_MIN && self.tried[word] & bit == 0 {
                self.tried[word] |= bit;
                self.count += 1;
                return Some(SocketAddr::new(self.ip, port));
            }
        }
    }
}
