//! Where relays see this computer, and what that tells of the NAT before it (RFC 4787 §4.1).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use subrosa_node::{
    driver::addresses::dialable,
    quic::endpoint::{Endpoint, EndpointOptions},
    store::identity_file,
};
use subrosa_proto::{
    policy::VerifiedDescriptor,
    wire::{
        framing::{self, FrameReader},
        relay_message::{RelayNotice, RelayRequest},
    },
};

use super::{Finding, Mender, Verdict};

/// How long a closed connection's goodbye may take.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(500);
/// As long over TCP, where nothing acknowledges it.
const STREAM_GOODBYE: Duration = Duration::from_millis(100);
/// How long a relay may take to say where it sees this computer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;

/// One socket for each address family, from which all relays are asked: only so do their answers compare.
#[derive(Default)]
pub(super) struct Outside {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
    /// Where this computer could be dialled on its own network.
    own: Vec<SocketAddr>,
    /// Where relays saw it.
    seen: Vec<SocketAddr>,
}

impl Outside {
    fn endpoint(&mut self, relay: SocketAddr) -> Result<&Endpoint, String> {
        let (slot, any): (_, IpAddr) = match relay {
            SocketAddr::V4(_) => (&mut self.v4, Ipv4Addr::UNSPECIFIED.into()),
            SocketAddr::V6(_) => (&mut self.v6, Ipv6Addr::UNSPECIFIED.into()),
        };
        if slot.is_none() {
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(|e| e.to_string())?;
            let local = socket.local_addr().map_err(|e| e.to_string())?;
            let identity = identity_file::fresh().map_err(|e| e.to_string())?;
            let options = EndpointOptions::default();
            let endpoint = Endpoint::member(socket, identity, &[], &options).map_err(|e| e.to_string())?;
            self.own.extend(dialable(local));
            *slot = Some(endpoint);
        }
        slot.as_ref().ok_or_else(String::new)
    }

    /// A whole handshake with a relay, which proves its identity; and where it sees this computer, if it says so.
    ///
    /// # Errors
    /// Why there was none, in words.
    pub(super) async fn ask(
        &mut self,
        address: SocketAddr,
        relay: &VerifiedDescriptor,
    ) -> Result<(), String> {
        // An identity for each relay: none recognises this computer later.
        let identity = identity_file::fresh().map_err(|e| e.to_string())?;
        let endpoint = self.endpoint(address)?;
        let dialled = endpoint.connect_relay(address, relay.relay, relay.static_key, &identity);
        let session = dialled.await.map_err(|e| e.to_string())?;
        let answer = async {
            let (mut requests, mut answers) = session.connection.open_bi().await.ok()?;
            let ping = framing::frame(&RelayRequest::Ping { nonce: 0 }.encode());
            requests.write_all(&ping).await.ok()?;
            let mut reader = FrameReader::new();
            loop {
                while let Some(frame) = reader.next_frame().ok()? {
                    match RelayNotice::decode(&frame).ok()? {
                        RelayNotice::Observed { address } => return Some(SocketAddr::from(address)),
                        RelayNotice::Pong { .. } => return None,
                        _ => {}
                    }
                }
                let chunk = answers.read_chunk(CHUNK, true).await.ok()??;
                reader.push(&chunk.bytes);
            }
        };
        let seen = tokio::time::timeout(ANSWER_DEADLINE, answer).await;
        self.seen.extend(seen.ok().flatten());
        Ok(())
    }

    /// A whole handshake with a relay whose packets come over TCP.
    ///
    /// # Errors
    /// Why there was none, in words.
    pub(super) async fn ask_over_tcp(
        &mut self,
        tcp: SocketAddr,
        relay: &VerifiedDescriptor,
    ) -> Result<(), String> {
        let identity = identity_file::fresh().map_err(|e| e.to_string())?;
        // Any of its addresses stands for it: no packet goes there while the stream is open.
        let address = *relay.addresses.first().ok_or("it has no address")?;
        let endpoint = self.endpoint(address)?;
        let dialled = endpoint.connect_relay_over_tcp(tcp, address, relay.relay, relay.static_key, &identity);
        let session = dialled.await.map_err(|e| e.to_string())?;
        session.connection.close(0_u32.into(), b"netcheck");
        // The goodbye must leave before the stream goes.
        tokio::time::sleep(STREAM_GOODBYE).await;
        Ok(())
    }

    /// What the relays' answers tell.
    pub(super) fn finding(&self) -> Option<Finding> {
        let v4: Vec<SocketAddr> = self.seen.iter().copied().filter(SocketAddr::is_ipv4).collect();
        // Behind a NAT or not: IPv6 seldom is.
        let seen = if v4.is_empty() { &self.seen } else { &v4 };
        judge(&self.own, seen)
    }

    /// Takes leave of the relays.
    pub(super) async fn close(self) {
        for endpoint in [self.v4, self.v6].into_iter().flatten() {
            endpoint.close(0, "netcheck");
            // The goodbye must leave before the socket goes.
            let _ = tokio::time::timeout(GOODBYE_DEADLINE, endpoint.wait_idle()).await;
        }
    }
}

fn judge(own: &[SocketAddr], seen: &[SocketAddr]) -> Option<Finding> {
    let first = seen.first()?;
    if seen.iter().all(|address| own.contains(address)) {
        return Some(Finding::ok("NAT", format!("none: seen at {first}, as it is")));
    }
    if seen.len() == 1 {
        let found = format!("one, seen at {first}");
        return Some(Finding::new(
            "NAT",
            Verdict::Ok,
            found,
            "name a second relay to learn whether it keeps its port",
        ));
    }
    if seen.iter().all(|address| address == first) {
        let found =
            format!("one that keeps its port for everybody, seen at {first}: direct paths to most others");
        return Some(Finding::ok("NAT", found));
    }
    let places: Vec<String> = seen.iter().map(ToString::to_string).collect();
    let finding = Finding::new(
        "NAT",
        Verdict::Warning,
        format!(
            "one with another port for each destination, seen at {}",
            places.join(" and ")
        ),
        "direct paths only to members whose own network is open; others are reached over relays",
    );
    Some(finding.mended_by(Mender::Network))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_kind_of_nat_follows_from_what_relays_see() {
        let own = at(&["192.168.1.7:5000"]);
        let found = |seen: &[&str]| judge(&own, &at(seen));
        assert!(found(&[]).is_none());
        let verdict = |seen: &[&str]| found(seen).map(|finding| (finding.verdict, finding.found));
        assert!(verdict(&["192.168.1.7:5000"]).unwrap().1.starts_with("none"));
        assert!(verdict(&["203.0.113.5:5000"]).unwrap().1.starts_with("one, seen"));
        let kept = verdict(&["203.0.113.5:5000", "203.0.113.5:5000"]).unwrap();
        assert!(kept.0 == Verdict::Ok && kept.1.contains("keeps its port"));
        let other = verdict(&["203.0.113.5:5000", "203.0.113.5:6111"]).unwrap();
        assert!(other.0 == Verdict::Warning && other.1.contains("another port"));
    }
}
