//! A small internet of network namespaces: a backbone, a relay on it, and sites behind NATs of each kind. Needs root,
//! iproute2 and nftables.

use std::{
    fmt,
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{lan::ip, skipped};

/// How a site is connected. The names are those of RFC 3489, which everybody knows; RFC 4787 tells mapping and filtering apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nat {
    /// A public address.
    Open,
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address and port-dependent filtering.
    PortRestricted,
    /// Address and port-dependent mapping and filtering: another random port for each destination.
    Symmetric,
}

impl Nat {
    /// Whether two nodes find a way to each other: by dialling where a relay sees the other, or by a search for ports.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.min(other) != Self::Symmetric
    }

    /// The rules of its router, whose inside is `host`.
    pub(super) fn rules(self, host: &str) -> String {
        // What nobody asked for is dropped before it is tracked: a tracked packet would take the port from the host's own.
        let closed = "chain input { type filter hook input priority 0; iifname wan ct state new drop; }";
        let masquerade = match self {
            Self::Symmetric => "masquerade fully-random",
            _ => "masquerade",
        };
        let inward = match self {
            Self::FullCone => format!("iifname wan udp dport 1024-65535 dnat to {host};"),
            Self::AddressRestricted => {
                format!("iifname wan ip saddr @heard udp dport 1024-65535 dnat to {host};")
            }
            Self::Open | Self::PortRestricted | Self::Symmetric => String::new(),
        };
        format!(
            "table ip site {{
                set heard {{ type ipv4_addr; flags dynamic,timeout; timeout 2m; }}
                {closed}
                chain forward {{ type filter hook forward priority 0; oifname wan update @heard {{ ip daddr }}; }}
                chain prerouting {{ type nat hook prerouting priority dstnat; {inward} }}
                chain postrouting {{ type nat hook postrouting priority srcnat; oifname wan {masquerade}; }}
            }}"
        )
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::FullCone => "full cone",
            Self::AddressRestricted => "address-restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
        })
    }
}

/// See the module. The namespaces go with this value.
pub(crate) struct Internet {
    id: String,
    namespaces: Vec<String>,
}

