//! A whole relay: keys and state on disk, a signed descriptor that is renewed, and the driver.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    noise::{self, server::RelayAccept},
    policy::{
        Descriptor, DescriptorError, DiscoveryRule, SignedDescriptor,
        descriptor::{DescriptorHash, Limits, RELAY_PROTOCOL_VERSION, VALIDITY_SECONDS_MAX},
    },
    random::Random,
    relay::RelayConfig,
    time::UnixSeconds,
    wire::relay_message::DescriptorBytes,
};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::{
    RelayDriver, RelayReport,
    data_dir::{DataDir, RelayState},
};
use crate::{
    discovery::{Order, Reach, Role, Service, ServiceConfig, Status, bootstrap_address},
    relay_config::RelaySettings,
};

/// How long before its end a descriptor is renewed: half its validity, so that a line that somebody copied today works
/// for twelve hours at least.
const RENEW_BEFORE: u64 = VALIDITY_SECONDS_MAX / 2;
/// How often the month's traffic is written down, and whether the descriptor is due is looked at.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayStartError {
    /// Another process has the port, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The folder cannot be made, read or written.
    #[error("cannot use the data folder {}: {source}", .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What the settings say does not make a descriptor.
    #[error("the settings do not make a valid descriptor: {0}")]
    Descriptor(#[from] DescriptorError),
    /// No randomness, threads or timers.
    #[error("the system refuses what a relay needs: {0}")]
    System(io::Error),
}

/// A running relay.
#[derive(Debug)]
pub struct RelayNode {
    shared: Arc<Shared>,
    upkeep: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    driver: RelayDriver,
    discovery: Option<Service>,
    settings: RelaySettings,
    addresses: Vec<SocketAddr>,
    identity: Identity,
    static_key: [u8; 32],
    data: DataDir,
    chain: Mutex<Chain>,
}

/// The descriptor in force, and the state that goes with it.
#[derive(Debug)]
struct Chain {
    signed: SignedDescriptor,
    state: RelayState,
}

impl RelayNode {
    /// Starts a relay; needs a tokio runtime.
    ///
    /// # Errors
    /// [`RelayStartError`]: the address, the folder, or the settings.
    pub async fn start(settings: RelaySettings) -> Result<Self, RelayStartError> {
        let data_error = |source| RelayStartError::DataDir {
            path: settings.data_dir.clone(),
            source,
        };
        let data = DataDir::open(&settings.data_dir).map_err(data_error)?;
        let mut random = system_random().map_err(RelayStartError::System)?;
        let identity = data.secret("identity", || random.bytes()).map_err(data_error)?;
        let identity = Identity::from_seed(&identity);
        let static_secret = data.secret("static-key", || random.bytes()).map_err(data_error)?;
        let listen_error = |source| RelayStartError::Listen {
            address: settings.listen,
            source,
        };
        let socket = UdpSocket::bind(settings.listen).map_err(listen_error)?;
        let bound = socket.local_addr().map_err(listen_error)?;
        let addresses = if settings.public_addresses.is_empty() {
            vec![bound]
        } else {
            settings.public_addresses.clone()
        };

        let static_key = noise::server::static_public(&static_secret);
        let state = data.state();
        let (signed, state) =
            next_descriptor(&settings, &addresses, &identity, static_key, &state, unix_now())?;
        data.save(&state).map_err(data_error)?;
        let config = RelayConfig {
            limits: settings.limits,
            descriptor: descriptor_bytes(&signed),
            alternates: settings
                .alternates
                .iter()
                .map(descriptor_bytes)
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or_default(),
            month_of: UnixSeconds(state.counted_at),
            month_bytes: state.month_bytes,
        };
        let driver = start_driver(socket, &identity, static_secret, random, config)?;
        tracing::info!(relay = %identity.relay_id().fingerprint(), "relay started");
        let discovery = start_discovery(&settings, bound, &addresses, &identity);
        if let Some(service) = &discovery {
            service.try_order(Order::Announce(Box::new(signed.clone())));
        }
        let chain = Mutex::new(Chain { signed, state });
        let shared = Arc::new(Shared {
            driver,
            discovery,
            settings,
            addresses,
            identity,
            static_key,
            data,
            chain,
        });
        let upkeep = tokio::spawn(upkeep(shared.clone()));
        Ok(Self { shared, upkeep })
    }

    /// The relay's identity.
    #[must_use]
    pub fn id(&self) -> RelayId {
        self.shared.identity.relay_id()
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.driver.local_addr()
    }

    /// The descriptor in force.
    #[must_use]
    pub fn descriptor(&self) -> SignedDescriptor {
        self.shared.chain().signed.clone()
    }

