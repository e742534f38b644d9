//! A whole relay: keys and state on disk, a signed descriptor that is renewed, and the driver.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use subrosa_proto::{
    identity::Identity,
    ids::RelayId,
    noise::{self, server::RelayAccept},
    policy::{DescriptorError, SignedDescriptor, descriptor::LogPolicy},
    random::Random,
    relay::{Access, RelayConfig},
    time::UnixSeconds,
    wire::{
        bounded::BoundedVec,
        relay_message::{DescriptorBytes, REDIRECT_MAX},
    },
};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::{
    DriverPolicy, Reconfiguration, RelayDriver, RelayReport, RelaySockets,
    data_dir::{DataDir, RelayState},
    descriptor_chain::{RENEW_BEFORE, Signer, descriptor_bytes},
    discovery,
    observe::{self, Observed},
    upstreams::Dialler,
};
use crate::{
    discovery::{Order, Service, Status},
    relay_config::RelaySettings,
};

/// How often the month's and the tokens' traffic is written down, and whether the descriptor is due is looked at. What was
/// forwarded since is lost if the machine loses its power.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

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
    /// The address for counters and health is taken.
    #[error("cannot tell metrics on {address}: {source}")]
    Metrics {
        /// The address.
        address: SocketAddr,
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
    observing: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    driver: Arc<RelayDriver>,
    discovery: Option<Service>,
    signer: Signer,
    data: DataDir,
    observed: Arc<Observed>,
    current: Mutex<Current>,
}

/// What is in force.
#[derive(Debug)]
struct Current {
    settings: RelaySettings,
    signed: SignedDescriptor,
    state: RelayState,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether sessions were told a new descriptor.
    pub descriptor: bool,
    /// Settings that were changed in the file and need a restart: the old ones stay in force.
    pub needs_restart: Vec<&'static str>,
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
        let (tcp, tcp_bound) = listen_tcp(&settings)?;
        let signer = Signer {
            static_key: noise::server::static_public(&static_secret),
            bound: socket.local_addr().map_err(listen_error)?,
            tcp_bound,
            identity,
        };
        let sockets = RelaySockets { udp: socket, tcp };
        let (signed, state) = signer.next(&settings, &data.state(), unix_now())?;
        data.save(&state).map_err(data_error)?;
        let listener = observe::bind(settings.metrics)
            .await
            .map_err(|source| RelayStartError::Metrics {
                address: settings.metrics.unwrap_or(settings.listen),
                source,
            })?;
        let config = relay_config(&settings, &signer, &signed, &state);
        let driver = start_driver(
            sockets,
            &signer.identity,
            static_secret,
            random,
            config,
            &settings,
        )?;
        tracing::info!(relay = %signer.identity.relay_id().fingerprint(), "relay started");
        let driver = Arc::new(driver);
        let observed = Arc::new(Observed::new(driver.clone(), &settings, &signed));
        if let Some(at) = listener.as_ref().and_then(|listener| listener.local_addr().ok()) {
            observed.set_address(at);
        }
        let observing = listener.map(|listener| tokio::spawn(observe::serve(listener, observed.clone())));
        let discovery = discovery::start(&settings, &signer, &signed);
        let shared = Arc::new(Shared {
            driver,
            discovery,
            signer,
            data,
            observed,
            current: Mutex::new(Current {
                settings,
                signed,
                state,
            }),
        });
        let upkeep = tokio::spawn(upkeep(shared.clone()));
        Ok(Self {
            shared,
            upkeep,
            observing,
        })
    }

    /// The relay's identity.
    #[must_use]
    pub fn id(&self) -> RelayId {
        self.shared.signer.identity.relay_id()
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.driver.local_addr()
    }

    /// Where counters and health are told.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.observing.as_ref().and(self.shared.observed.address())
    }

    /// The descriptor in force.
    #[must_use]
    pub fn descriptor(&self) -> SignedDescriptor {
        self.shared.current().signed.clone()
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

    /// How long clients get to move away in a drain.
    #[must_use]
    pub fn drain_time(&self) -> Duration {
        self.shared.current().settings.drain
    }

    /// The counters.
    pub async fn stats(&self) -> RelayReport {
        self.shared.driver.report().await
    }

    /// Whether the event loop answers: what a watchdog asks.
    pub async fn is_alive(&self) -> bool {
        self.shared.observed.report().await.is_some()
    }

    /// Puts other settings in force, without a word to sessions that notice nothing of it. If the descriptor says something
    /// else from now on, each session is told the new one, and its meeting's policy decides.
    ///
    /// # Errors
    /// [`RelayStartError`] if the settings do not make a descriptor, or it cannot be written down; the old ones stay in force.
    pub async fn reload(&self, settings: RelaySettings) -> Result<Reloaded, RelayStartError> {
        let (reloaded, bytes, reconfiguration) = self.shared.prepare_reload(settings)?;
        // Before anything is logged or served by the new settings, clients know what they say.
        if let Some(bytes) = bytes {
            self.shared.driver.set_descriptor(bytes).await;
            self.shared.announce().await;
        }
        self.shared.driver.reconfigure(reconfiguration).await;
        tracing::info!(descriptor = reloaded.descriptor, "settings reloaded");
        Ok(reloaded)
    }

    /// Tells everybody that the relay ends, accepts nothing new, gives clients the configured time to move, and waits
    /// until they have.
    pub async fn drain(&self) {
        self.shared.driver.drain(self.drain_time()).await;
        self.shared.driver.ended().await;
        // What was forwarded while clients moved counts, too.
        self.shared.write_down().await;
    }

    /// Ends the relay at once.
    pub async fn shutdown(&self) {
        self.shared.driver.shutdown().await;
        self.shared.write_down().await;
    }
}

