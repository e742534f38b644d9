//! Handshakes: who may begin one, when a client must prove its address first, and how long it may take.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use quinn_proto::EndpointEvent;
use subrosa_proto::{
    quic::{HALF_OPEN_MAX, HANDSHAKE_TIMEOUT, LinkState, RETRY_ABOVE, RelayLink},
    relay::{AddressBlock, Origin, RateLimiter, SessionId},
    time::{Now, Timestamp},
};

use super::{
    DriverPolicy,
    event_loop::{EventLoop, touch},
    tcp::is_name,
};
use crate::relay_config::HandshakeLimits;

/// Handshakes begun in one turn: each costs about as much as forwarding to 300 listeners.
const HANDSHAKES_PER_TURN: usize = 2;
/// One in so many of all handshakes is kept for address blocks which have been quiet, so that a few that are not cannot keep the
/// others out.
const NEWCOMERS_SHARE: u64 = 4;
/// Address blocks whose handshakes are counted. Reason: 1 MiB. Beyond it, those that have been quiet are forgotten, and if none
/// has, all: then the limit in all has to do.
const BLOCKS_MAX: usize = 8_192;
/// Seconds' worth of handshakes that may come at once, in all and from one block.
const BURST_SECONDS: u64 = 2;
const BLOCK_BURST_SECONDS: u64 = 10;
/// A block is forgotten after this time without a handshake: its bucket is full again.
const QUIET: Duration = Duration::from_secs(BLOCK_BURST_SECONDS);

/// How often clients may dial. Those that proved their address and those that did not are counted apart: whoever sends in
/// others' names can bring it about that they must prove who they are, and no more.
pub(super) struct Doorstep {
    /// Names address blocks; the key is random per process.
    hasher: RandomState,
    limits: HandshakeLimits,
    proven: Buckets,
    unproven: Buckets,
}

struct Buckets {
    total: RateLimiter,
    blocks: BTreeMap<AddressBlock, (RateLimiter, Timestamp)>,
}

impl Doorstep {
    pub(super) fn new(limits: HandshakeLimits) -> Self {
        Self {
            hasher: RandomState::new(),
            limits,
            proven: Buckets::new(limits, Timestamp::ZERO),
            unproven: Buckets::new(limits, Timestamp::ZERO),
        }
    }

    pub(super) fn set_limits(&mut self, limits: HandshakeLimits, now: Timestamp) {
        if limits != self.limits {
            self.limits = limits;
            self.proven = Buckets::new(limits, now);
            self.unproven = Buckets::new(limits, now);
        }
    }

    /// The IPv4 /24 or IPv6 /48 of an address, as an opaque number.
    pub(super) fn block_of(&self, ip: IpAddr) -> AddressBlock {
        AddressBlock(self.hasher.hash_one(prefix_of(ip)))
    }

    /// Takes one handshake from the buckets, or from none.
    fn admits(&mut self, now: Timestamp, block: AddressBlock, proven: bool) -> bool {
        let buckets = if proven {
            &mut self.proven
        } else {
            &mut self.unproven
        };
        buckets.take(now, block, self.limits)
    }
}

/// The IPv4 /24 or IPv6 /48 of an address, as a number.
pub(super) fn prefix_of(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u128::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => u128::from(v6) >> 80 << 80,
    }
}

impl Buckets {
    fn new(limits: HandshakeLimits, now: Timestamp) -> Self {
        Self {
            total: bucket(limits.per_second, BURST_SECONDS, now),
            blocks: BTreeMap::new(),
        }
    }

    fn take(&mut self, now: Timestamp, block: AddressBlock, limits: HandshakeLimits) -> bool {
        // A block that is turned away again and again is not quiet.
        let quiet = self
            .blocks
            .get_mut(&block)
            .is_none_or(|(_, last)| now - std::mem::replace(last, now) >= QUIET);
        let reserve = if quiet {
            0
        } else {
            u64::from(limits.per_second) * BURST_SECONDS / NEWCOMERS_SHARE
        };
        if !self.total.allows(now, 1 + reserve) {
            return false;
        }
        if self.blocks.len() >= BLOCKS_MAX && !self.blocks.contains_key(&block) {
            self.blocks.retain(|_, (_, last)| now - *last < QUIET);
            if self.blocks.len() >= BLOCKS_MAX {
                self.blocks.clear();
            }
        }
        let fresh = || (bucket(limits.per_address_block, BLOCK_BURST_SECONDS, now), now);
        let (limiter, _) = self.blocks.entry(block).or_insert_with(fresh);
        limiter.take(now, 1) && self.total.take(now, 1)
    }
}

fn bucket(per_second: u32, burst_seconds: u64, now: Timestamp) -> RateLimiter {
    let rate = u64::from(per_second);
    RateLimiter::new(rate, rate * burst_seconds, now)
}

impl DriverPolicy {
    /// Whether an address needs no token.
    pub(super) fn lists(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.listed.iter().any(|block| block.contains(&address))
    }
}

