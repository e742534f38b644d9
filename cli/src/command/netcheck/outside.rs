//! Where relays see this computer, and what that tells of the NAT before it (RFC 4787 §4.1).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use subrosa_node::{
    discovery::{Answers, ask},
    driver::addresses::dialable,
    quic::endpoint::{Endpoint, EndpointOptions},
    store::identity_file,
};
use subrosa_proto::policy::{VerifiedDescriptor, descriptor::CLOCK_SKEW_SECONDS_MAX};

use super::{Finding, Mender, Verdict};

/// How long a closed connection's goodbye may take.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(500);
/// As long over TCP, where nothing acknowledges it.
const STREAM_GOODBYE: Duration = Duration::from_millis(100);
/// How long a relay may take to say where it sees this computer, and the rest.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// One socket for each address family, from which all relays are asked: only so do their answers compare.
#[derive(Default)]
pub(super) struct Outside {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
    /// Where this computer could be dialled on its own network.
    own: Vec<SocketAddr>,
    /// Where relays saw it.
    seen: Vec<SocketAddr>,
    /// By how many seconds each relay's clock is ahead.
    clocks_ahead: Vec<i64>,
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

    /// A whole handshake with a relay, which proves its identity, and what it answers then.
    ///
    /// # Errors
    /// Why there was none, in words; also if the relay refuses to serve.
    pub(super) async fn ask(
        &mut self,
        address: SocketAddr,
        relay: &VerifiedDescriptor,
    ) -> Result<Answers, String> {
        // An identity for each relay: none recognises this computer later.
        let identity = identity_file::fresh().map_err(|e| e.to_string())?;
        let endpoint = self.endpoint(address)?;
        let dialled = endpoint.connect_relay(address, relay.relay, relay.static_key, &identity);
        let session = dialled.await.map_err(|e| e.to_string())?;
        let answers = ask(&session.connection, ANSWER_DEADLINE).await;
        self.seen.extend(answers.observed);
        self.clocks_ahead.extend(answers.clock_ahead_seconds);
        match answers.refused {
            Some(why) => Err(format!("it refuses: {why}")),
            None => Ok(answers),
        }
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
        let stream = endpoint.open_stream(tcp).await.map_err(|e| e.to_string())?;
        let dialled = endpoint.connect_relay_over(stream, address, relay.relay, relay.static_key, &identity);
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

    /// How this computer's clock compares with the relays'.
    pub(super) fn clock(&self) -> Option<Finding> {
        clock(&self.clocks_ahead)
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

/// Relays' clocks are others' clocks: one that differs may be the wrong one itself, two that agree hardly are.
fn clock(ahead: &[i64]) -> Option<Finding> {
    let mut sorted = ahead.to_vec();
    sorted.sort_unstable();
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let (middle, relays) = (sorted[(sorted.len() - 1) / 2], sorted.len());
    let word = if middle > 0 { "behind" } else { "ahead of" };
    let by = middle.unsigned_abs();
    if by <= CLOCK_SKEW_SECONDS_MAX / 2 {
        let found = format!("{by} s from the clocks of {relays} relays");
        return Some(Finding::ok("clock skew", found));
    }
    let found = format!("{by} s {word} the clocks of {relays} relays");
    let hint = "set the clock, or turn on time synchronisation: beyond two minutes, tickets and relays that hold are refused";
    // They agree with each other, and one alone may be wrong.
    let certain = relays > 1 && most.abs_diff(least) <= CLOCK_SKEW_SECONDS_MAX && by > CLOCK_SKEW_SECONDS_MAX;
    let verdict = if certain {
        Verdict::Failed
    } else {
        Verdict::Warning
    };
    Some(Finding::new("clock skew", verdict, found, hint))
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
    fn a_clock_is_wrong_if_relays_that_agree_say_so() {
        let verdict = |ahead: &[i64]| clock(ahead).map(|finding| (finding.verdict, finding.found));
        assert!(verdict(&[]).is_none());
        let fine = verdict(&[-2, 1, 0]).unwrap();
        assert_eq!(fine, (Verdict::Ok, "0 s from the clocks of 3 relays".to_owned()));
        let behind = verdict(&[600, 601]).unwrap();
        assert_eq!(
            behind,
            (Verdict::Failed, "600 s behind the clocks of 2 relays".to_owned())
        );
        let ahead = verdict(&[-600, -601, -599]).unwrap();
        assert_eq!(
            ahead,
            (
                Verdict::Failed,
                "600 s ahead of the clocks of 3 relays".to_owned()
            )
        );
        assert_eq!(
            verdict(&[600]).unwrap().0,
            Verdict::Warning,
            "one relay may be wrong itself"
        );
        assert_eq!(verdict(&[600, 0, 1]).unwrap().0, Verdict::Ok, "most are right");
        assert_eq!(verdict(&[90, 91]).unwrap().0, Verdict::Warning);
        assert_eq!(verdict(&[i64::MAX, i64::MIN]).unwrap().0, Verdict::Warning);
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
