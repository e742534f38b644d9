//! `subrosa relays`: the relay directory, with evidence, distance, and the clause against each relay that is not permitted.

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use subrosa_node::{
    discovery::{Multiaddr, Reach, Role, Service, ServiceConfig, bootstrap_address, measure, search_relays},
    driver::clock::unix_now,
    error::{ErrorKind, NodeError},
    geoip::GeoIp,
    quic::endpoint::{Endpoint, EndpointOptions},
    store::identity_file,
};
use subrosa_proto::{
    discovery::directory::{self, Candidate, Listed},
    ids::RelayId,
    policy::{
        Clause, Country, DiscoveryRule, RouteJudge, SignedDescriptor, VerifiedDescriptor,
        descriptor::LogPolicy, location::Location,
    },
    wire::relay_message::Load,
};

use super::{netcheck::relays::judge, runtime};
use crate::{
    args::RelaysArgs,
    config_file,
    output::{self, Paint},
    settings,
};

/// Nothing new came for so long after something did: all that is easily found was found.
const QUIET: Duration = Duration::from_secs(2);
/// Relays that are measured. Reason: each costs it a handshake.
const MEASURED_MAX: usize = 32;
/// The version of the JSON line.
const VERSION: u32 = 1;

/// Searches, judges, measures and shows.
///
/// # Errors
/// What is wrong with the arguments; [`ErrorKind::NoPermittedPath`] if the policy forbids the search, and
/// [`ErrorKind::Unreachable`] if no node answered.
pub(super) fn run(args: RelaysArgs) -> Result<u8, NodeError> {
    let file = config_file::load(args.config.as_deref())?;
    let judge = judge(args.policy.as_deref().unwrap_or("any"))?;
    let geoip = GeoIp::open(&settings::geoip(args.geoip, file.geoip))?;
    let country: Option<Country> = args.country.as_deref().map(parse_country).transpose()?;
    let given = settings::nodes(args.bootstrap, file.bootstrap);
    let (bootstrap, reach) = beginning(&given, &judge, &geoip)?;
    let countries = match country {
        Some(country) => vec![Some(country)],
        // What is not permitted is listed, too, with the reason.
        None => vec![None],
    };
    let patience = Duration::from_secs(args.wait);
    let (listed, answers) = runtime()?.block_on(async {
        let mut service = start(bootstrap, reach)?;
        let directory = search_relays(&mut service, &countries, patience, QUIET).await;
        let now = unix_now();
        let evidence = geoip.evidence(directory.descriptors(now));
        let listed = directory.list(now, &judge, &evidence, country);
        if listed.is_empty() && service.status().await.connected.is_empty() {
            return Err(NodeError::new(
                ErrorKind::Unreachable,
                "no node of the discovery network answered",
                "check --bootstrap, and that TCP to those nodes is allowed here",
            ));
        }
        let answers = measure_permitted(&listed).await?;
        Ok((listed, answers))
    })?;
    let text = if args.json {
        let relays: Vec<Value> = listed
            .iter()
            .map(|relay| in_json(relay, &answers, &geoip))
            .collect();
        json!({"v": VERSION, "policy": judge.policy().policy().summary(), "relays": relays}).to_string()
    } else {
        in_words(&listed, &answers, &judge)
    };
    // A reader that went away has what it wanted.
    let _ = output::line(&text);
    Ok(0)
}

fn parse_country(text: &str) -> Result<Country, NodeError> {
    text.parse()
        .map_err(|error: subrosa_proto::policy::country::UnknownCountry| {
            NodeError::new(ErrorKind::Usage, error.to_string(), "give a code such as DE")
        })
}

