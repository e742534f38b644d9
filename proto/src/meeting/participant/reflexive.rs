//! Where this node is seen from outside: its server-reflexive addresses (RFC 8445 §2.1).
//!
//! Behind a NAT nobody can dial a node's own addresses. Relays say where its packets come from; others dial that, and it
//! dials them: each first packet opens the sender's NAT for the answer (RFC 5128 §3.3). Where a NAT gives every destination
//! another port, what relays see helps only if the other side's NAT looks at addresses and not at ports.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Participant, timers::Timer};
use crate::{
    ids::RelayId,
    mesh::hole_punch::{Mapping, Statement},
    time::{Now, Timestamp},
    wire::control_message::{ADDRESSES_MAX, SEEN_MAX},
};

/// Members are told of a change no more often. Reason: each is told, and dials; a relay could say another address every moment.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reflexive {
    /// What each relay sees.
    seen: BTreeMap<RelayId, SocketAddr>,
    /// When members were last told of a change.
    told_at: Option<Timestamp>,
}

impl Reflexive {
    /// A relay is not used any more.
    pub(super) fn forget(&mut self, relay: &RelayId) {
        self.seen.remove(relay);
    }
}

impl Participant {
    /// A relay says where this node's packets come from.
    pub(super) fn note_observed(&mut self, now: Now, relay: RelayId, address: SocketAddr) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if !self.direct || !can_be_dialled(address) {
            return;
        }
        let before = self.advertised();
        self.reflexive.seen.insert(relay, address);
        if self.advertised() != before {
            let told_at = self.reflexive.told_at;
            let due = told_at.map_or(now.monotonic, |at| now.monotonic.max(at + TELL_INTERVAL));
            self.timers.set_if_unset(Timer::Reflexive, due);
        }
    }

    /// Members learn where this node is seen.
    pub(super) fn tell_reflexive(&mut self, now: Now) {
        self.reflexive.told_at = Some(now.monotonic);
        self.say_hello_to_all();
    }

    /// What this node says of itself to whom it searches a way.
    pub(super) fn statement(&self) -> Statement {
        let seen = self.reflexive.seen.iter();
        let seen = seen.filter(|(relay, _)| self.relays.contains_key(relay));
        let (v4, v6): (Vec<SocketAddr>, Vec<SocketAddr>) =
            seen.map(|(_, address)| *address).partition(SocketAddr::is_ipv4);
        let firsts = v4.first().into_iter().chain(v6.first());
        Statement {
            mapping: self.mapping(if v4.is_empty() { &v6 } else { &v4 }),
            seen: firsts.copied().collect(),
        }
    }

    /// What it means that relays see this node there.
    fn mapping(&self, seen: &[SocketAddr]) -> Mapping {
        let Some((first, others)) = seen.split_first() else {
            return Mapping::Unknown;
        };
        let keeps_port = self.addresses.iter().any(|own| own.port() == first.port());
        if others.iter().any(|other| other != first) {
            Mapping::PerDestination
        } else if keeps_port || !others.is_empty() {
            Mapping::Same
        } else {
            Mapping::Unknown
        }
    }

    /// Where others may try to dial this node: its own addresses, and where it is seen.
    pub(super) fn advertised(&self) -> Vec<SocketAddr> {
        let seen = self.reflexive.seen.iter();
        let seen = seen.filter(|(relay, _)| self.relays.contains_key(relay));
        let mut outside: Vec<SocketAddr> = Vec::new();
        for (_, address) in seen {
            if !self.addresses.contains(address) && !outside.contains(address) && outside.len() < SEEN_MAX {
                outside.push(*address);
            }
        }
        let own = self.addresses.iter().copied().take(ADDRESSES_MAX - outside.len());
        own.chain(outside).collect()
    }
}

/// Whether others could reach it: a relay that lies must not send them to nowhere.
pub(super) fn can_be_dialled(address: SocketAddr) -> bool {
    let ip = address.ip();
    let local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback() && !local
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        meeting::participant::fixture::{NOW, host},
        policy::{SignedDescriptor, fixture},
    };

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_relays_see_is_told_beside_the_own_addresses_while_they_are_used() {
        let mut host = host();
        let own = host.advertised();
        let used = fixture::relay().relay_id();
        host.note_observed(NOW, used, at("198.51.100.7:40000"));
        assert_eq!(
            host.advertised(),
            own,
            "a relay that is not used counts for nothing"
        );
        let signed = SignedDescriptor::sign(fixture::descriptor_in("DE"), &fixture::relay()).unwrap();
        host.consider_relay(NOW, signed.verify(NOW.unix).unwrap());
        assert_eq!(
            host.advertised(),
            [own.clone(), vec![at("198.51.100.7:40000")]].concat()
        );
        // IPv4 as IPv6 is IPv4; nonsense is not told; what is known is not told twice.
        host.note_observed(NOW, used, at("[::ffff:198.51.100.8]:40001"));
        assert_eq!(host.advertised().last(), Some(&at("198.51.100.8:40001")));
        for nonsense in [
            "0.0.0.0:1",
            "127.0.0.1:1",
            "224.0.0.1:1",
            "198.51.100.9:0",
            "[fe80::1]:1",
        ] {
            host.note_observed(NOW, used, at(nonsense));
            assert_eq!(host.advertised().last(), Some(&at("198.51.100.8:40001")));
        }
        host.note_observed(NOW, used, own[0]);
        assert_eq!(host.advertised(), own);
    }

    #[test]
    fn a_relay_that_says_another_address_every_moment_makes_nobody_busy() {
        let mut host = host();
        let signed = SignedDescriptor::sign(fixture::descriptor_in("DE"), &fixture::relay()).unwrap();
        host.consider_relay(NOW, signed.verify(NOW.unix).unwrap());
        let mut told = 0;
        // Ten seconds in which it says a thousand.
        for moment in 0..1_000_u16 {
            let now = Now {
                monotonic: NOW.monotonic + Duration::from_millis(u64::from(moment) * 10),
                ..NOW
            };
            host.note_observed(
                now,
                fixture::relay().relay_id(),
                ([198, 51, 100, 7], 1_000 + moment).into(),
            );
            let before = host.reflexive.told_at;
            host.handle_timeout(now);
            told += u32::from(host.reflexive.told_at != before);
        }
        assert!((9..=11).contains(&told), "{told}");
    }
}