    /// The descriptor in force as one line, `subrosa-relay:…`.
    #[must_use]
    pub fn descriptor_line(&self) -> String {
        self.descriptor().to_text()
    }

    /// How its part in discovery stands; `None` if it takes none.
    pub async fn discovery(&self) -> Option<Status> {
        match &self.shared.discovery {
            Some(service) => Some(service.status().await),
            None => None,
        }
    }

    /// The counters.
    pub async fn stats(&self) -> RelayReport {
        self.shared.driver.report().await
    }

    /// Tells everybody that the relay ends, accepts nothing new, gives clients the configured time to move, and waits
    /// until they have.
    pub async fn drain(&self) {
        self.shared.driver.drain(self.shared.settings.drain).await;
        self.shared.driver.ended().await;
        self.shared.count_month().await;
    }

    /// Ends the relay at once.
    pub async fn shutdown(&self) {
        self.shared.count_month().await;
        self.shared.driver.shutdown().await;
    }
}

impl Drop for RelayNode {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

impl Shared {
    fn chain(&self) -> std::sync::MutexGuard<'_, Chain> {
        self.chain
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes down the month's traffic, so that a restart does not refill the cap.
    async fn count_month(&self) {
        let report = self.driver.report().await;
        let mut chain = self.chain();
        if report.relay.month_bytes == 0 {
            return;
        }
        chain.state.month_bytes = report.relay.month_bytes;
        chain.state.counted_at = unix_now().0;
        if let Err(error) = self.data.save(&chain.state) {
            tracing::warn!(%error, "the month's traffic could not be written down");
        }
    }

    /// Signs the next descriptor if the present one is about to end.
    fn renew(&self, now: UnixSeconds) -> Option<DescriptorBytes> {
        let mut chain = self.chain();
        let until = chain.signed.unverified().valid_until;
        if now.0.saturating_add(RENEW_BEFORE) < until.0 {
            return None;
        }
        let next = next_descriptor(
            &self.settings,
            &self.addresses,
            &self.identity,
            self.static_key,
            &chain.state,
            now,
        );
        let (signed, state) = match next {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the descriptor could not be renewed");
                return None;
            }
        };
        // First on disk, then in force: a sequence number must never be given to two descriptors.
        if let Err(error) = self.data.save(&state) {
            tracing::error!(%error, "the renewed descriptor could not be written down and is not used");
            return None;
        }
        let bytes = descriptor_bytes(&signed);
        *chain = Chain { signed, state };
        Some(bytes)
    }
}

async fn upkeep(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        shared.count_month().await;
        let renewed = shared.renew(unix_now());
        if let Some(bytes) = renewed {
            shared.driver.set_descriptor(bytes).await;
            if let Some(service) = &shared.discovery {
                let signed = shared.chain().signed.clone();
                service.order(Order::Announce(Box::new(signed))).await;
            }
            tracing::info!("descriptor renewed");
        }
    }
}

/// Starts the relay's part in discovery: libp2p on TCP at the media port's number. The relay relays without it, too, so
/// that a failure is a warning.
fn start_discovery(
    settings: &RelaySettings,
    bound: SocketAddr,
    addresses: &[SocketAddr],
    identity: &Identity,
) -> Option<Service> {
    if !settings.discovery.enabled {
        return None;
    }
    let nodes = settings.discovery.bootstrap.iter();
    let config = ServiceConfig {
        role: Role::Relay,
        seed: Some(identity.to_seed()),
        listen_tcp: both_families(bound),
        listen_quic: settings.discovery.quic.map_or_else(Vec::new, both_families),
        public: addresses.to_vec(),
        lan: settings.discovery.lan,
        bootstrap: nodes
            .filter_map(|text| bootstrap_address(text).ok())
            .flatten()
            .collect(),
        reach: Reach {
            rule: DiscoveryRule::Any,
            ..Reach::default()
        },
    };
    Service::start(config)
        .inspect_err(|error| tracing::warn!(%error, "the relay takes no part in discovery"))
        .ok()
}

/// libp2p's sockets take one family each: the wildcard of IPv6 stands for both, as it does for media.
fn both_families(address: SocketAddr) -> Vec<SocketAddr> {
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        vec![address, (Ipv4Addr::UNSPECIFIED, address.port()).into()]
    } else {
        vec![address]
    }
}

fn start_driver(
    socket: UdpSocket,
    identity: &Identity,
    static_secret: Zeroizing<[u8; 32]>,
    mut random: Random,
    config: RelayConfig,
) -> Result<RelayDriver, RelayStartError> {
    let endpoint = noise::endpoint_config(&mut random);
    let server = noise::server::relay(RelayAccept {
        identity: Identity::from_seed(&identity.to_seed()),
        static_secret,
        clock: Arc::new(unix_now),
        random,
    });
    RelayDriver::start(socket, endpoint, server, config).map_err(RelayStartError::System)
}

