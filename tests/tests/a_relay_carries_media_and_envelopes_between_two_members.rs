//! Over real sockets and the real handshake: two members and a relay.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    relay::{DropReason, RelayConfig},
    wire::{
        relay_message::{RelayNotice, RelayRequest},
        stream_object::StreamHeader,
    },
};
use subrosa_tests::relay_client::{RelayClient, media_packet, start_relay};

const ROOM: RoomId = RoomId([7; 16]);
const ALICE: Alias = Alias([1; 8]);
const BOB: Alias = Alias([2; 8]);
const TRACK: TrackAlias = TrackAlias([9; 8]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_carries_media_and_envelopes_between_two_members() {
    let descriptor = vec![5; 300].try_into().unwrap();
    let (relay, address) = start_relay(RelayConfig {
        descriptor,
        ..RelayConfig::default()
    });
    let mut alice = RelayClient::dial(&address, 1).await.unwrap();
    let mut bob = RelayClient::dial(&address, 2).await.unwrap();

    alice
        .ask(&RelayRequest::Join {
            room: ROOM,
            alias: ALICE,
            token: None,
        })
        .await;
    let Some(RelayNotice::Welcome { descriptor, .. }) = alice.notice().await else {
        panic!("no welcome")
    };
    assert_eq!(&descriptor[..], &[5; 300]);
    let Some(RelayNotice::Observed { address }) = alice.notice().await else {
        panic!("it is told where it is seen");
    };
    assert_eq!(SocketAddr::from(address), alice.endpoint.local_addr().unwrap());
    assert!(matches!(alice.notice().await, Some(RelayNotice::Joined { present, .. }) if present.is_empty()));
    let joined = bob.join(ROOM, BOB).await;
    assert!(matches!(joined, RelayNotice::Joined { present, .. } if present[..] == [ALICE]));
    alice
        .notice_where(|n| {
            *n == RelayNotice::Present {
                room: ROOM,
                alias: BOB,
            }
        })
        .await;

    alice
        .ask(&RelayRequest::Announce {
            room: ROOM,
            track: TRACK,
        })
        .await;
    bob.ask_and_wait(&RelayRequest::Subscribe {
        room: ROOM,
        track: TRACK,
    })
    .await;
    alice
        .notice_where(|n| {
            *n == RelayNotice::Subscribe {
                room: ROOM,
                track: TRACK,
            }
        })
        .await;

    // Datagrams arrive unchanged.
    let packets: Vec<Bytes> = (0..50_u8).map(|i| media_packet(TRACK, &[i; 150])).collect();
    for packet in &packets {
        alice.connection.send_datagram(packet.clone()).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for packet in &packets {
        assert_eq!(&bob.connection.read_datagram().await.unwrap(), packet);
    }

    // A large envelope arrives unchanged, with its sender's alias.
    let bytes: Vec<u8> = (0..16_384_u32).map(|i| i as u8).collect();
    let envelope = RelayRequest::Envelope {
        room: ROOM,
        to: ALICE,
        bytes: bytes.clone().try_into().unwrap(),
    };
    bob.ask(&envelope).await;
    let got = alice
        .notice_where(|n| matches!(n, RelayNotice::Envelope { .. }))
        .await;
    assert_eq!(
        got,
        RelayNotice::Envelope {
            room: ROOM,
            from: BOB,
            bytes: bytes.try_into().unwrap()
        }
    );

    // A stream object arrives unchanged.
    let header = StreamHeader {
        room: ROOM,
        track: TRACK,
        group: 3,
        priority: 100,
    };
    let body: Vec<u8> = (0..200_000_u32).map(|i| (i * 7) as u8).collect();
    let mut stream = alice.connection.open_uni().await.unwrap();
    stream.write_all(&header.encode()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    stream.finish().unwrap();
    let mut received = bob.connection.accept_uni().await.unwrap();
    let got = received.read_to_end(1 << 20).await.unwrap();
    let (got_header, got_body) = StreamHeader::parse(&got).unwrap();
    assert_eq!((got_header, got_body), (header, &body[..]));

    // Nothing was lost on the way, and one who leaves is gone.
    let report = relay.report().await;
    assert_eq!(report.relay.frames_forwarded, 50);
    assert_eq!(
        report.relay.dropped_total() - report.relay.dropped(DropReason::NoListener),
        0
    );
    bob.connection.close(0_u32.into(), b"");
    alice
        .notice_where(|n| {
            *n == RelayNotice::Gone {
                room: ROOM,
                alias: BOB,
            }
        })
        .await;
    relay.shutdown().await;
}
