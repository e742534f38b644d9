//! The discovery network by itself: real libp2p nodes on this machine.

use std::{collections::BTreeMap, time::Duration};

use subrosa_node::{
    discovery::{Found, Order, Reach, Service, relay_of_peer},
    driver::clock::unix_now,
};
use subrosa_proto::{
    discovery::{DhtKey, Request, member_record::SEALED_BYTES},
    identity::Identity,
    policy::DiscoveryRule,
    time::UnixSeconds,
};

use crate::support::{
    dht::{asking, honest, network, until},
    relay::paper,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn soon() -> UnixSeconds {
    UnixSeconds(unix_now().0 + 600)
}

/// Asks until a value of `key` is found that `wanted` accepts.
async fn find(service: &mut Service, key: DhtKey, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let search = async {
        loop {
            service.order(Order::Request(Request::Find { key })).await;
            let again = tokio::time::sleep(Duration::from_secs(1));
            tokio::pin!(again);
            loop {
                tokio::select! {
                    found = service.found() => match found {
                        Some(Found::Value { key: of, value }) if of == key && wanted(&value) => return value,
                        Some(_) => {}
                        None => std::future::pending().await,
                    },
                    () = &mut again => break,
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_publishes_another_finds_and_nobody_says_who_it_is() {
    let nodes = network(6).await;
    let publisher = asking(DiscoveryRule::Any, vec![nodes[1].address.clone()]);
    until(&publisher, "a connection", |status| !status.connected.is_empty()).await;
    let (key, value) = (DhtKey::Rendezvous([7; 32]), vec![9; SEALED_BYTES]);
    let publish = Request::Publish {
        key,
        value: value.clone(),
        expires: soon(),
    };
    publisher.order(Order::Request(publish)).await;
    let mut looker = asking(DiscoveryRule::Any, vec![nodes[5].address.clone()]);
    assert_eq!(find(&mut looker, key, |_| true).await, Some(value));

    // `identify` tells one node from another by nothing but the fresh key.
    let status = until(&nodes[1].service, "identify", |status| status.agents.len() >= 2).await;
    assert!(
        status.agents.values().all(|agent| agent == "p2p /subrosa/1"),
        "{:?}",
        status.agents
    );
    assert_ne!(publisher.peer(), asking(DiscoveryRule::Any, Vec::new()).peer());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_contacted_that_the_rule_does_not_allow() {
    let node = honest(Vec::new()).await;
    for rule in [
        DiscoveryRule::Off,
        DiscoveryRule::Lan,
        DiscoveryRule::PermittedRelays,
    ] {
        let mut looker = asking(rule, vec![node.address.clone()]);
        looker
            .order(Order::Request(Request::Find {
                key: DhtKey::Rendezvous([1; 32]),
            }))
            .await;
        assert!(
            tokio::time::timeout(Duration::from_secs(1), looker.found())
                .await
                .is_err()
        );
        assert!(looker.status().await.connected.is_empty(), "{rule}");
    }
    assert!(node.service.status().await.connected.is_empty());

    // The same node as a permitted relay is contacted, and is let go when the permit falls.
    let relay = relay_of_peer(&node.service.peer()).expect("an Ed25519 identity");
    let port = node.address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let address = ([127, 0, 0, 1], port.expect("a port")).into();
    let looker = asking(DiscoveryRule::Off, Vec::new());
    let reach = |relays| Reach {
        rule: DiscoveryRule::PermittedRelays,
        relays,
    };
    looker
        .order(Order::Reach(reach(BTreeMap::from([(relay, vec![address])]))))
        .await;
    until(&looker, "the permitted relay", |status| {
        status.connected.len() == 1
    })
    .await;
    looker.order(Order::Reach(reach(BTreeMap::new()))).await;
    until(&looker, "silence", |status| status.connected.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_not_stored_and_descriptors_are() {
    let nodes = network(5).await;
    let now = unix_now();
    let descriptors = [(1, "DE"), (2, "FR")].map(|(seed, country)| {
        let identity = Identity::from_seed(&[seed; 32]);
        paper(
            &identity,
            "127.0.0.1:9".parse().expect("an address"),
            "op",
            country,
            |_| {},
        )
    });
    // A forged one, and one under another's key: nobody keeps them.
    let thief = asking(DiscoveryRule::Any, vec![nodes[2].address.clone()]);
    until(&thief, "a connection", |status| !status.connected.is_empty()).await;
    let genuine = descriptors[0].clone();
    let relay = genuine.unverified().relay;
    let mut forged = genuine.to_bytes();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let lies = [
        (DhtKey::Descriptor(relay), forged.clone()),
        (
            DhtKey::Descriptor(descriptors[1].unverified().relay),
            genuine.to_bytes(),
        ),
        (DhtKey::Rendezvous([5; 32]), vec![1; 77]),
        (DhtKey::country(None), genuine.to_bytes()),
    ];
    for (key, value) in &lies {
        let publish = Request::Publish {
            key: *key,
            value: value.clone(),
            expires: soon(),
        };
        thief.order(Order::Request(publish)).await;
    }
    let mut refused = 0;
    for _ in 0..100 {
        refused = 0;
        for node in &nodes {
            refused += node.service.status().await.refused;
        }
        if refused >= lies.len() as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused >= lies.len() as u64, "{refused} refused");
    for node in &nodes {
        assert_eq!(node.service.status().await.records, 0);
    }
    // The genuine one is kept.
    let publish = Request::Publish {
        key: DhtKey::Descriptor(relay),
        value: genuine.to_bytes(),
        expires: soon(),
    };
    thief.order(Order::Request(publish)).await;
    let mut looker = asking(DiscoveryRule::Any, vec![nodes[4].address.clone()]);
    let found = find(&mut looker, DhtKey::Descriptor(relay), |value| value != forged).await;
    let found = found.expect("found");
    let signed = subrosa_proto::policy::SignedDescriptor::from_bytes(&found).expect("a descriptor");
    assert_eq!(signed.verify(now).expect("verified").relay, relay);
}