/// Signs the descriptor that follows `state`, and the state after it.
fn next_descriptor(
    settings: &RelaySettings,
    addresses: &[SocketAddr],
    identity: &Identity,
    static_key: [u8; 32],
    state: &RelayState,
    now: UnixSeconds,
) -> Result<(SignedDescriptor, RelayState), DescriptorError> {
    let previous = state.previous.as_deref().and_then(|text| {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(DescriptorHash(bytes.try_into().ok()?))
    });
    // A relay that lost its count goes on with the Unix time.
    let sequence = if previous.is_some() {
        state.sequence.saturating_add(1)
    } else {
        now.0
    };
    let limit = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let descriptor = Descriptor {
        relay: identity.relay_id(),
        static_key,
        addresses: addresses.to_vec(),
        asn: settings.asn,
        hosting: settings.hosting,
        operator: settings.operator.clone(),
        family: settings.family.clone(),
        log_policy: settings.log_policy,
        limits: Limits {
            sessions_max: limit(settings.limits.sessions_max),
            rooms_max: limit(settings.limits.rooms_max),
            session_kbit_per_s_max: u32::try_from(settings.limits.session_media.bits_per_second / 1_000)
                .unwrap_or(u32::MAX),
        },
        attestations: Vec::new(),
        protocol_version: RELAY_PROTOCOL_VERSION,
        sequence,
        previous,
        valid_from: now,
        valid_until: now.after(Duration::from_secs(VALIDITY_SECONDS_MAX)),
    };
    let signed = SignedDescriptor::sign(descriptor, identity)?;
    let hash = signed.clone().verify(now)?.hash();
    let state = RelayState {
        sequence,
        previous: Some(HEXLOWER.encode(&hash.0)),
        ..state.clone()
    };
    Ok((signed, state))
}

fn descriptor_bytes(signed: &SignedDescriptor) -> DescriptorBytes {
    // The descriptor's own bounds keep it below half of DESCRIPTOR_BYTES_MAX.
    signed.to_bytes().try_into().unwrap_or_default()
}

fn unix_now() -> UnixSeconds {
    UnixSeconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
    )
}

/// A generator seeded by the operating system.
fn system_random() -> io::Result<Random> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| io::Error::other("no randomness"))?;
    Ok(Random::from_seed(seed))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(dir: &Path) -> RelaySettings {
        let text = include_str!("../../../../docs/relay.toml");
        let mut settings = RelaySettings::parse(text, Path::new("relay.toml")).unwrap();
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.public_addresses.clear();
        settings.data_dir = dir.to_owned();
        settings
    }

    #[tokio::test]
    async fn a_restarted_relay_keeps_its_identity_and_continues_its_chain() {
        let dir = std::env::temp_dir().join(format!("subrosa-relay-test-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let first = RelayNode::start(settings(&dir)).await.unwrap();
        let before = first.descriptor().verify(unix_now()).unwrap();
        assert_eq!(before.addresses, [first.local_addr()]);
        first.shutdown().await;
        drop(first);
        let second = RelayNode::start(settings(&dir)).await.unwrap();
        let after = SignedDescriptor::from_text(&second.descriptor_line())
            .unwrap()
            .verify(unix_now())
            .unwrap();
        assert_eq!((after.relay, after.static_key), (before.relay, before.static_key));
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.previous, Some(before.hash()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(dir.join("identity"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // Due at half its life, not before.
        let half = UnixSeconds(after.valid_from.0 + RENEW_BEFORE);
        assert!(second.shared.renew(UnixSeconds(half.0 - 1)).is_none());
        assert!(second.shared.renew(half).is_some());
        assert_eq!(second.descriptor().unverified().previous, Some(after.hash()));
        second.shutdown().await;
        drop(second);

        // A damaged key is an error, not a new identity.
        std::fs::write(dir.join("identity"), "rose").unwrap();
        assert!(matches!(
            RelayNode::start(settings(&dir)).await,
            Err(RelayStartError::DataDir { .. })
        ));
        let _ = std::fs::remove_dir_all(&dir);
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let dir = std::env::temp_dir().join(format!("subrosa-relay-port-{}", std::process::id()));
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut settings = settings(&dir);
        settings.listen = taken.local_addr().unwrap();
        let error = RelayNode::start(settings).await.unwrap_err();
        assert!(
            error.to_string().contains("cannot listen on 127.0.0.1"),
            "{error}"
        );
        let _ = std::fs::remove_dir_all(&dir);
    }
}
