//! Kinds of places from which people join: behind NATs, beside IPv6, where UDP is blocked; and places that share a NAT.

use std::fmt;

use super::{
    lan::ip,
    nat::{Internet, Nat, feed, forward, settle},
};

/// How somebody is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// IPv4, behind this.
    Behind(Nat),
    /// The NAT of a home behind that of its carrier, both port-restricted.
    DoubleNat,
    /// Public addresses of both families.
    DualStack,
    /// A public IPv6 address only.
    Ipv6Only,
    /// A port-restricted NAT that lets no UDP through.
    NoUdp,
    /// A port-restricted NAT that lets nothing through but TCP to port 443.
    Only443,
}

impl Place {
    pub(crate) const ALL: [Self; 10] = [
        Self::Behind(Nat::Open),
        Self::Behind(Nat::FullCone),
        Self::Behind(Nat::AddressRestricted),
        Self::Behind(Nat::PortRestricted),
        Self::DoubleNat,
        Self::Behind(Nat::Symmetric),
        Self::DualStack,
        Self::Ipv6Only,
        Self::NoUdp,
        Self::Only443,
    ];

    /// Whether two can reach each other directly.
    pub(crate) fn meets(self, other: Self) -> bool {
        let families = |place: Self| match place {
            Self::DualStack => (Some(Nat::Open), true),
            Self::Ipv6Only => (None, true),
            Self::Behind(nat) => (Some(nat), false),
            Self::DoubleNat => (Some(Nat::PortRestricted), false),
            Self::NoUdp | Self::Only443 => (None, false),
        };
        let ((mine, mine_v6), (theirs, theirs_v6)) = (families(self), families(other));
        let over_v4 = mine.zip(theirs).is_some_and(|(mine, theirs)| mine.meets(theirs));
        over_v4 || mine_v6 && theirs_v6
    }

    /// Makes one, with the numbers `number` on the backbone; the namespace of its machine.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn lay(self, internet: &mut Internet, number: u8) -> Result<String, String> {
        match self {
            Self::Behind(nat) => internet.site(number, nat),
            Self::DoubleNat => Ok(carrier(internet, number, 1, false)?.remove(0)),
            Self::DualStack => {
                let machine = internet.machine(number)?;
                give_ipv6(&machine, number)?;
                Ok(machine)
            }
            Self::Ipv6Only => {
                let machine = internet.machine(number)?;
                ip(&format!("-n {machine} addr flush dev wan"))?;
                give_ipv6(&machine, number)?;
                Ok(machine)
            }
            Self::NoUdp => {
                let host = internet.site(number, Nat::PortRestricted)?;
                internet.block_udp(number);
                Ok(host)
            }
            Self::Only443 => {
                let host = internet.site(number, Nat::PortRestricted)?;
                internet.filter(
                    number,
                    "only443",
                    "tcp dport 443 accept; tcp sport 443 accept; drop;",
                );
                Ok(host)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(nat) => nat.fmt(f),
            Self::DoubleNat => f.pad("double NAT"),
            Self::DualStack => f.pad("dual stack"),
            Self::Ipv6Only => f.pad("IPv6 only"),
            Self::NoUdp => f.pad("UDP blocked"),
            Self::Only443 => f.pad("TCP 443 only"),
        }
    }
}

/// Gives a machine on the backbone the address 2001:db8:1::`number`.
///
/// # Errors
/// What is missing on this machine.
pub(crate) fn give_ipv6(machine: &str, number: u8) -> Result<(), String> {
    // The lab's addresses are unique; a socket bound while duplicates are looked for would find none.
    ip(&format!(
        "-n {machine} addr add 2001:db8:1::{number}/64 dev wan nodad"
    ))
}

/// The port on which the `index`th member behind one [`carrier`] or [`household`] listens. Reason: what a router sends back
/// inside it must know beforehand; Linux cannot hairpin by what it learned.
pub(crate) fn hairpin_port(index: usize) -> u16 {
    4_001 + u16::try_from(index).expect("few")
}

