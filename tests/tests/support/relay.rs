//! Relays: as processes, and as descriptors that lead wherever a test wants.

use std::{
    net::{SocketAddr, UdpSocket},
    ops::{Deref, DerefMut},
};

use serde_json::Value;
use subrosa_node::driver::clock::unix_now;
use subrosa_proto::{
    identity::Identity,
    noise::server::static_public,
    policy::{
        Country, Descriptor, SignedDescriptor,
        descriptor::{Contact, Limits, LogPolicy, Operator, OperatorName, RELAY_PROTOCOL_VERSION},
    },
    time::UnixSeconds,
};

use super::{Scratch, member::text, process::Process};

/// A `subrosa relay`. It ends with this value.
pub(crate) struct Relay {
    process: Process,
    /// Its descriptor's line.
    pub(crate) descriptor: String,
    /// Where its socket is.
    pub(crate) listen: SocketAddr,
}

impl Deref for Relay {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Relay {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Relay {
    /// Starts a relay of `operator` that declares `country` on all axes.
    pub(crate) fn start(home: &Scratch, operator: &str, country: &str) -> Self {
        Self::start_behind(home, operator, country, None)
    }

    /// As [`Relay::start`], known to clients under `public` only.
    pub(crate) fn start_behind(
        home: &Scratch,
        operator: &str,
        country: &str,
        public: Option<SocketAddr>,
    ) -> Self {
        Self::start_with(home, operator, country, public, "")
    }

    /// As [`Relay::start`], beginning discovery with `other`.
    pub(crate) fn start_knowing(home: &Scratch, operator: &str, country: &str, other: &Relay) -> Self {
        let table = format!("\n[discovery]\nbootstrap = [{:?}]\n", other.descriptor);
        Self::start_with(home, operator, country, None, &table)
    }

    fn start_with(
        home: &Scratch,
        operator: &str,
        country: &str,
        public: Option<SocketAddr>,
        tables: &str,
    ) -> Self {
        let data_dir = home.unused(&format!("{operator}-data"));
        let public = public.map_or(String::new(), |address| {
            format!("public_addresses = [\"{address}\"]\n")
        });
        let config = format!(
            "listen = \"127.0.0.1:0\"\n{public}data_dir = {:?}\nhosting = \"{country}\"\ndrain_seconds = 1\n\n[operator]\n\
             name = \"{operator}\"\ncontact = \"mailto:operator@example.org\"\nlegal_seat = \"{country}\"\n\
             parent_seat = \"{country}\"\n{tables}",
            data_dir.display().to_string(),
        );
        let file = home.file(&format!("{operator}.toml"), config);
        let arguments = ["relay", "--json", "--config", &file.display().to_string()].map(str::to_owned);
        let process = Process::start(home, operator, &arguments);
        let ready = process.wait("descriptor", |event| event["event"] == "relay_ready");
        let listen = text(&ready.event["listen"]);
        Self {
            descriptor: text(&ready.event["descriptor"]),
            listen: listen.parse().expect("the relay says where it listens"),
            process,
        }
    }

    /// A counter, as it was last told.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let said = self.process.said();
        let stats: Option<&Value> = said
            .iter()
            .rev()
            .map(|said| &said.event)
            .find(|event| event["event"] == "relay_stats" || event["event"] == "relay_stopped");
        stats
            .and_then(|event| event[name].as_u64())
            .unwrap_or_else(|| panic!("no counter {name}\n{}", self.process.story()))
    }
}

/// The seed of the relays that exist on paper only, and of those that tests drive themselves.
pub(crate) const PAPER_SECRET: [u8; 32] = [0x61; 32];

/// A descriptor that `relay` signs; `change` may alter it before.
pub(crate) fn paper(
    relay: &Identity,
    address: SocketAddr,
    operator: &str,
    country: &str,
    change: impl FnOnce(&mut Descriptor),
) -> SignedDescriptor {
    let country: Country = country.parse().expect("a country");
    let now = unix_now();
    let mut descriptor = Descriptor {
        relay: relay.relay_id(),
        static_key: static_public(&PAPER_SECRET),
        addresses: vec![address],
        tcp_addresses: Vec::new(),
        asn: None,
        hosting: country,
        operator: Operator {
            name: OperatorName::new(operator).expect("a name"),
            contact: Contact::new("mailto:operator@example.org").expect("a contact"),
            legal_seat: country,
            parent_seat: country,
        },
        family: None,
        log_policy: LogPolicy::CountersOnly,
        limits: Limits::default(),
        attestations: Vec::new(),
        protocol_version: RELAY_PROTOCOL_VERSION,
        sequence: 1,
        previous: None,
        valid_from: UnixSeconds(now.0 - 60),
        valid_until: UnixSeconds(now.0 + 3_600),
    };
    change(&mut descriptor);
    SignedDescriptor::sign(descriptor, relay).expect("a valid descriptor")
}

/// A UDP socket that stands where a relay might, and how many packets it got.
pub(crate) struct Trap(UdpSocket);

impl Trap {
    /// On a free port.
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        Self(socket)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// How many packets wait in it.
    pub(crate) fn packets(&self) -> usize {
        let mut buffer = [0; 2_048];
        std::iter::from_fn(|| self.0.recv(&mut buffer).ok()).count()
    }
}
