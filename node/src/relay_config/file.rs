//! The file's tables as they stand, and what it takes to make settings of them.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;
use subrosa_proto::{
    ids::RelayId,
    policy::{
        Country, SignedDescriptor,
        attestation::Attestation,
        descriptor::{ATTESTATIONS_MAX, Contact, LogPolicy, Operator, OperatorName, TCP_ADDRESSES_MAX},
        family::Membership,
    },
    relay::CASCADE_RELAYS_MAX,
    wire::relay_message::REDIRECT_MAX,
};
use toml::Spanned;

use super::{
    AccessSettings, RelaySettings, discovery_table::DiscoveryTable, error::Mistake, limits_table::LimitsTable,
};

/// Most address blocks that are listed. Reason: each arriving session is held against all of them.
const ADDRESS_BLOCKS_MAX: usize = 1_024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    listen: Spanned<SocketAddr>,
    public_addresses: Option<Spanned<Vec<SocketAddr>>>,
    #[serde(default)]
    listen_tcp: Vec<Spanned<SocketAddr>>,
    public_tcp_addresses: Option<Spanned<Vec<SocketAddr>>>,
    data_dir: PathBuf,
    hosting: Spanned<String>,
    asn: Option<u32>,
    family: Option<Spanned<String>>,
    metrics: Option<Spanned<SocketAddr>>,
    operator: OperatorTable,
    #[serde(default)]
    access: AccessTable,
    #[serde(default)]
    logs: LogsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    alternates: Vec<Spanned<String>>,
    #[serde(default)]
    attestations: Vec<Spanned<String>>,
    #[serde(default = "default_drain_seconds")]
    drain_seconds: u64,
    #[serde(default)]
    cascade: CascadeTable,
    #[serde(default)]
    discovery: DiscoveryTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CascadeTable {
    #[serde(default)]
    relays: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorTable {
    name: Spanned<String>,
    contact: Spanned<String>,
    legal_seat: Spanned<String>,
    parent_seat: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessTable {
    open: Option<Spanned<bool>>,
    #[serde(default)]
    address_blocks: Vec<Spanned<String>>,
    #[serde(default)]
    token_issuers: Vec<Spanned<String>>,
    #[serde(default)]
    revoked_tokens: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsTable {
    #[serde(default)]
    addresses: bool,
    days: Option<u16>,
}

fn default_drain_seconds() -> u64 {
    60
}

impl File {
    pub(super) fn check(self) -> Result<RelaySettings, Mistake> {
        let (listen, public_addresses) = addresses(&self.listen, self.public_addresses)?;
        let discovery = self.discovery.check()?;
        let (listen_tcp, public_tcp_addresses) = tcp_addresses(
            &self.listen_tcp,
            self.public_tcp_addresses,
            discovery.enabled.then_some(listen),
        )?;
        let metrics = self.metrics.map(|at| loopback(&at)).transpose()?;
        let [legal_seat, parent_seat] = [
            &self.operator.legal_seat,
            self.operator
                .parent_seat
                .as_ref()
                .unwrap_or(&self.operator.legal_seat),
        ]
        .map(country);
        let operator = Operator {
            name: parsed::<OperatorName>(&self.operator.name)?,
            contact: parsed::<Contact>(&self.operator.contact)?,
            legal_seat: legal_seat?,
            parent_seat: parent_seat?,
        };
        let log_policy = if self.logs.addresses {
            LogPolicy::Addresses {
                days: self.logs.days.unwrap_or(7),
            }
        } else {
            LogPolicy::CountersOnly
        };
        at_most(&self.alternates, REDIRECT_MAX, "alternates")?;
        let alternate = |line: &Spanned<String>| {
            SignedDescriptor::from_text(line.get_ref()).map_err(|e| Mistake::of(line, &e))
        };
        Ok(RelaySettings {
            listen,
            public_addresses,
            listen_tcp,
            public_tcp_addresses,
            data_dir: self.data_dir,
            hosting: country(&self.hosting)?,
            asn: self.asn,
            operator,
            family: self
                .family
                .as_ref()
                .map(|line| Membership::from_text(line.get_ref()).map_err(|e| Mistake::of(line, &e)))
                .transpose()?,
            log_policy,
            metrics,
            access: self.access.check()?,
            handshakes: self.limits.handshakes(),
            limits: self.limits.limits(),
            alternates: self.alternates.iter().map(alternate).collect::<Result<_, _>>()?,
            attestations: attestations(&self.attestations)?,
            drain: Duration::from_secs(self.drain_seconds),
            cascade: self.cascade.check()?,
            discovery,
        })
    }
}

impl CascadeTable {
    fn check(self) -> Result<BTreeSet<RelayId>, Mistake> {
        at_most(&self.relays, CASCADE_RELAYS_MAX, "relays of a cascade")?;
        self.relays.iter().map(relay_id).collect()
    }
}

/// A relay's number, or the descriptor line that names it.
fn relay_id(text: &Spanned<String>) -> Result<RelayId, Mistake> {
    if let Ok(id) = text.get_ref().parse() {
        return Ok(id);
    }
    SignedDescriptor::from_text(text.get_ref())
        .map(|signed| signed.unverified().relay)
        .map_err(|error| {
            let message = format!("neither a relay's descriptor line nor its 64 hexadecimal digits: {error}");
            Mistake::new(text.span().start, message)
        })
}

impl AccessTable {
    fn check(self) -> Result<AccessSettings, Mistake> {
        at_most(&self.address_blocks, ADDRESS_BLOCKS_MAX, "address blocks")?;
        let block = |text: &Spanned<String>| {
            text.get_ref()
                .parse::<IpNet>()
                .map(|net| net.trunc())
                .map_err(|_| {
                    let message = format!(
                        "`{}` is not an address block such as 192.0.2.0/24 or 2001:db8::/32",
                        text.get_ref()
                    );
                    Mistake::new(text.span().start, message)
                })
        };
        let blocks: Vec<IpNet> = self.address_blocks.iter().map(block).collect::<Result<_, _>>()?;
        let issuers: BTreeSet<_> = self.token_issuers.iter().map(parsed).collect::<Result<_, _>>()?;
        let revoked = self.revoked_tokens.iter().map(parsed).collect::<Result<_, _>>()?;
        let restricted = !blocks.is_empty() || !issuers.is_empty();
        let open = match &self.open {
            Some(open) if *open.get_ref() && restricted => {
                let message =
                    "`open = true` lets everybody in: remove it, or `address_blocks` and `token_issuers`";
                return Err(Mistake::new(open.span().start, message.to_owned()));
            }
            Some(open) if !*open.get_ref() && !restricted => {
                let message = "`open = false` without `address_blocks` or `token_issuers` lets nobody in";
                return Err(Mistake::new(open.span().start, message.to_owned()));
            }
            _ => !restricted,
        };
        Ok(AccessSettings {
            open,
            blocks,
            issuers,
            revoked,
        })
    }
}

fn addresses(
    listen: &Spanned<SocketAddr>,
    public: Option<Spanned<Vec<SocketAddr>>>,
) -> Result<(SocketAddr, Vec<SocketAddr>), Mistake> {
    let public_at = public.as_ref().map_or(0, |list| list.span().start);
    let public = public.map(Spanned::into_inner).unwrap_or_default();
    let at = *listen.get_ref();
    if public.is_empty() && at.ip().is_unspecified() {
        let message = format!(
            "`public_addresses` is missing: clients cannot dial {}, so say which addresses they dial",
            at.ip()
        );
        return Err(Mistake::new(listen.span().start, message));
    }
    if let Some(bad) = public.iter().find(|a| a.ip().is_unspecified() || a.port() == 0) {
        let message = format!("nobody can dial the public address {bad}");
        return Err(Mistake::new(public_at, message));
    }
    Ok((at, public))
}

/// Where it listens on TCP and is dialled there. Discovery has the TCP port of `discovery`.
fn tcp_addresses(
    listen: &[Spanned<SocketAddr>],
    public: Option<Spanned<Vec<SocketAddr>>>,
    discovery: Option<SocketAddr>,
) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), Mistake> {
    at_most(listen, TCP_ADDRESSES_MAX, "TCP addresses")?;
    let public_at = public.as_ref().map_or(0, |list| list.span().start);
    let public = public.map(Spanned::into_inner).unwrap_or_default();
    let mistake = |at: &Spanned<SocketAddr>, message| Err(Mistake::new(at.span().start, message));
    for at in listen {
        let address = at.get_ref();
        let port_taken = |udp: SocketAddr| udp.port() == address.port() && udp.port() != 0;
        if discovery.is_some_and(port_taken) {
            let message = format!(
                "TCP port {} is discovery's, at the port of `listen`: choose another one, or another `listen`",
                address.port()
            );
            return mistake(at, message);
        }
        if public.is_empty() && address.ip().is_unspecified() {
            let message = format!(
                "`public_tcp_addresses` is missing: clients cannot dial {}, so say which addresses they dial",
                address.ip()
            );
            return mistake(at, message);
        }
    }
    if listen.is_empty() && !public.is_empty() {
        let message = "`public_tcp_addresses` without `listen_tcp`: nothing listens there".to_owned();
        return Err(Mistake::new(public_at, message));
    }
    if public.len() > TCP_ADDRESSES_MAX {
        let message = format!("at most {TCP_ADDRESSES_MAX} TCP addresses are used");
        return Err(Mistake::new(public_at, message));
    }
    if let Some(bad) = public.iter().find(|a| a.ip().is_unspecified() || a.port() == 0) {
        let message = format!("nobody can dial the public address {bad}");
        return Err(Mistake::new(public_at, message));
    }
    Ok((listen.iter().map(|at| *at.get_ref()).collect(), public))
}

/// Counters are for the operator: whoever else is to have them gets them through something that asks who it is.
fn loopback(at: &Spanned<SocketAddr>) -> Result<SocketAddr, Mistake> {
    let address = *at.get_ref();
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let message =
        format!("`metrics` answers everybody: {address} is not a loopback address such as 127.0.0.1");
    Err(Mistake::new(at.span().start, message))
}

fn country(word: &Spanned<String>) -> Result<Country, Mistake> {
    parsed(word)
}

fn parsed<L>(text: &Spanned<String>) -> Result<L, Mistake>
where
    L: std::str::FromStr,
    L::Err: std::fmt::Display,
{
    text.get_ref().parse().map_err(|error| Mistake::of(text, &error))
}

fn at_most<T>(list: &[Spanned<T>], max: usize, what: &str) -> Result<(), Mistake> {
    match list.get(max) {
        Some(surplus) => Err(Mistake::new(
            surplus.span().start,
            format!("at most {max} {what} are used"),
        )),
        None => Ok(()),
    }
}

/// In the order that a descriptor wants. Whether they are about this relay shows when the descriptor is signed.
fn attestations(lines: &[Spanned<String>]) -> Result<Vec<Attestation>, Mistake> {
    at_most(lines, ATTESTATIONS_MAX, "attestations")?;
    let mut found: Vec<Attestation> = Vec::new();
    for line in lines {
        let attestation = Attestation::from_text(line.get_ref()).map_err(|e| Mistake::of(line, &e))?;
        if found.iter().any(|known| known.issuer() == attestation.issuer()) {
            let message = format!("two attestations of the issuer {}", attestation.issuer());
            return Err(Mistake::new(line.span().start, message));
        }
        found.push(attestation);
    }
    found.sort_by_key(Attestation::issuer);
    Ok(found)
}
