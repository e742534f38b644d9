//! Whether the discovery network answers.

use std::time::{Duration, Instant};

use subrosa_node::discovery::{Multiaddr, Reach, Role, Service, ServiceConfig, bootstrap_address};
use subrosa_proto::policy::{DiscoveryRule, RouteJudge};

use super::{Finding, Mender, Verdict};

/// Nodes that answer later are too slow to find anybody with.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(200);
const WHAT: &str = "discovery";

/// Looks whether the nodes in `given` answer, if the policy allows to contact any node.
pub(super) async fn check(given: &[String], judge: &RouteJudge) -> Finding {
    if let Err(refusal) = judge.discovery(DiscoveryRule::Any, subrosa_node::driver::clock::unix_now()) {
        return Finding::new(
            WHAT,
            Verdict::Warning,
            format!("{refusal}; nothing was sent"),
            "the meeting's relays are the way into the network then",
        );
    }
    let addresses: Result<Vec<Vec<Multiaddr>>, String> =
        given.iter().map(|text| bootstrap_address(text)).collect();
    let bootstrap: Vec<Multiaddr> = match addresses {
        Ok(addresses) => addresses.into_iter().flatten().collect(),
        Err(why) => {
            let hint = "give a relay's descriptor line, or an address that ends with /p2p/ and an identity";
            return Finding::new(WHAT, Verdict::Failed, why, hint);
        }
    };
    let named = given.len();
    let service = Service::start(ServiceConfig {
        role: Role::Participant,
        seed: None,
        listen_tcp: Vec::new(),
        listen_quic: Vec::new(),
        public: Vec::new(),
        lan: false,
        bootstrap,
        reach: Reach {
            rule: DiscoveryRule::Any,
            ..Reach::default()
        },
    });
    match service {
        Ok(service) => answers(&service, named).await,
        Err(error) => Finding::new(
            WHAT,
            Verdict::Failed,
            error.to_string(),
            "close other programs, and try again",
        ),
    }
}

async fn answers(service: &Service, named: usize) -> Finding {
    let began = Instant::now();
    loop {
        let status = service.status().await;
        let (connected, table) = (status.connected.len(), status.table);
        if connected >= named || (connected > 0 && began.elapsed() > PATIENCE) {
            let took = began.elapsed().as_secs_f64() * 1e3;
            return Finding::ok(
                WHAT,
                format!("{connected} nodes answer after {took:.0} ms, {table} are known"),
            );
        }
        if began.elapsed() > PATIENCE {
            return Finding::new(
                WHAT,
                Verdict::Failed,
                format!("none of the {named} nodes answers"),
                "check that TCP to them is allowed here; else they are down",
            )
            .mended_by(Mender::Operator);
        }
        tokio::time::sleep(LOOK).await;
    }
}
