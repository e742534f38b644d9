//! `relay.toml`: what an operator decides about a relay (`docs/relay.toml` is a commented example).
//!
//! Unknown keys are mistakes. Each mistake is answered with file, line and, where there is one, the nearest known word.

mod discovery_table;
mod error;
mod file;
mod limits_table;
mod overrides;
mod show;
mod template;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use subrosa_proto::{
    ids::RelayId,
    policy::{
        Country, SignedDescriptor,
        attestation::{Attestation, IssuerId},
        descriptor::{LogPolicy, Operator},
        family::Membership,
    },
    relay::{RelayLimits, token::TokenId},
};

pub use self::{
    discovery_table::RelayDiscovery,
    error::RelayConfigError,
    overrides::{KEYS, Override, VARIABLE_PREFIX},
    template::fill,
};

/// The largest file that is read, in bytes: a hundred times what a relay needs.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A relay's settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RelaySettings {
    /// The UDP address that the relay listens on; port 0 takes any.
    pub listen: SocketAddr,
    /// The addresses that clients dial. Empty: the address that it listens on, which must then not be a wildcard.
    pub public_addresses: Vec<SocketAddr>,
    /// The TCP addresses for clients whose networks let no UDP through; empty: none. Not discovery's port.
    pub listen_tcp: Vec<SocketAddr>,
    /// The addresses that those clients dial. Empty: those that it listens on, which must then not be wildcards.
    pub public_tcp_addresses: Vec<SocketAddr>,
    /// Where identity, static key, descriptor chain and monthly count are kept.
    pub data_dir: PathBuf,
    /// The country in which the hardware stands.
    pub hosting: Country,
    /// The autonomous system that announces the addresses.
    pub asn: Option<u32>,
    /// Who runs the relay, and under which law.
    pub operator: Operator,
    /// The family's word that the relay belongs to it.
    pub family: Option<Membership>,
    /// What the relay's logs hold.
    pub log_policy: LogPolicy,
    /// Where counters and health are told: a loopback address. `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Who may use it.
    pub access: AccessSettings,
    /// How fast sessions may come.
    pub handshakes: HandshakeLimits,
    /// Quotas.
    pub limits: RelayLimits,
    /// Relays to which clients are sent when this one is full or drains.
    pub alternates: Vec<SignedDescriptor>,
    /// What issuers say about it, in the order of the issuers' keys.
    pub attestations: Vec<Attestation>,
    /// How long clients get to move away when the relay is told to end.
    pub drain: Duration,
    /// Relays with whose operators a cascade was agreed.
    pub cascade: BTreeSet<RelayId>,
    /// The relay's part in the network by which members find each other and relays.
    pub discovery: RelayDiscovery,
}

/// Who may use a relay: everybody, or addresses in a block and holders of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSettings {
    /// Everybody.
    pub open: bool,
    /// Addresses that need no token.
    pub blocks: Vec<IpNet>,
    /// Whose tokens are accepted.
    pub issuers: BTreeSet<IssuerId>,
    /// Tokens that were taken back.
    pub revoked: BTreeSet<TokenId>,
}

impl AccessSettings {
    /// Whether an address needs no token.
    #[must_use]
    pub fn lists(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.blocks.iter().any(|block| block.contains(&address))
    }
}

/// Handshakes that a relay begins. A handshake costs as much as forwarding a frame to 300 listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Per second in all; two seconds' worth at once. Default 500.
    pub per_second: u32,
    /// Per second from one address block; ten seconds' worth at once, since a company's meeting begins on the hour. Default 50.
    pub per_address_block: u32,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            per_second: 500,
            per_address_block: 50,
        }
    }
}

impl RelaySettings {
    /// Reads and checks a file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`RelayConfigError`] for the first mistake, with line 0 if the file cannot be read.
    pub fn load(file: &Path) -> Result<Self, RelayConfigError> {
        Self::load_with(file, &[])
    }

    /// Reads and checks a file under what overrides it; later overrides win.
    ///
    /// # Errors
    /// As [`Self::load`]; a mistake in an override names it.
    pub fn load_with(file: &Path, overrides: &[Override]) -> Result<Self, RelayConfigError> {
        let unreadable = |e: std::io::Error| RelayConfigError::nowhere(file, format!("cannot be read: {e}"));
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            let message = format!("has {size} bytes, at most {FILE_BYTES_MAX} are read");
            return Err(RelayConfigError::nowhere(file, message));
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        let mut settings = overrides::merge(&text, file, overrides)?;
        if settings.data_dir.is_relative()
            && let Some(folder) = file.parent()
        {
            settings.data_dir = folder.join(&settings.data_dir);
        }
        Ok(settings)
    }

    /// Checks a file's text; `file` is its name in messages.
    ///
    /// # Errors
    /// [`RelayConfigError`] for the first mistake.
    pub fn parse(text: &str, file: &Path) -> Result<Self, RelayConfigError> {
        toml::from_str::<file::File>(text)
            .map_err(|error| error::syntax(&error, text))
            .and_then(file::File::check)
            .map_err(|mistake| RelayConfigError::at(text, file, mistake))
    }
}

#[cfg(test)]
mod tests;