impl Drop for RelayNode {
    fn drop(&mut self) {
        self.upkeep.abort();
        if let Some(observing) = &self.observing {
            observing.abort();
        }
    }
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the descriptor in force into the directory.
    async fn announce(&self) {
        if let Some(service) = &self.discovery {
            let signed = self.current().signed.clone();
            service.order(Order::Announce(Box::new(signed))).await;
        }
    }

    /// Writes down the month's and the tokens' traffic, so that a restart does not refill what is used up.
    async fn write_down(&self) {
        let report = self.driver.report().await;
        let tokens = self.driver.token_usage().await;
        if report == RelayReport::default() {
            // The event loop died and left nothing; what was written last is the best there is.
            return;
        }
        let mut current = self.current();
        let mut state = current.state.clone();
        state.month_bytes = report.relay.month_bytes;
        state.counted_at = unix_now().0;
        state.set_tokens(&tokens);
        if let Err(error) = self.data.save(&state) {
            tracing::warn!(%error, "the traffic of month and tokens could not be written down");
        }
        current.state = state;
    }

    /// Signs the next descriptor if the present one is about to end.
    fn renew(&self, now: UnixSeconds) -> Option<DescriptorBytes> {
        let mut current = self.current();
        let until = current.signed.unverified().valid_until;
        if now.0.saturating_add(RENEW_BEFORE) < until.0 {
            return None;
        }
        let settings = current.settings.clone();
        match self.sign_next(&mut current, &settings, now) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::error!(%error, "the descriptor could not be renewed");
                None
            }
        }
    }

    /// First on disk, then in force: a sequence number must never be given to two descriptors.
    fn sign_next(
        &self,
        current: &mut Current,
        settings: &RelaySettings,
        now: UnixSeconds,
    ) -> Result<DescriptorBytes, RelayStartError> {
        let (signed, state) = self.signer.next(settings, &current.state, now)?;
        self.data
            .save(&state)
            .map_err(|source| RelayStartError::DataDir {
                path: settings.data_dir.clone(),
                source,
            })?;
        let bytes = descriptor_bytes(&signed);
        self.observed.set_descriptor(&signed);
        (current.signed, current.state) = (signed, state);
        Ok(bytes)
    }

    fn prepare_reload(
        &self,
        mut settings: RelaySettings,
    ) -> Result<(Reloaded, Option<DescriptorBytes>, Reconfiguration), RelayStartError> {
        let mut current = self.current();
        let needs_restart = keep_what_cannot_change(&mut settings, &current.settings);
        let descriptor = self.signer.differs(&current.signed, &settings);
        let bytes = if descriptor {
            Some(self.sign_next(&mut current, &settings, unix_now())?)
        } else {
            None
        };
        let reconfiguration = Reconfiguration {
            limits: settings.limits,
            access: access(&settings, self.signer.identity.relay_id()),
            alternates: alternates(&settings),
            cascade: settings.cascade.clone(),
            policy: driver_policy(&settings),
        };
        self.observed.set_limits(&settings);
        current.settings = settings;
        let reloaded = Reloaded {
            descriptor,
            needs_restart,
        };
        Ok((reloaded, bytes, reconfiguration))
    }
}