impl EventLoop {
    /// Forgets handshakes that take too long, and the oldest if there are too many. Whoever began one is told nothing: an answer
    /// would serve nobody but somebody who begins them for that.
    fn abandon_handshakes(&mut self, at: Instant) {
        while let Some(&(handle, begun)) = self.half_open.front() {
            let link = self.links.get(handle.0).and_then(Option::as_ref);
            let link = link.filter(|link| link.begun == begun && link.state == LinkState::Handshaking);
            if let Some(link) = link {
                if at - begun < HANDSHAKE_TIMEOUT && self.handshaking <= HALF_OPEN_MAX {
                    return;
                }
                self.timers.remove(link.timer, handle);
                self.endpoint.handle_event(handle, EndpointEvent::drained());
                self.links[handle.0] = None;
                self.handshaking -= 1;
                self.stats.handshakes_failed += 1;
            }
            self.half_open.pop_front();
        }
    }

    pub(super) fn begin_handshakes(&mut self, now: Now, at: Instant) {
        self.abandon_handshakes(at);
        for _ in 0..HANDSHAKES_PER_TURN {
            let Some(incoming) = self.incoming.pop_front() else {
                return;
            };
            let mut response = Vec::new();
            if self.endpoint.open_connections() >= self.connections_max {
                self.stats.handshakes_shed += 1;
                let transmit = self.endpoint.refuse(incoming, &mut response);
                self.respond(&transmit, &response);
                continue;
            }
            // TCP's own handshake showed that the client is where it says.
            let over_tcp = is_name(incoming.remote_address());
            if self.handshaking >= RETRY_ABOVE && incoming.may_retry() && !over_tcp {
                self.stats.retries += 1;
                if let Ok(transmit) = self.endpoint.retry(incoming, &mut response) {
                    self.respond(&transmit, &response);
                }
                continue;
            }
            let ip = self.socket.client_address(incoming.remote_address()).ip();
            let block = self.doorstep.block_of(ip);
            let proven = incoming.remote_address_validated() || over_tcp;
            if !self.doorstep.admits(now.monotonic, block, proven) {
                if !proven && incoming.may_retry() {
                    self.stats.retries += 1;
                    if let Ok(transmit) = self.endpoint.retry(incoming, &mut response) {
                        self.respond(&transmit, &response);
                    }
                    continue;
                }
                self.stats.handshakes_refused += 1;
                let transmit = self.endpoint.refuse(incoming, &mut response);
                self.respond(&transmit, &response);
                continue;
            }
            let origin = Origin {
                block,
                listed: self.policy.lists(ip),
                // Known once the handshake has finished.
                identity: None,
            };
            match self.endpoint.accept(incoming, at, &mut response, None) {
                Ok((handle, connection)) => {
                    self.stats.handshakes_started += 1;
                    self.handshaking += 1;
                    if self.links.len() <= handle.0 {
                        self.links.resize_with(handle.0 + 1, || None);
                    }
                    let session = SessionId(u32::try_from(handle.0).unwrap_or(u32::MAX));
                    let link = RelayLink::new(connection, session, origin, at, is_name);
                    let link = self.links[handle.0].insert(Box::new(link));
                    self.half_open.push_back((handle, at));
                    touch(&mut self.touched, link, handle);
                }
                Err(error) => {
                    if let Some(transmit) = error.response {
                        self.respond(&transmit, &response);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_block_does_not_use_up_what_others_may() {
        let mut doorstep = Doorstep::new(HandshakeLimits {
            per_second: 100,
            per_address_block: 2,
        });
        let now = Timestamp::ZERO;
        let (busy, other) = (AddressBlock(1), AddressBlock(2));
        let admitted = (0..1_000).filter(|_| doorstep.admits(now, busy, true)).count();
        assert_eq!(admitted, 20);
        assert!(doorstep.admits(now, other, true));
        let blocks = (0..1_000).map(AddressBlock);
        let unproven = blocks.filter(|block| doorstep.admits(now, *block, false)).count();
        assert_eq!(unproven, 200, "the limit in all");
        assert!(
            doorstep.admits(now, other, true),
            "which costs nobody who proves where it is"
        );
    }

    #[test]
    fn a_quiet_block_comes_in_although_others_use_up_what_is_there_for_all() {
        let limits = HandshakeLimits {
            per_second: 100,
            per_address_block: 50,
        };
        let mut doorstep = Doorstep::new(limits);
        let mut now = Timestamp::ZERO;
        let mut admitted = 0;
        for round in 0..1_000 {
            now += Duration::from_millis(20);
            let noisy = (0..20).map(AddressBlock);
            admitted += noisy.filter(|block| doorstep.admits(now, *block, true)).count();
            let newcomer = AddressBlock(1_000 + round / 50);
            if round % 50 == 0 {
                assert!(doorstep.admits(now, newcomer, true), "round {round}");
            }
        }
        assert!(
            admitted < 20 * 100 + 200,
            "the noisy ones get what is there for all: {admitted}"
        );
    }

    #[test]
    fn counted_blocks_are_bounded() {
        let mut doorstep = Doorstep::new(HandshakeLimits {
            per_second: u32::MAX,
            per_address_block: 1,
        });
        for block in 0..3 * BLOCKS_MAX as u64 {
            assert!(doorstep.admits(Timestamp::ZERO, AddressBlock(block), true));
            assert!(doorstep.proven.blocks.len() <= BLOCKS_MAX);
        }
    }
}
