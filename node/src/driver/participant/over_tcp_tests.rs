//! A relay that is reached over TCP alone: nothing answers at its UDP address.

use std::{net::UdpSocket, path::Path};

use subrosa_proto::identity::Identity;
use tokio::net::TcpListener;

use super::*;
use crate::{
    driver::relay::RelayNode,
    quic::endpoint::{EndpointOptions, bind},
    relay_config::RelaySettings,
};

/// The stream is so slow that an attempt over UDP says its first word again meanwhile: if it went on, it would be answered over the
/// stream.
const SLOW: Duration = Duration::from_millis(1_000);

/// Something on the way that lets nothing through until a while after a stream is opened; where it listens.
async fn slow_way(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                sleep(SLOW).await;
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

fn settings(folder: &Path, udp: &UdpSocket) -> RelaySettings {
    let text = include_str!("../../../../docs/relay.toml");
    let mut settings = RelaySettings::parse(text, Path::new("relay.toml")).unwrap();
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.public_addresses = vec![udp.local_addr().unwrap()];
    settings.listen_tcp = vec!["127.0.0.1:0".parse().unwrap()];
    settings.discovery.enabled = false;
    settings.data_dir = folder.to_path_buf();
    settings
}

fn endpoint() -> Endpoint {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Endpoint::member(
        socket,
        Identity::from_seed(&[9; 32]),
        &[],
        &EndpointOptions::default(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_dial_over_udp_is_not_completed_over_the_stream_of_another() {
    let folder = std::env::temp_dir().join(format!("subrosa-over-tcp-{}", std::process::id()));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let relay = RelayNode::start(settings(&folder, &silent)).await.unwrap();
    let descriptor = relay.descriptor().unverified().clone();
    let address = descriptor.addresses[0];
    let leg = RelayLeg {
        relay: descriptor.relay,
        static_key: descriptor.static_key,
        identity: Identity::from_seed(&[8; 32]),
    };
    let endpoint = Arc::new(endpoint());
    let mut attempts = JoinSet::new();
    let (to, relay_leg) = (endpoint.clone(), leg.clone());
    let udp = attempts.spawn(async move {
        to.connect_relay(
            address,
            relay_leg.relay,
            relay_leg.static_key,
            &relay_leg.identity,
        )
        .await
        .map(drop)
    });
    let way = vec![slow_way(descriptor.tcp_addresses[0]).await];
    let mut dialled = dial(endpoint, way, address, leg, udp).await.unwrap();
    assert!(dialled.take_detour().is_some());
    let ended = attempts.join_next().await.unwrap();
    assert!(ended.is_err_and(|error| error.is_cancelled()));
    dialled.connection.close(0_u32.into(), b"");
    relay.shutdown().await;
    let _ = std::fs::remove_dir_all(&folder);
}
