//! How far relays are, how much of them is used, and what time they have: asked in a session, whose handshake proves that
//! the relay is the one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{Connection, RecvStream, SendStream};
use subrosa_proto::{
    discovery::directory::Candidate,
    ids::RelayId,
    policy::VerifiedDescriptor,
    time::UnixSeconds,
    wire::{
        framing::{self, FrameReader},
        relay_message::{Load, Refusable, RelayNotice, RelayRequest},
    },
};
use tokio::task::JoinSet;

use crate::{
    driver::{addresses::as_seen_from, clock::unix_now},
    quic::endpoint::Endpoint,
    store::identity_file,
};

/// Relays that answer later are too far away.
const MEASURE_PATIENCE: Duration = Duration::from_secs(3);
/// Pings for one figure; the fastest counts, as the others met something on the way.
const PINGS: u64 = 3;
/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;

/// What a relay answered; empty where it did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Where it sees this node.
    pub observed: Option<SocketAddr>,
    /// How much of it is used.
    pub load: Option<Load>,
    /// How many seconds its clock is ahead of this node's, to a second or two.
    pub clock_ahead_seconds: Option<i64>,
    /// The fastest of a few round trips.
    pub rtt: Option<Duration>,
    /// Why it does not serve this node, in its words.
    pub refused: Option<String>,
}

/// The control stream of a session that asks and does nothing else.
struct Asking {
    requests: SendStream,
    notices: RecvStream,
    reader: FrameReader,
    answers: Answers,
}

/// Asks a relay, on a fresh session, for all of [`Answers`]; waits for no longer than `patience`.
pub async fn ask(connection: &Connection, patience: Duration) -> Answers {
    let Ok((requests, notices)) = connection.open_bi().await else {
        return Answers::default();
    };
    let mut asking = Asking {
        requests,
        notices,
        reader: FrameReader::new(),
        answers: Answers::default(),
    };
    // What came before time was up counts.
    let _ = tokio::time::timeout(patience, asking.all()).await;
    asking.answers
}

impl Asking {
    /// `None` when the session ended meanwhile.
    async fn all(&mut self) -> Option<()> {
        self.send(&RelayRequest::State).await?;
        for nonce in 0..PINGS {
            self.send(&RelayRequest::Ping { nonce }).await?;
            let began = Instant::now();
            while self.next().await? != (RelayNotice::Pong { nonce }) {}
            let took = began.elapsed();
            self.answers.rtt = Some(self.answers.rtt.map_or(took, |known| known.min(took)));
        }
        Some(())
    }

    async fn send(&mut self, request: &RelayRequest) -> Option<()> {
        self.requests
            .write_all(&framing::frame(&request.encode()))
            .await
            .ok()
    }

    /// The next notice, once what it tells was noted.
    async fn next(&mut self) -> Option<RelayNotice> {
        loop {
            if let Some(frame) = self.reader.next_frame().ok()? {
                let notice = RelayNotice::decode(&frame).ok()?;
                self.note(&notice);
                return Some(notice);
            }
            let chunk = self.notices.read_chunk(CHUNK, true).await.ok()??;
            self.reader.push(&chunk.bytes);
        }
    }

    fn note(&mut self, notice: &RelayNotice) {
        match notice {
            RelayNotice::Observed { address } => self.answers.observed = Some((*address).into()),
            RelayNotice::State { load, time } => {
                self.answers.load = Some(*load);
                self.answers.clock_ahead_seconds = Some(ahead(*time, unix_now()));
            }
            RelayNotice::Refused {
                what: Refusable::Session,
                detail,
                ..
            } => self.answers.refused = Some(detail.to_string()),
            _ => {}
        }
    }
}

fn ahead(theirs: UnixSeconds, ours: UnixSeconds) -> i64 {
    let difference = i64::try_from(theirs.0.abs_diff(ours.0)).unwrap_or(i64::MAX);
    if theirs < ours { -difference } else { difference }
}

/// What each relay answered; those that do not answer, or refuse to serve, are left out.
pub async fn measure(endpoint: &Arc<Endpoint>, relays: Vec<VerifiedDescriptor>) -> Vec<Candidate> {
    let Ok(local) = endpoint.local_addr() else {
        return Vec::new();
    };
    let mut attempts = JoinSet::new();
    for relay in &relays {
        for address in relay
            .addresses
            .iter()
            .filter_map(|address| as_seen_from(local, *address))
        {
            let (endpoint, id, key) = (endpoint.clone(), relay.relay, relay.static_key);
            attempts.spawn(async move {
                // A stranger to the relay: whoever uses it later is another.
                let identity = identity_file::fresh().ok()?;
                let dialled = endpoint.connect_relay(address, id, key, &identity);
                let connected = tokio::time::timeout(MEASURE_PATIENCE, dialled).await.ok()?.ok()?;
                let answers = ask(&connected.connection, MEASURE_PATIENCE).await;
                connected.connection.close(0_u32.into(), b"measured");
                let rtt = answers.rtt.filter(|_| answers.refused.is_none())?;
                Some((id, (rtt, answers.load)))
            });
        }
    }
    let mut best: BTreeMap<RelayId, (Duration, Option<Load>)> = BTreeMap::new();
    while let Some(result) = attempts.join_next().await {
        if let Ok(Some((relay, answer))) = result {
            let known = best.entry(relay).or_insert(answer);
            *known = answer.min(*known);
        }
    }
    let measured = relays.into_iter().filter_map(|descriptor| {
        let (rtt, load) = *best.get(&descriptor.relay)?;
        Some(Candidate {
            descriptor,
            rtt,
            load,
        })
    });
    measured.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_with_their_sign_and_without_overflow() {
        assert_eq!(ahead(UnixSeconds(100), UnixSeconds(90)), 10);
        assert_eq!(ahead(UnixSeconds(90), UnixSeconds(100)), -10);
        assert_eq!(ahead(UnixSeconds(u64::MAX), UnixSeconds(0)), i64::MAX);
    }
}
