//! The table `[discovery]`.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::{Spanned, Table};

use super::{error::Mistake, show::texts};
use crate::discovery::bootstrap_address;

/// What a relay does for the network by which members find each other again, and relays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayDiscovery {
    /// Whether it takes part at all. Default: yes.
    pub enabled: bool,
    /// Nodes to begin with: libp2p addresses or relays' descriptor lines.
    pub bootstrap: Vec<String>,
    /// Where libp2p's QUIC listens, beside TCP on the port of `listen`. Default: nowhere.
    pub quic: Option<SocketAddr>,
    /// Whether it answers on the local network (mDNS). Default: no.
    pub lan: bool,
}

impl Default for RelayDiscovery {
    fn default() -> Self {
        Self {
            enabled: true,
            bootstrap: Vec::new(),
            quic: None,
            lan: false,
        }
    }
}

impl RelayDiscovery {
    pub(super) fn to_table(&self) -> Table {
        let mut table = Table::new();
        table.insert("enabled".to_owned(), self.enabled.into());
        table.insert("bootstrap".to_owned(), texts(&self.bootstrap));
        if let Some(quic) = self.quic {
            table.insert("quic".to_owned(), quic.to_string().into());
        }
        table.insert("lan".to_owned(), self.lan.into());
        table
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscoveryTable {
    enabled: Option<bool>,
    #[serde(default)]
    bootstrap: Vec<Spanned<String>>,
    quic: Option<SocketAddr>,
    lan: Option<bool>,
}

impl DiscoveryTable {
    pub(super) fn check(self) -> Result<RelayDiscovery, Mistake> {
        for node in &self.bootstrap {
            bootstrap_address(node.get_ref()).map_err(|error| Mistake::new(node.span().start, error))?;
        }
        let default = RelayDiscovery::default();
        Ok(RelayDiscovery {
            enabled: self.enabled.unwrap_or(default.enabled),
            bootstrap: self.bootstrap.into_iter().map(Spanned::into_inner).collect(),
            quic: self.quic,
            lan: self.lan.unwrap_or(default.lan),
        })
    }
}