pub(super) fn feed(namespace: &str, rules: &str) -> Result<(), String> {
    let mut child = Command::new("ip")
        .args(["netns", "exec", namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ip: {error}"))?;
    let written = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(rules.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() && matches!(written, Some(Ok(()))) {
        return Ok(());
    }
    Err(format!("nft: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Makes a namespace forward IPv4.
pub(super) fn forward(router: &str) -> Result<(), String> {
    let forward = Command::new("ip")
        .args(["netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
        .status();
    if !forward.is_ok_and(|status| status.success()) {
        return Err("the router cannot be made to forward".to_owned());
    }
    Ok(())
}

impl Internet {
    /// The backbone, 198.51.100.0/24.
    ///
    /// # Errors
    /// What is missing on this machine.
    fn lay() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}n{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut internet = Self {
            id,
            namespaces: Vec::new(),
        };
        let backbone = internet.add("backbone")?;
        ip(&format!("-n {backbone} link add switch type bridge"))?;
        ip(&format!("-n {backbone} link set switch up"))?;
        Ok(internet)
    }

    pub(super) fn add(&mut self, what: &str) -> Result<String, String> {
        let name = format!("subrosa-{what}-{}", self.id);
        ip(&format!("netns add {name}"))?;
        self.namespaces.push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }

    /// Connects a namespace to the backbone as `wan`, at 198.51.100.`host`.
    pub(super) fn connect(&self, name: &str, host: u8) -> Result<(), String> {
        let backbone = &self.namespaces[0];
        ip(&format!(
            "-n {name} link add wan type veth peer name port{host} netns {backbone}"
        ))?;
        ip(&format!("-n {backbone} link set port{host} master switch up"))?;
        ip(&format!("-n {name} addr add 198.51.100.{host}/24 dev wan"))?;
        ip(&format!("-n {name} link set wan up"))
    }

    /// The namespace of the switch, through which everything between sites and machines goes.
    pub(crate) fn backbone(&self) -> &str {
        &self.namespaces[0]
    }

    /// The namespace of the router of site `number`.
    pub(crate) fn router(&self, number: u8) -> String {
        format!("subrosa-r{number}-{}", self.id)
    }

    /// A machine with a public address, 198.51.100.`number`; its namespace.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn machine(&mut self, number: u8) -> Result<String, String> {
        let name = self.add(&format!("m{number}"))?;
        self.connect(&name, number)?;
        Ok(name)
    }

    /// Lets no UDP through the router of site `number`.
    pub(crate) fn block_udp(&self, number: u8) {
        self.filter(number, "blocked", "meta l4proto udp drop;");
    }

    /// Puts a filter, which [`Self::unfilter`] takes away by its name, into the router of site `number`.
    pub(crate) fn filter(&self, number: u8, name: &str, rules: &str) {
        let router = self.router(number);
        let table = format!(
            "table ip {name} {{ chain forward {{ type filter hook forward priority -10; {rules} }}; }}"
        );
        feed(&router, &table).expect("the router is there");
    }

    /// See [`Self::filter`].
    pub(crate) fn unfilter(&self, number: u8, name: &str) {
        let router = self.router(number);
        feed(&router, &format!("delete table ip {name}")).expect("the filter is there");
    }

    /// Counts what arrives at a [`Self::machine`] from now on.
    pub(crate) fn count_arrivals(&self, namespace: &str) {
        let table = "table inet arrivals { counter everything { }; chain input { type filter hook input priority -10; iifname wan meta l4proto { tcp, udp } counter name everything; }; }";
        feed(namespace, table).expect("the machine is there");
    }

    /// TCP and UDP packets that arrived since.
    pub(crate) fn arrivals(&self, namespace: &str) -> u64 {
        let output = Command::new("ip")
            .args([
                "netns",
                "exec",
                namespace,
                "nft",
                "list",
                "counter",
                "inet",
                "arrivals",
                "everything",
            ])
            .output()
            .expect("nft runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words
            .nth(1)
            .and_then(|count| count.parse().ok())
            .expect("a count")
    }

    /// A machine reaches none of these any more, 198.51.100.`number` each, nor they it.
    pub(crate) fn wall(&self, namespace: &str, numbers: &[u8]) {
        let places: Vec<String> = numbers
            .iter()
            .map(|number| format!("198.51.100.{number}"))
            .collect();
        let places = places.join(", ");
        let rules = format!(
            "table ip wall {{
                chain out {{ type filter hook output priority 0; ip daddr {{ {places} }} drop; }}
                chain in {{ type filter hook input priority 0; ip saddr {{ {places} }} drop; }}
            }}"
        );
        feed(namespace, &rules).expect("the machine is there");
    }

    /// Ends what [`Self::wall`] did.
    pub(crate) fn unwall(&self, namespace: &str) {
        feed(namespace, "delete table ip wall").expect("there was a wall");
    }

    /// Moves a [`Self::machine`] from 198.51.100.`from` to 198.51.100.`to`, as if it had changed its network.
    pub(crate) fn renumber(&self, namespace: &str, from: u8, to: u8) {
        // In this order: with the first address of a network Linux takes away those that came after it.
        for change in [
            format!("del 198.51.100.{from}/24"),
            format!("add 198.51.100.{to}/24"),
        ] {
            ip(&format!("-n {namespace} addr {change} dev wan")).expect("the machine is there");
        }
    }

    /// A machine connected as `nat` says; its namespace. Numbers are 1 to 250, each once.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn site(&mut self, number: u8, nat: Nat) -> Result<String, String> {
        if nat == Nat::Open {
            return self.machine(number);
        }
        let router = self.add(&format!("r{number}"))?;
        self.connect(&router, number)?;
        self.home(number, &router, &format!("10.9.{number}"), nat)
    }

    /// One machine on the local network of `router`, which has its `wan` already: PREFIX.2; its namespace.
    pub(super) fn home(
        &mut self,
        number: u8,
        router: &str,
        prefix: &str,
        nat: Nat,
    ) -> Result<String, String> {
        let host = self.add(&format!("h{number}"))?;
        ip(&format!(
            "-n {host} link add lan type veth peer name lan netns {router}"
        ))?;
        ip(&format!("-n {router} addr add {prefix}.1/24 dev lan"))?;
        ip(&format!("-n {router} link set lan up"))?;
        settle(&host, prefix, 2)?;
        forward(router)?;
        feed(router, &nat.rules(&format!("{prefix}.2")))?;
        Ok(host)
    }
}

/// Gives a machine on a local network its address PREFIX.`number`, and PREFIX.1 as its way out.
pub(super) fn settle(host: &str, prefix: &str, number: u8) -> Result<(), String> {
    ip(&format!("-n {host} addr add {prefix}.{number}/24 dev lan"))?;
    ip(&format!("-n {host} link set lan up"))?;
    ip(&format!("-n {host} route add default via {prefix}.1"))
}

impl Drop for Internet {
    fn drop(&mut self) {
        for name in &self.namespaces {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// An [`Internet`] as `lay` adds to it, for the test `name`; says so loudly if there can be none here.
pub(crate) fn internet_for<T>(
    name: &str,
    lay: impl FnOnce(&mut Internet) -> Result<T, String>,
) -> Option<(Internet, T)> {
    let laid = Internet::lay().and_then(|mut internet| {
        let sites = lay(&mut internet)?;
        Ok((internet, sites))
    });
    match laid {
        Ok(laid) => Some(laid),
        Err(why) => {
            skipped(name, &why);
            None
        }
    }
}