/// Rules that send what members at `inside` send to their router's own outer address, 198.51.100.`number`, to each other.
fn hairpin_rules(number: u8, prefix: &str, inside: &[String]) -> String {
    let outer = format!("198.51.100.{number}");
    let inward = inside.iter().enumerate().map(|(index, address)| {
        let port = hairpin_port(index);
        format!("iifname != wan ip daddr {outer} udp dport {port} dnat to {address};")
    });
    format!(
        "table ip hairpin {{
            chain prerouting {{ type nat hook prerouting priority dstnat; {} }}
            chain postrouting {{ type nat hook postrouting priority srcnat - 1;
                ip saddr {prefix}.0/24 ip daddr {prefix}.0/24 snat to {outer}; }}
        }}",
        inward.collect::<String>()
    )
}

/// `homes` homes, each with a NAT of its own, behind the NAT of one carrier at 198.51.100.`number`; the namespaces of their
/// machines. All homes use the same addresses, as homes do. Takes `homes` numbers from `number` on.
///
/// # Errors
/// What is missing on this machine.
pub(crate) fn carrier(
    internet: &mut Internet,
    number: u8,
    homes: u8,
    hairpin: bool,
) -> Result<Vec<String>, String> {
    let carrier = internet.add(&format!("r{number}"))?;
    internet.connect(&carrier, number)?;
    let prefix = format!("100.64.{number}");
    lan_switch(&carrier, &prefix)?;
    forward(&carrier)?;
    feed(&carrier, &Nat::PortRestricted.rules(""))?;
    let address = |home: u8| format!("{prefix}.{}", 2 + home);
    let mut hosts = Vec::new();
    for home in 0..homes {
        let router = internet.add(&format!("c{}", number + home))?;
        ip(&format!(
            "-n {router} link add wan type veth peer name home{home} netns {carrier}"
        ))?;
        ip(&format!("-n {carrier} link set home{home} master lan up"))?;
        ip(&format!("-n {router} addr add {}/24 dev wan", address(home)))?;
        ip(&format!("-n {router} link set wan up"))?;
        ip(&format!("-n {router} route add default via {prefix}.1"))?;
        hosts.push(internet.home(number + home, &router, "192.168.1", Nat::PortRestricted)?);
    }
    if hairpin {
        let inside: Vec<String> = (0..homes).map(address).collect();
        feed(&carrier, &hairpin_rules(number, &prefix, &inside))?;
    }
    Ok(hosts)
}

/// Two machines on one local network behind one NAT at 198.51.100.`number`; their namespaces.
///
/// # Errors
/// What is missing on this machine.
pub(crate) fn household(internet: &mut Internet, number: u8, hairpin: bool) -> Result<Vec<String>, String> {
    let router = internet.add(&format!("r{number}"))?;
    internet.connect(&router, number)?;
    let prefix = format!("10.9.{number}");
    lan_switch(&router, &prefix)?;
    forward(&router)?;
    feed(&router, &Nat::PortRestricted.rules(""))?;
    let mut hosts = Vec::new();
    for at in [2, 3] {
        let host = internet.add(&format!("h{number}n{at}"))?;
        ip(&format!(
            "-n {host} link add lan type veth peer name port{at} netns {router}"
        ))?;
        ip(&format!("-n {router} link set port{at} master lan up"))?;
        settle(&host, &prefix, at)?;
        hosts.push(host);
    }
    if hairpin {
        let inside = [2, 3].map(|at| format!("{prefix}.{at}"));
        feed(&router, &hairpin_rules(number, &prefix, &inside))?;
    }
    Ok(hosts)
}

/// A switch `lan` inside a router, which has PREFIX.1 there.
fn lan_switch(router: &str, prefix: &str) -> Result<(), String> {
    ip(&format!("-n {router} link add lan type bridge"))?;
    ip(&format!("-n {router} addr add {prefix}.1/24 dev lan"))?;
    ip(&format!("-n {router} link set lan up"))
}
