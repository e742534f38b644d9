//! Connections whose peer is known.

use std::{sync::Arc, time::Duration};

use subrosa_proto::noise::PeerIdentity;
use tokio::{task::AbortHandle, time::timeout};

use super::fallback::Detour;

/// A connection whose peer is known. Keep it as long as the connection: it updates the keys.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The connection.
    pub connection: quinn::Connection,
    /// Who is at the other end.
    pub peer: PeerIdentity,
    /// On the side that dialled.
    _key_updates: Option<Arc<KeyUpdates>>,
    detour: Option<Arc<Detour>>,
}

impl Authenticated {
    /// Takes the identity out of `connection`, whose handshake must have finished.
    pub(super) fn new(connection: quinn::Connection) -> Option<Self> {
        let peer = connection.peer_identity()?.downcast::<PeerIdentity>().ok()?;
        Some(Self {
            connection,
            peer: *peer,
            _key_updates: None,
            detour: None,
        })
    }

    /// Holds `detour` as long as somebody holds this connection.
    pub(super) fn with_detour(mut self, detour: Detour) -> Self {
        self.detour = Some(Arc::new(detour));
        self
    }

    /// The TCP stream that carries its packets, if UDP did not come through. Whoever takes it must keep it.
    pub fn take_detour(&mut self) -> Option<Arc<Detour>> {
        self.detour.take()
    }

    /// Updates the keys every `interval` from now on. One side does it, the one that dialled.
    pub(super) fn with_key_updates(mut self, interval: Duration) -> Self {
        self._key_updates = Some(KeyUpdates::start(self.connection.clone(), interval));
        self
    }
}

/// A task that updates a connection's keys from time to time; ends with this handle, which would otherwise keep the
/// connection open.
#[derive(Debug)]
struct KeyUpdates(AbortHandle);

impl KeyUpdates {
    fn start(connection: quinn::Connection, interval: Duration) -> Arc<Self> {
        let task = tokio::spawn(async move {
            while timeout(interval, connection.closed()).await.is_err() {
                connection.force_key_update();
            }
        });
        Arc::new(Self(task.abort_handle()))
    }
}

impl Drop for KeyUpdates {
    fn drop(&mut self) {
        self.0.abort();
    }
}
