//! What a NAT makes of a machine's packets: which address they seem to come from, and whose it lets in.
//!
//! Kinds after RFC 3489 §5; in the terms of RFC 4787 §4 and §5 the first three map independently of the endpoint and filter by
//! nothing, by address, and by address and port; the last maps and filters by address and port. Mappings do not time out here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// A NAT's kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatKind {
    /// None: everybody reaches the machine.
    #[default]
    Open,
    /// One port outside; once it is in use, everybody may send to it.
    FullCone,
    /// One port outside; whose address was sent to may answer from any port.
    AddressRestricted,
    /// One port outside; who was sent to may answer, from that port.
    PortRestricted,
    /// Another port for every destination, which alone may answer.
    Symmetric,
}

/// The port outside, and the first of a symmetric NAT's.
const FIRST_PORT: u16 = 40_000;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Nat {
    kind: NatKind,
    outside: IpAddr,
    /// The port for each destination that was sent to.
    ports: BTreeMap<SocketAddr, u16>,
    addresses: BTreeSet<IpAddr>,
}

impl Nat {
    /// `None` if there is no NAT.
    pub(crate) fn new(kind: NatKind, outside: IpAddr) -> Option<Self> {
        (kind != NatKind::Open).then(|| Self {
            kind,
            outside,
            ports: BTreeMap::new(),
            addresses: BTreeSet::new(),
        })
    }

    /// A packet goes out: where it seems to come from.
    pub(crate) fn sends_to(&mut self, to: SocketAddr) -> SocketAddr {
        let next = match self.kind {
            NatKind::Symmetric => {
                FIRST_PORT.saturating_add(u16::try_from(self.ports.len()).unwrap_or(u16::MAX))
            }
            _ => FIRST_PORT,
        };
        self.addresses.insert(to.ip());
        let port = *self.ports.entry(to).or_insert(next);
        SocketAddr::new(self.outside, port)
    }

    /// Whether packets to this address come to this NAT.
    pub(crate) fn owns(&self, address: SocketAddr) -> bool {
        address.ip() == self.outside
    }

    /// Whether a packet that comes passes.
    pub(crate) fn lets_in(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let mapped = self.owns(to) && self.ports.values().any(|port| *port == to.port());
        mapped
            && match self.kind {
                NatKind::Open | NatKind::FullCone => true,
                NatKind::AddressRestricted => self.addresses.contains(&from.ip()),
                NatKind::PortRestricted => self.ports.contains_key(&from),
                NatKind::Symmetric => self.ports.get(&from) == Some(&to.port()),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nat(kind: NatKind) -> Nat {
        Nat::new(kind, at("11.0.0.1:0").ip()).unwrap()
    }

    #[test]
    fn each_kind_lets_in_whom_it_should() {
        let (known, same_host, stranger) = (at("1.1.1.1:10"), at("1.1.1.1:11"), at("2.2.2.2:10"));
        for (kind, expected) in [
            (NatKind::FullCone, [true, true, true]),
            (NatKind::AddressRestricted, [true, true, false]),
            (NatKind::PortRestricted, [true, false, false]),
            (NatKind::Symmetric, [true, false, false]),
        ] {
            let mut nat = nat(kind);
            assert!(!nat.lets_in(known, at("11.0.0.1:40000")), "nothing was sent yet");
            let outside = nat.sends_to(known);
            let found = [known, same_host, stranger].map(|from| nat.lets_in(from, outside));
            assert_eq!(found, expected, "{kind:?}");
        }
        assert!(Nat::new(NatKind::Open, at("11.0.0.1:0").ip()).is_none());
    }

    #[test]
    fn a_symmetric_nat_shows_every_destination_another_port() {
        let mut symmetric = nat(NatKind::Symmetric);
        let (a, b) = (
            symmetric.sends_to(at("1.1.1.1:10")),
            symmetric.sends_to(at("2.2.2.2:10")),
        );
        assert_ne!(a, b);
        assert_eq!(symmetric.sends_to(at("1.1.1.1:10")), a);
        assert!(!symmetric.lets_in(at("2.2.2.2:10"), a));
        let mut cone = nat(NatKind::PortRestricted);
        assert_eq!(cone.sends_to(at("1.1.1.1:10")), cone.sends_to(at("2.2.2.2:10")));
    }
}
