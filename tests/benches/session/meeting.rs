//! Two nodes in this process: a host that anybody with the ticket may join, and a joiner.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use subrosa_node::{
    command::Command,
    config::{AdmitMode, NodeConfig, Start},
    event::{Event, MemberState},
    node::Node,
    store::identity_file,
};
use subrosa_proto::{time::UnixSeconds, wire::ticket::Ticket};
use tokio::time::timeout;

/// How long any event may take; the benchmark fails after it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory that goes away with the benchmark.
pub(crate) struct Scratch(PathBuf, AtomicU32);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("subrosa-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path, AtomicU32::new(0))
    }

    /// A path in it that is not in use yet.
    fn next(&self) -> PathBuf {
        self.0.join(self.1.fetch_add(1, Ordering::Relaxed).to_string())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The speech that the repository ships.
pub(crate) fn speech() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/speech/alice.wav")
}

fn config(start: Start, audio: String, frame_ms: u8, data_dir: Option<PathBuf>) -> NodeConfig {
    NodeConfig {
        start,
        name: "bench".to_owned(),
        audio,
        frame_ms,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        relays: Vec::new(),
        relay_tokens: Vec::new(),
        geoip: Vec::new(),
        no_direct: false,
        forward_kbps: 0,
        uplink_kbps: None,
        data_dir,
        downloads: None,
        leave_after: None,
        muted: false,
        discovery: subrosa_node::config::DiscoveryConfig::default(),
        door: Default::default(),
    }
}

/// Waits for the event that `wanted` recognises.
///
/// # Panics
/// If it does not come.
pub(crate) async fn event<T>(node: &mut Node, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = node.next_event().await.expect("the node has not ended");
            if let Event::Error(error) = &event {
                panic!("while waiting for {what}: {error:?}");
            }
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, search)
        .await
        .unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// A host's node.
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) address: SocketAddr,
    data_dir: PathBuf,
    ticket: String,
}

impl Host {
    /// Founds a meeting and plays `clip` once somebody hears it.
    pub(crate) async fn start(scratch: &Scratch, clip: &Path, frame_ms: u8) -> Self {
        let start = Start::New {
            policy: "any".to_owned(),
            admit: AdmitMode::Ticket,
        };
        let data_dir = scratch.next();
        let audio = format!("file:{}", clip.display());
        let config = config(start, audio, frame_ms, Some(data_dir.clone()));
        let mut node = Node::start(config).await.expect("the host's node starts");
        let address = event(&mut node, "address", |event| match event {
            Event::Ready { listen, .. } => listen.parse().ok(),
            _ => None,
        })
        .await;
        let ticket = event(&mut node, "ticket", |event| match event {
            Event::Ticket { ticket } => Some(ticket),
            _ => None,
        })
        .await;
        Self {
            node,
            address,
            data_dir,
            ticket,
        }
    }

    /// The ticket with another address of the host: the host signs it again.
    pub(crate) fn ticket_at(&self, address: SocketAddr) -> String {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now = UnixSeconds(unix.as_secs());
        let identity = identity_file::load(&self.data_dir).expect("readable");
        let identity = identity.expect("the host keeps its identity there");
        let mut terms = Ticket::parse(&self.ticket, now)
            .expect("the host's own ticket")
            .terms()
            .clone();
        terms.addresses = vec![address];
        Ticket::issue(terms, &identity).expect("the terms hold").to_text()
    }

    /// Waits until the joiner has gone.
    pub(crate) async fn alone_again(&mut self) {
        event(&mut self.node, "goodbye", |event| match event {
            Event::Member {
                state: MemberState::Left,
                ..
            } => Some(()),
            _ => None,
        })
        .await;
    }
}

/// Joins; the second value is this node's identity.
pub(crate) async fn join(ticket: String, audio: String, frame_ms: u8) -> (Node, String) {
    let start = Start::Join { ticket, policy: None };
    let mut node = Node::start(config(start, audio, frame_ms, None))
        .await
        .expect("the joiner's node starts");
    let id = event(&mut node, "identity", |event| match event {
        Event::Ready { node, .. } => Some(node.to_string()),
        _ => None,
    })
    .await;
    (node, id)
}

/// Leaves, and waits until everything is written.
pub(crate) async fn leave(mut node: Node) {
    node.command(Command::Leave).await;
    let drained = async { while node.next_event().await.is_some() {} };
    timeout(PATIENCE, drained).await.expect("the node ends");
}
