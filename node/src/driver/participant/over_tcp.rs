//! The part of a relay's dial that is made over TCP, in case no UDP comes through.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use super::return_to_udp::RelayLeg;
use crate::quic::endpoint::{Authenticated, DialError, Endpoint};

/// How long UDP is tried alone. Reason: longer than a handshake takes on most paths, shorter than anybody minds; whoever is further
/// away is still ahead over UDP, which takes a round trip less (RFC 8305 §5 has 250 ms for the same between addresses).
const FALLBACK_DELAY: Duration = Duration::from_millis(300);
/// Between attempts over TCP (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Dials a relay over the first TCP stream that is there; over the next, if the relay does not answer on it. From then on what is
/// sent to the relay's UDP `address` takes the stream, so `udp`, the attempt to dial there, ends: its handshake would be torn in two,
/// or be completed on a stream that ends with the attempt that made it.
pub(super) async fn dial(
    endpoint: Arc<Endpoint>,
    tcp_addresses: Vec<SocketAddr>,
    address: SocketAddr,
    leg: RelayLeg,
    udp: AbortHandle,
) -> Result<Authenticated, DialError> {
    let mut streams = begin(&endpoint, tcp_addresses);
    let mut last = DialError::NoAnswer;
    while let Some(stream) = streams.join_next().await {
        match stream {
            Ok(Ok(stream)) => {
                udp.abort();
                let dialled =
                    endpoint.connect_relay_over(stream, address, leg.relay, leg.static_key, &leg.identity);
                match dialled.await {
                    Ok(authenticated) => return Ok(authenticated),
                    Err(error) => last = error,
                }
            }
            Ok(Err(error)) => last = error,
            // A task of ours that panicked has reported that elsewhere.
            Err(_) => {}
        }
    }
    Err(last)
}

/// Opens streams to all addresses, one after the other.
fn begin(endpoint: &Arc<Endpoint>, addresses: Vec<SocketAddr>) -> JoinSet<Result<TcpStream, DialError>> {
    let mut streams = JoinSet::new();
    for (number, address) in (0..).zip(addresses) {
        let endpoint = endpoint.clone();
        streams.spawn(async move {
            sleep(FALLBACK_DELAY + ATTEMPT_DELAY * number).await;
            endpoint.open_stream(address).await
        });
    }
    streams
}

#[cfg(test)]
#[path = "over_tcp_tests.rs"]
mod tests;