/// Takes over from `old` what only a restart can change; their names.
fn keep_what_cannot_change(settings: &mut RelaySettings, old: &RelaySettings) -> Vec<&'static str> {
    let mut kept = Vec::new();
    if settings.listen != old.listen {
        settings.listen = old.listen;
        kept.push("listen");
    }
    if settings.listen_tcp != old.listen_tcp {
        settings.listen_tcp.clone_from(&old.listen_tcp);
        kept.push("listen_tcp");
    }
    if settings.data_dir != old.data_dir {
        settings.data_dir.clone_from(&old.data_dir);
        kept.push("data_dir");
    }
    if settings.metrics != old.metrics {
        settings.metrics = old.metrics;
        kept.push("metrics");
    }
    if settings.discovery != old.discovery {
        settings.discovery.clone_from(&old.discovery);
        kept.push("discovery");
    }
    kept
}

async fn upkeep(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        shared.write_down().await;
        let renewed = shared.renew(unix_now());
        if let Some(bytes) = renewed {
            shared.driver.set_descriptor(bytes).await;
            shared.announce().await;
            tracing::info!("descriptor renewed");
        }
    }
}

fn access(settings: &RelaySettings, relay: RelayId) -> Access {
    Access {
        open: settings.access.open,
        relay,
        issuers: settings.access.issuers.clone(),
        revoked: settings.access.revoked.clone(),
    }
}

fn driver_policy(settings: &RelaySettings) -> DriverPolicy {
    DriverPolicy {
        listed: settings.access.blocks.clone(),
        handshakes: settings.handshakes,
        log_addresses: matches!(settings.log_policy, LogPolicy::Addresses { .. }),
    }
}

fn alternates(settings: &RelaySettings) -> BoundedVec<DescriptorBytes, REDIRECT_MAX> {
    let encoded: Vec<DescriptorBytes> = settings.alternates.iter().map(descriptor_bytes).collect();
    // The settings hold at most REDIRECT_MAX.
    encoded.try_into().unwrap_or_default()
}

fn relay_config(
    settings: &RelaySettings,
    signer: &Signer,
    signed: &SignedDescriptor,
    state: &RelayState,
) -> RelayConfig {
    RelayConfig {
        limits: settings.limits,
        descriptor: descriptor_bytes(signed),
        alternates: alternates(settings),
        month_of: UnixSeconds(state.counted_at),
        month_bytes: state.month_bytes,
        access: access(settings, signer.identity.relay_id()),
        token_usage: state.tokens(unix_now()),
        cascade: settings.cascade.clone(),
    }
}

/// Listens on TCP where the settings say so; gives the bound addresses as well.
fn listen_tcp(settings: &RelaySettings) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), RelayStartError> {
    let listen = |&address: &SocketAddr| {
        let listener = TcpListener::bind(address)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    let listen = |address| {
        listen(address).map_err(|source| RelayStartError::Listen {
            address: *address,
            source,
        })
    };
    settings.listen_tcp.iter().map(listen).collect()
}

fn start_driver(
    sockets: RelaySockets,
    identity: &Identity,
    static_secret: Zeroizing<[u8; 32]>,
    mut random: Random,
    config: RelayConfig,
    settings: &RelaySettings,
) -> Result<RelayDriver, RelayStartError> {
    let endpoint = noise::endpoint_config(&mut random);
    let dialler = Dialler {
        identity: Identity::from_seed(&identity.to_seed()),
        clock: Arc::new(unix_now),
        random: random.fork("upstreams"),
    };
    let server = noise::server::relay(RelayAccept {
        identity: Identity::from_seed(&identity.to_seed()),
        static_secret,
        clock: Arc::new(unix_now),
        random,
    });
    let policy = driver_policy(settings);
    RelayDriver::start_with(sockets, endpoint, server, config, policy, Some(dialler))
        .map_err(RelayStartError::System)
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
#[path = "node_tests.rs"]
mod tests;
