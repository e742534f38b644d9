//! Checks of relays: believed, permitted, reachable, in this order. A relay that is not permitted gets no packet.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use subrosa_node::{
    error::{ErrorKind, NodeError},
    quic::endpoint::{Endpoint, EndpointOptions},
    store::identity_file,
};
use subrosa_proto::{
    ids::MeetingId,
    policy::{
        Preset, RouteJudge, RoutePolicy, SignedDescriptor, SignedPolicy, VerifiedDescriptor,
        nearest::nearest, signed_descriptor::TEXT_PREFIX,
    },
    time::UnixSeconds,
};

use super::{Finding, Verdict};

/// Largest file that is read as a policy or a descriptor.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// How long a closed connection's goodbye may take.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(500);

/// A judge under a preset or a policy file.
///
/// # Errors
/// [`ErrorKind::Config`] if the file cannot be read or understood.
pub(in crate::command) fn judge(policy: &str) -> Result<RouteJudge, NodeError> {
    let rules = match Preset::from_keyword(policy) {
        Some(preset) => RoutePolicy::from(preset),
        None => from_file(Path::new(policy))?,
    };
    // A judge takes a signed policy only: this one is signed for a meeting that never takes place.
    let author = identity_file::fresh()?;
    let meeting = MeetingId([0; 16]);
    let signed = SignedPolicy::sign(meeting, 0, rules, &author);
    let verified = signed.verify(meeting, author.member_id()).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("the policy {policy} cannot be used: {e}"),
            "correct the policy file; docs/policy.md lists every key",
        )
    })?;
    Ok(RouteJudge::new(verified))
}

fn from_file(path: &Path) -> Result<RoutePolicy, NodeError> {
    let text = read(path).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("cannot read the policy {}: {e}", path.display()),
            policy_hint(&path.to_string_lossy()),
        )
    })?;
    RoutePolicy::from_toml(&text).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("{}: {e}", path.display()),
            "docs/policy.md lists every key",
        )
    })
}

fn policy_hint(given: &str) -> String {
    let keywords = Preset::ALL.map(Preset::keyword);
    match nearest(given, keywords) {
        Some(keyword) => format!("did you mean `{keyword}`?"),
        None => "give any, eu, eea, direct, or the path of a policy file".to_owned(),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("larger than {FILE_BYTES_MAX} bytes"),
        ));
    }
    std::fs::read_to_string(path)
}

/// Looks at one relay.
pub(super) async fn check(given: &str, judge: &RouteJudge) -> Finding {
    let descriptor = match believe(given) {
        Ok(descriptor) => descriptor,
        Err(why) => {
            let hint = "ask the relay's operator for its present descriptor line";
            return Finding::new("relay", Verdict::Failed, why, hint);
        }
    };
    let what = format!("relay {}", descriptor.operator.name);
    if let Err(refusal) = judge.permit(&descriptor, now()) {
        return Finding::new(
            what,
            Verdict::Failed,
            format!(
                "{refusal} (clause {}); nothing was sent to it",
                refusal.clause.name()
            ),
            "choose another relay or another --policy",
        );
    }
    reach(what, &descriptor).await
}

/// Whether the relay answers on one of its addresses: a whole handshake, which proves its identity, and nothing more.
async fn reach(what: String, descriptor: &VerifiedDescriptor) -> Finding {
    let mut failures = Vec::new();
    for &address in &descriptor.addresses {
        let began = Instant::now();
        match handshake(address, descriptor).await {
            Ok(()) => {
                let took = began.elapsed().as_secs_f64() * 1e3;
                return Finding::ok(
                    what,
                    format!("permitted, answers at {address} ({took:.1} ms to connect)"),
                );
            }
            Err(why) => failures.push(format!("{address}: {why}")),
        }
    }
    Finding::new(
        what,
        Verdict::Failed,
        format!("permitted, but out of reach: {}", failures.join("; ")),
        "check that UDP to it is allowed here; else the relay is down",
    )
}

async fn handshake(address: SocketAddr, descriptor: &VerifiedDescriptor) -> Result<(), String> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(|e| e.to_string())?;
    // An identity of its own: the relay must not recognise this computer later.
    let identity = identity_file::fresh().map_err(|e| e.to_string())?;
    let options = EndpointOptions::default();
    let endpoint = Endpoint::member(socket, identity.clone(), &[], &options).map_err(|e| e.to_string())?;
    let dialled = endpoint.connect_relay(address, descriptor.relay, descriptor.static_key, &identity);
    let result = dialled.await.map(|_| ()).map_err(|e| e.to_string());
    endpoint.close(0, "netcheck");
    // The goodbye must leave before the socket goes.
    let _ = tokio::time::timeout(GOODBYE_DEADLINE, endpoint.wait_idle()).await;
    result
}

fn believe(given: &str) -> Result<VerifiedDescriptor, String> {
    let text = if given.contains(TEXT_PREFIX) {
        given.to_owned()
    } else {
        read(Path::new(given)).map_err(|e| format!("cannot read {given}: {e}"))?
    };
    SignedDescriptor::from_text(&text)
        .and_then(|descriptor| descriptor.verify(now()))
        .map_err(|e| e.to_string())
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}
