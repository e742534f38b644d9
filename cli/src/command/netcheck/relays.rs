//! Checks of relays: believed, permitted, reachable, in this order. A relay that is not permitted gets no packet.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use subrosa_node::{
    discovery::Answers,
    error::{ErrorKind, NodeError},
    geoip::GeoIp,
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

use super::{Finding, Mender, Verdict, outside::Outside};

/// Largest file that is read as a policy or a descriptor.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// How long a TCP connection may take that tells whether only UDP is blocked.
const TCP_DEADLINE: Duration = Duration::from_secs(2);

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
pub(super) async fn check(given: &str, judge: &RouteJudge, geoip: &GeoIp, outside: &mut Outside) -> Finding {
    let descriptor = match believe(given) {
        Ok(descriptor) => descriptor,
        Err(why) => {
            let hint = "ask the relay's operator for its present descriptor line";
            return Finding::new("relay", Verdict::Failed, why, hint).mended_by(Mender::Operator);
        }
    };
    let what = format!("relay {}", descriptor.operator.name);
    if let Err(refusal) = judge.permit(&descriptor, &geoip.evidence([&descriptor]), now()) {
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
    reach(what, &descriptor, outside).await
}

/// Whether the relay answers on one of its addresses.
async fn reach(what: String, descriptor: &VerifiedDescriptor, outside: &mut Outside) -> Finding {
    let mut failures = Vec::new();
    for &address in &descriptor.addresses {
        let began = Instant::now();
        match outside.ask(address, descriptor).await {
            Ok(answers) => {
                let connected = began.elapsed();
                return Finding::ok(what, permitted(address, connected, &answers));
            }
            Err(why) => failures.push(format!("{address}: {why}")),
        }
    }
    let why = failures.join("; ");
    for &tcp in &descriptor.tcp_addresses {
        let began = Instant::now();
        match outside.ask_over_tcp(tcp, descriptor).await {
            Ok(()) => {
                let took = began.elapsed().as_secs_f64() * 1e3;
                let found = format!(
                    "permitted, UDP to it is blocked on the way, but it answers over TCP at {tcp} ({took:.1} ms to connect): {why}"
                );
                let hint = "calls work, with gaps where the network loses packets; allow UDP to the relay's port in the firewall";
                return Finding::new(what, Verdict::Warning, found, hint).mended_by(Mender::Network);
            }
            Err(why) => failures.push(format!("TCP {tcp}: {why}")),
        }
    }
    let why = failures.join("; ");
    // A relay also answers on TCP, for discovery.
    if answers_on_tcp(&descriptor.addresses).await {
        let found = format!("permitted, but UDP to it is blocked on the way, while TCP comes through: {why}");
        let hint = "allow UDP to the relay's port in the firewall";
        return Finding::new(what, Verdict::Failed, found, hint).mended_by(Mender::Network);
    }
    Finding::new(
        what,
        Verdict::Failed,
        format!("permitted, but out of reach: {why}"),
        "check that UDP to it is allowed here; else the relay is down",
    )
    .mended_by(Mender::Operator)
}

fn permitted(address: SocketAddr, connected: Duration, answers: &Answers) -> String {
    let mut found = format!("permitted, answers at {address}");
    if let Some(rtt) = answers.rtt {
        found.push_str(&format!(", {:.1} ms away", rtt.as_secs_f64() * 1e3));
    }
    if let Some(load) = answers.load {
        found.push_str(&format!(", load {}", load.name()));
    }
    found.push_str(&format!(
        " ({:.1} ms to connect and ask)",
        connected.as_secs_f64() * 1e3
    ));
    found
}

async fn answers_on_tcp(addresses: &[SocketAddr]) -> bool {
    for address in addresses {
        let dialled = tokio::net::TcpStream::connect(address);
        if let Ok(Ok(_)) = tokio::time::timeout(TCP_DEADLINE, dialled).await {
            return true;
        }
    }
    false
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