/// The nodes to begin with, and how far the policy lets the search go.
fn beginning(
    given: &[String],
    judge: &RouteJudge,
    geoip: &GeoIp,
) -> Result<(Vec<Multiaddr>, Reach), NodeError> {
    let allowed = DiscoveryRule::ALL
        .into_iter()
        .rev()
        .find(|rule| judge.discovery(*rule, unix_now()).is_ok())
        .unwrap_or(DiscoveryRule::Off);
    if allowed < DiscoveryRule::PermittedRelays || directory::countries_of(judge.policy().policy()).is_empty()
    {
        return Err(NodeError::new(
            ErrorKind::NoPermittedPath,
            format!("the policy allows no search for relays (discovery: {allowed})"),
            "choose another --policy",
        ));
    }
    let (mut bootstrap, mut relays) = (Vec::new(), BTreeMap::new());
    for text in given {
        let text = match std::fs::read_to_string(Path::new(text)) {
            Ok(content) => content,
            Err(_) => text.clone(),
        };
        let addresses = bootstrap_address(text.trim()).map_err(|reason| {
            NodeError::new(
                ErrorKind::Usage,
                reason,
                "give a relay's descriptor line, or an address such as /ip4/192.0.2.1/tcp/4433/p2p/12D3KooW…",
            )
        })?;
        bootstrap.extend(addresses);
        if let Ok(signed) = SignedDescriptor::from_text(&text)
            && let Ok(verified) = signed.verify(unix_now())
            && judge
                .permit(&verified, &geoip.evidence([&verified]), unix_now())
                .is_ok()
        {
            relays.insert(verified.relay, verified.addresses.clone());
        }
    }
    let usable = if allowed == DiscoveryRule::Any {
        bootstrap.len()
    } else {
        relays.len()
    };
    if usable == 0 {
        let (message, hint) = if given.is_empty() {
            (
                "no node to begin with is known",
                "name one with --bootstrap, or in the settings file",
            )
        } else {
            (
                "the policy permits none of the nodes to begin with (discovery: permitted-relays)",
                "give the descriptor line of a relay that the policy permits",
            )
        };
        return Err(NodeError::new(ErrorKind::NoPermittedPath, message, hint));
    }
    Ok((
        bootstrap,
        Reach {
            rule: allowed,
            relays,
        },
    ))
}

fn start(bootstrap: Vec<Multiaddr>, reach: Reach) -> Result<Service, NodeError> {
    Service::start(ServiceConfig {
        role: Role::Participant,
        seed: None,
        listen_tcp: Vec::new(),
        listen_quic: Vec::new(),
        public: Vec::new(),
        lan: false,
        bootstrap,
        reach,
    })
    .map_err(|error| {
        NodeError::new(
            ErrorKind::Internal,
            format!("discovery does not start: {error}"),
            "close other programs, and try again",
        )
    })
}

/// The distance of the permitted relays: the others get no packet.
async fn measure_permitted(listed: &[Listed]) -> Result<BTreeMap<RelayId, Candidate>, NodeError> {
    let permitted: Vec<_> = listed
        .iter()
        .filter(|relay| relay.verdict.is_ok())
        .map(|relay| relay.descriptor.clone())
        .take(MEASURED_MAX)
        .collect();
    let no_socket = |error: std::io::Error| {
        NodeError::new(
            ErrorKind::Bind,
            format!("cannot open a socket: {error}"),
            "close other programs",
        )
    };
    let any: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
    let socket = UdpSocket::bind(any)
        .or_else(|_| UdpSocket::bind("0.0.0.0:0"))
        .map_err(no_socket)?;
    let identity = identity_file::fresh()?;
    let endpoint = Endpoint::member(socket, identity, &[], &EndpointOptions::default()).map_err(|error| {
        NodeError::new(
            ErrorKind::Bind,
            format!("cannot open an endpoint: {error}"),
            "close other programs",
        )
    })?;
    let endpoint = Arc::new(endpoint);
    let measured = measure(&endpoint, permitted).await;
    endpoint.close(0, "measured");
    let _ = tokio::time::timeout(Duration::from_millis(500), endpoint.wait_idle()).await;
    Ok(measured
        .into_iter()
        .map(|answer| (answer.descriptor.relay, answer))
        .collect())
}

