//! Places of an [`Internet`] beyond one NAT for each: two NATs in series, two machines behind one, machines without IPv4.

use super::{
    lan::ip,
    nat::{Internet, Nat, feed, forward},
};

/// What a NAT does for two machines behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// They are on one network, and reach each other there.
    Neighbours,
    /// They do not reach each other (as guests of many wireless networks), and the NAT sends nothing back.
    Isolated,
    /// As [`Self::Isolated`], but the NAT sends back what goes to its own outside, as from there (RFC 4787 REQ-9).
    Hairpin,
}

impl Shared {
    /// The rules of the router at `outside`: mapping that is endpoint-independent, filtering by address and port.
    fn rules(self, outside: &str) -> String {
        let (back, as_outside) = if self == Self::Hairpin {
            (
                format!(
                    "iifname \"lan*\" ip daddr {outside} meta l4proto udp dnat to udp dport map @mapped;"
                ),
                format!("oifname \"lan*\" ct status dnat snat to {outside};"),
            )
        } else {
            (String::new(), String::new())
        };
        let apart = match self {
            Self::Neighbours => "",
            Self::Isolated | Self::Hairpin => {
                "iifname \"lan*\" oifname \"lan*\" ct status dnat accept; iifname \"lan*\" oifname \"lan*\" drop;"
            }
        };
        format!(
            "table ip site {{
                map mapped {{ type inet_service : ipv4_addr; flags dynamic,timeout; timeout 2m; size 65535; }}
                chain input {{ type filter hook input priority 0; iifname wan ct state new drop; }}
                chain forward {{
                    type filter hook forward priority 0;
                    {apart}
                    oifname wan meta l4proto udp update @mapped {{ udp sport : ip saddr }};
                }}
                chain prerouting {{ type nat hook prerouting priority dstnat; {back} }}
                chain postrouting {{ type nat hook postrouting priority srcnat; oifname wan masquerade; {as_outside} }}
            }}"
        )
    }
}

impl Internet {
    /// A machine behind two NATs: `inner` is its own, `outer` its provider's, at 198.51.100.`number`.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn nested(&mut self, number: u8, outer: Nat, inner: Nat) -> Result<String, String> {
        assert!(outer != Nat::Open && inner != Nat::Open, "both are NATs");
        // What would be the machine behind the outer NAT is the inner one.
        let router = self.site(number, outer)?;
        let host = self.add(&format!("i{number}"))?;
        for change in ["lan down", "lan name wan", "wan up"] {
            ip(&format!("-n {router} link set {change}"))?;
        }
        ip(&format!("-n {router} route add default via 10.9.{number}.1"))?;
        ip(&format!(
            "-n {host} link add lan type veth peer name lan netns {router}"
        ))?;
        for (place, last) in [(&router, 1), (&host, 2)] {
            ip(&format!("-n {place} addr add 10.8.{number}.{last}/24 dev lan"))?;
            ip(&format!("-n {place} link set lan up"))?;
        }
        ip(&format!("-n {host} route add default via 10.8.{number}.1"))?;
        forward(&router)?;
        feed(&router, &inner.rules(&format!("10.8.{number}.2")))?;
        Ok(host)
    }

    /// Two machines behind one NAT at 198.51.100.`number`.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn shared(&mut self, number: u8, shared: Shared) -> Result<(String, String), String> {
        let router = self.add(&format!("r{number}"))?;
        self.connect(&router, number)?;
        if shared == Shared::Neighbours {
            ip(&format!("-n {router} link add lan type bridge"))?;
            ip(&format!("-n {router} addr add 10.9.{number}.1/24 dev lan"))?;
            ip(&format!("-n {router} link set lan up"))?;
        }
        let mut host = |last: u8| {
            let host = self.add(&format!("h{number}x{last}"))?;
            ip(&format!(
                "-n {host} link add lan type veth peer name lan{last} netns {router}"
            ))?;
            ip(&format!("-n {host} link set lan up"))?;
            // A router of its own for each keeps them apart; a bridge would not send back what is for its other side.
            let gateway = if shared == Shared::Neighbours {
                ip(&format!("-n {router} link set lan{last} master lan up"))?;
                1
            } else {
                ip(&format!(
                    "-n {router} addr add 10.9.{number}.{}/31 dev lan{last}",
                    last ^ 1
                ))?;
                ip(&format!("-n {router} link set lan{last} up"))?;
                last ^ 1
            };
            let length = if gateway == 1 { 24 } else { 31 };
            ip(&format!(
                "-n {host} addr add 10.9.{number}.{last}/{length} dev lan"
            ))?;
            ip(&format!(
                "-n {host} route add default via 10.9.{number}.{gateway}"
            ))?;
            Ok::<_, String>(host)
        };
        let hosts = (host(2)?, host(if shared == Shared::Neighbours { 3 } else { 4 })?);
        forward(&router)?;
        feed(&router, &shared.rules(&format!("198.51.100.{number}")))?;
        Ok(hosts)
    }

    /// A machine that has IPv6 only, 2001:db8::`number` in decimal digits.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn machine6(&mut self, number: u8) -> Result<String, String> {
        let name = self.machine(number)?;
        ip(&format!("-n {name} addr del 198.51.100.{number}/24 dev wan"))?;
        self.add_ipv6(&name, number)?;
        Ok(name)
    }

    /// Gives a machine an address of IPv6 beside its own.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn add_ipv6(&self, name: &str, number: u8) -> Result<(), String> {
        // Without asking whether somebody else has it: nobody has, and asking takes seconds.
        ip(&format!("-n {name} addr add 2001:db8::{number}/64 dev wan nodad"))
    }
}
