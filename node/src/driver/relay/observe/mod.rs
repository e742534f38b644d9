//! What an operator's monitoring sees: counters for Prometheus, and whether the relay lives and can serve.
//!
//! Counters and states only: no address, no identity of anybody, no room.

mod http;
mod metrics;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use subrosa_proto::{policy::SignedDescriptor, relay::RelayLimits};
use tokio::{net::TcpListener, time::timeout};

pub(super) use http::serve;

use super::{RelayDriver, RelayReport};
use crate::relay_config::RelaySettings;

/// How long the event loop may take to answer. It answers between two turns, of some milliseconds each.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What is told.
#[derive(Debug)]
pub(super) struct Observed {
    driver: Arc<RelayDriver>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    address: Option<SocketAddr>,
    limits: RelayLimits,
    descriptor_valid_until: u64,
    descriptor_sequence: u64,
}

impl Observed {
    pub(super) fn new(driver: Arc<RelayDriver>, settings: &RelaySettings, signed: &SignedDescriptor) -> Self {
        let descriptor = signed.unverified();
        let state = State {
            address: settings.metrics,
            limits: settings.limits,
            descriptor_valid_until: descriptor.valid_until.0,
            descriptor_sequence: descriptor.sequence,
        };
        Self {
            driver,
            state: Mutex::new(state),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_descriptor(&self, signed: &SignedDescriptor) {
        let descriptor = signed.unverified();
        self.with(|state| {
            state.descriptor_valid_until = descriptor.valid_until.0;
            state.descriptor_sequence = descriptor.sequence;
        });
    }

    pub(super) fn set_limits(&self, settings: &RelaySettings) {
        self.with(|state| state.limits = settings.limits);
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.with(|state| state.address)
    }

    /// The counters; `None` if the event loop does not answer.
    pub(super) async fn report(&self) -> Option<RelayReport> {
        let report = timeout(ANSWER_MAX, self.driver.report()).await.ok()?;
        (!self.driver.has_ended()).then_some(report)
    }
}

/// Why a relay does not take new rooms at present; `None` if it does.
fn unready(report: &RelayReport, limits: &RelayLimits) -> Option<&'static str> {
    let relay = &report.relay;
    if relay.draining {
        Some("draining")
    } else if relay.hibernating {
        Some("hibernating: the month's traffic is used up")
    } else if relay.sessions >= limits.sessions_max as u64 {
        Some("full: as many sessions as may be")
    } else if relay.rooms >= limits.rooms_max as u64 {
        Some("full: as many rooms as may be")
    } else {
        None
    }
}

/// The socket for it.
pub(super) async fn bind(address: Option<SocketAddr>) -> io::Result<Option<TcpListener>> {
    match address {
        Some(address) => TcpListener::bind(address).await.map(Some),
        None => Ok(None),
    }
}

impl Observed {
    /// With port 0 the system chose one.
    pub(super) fn set_address(&self, address: SocketAddr) {
        self.with(|state| state.address = Some(address));
    }
}
