//! The accept loop: handshakes run side by side, within bounds, and only authenticated connections come out.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::timeout,
};

use super::{authenticated::Authenticated, endpoint::EndpointOptions};

/// Authenticated connections waiting for their owner. Reason: it only has to look; beyond this, handshakes wait.
const ACCEPTED_MAX: usize = 32;

/// Starts the loop on `endpoint`; gives its handle and what it accepts.
pub(super) fn start(
    endpoint: quinn::Endpoint,
    options: &EndpointOptions,
) -> (AbortHandle, mpsc::Receiver<Authenticated>) {
    let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
    let task = tokio::spawn(run(endpoint, options.clone(), sender));
    (task.abort_handle(), receiver)
}

async fn run(endpoint: quinn::Endpoint, options: EndpointOptions, sender: mpsc::Sender<Authenticated>) {
    let places = Arc::new(Semaphore::new(options.handshakes_max));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // No answer: the peer repeats its Initial in a while.
            incoming.ignore();
            continue;
        };
        let under_way = options.handshakes_max - places.available_permits();
        if under_way > options.retry_above && !incoming.remote_address_validated() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().ignore();
            }
            continue;
        }
        let (sender, limit) = (sender.clone(), options.handshake_timeout);
        tokio::spawn(async move {
            let _place = place;
            if let Some(authenticated) = handshake(incoming, limit).await {
                // The owner is gone when the endpoint is; then the connection may go as well.
                let _ = sender.send(authenticated).await;
            }
        });
    }
}

async fn handshake(incoming: quinn::Incoming, limit: Duration) -> Option<Authenticated> {
    let remote = incoming.remote_address();
    let connection = match timeout(limit, incoming.into_future()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%remote, %error, "an incoming handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(%remote, "an incoming handshake took too long");
            return None;
        }
    };
    Authenticated::new(connection)
}