/// How well the relay's statement is supported, in a word.
fn evidence(relay: &Listed) -> &'static str {
    match &relay.verdict {
        Ok(permit) => permit.evidence().shown(),
        Err(refusal) if refusal.clause == Clause::EvidenceContradicted => "contradicted",
        Err(_) => "declared",
    }
}

fn millis(rtt: Duration) -> f64 {
    (rtt.as_secs_f64() * 1e5).round() / 100.0
}

fn in_json(relay: &Listed, answers: &BTreeMap<RelayId, Candidate>, geoip: &GeoIp) -> Value {
    let descriptor = &relay.descriptor;
    let answer = answers.get(&descriptor.relay);
    let (clause, reason) = match &relay.verdict {
        Ok(_) => (None, None),
        Err(refusal) => (Some(refusal.clause.name()), Some(refusal.to_string())),
    };
    json!({
        "relay": descriptor.relay.to_string(),
        "operator": descriptor.operator.name.as_str(),
        "contact": descriptor.operator.contact.as_str(),
        "hosting": descriptor.hosting.code(),
        "legal_seat": descriptor.operator.legal_seat.code(),
        "parent_seat": descriptor.operator.parent_seat.code(),
        "asn": descriptor.asn,
        "family": descriptor.family.as_ref().map(|of| of.family().to_string()),
        "addresses": descriptor.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "logs_addresses": descriptor.log_policy != LogPolicy::CountersOnly,
        "sessions_max": descriptor.limits.sessions_max,
        "evidence": evidence(relay),
        "permitted": relay.verdict.is_ok(),
        "clause": clause,
        "reason": reason,
        "rtt_ms": answer.map(|answer| millis(answer.rtt)),
        "load": answer.and_then(|answer| answer.load).map(Load::name),
        "geoip": geoip_word(geoip, descriptor),
        "valid_until": descriptor.valid_until.0,
        "descriptor": descriptor.signed().to_text(),
    })
}

/// What GeoIP sources say, in a word; nothing if there are none.
fn geoip_word(geoip: &GeoIp, descriptor: &VerifiedDescriptor) -> Option<&'static str> {
    if geoip.sources() == 0 {
        return None;
    }
    Some(match geoip.evidence([descriptor]).locations.judge(descriptor) {
        Location::Agreed => "agrees",
        Location::Contradicted { .. } => "contradicts",
        _ => "undecided",
    })
}

fn in_words(listed: &[Listed], answers: &BTreeMap<RelayId, Candidate>, judge: &RouteJudge) -> String {
    let paint = Paint::stdout();
    let mut order: Vec<&Listed> = listed.iter().collect();
    order.sort_by_key(|relay| {
        let distance = answers
            .get(&relay.descriptor.relay)
            .map_or(Duration::MAX, |answer| answer.rtt);
        (relay.verdict.is_err(), distance, relay.descriptor.relay)
    });
    let mut lines = vec![paint.dim(&format!(
        "{} relays; policy: {}",
        listed.len(),
        judge.policy().policy().summary()
    ))];
    for relay in order {
        let descriptor = &relay.descriptor;
        let place = format!(
            "hosted {}, law {}, controlled from {}, {}",
            descriptor.hosting,
            descriptor.operator.legal_seat,
            descriptor.operator.parent_seat,
            evidence(relay)
        );
        let name = format!("{:<24}", descriptor.operator.name.as_str());
        lines.push(match &relay.verdict {
            Ok(_) => {
                let distance = answers.get(&descriptor.relay).map_or_else(
                    || "does not answer, or serves nobody now".to_owned(),
                    |answer| {
                        let load = answer.load.map_or("not told", Load::name);
                        format!("{:.1} ms, load {load}", millis(answer.rtt))
                    },
                );
                format!("{} {name} {place}; {distance}", paint.green("✓"))
            }
            Err(refusal) => format!(
                "{} {name} {place}; {refusal} ({})",
                paint.red("✗"),
                refusal.clause.name()
            ),
        });
    }
    lines.join("\n")
}
