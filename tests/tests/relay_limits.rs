//! Each limit refuses with its reason while others are served: the real process, over real sockets.

use std::{
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    noise,
    random::Random,
    wire::relay_message::{RefusalCode, RelayNotice, RelayRequest},
};
use subrosa_tests::{
    port::{BUFFER_BYTES, Manner, Port},
    relay_client::{RelayAddress, RelayClient, dial_config, media_packet},
};

use crate::support::{Scratch, operated::Operated};

const fn room(n: u8) -> RoomId {
    RoomId([n; 16])
}

const fn track(n: u8) -> TrackAlias {
    TrackAlias([n; 8])
}

async fn client(address: &RelayAddress, n: u8) -> RelayClient {
    RelayClient::dial(address, u64::from(n)).await.unwrap()
}

fn code(notice: &RelayNotice) -> Option<RefusalCode> {
    match notice {
        RelayNotice::Refused { code, .. } => Some(*code),
        _ => None,
    }
}

/// Why a client is refused, at once or later.
async fn refusal(client: &mut RelayClient) -> RefusalCode {
    let notice = client.notice_where(|n| code(n).is_some()).await;
    code(&notice).unwrap()
}

/// A member of `in_room` that announces track `n` and wants `wants`.
async fn member(address: &RelayAddress, in_room: RoomId, n: u8, wants: &[u8]) -> RelayClient {
    let mut client = client(address, n).await;
    assert!(matches!(
        client.join(in_room, Alias([n; 8])).await,
        RelayNotice::Joined { .. }
    ));
    let announce = RelayRequest::Announce {
        room: in_room,
        track: track(n),
    };
    client.ask_and_wait(&announce).await;
    for &other in wants {
        let subscribe = RelayRequest::Subscribe {
            room: in_room,
            track: track(other),
        };
        client.ask_and_wait(&subscribe).await;
    }
    client
}

/// Sends `frames` of 1,000 bytes, a few milliseconds apart.
async fn flood(speaker: &RelayClient, n: u8, frames: usize) {
    for _ in 0..frames {
        let _ = speaker
            .connection
            .send_datagram(media_packet(track(n), &[0; 990]));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn hears(listener: &RelayClient) -> bool {
    let heard = tokio::time::timeout(Duration::from_secs(3), listener.connection.read_datagram()).await;
    matches!(heard, Ok(Ok(_)))
}

/// A calm pair in room 9 beside whatever a test does to the relay: it must hear each other all along.
async fn calm_pair(address: &RelayAddress) -> (RelayClient, RelayClient) {
    (
        member(address, room(9), 91, &[]).await,
        member(address, room(9), 92, &[91]).await,
    )
}

async fn assert_served(pair: &(RelayClient, RelayClient)) {
    pair.0
        .connection
        .send_datagram(media_packet(track(91), &[1; 100]))
        .unwrap();
    assert!(hears(&pair.1).await, "others are served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_rooms_and_members_beyond_the_limit_are_refused() {
    let home = Scratch::new();
    let limits = "[limits]\nsessions = 5\nrooms = 2\nmembers_per_room = 2\n";
    let relay = Operated::start(&home, "small", "", limits);
    let pair = calm_pair(&relay.address).await;
    let mut third = client(&relay.address, 3).await;
    assert_eq!(
        code(&third.join(room(9), Alias([3; 8])).await),
        Some(RefusalCode::RoomFull)
    );
    assert_eq!(code(&third.join(room(1), Alias([3; 8])).await), None);
    let mut fourth = client(&relay.address, 4).await;
    assert_eq!(
        code(&fourth.join(room(2), Alias([4; 8])).await),
        Some(RefusalCode::RoomsFull)
    );
    let _fifth = member(&relay.address, room(1), 5, &[]).await;
    let mut sixth = client(&relay.address, 6).await;
    sixth.ask(&RelayRequest::Ping { nonce: 1 }).await;
    assert_eq!(refusal(&mut sixth).await, RefusalCode::SessionsFull);
    assert_served(&pair).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_blocks_sessions_and_the_memory_are_bounded() {
    let home = Scratch::new();
    let relay = Operated::start(&home, "block", "", "[limits]\nsessions_per_address_block = 2\n");
    let pair = calm_pair(&relay.address).await;
    let mut third = client(&relay.address, 3).await;
    third.ask(&RelayRequest::Ping { nonce: 1 }).await;
    assert_eq!(refusal(&mut third).await, RefusalCode::AddressBlockFull);
    relay.reload("DE", "", "[limits]\nmemory_mbyte = 0\n");
    let mut fourth = client(&relay.address, 4).await;
    fourth.ask(&RelayRequest::Ping { nonce: 1 }).await;
    assert_eq!(refusal(&mut fourth).await, RefusalCode::MemoryFull);
    relay.reload("DE", "", "");
    assert_served(&pair).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bitrates_of_session_room_address_block_and_all_are_bounded() {
    for (limits, wanted) in [
        (
            "session_kbit_per_s = 80\nsession_burst_kbyte = 5",
            RefusalCode::SessionBitrate,
        ),
        (
            "room_kbit_per_s = 80\nroom_burst_kbyte = 5",
            RefusalCode::RoomBitrate,
        ),
        (
            "address_block_kbit_per_s = 80\naddress_block_burst_kbyte = 5",
            RefusalCode::AddressBlockBitrate,
        ),
        (
            "total_kbit_per_s = 80\ntotal_burst_kbyte = 5",
            RefusalCode::TotalBitrate,
        ),
    ] {
        let home = Scratch::new();
        let relay = Operated::start(&home, "narrow", "", &format!("[limits]\n{limits}\n"));
        let pair = calm_pair(&relay.address).await;
        let mut loud = member(&relay.address, room(1), 1, &[]).await;
        let _listener = member(&relay.address, room(1), 2, &[1]).await;
        flood(&loud, 1, 30).await;
        assert_eq!(refusal(&mut loud).await, wanted);
        // Who stays within the limits is served: at once, or as soon as the shared bucket has filled a little.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_served(&pair).await;
        let drops = relay.stats()["frames_dropped"].clone();
        let name = wanted.name();
        assert!(drops[name].as_u64().unwrap_or(0) > 10, "{name}: {drops}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_month_sleeps_also_after_a_restart_and_a_higher_cap_wakes_it() {
    let home = Scratch::new();
    let cap = "[limits]\nmonthly_gbyte = 0.00002\n";
    let mut relay = Operated::start(&home, "frugal", "", cap);
    let mut loud = member(&relay.address, room(1), 1, &[]).await;
    let listener = member(&relay.address, room(1), 2, &[1]).await;
    flood(&loud, 1, 40).await;
    assert_eq!(refusal(&mut loud).await, RefusalCode::MonthlyTraffic);
    assert!(hears(&listener).await);
    let stats = relay.stats();
    let used = stats["month_bytes"].as_u64().unwrap();
    assert!(
        stats["hibernating"] == true && (20_000..30_000).contains(&used),
        "{stats}"
    );
    loud.connection.close(0_u32.into(), b"");
    listener.connection.close(0_u32.into(), b"");
    relay.signal("TERM");
    assert_eq!(relay.wait_end(), 0);

    let again = Operated::start(&home, "frugal", "", cap);
    let mut guest = client(&again.address, 3).await;
    assert_eq!(
        code(&guest.join(room(1), Alias([3; 8])).await),
        Some(RefusalCode::MonthlyTraffic)
    );
    assert_eq!(again.stats()["month_bytes"], used);
    again.reload("DE", "", "[limits]\nmonthly_gbyte = 1\n");
    assert_eq!(code(&guest.join(room(1), Alias([3; 8])).await), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_beyond_the_rate_are_turned_away_and_sessions_go_on() {
    let home = Scratch::new();
    let limits = "[limits]\nhandshakes_per_address_block_per_s = 1\n";
    let relay = Operated::start(&home, "calm", "", limits);
    let pair = calm_pair(&relay.address).await;
    let mut refused = 0_u64;
    for n in 0..40 {
        if let Err(error) = RelayClient::dial(&relay.address, 1_000 + n).await {
            // CONNECTION_REFUSED (RFC 9000 §20.1).
            assert!(error.to_string().contains("refused"), "{error}");
            refused += 1;
        }
    }
    let stats = relay.stats();
    let handshakes = &stats["handshakes"];
    println!("{refused} of 40 refused; {handshakes}");
    assert!((10..=30).contains(&refused), "{refused} refused");
    assert!(
        handshakes["retried"].as_u64() > Some(0),
        "first they prove their address: {handshakes}"
    );
    assert!(handshakes["refused"].as_u64() >= Some(refused), "{handshakes}");
    assert_served(&pair).await;
}

/// The first packet of a handshake that nobody goes on with, from a socket of its own.
fn half_open(address: &RelayAddress, seed: u64) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = noise::endpoint_config(&mut Random::from_seed([seed as u8; 32]));
    let mut endpoint = quinn_proto::Endpoint::new(Arc::new(config), None, true, None);
    let now = Instant::now();
    let (_, mut connection) = endpoint
        .connect(now, dial_config(address, seed), address.addr, "relay")
        .unwrap();
    let mut buffer = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, 1, &mut buffer) {
        socket.send_to(&buffer[..transmit.size], address.addr).unwrap();
        buffer.clear();
    }
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_handshakes_bring_retry_and_cost_a_session_nothing() {
    let home = Scratch::new();
    let relay = Operated::start(&home, "steady", "", "");
    let pair = calm_pair(&relay.address).await;
    let sockets: Vec<UdpSocket> = (0..100).map(|n| half_open(&relay.address, n)).collect();
    let stats = relay.stats();
    let handshakes = &stats["handshakes"];
    println!("{handshakes}");
    assert!(handshakes["retried"].as_u64() >= Some(50), "{handshakes}");
    assert!(handshakes["started"].as_u64() <= Some(45), "{handshakes}");
    assert_served(&pair).await;
    // Who proves its address is let in meanwhile.
    let mut late = client(&relay.address, 50).await;
    assert_eq!(code(&late.join(room(1), Alias([5; 8])).await), None);
    drop(sockets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tokens_bitrate_and_traffic_bound_its_sessions_and_no_others() {
    use subrosa_proto::relay::token::AccessToken;

    use crate::support::run;
    let home = Scratch::new();
    let key = home.path().join("issuer.key").display().to_string();
    let public = run(&home, &["relay", "token", "new-key", "--out", &key]).stdout;
    let access = format!("[access]\ntoken_issuers = ['{}']\n", public.trim());
    let issue = |terms: &[&str]| {
        let mut arguments = vec!["relay", "token", "issue", "--key", &key];
        arguments.extend(terms);
        let line = run(&home, &arguments).stdout;
        AccessToken::from_text(&line).unwrap().to_bytes()
    };
    let (small, large) = (issue(&["--kbit-per-s", "80", "--gbyte", "0.00005"]), issue(&[]));
    let mut relay = Operated::start(&home, "metered", "", &access);
    let enter =
        async |address: RelayAddress, n: u8, token: subrosa_proto::wire::relay_message::TokenBytes| {
            let mut client = client(&address, n).await;
            let join = RelayRequest::Join {
                room: room(1),
                alias: Alias([n; 8]),
                token: Some(token),
            };
            client.ask(&join).await;
            let answer = client
                .notice_where(|n| matches!(n, RelayNotice::Joined { .. } | RelayNotice::Refused { .. }))
                .await;
            (client, code(&answer))
        };
    let (mut loud, _) = enter(relay.address, 1, small.clone()).await;
    let (mut listener, _) = enter(relay.address, 2, large.clone()).await;
    let (r, t) = (room(1), track(1));
    loud.ask_and_wait(&RelayRequest::Announce { room: r, track: t })
        .await;
    listener
        .ask_and_wait(&RelayRequest::Subscribe { room: r, track: t })
        .await;
    flood(&loud, 1, 40).await;
    assert_eq!(refusal(&mut loud).await, RefusalCode::TokenBitrate);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < until, "the traffic is used up in 5 s");
        flood(&loud, 1, 100).await;
        let drops: Value = relay.stats()["frames_dropped"].clone();
        if drops["token_traffic"].as_u64() > Some(0) {
            break;
        }
    }
    let own: Bytes = media_packet(track(2), &[1; 50]);
    listener
        .ask_and_wait(&RelayRequest::Announce {
            room: r,
            track: track(2),
        })
        .await;
    loud.ask_and_wait(&RelayRequest::Subscribe {
        room: r,
        track: track(2),
    })
    .await;
    listener.connection.send_datagram(own).unwrap();
    assert!(hears(&loud).await, "the other token's holder is served");
    loud.connection.close(0_u32.into(), b"");
    listener.connection.close(0_u32.into(), b"");
    relay.signal("TERM");
    assert_eq!(relay.wait_end(), 0);
    let again = Operated::start(&home, "metered", "", &access);
    let (_, refused) = enter(again.address, 3, small).await;
    assert_eq!(refused, Some(RefusalCode::TokenTraffic), "also after a restart");
    let (_, refused) = enter(again.address, 4, large).await;
    assert_eq!(refused, None);
}

/// Half-open handshakes take no place from those who mean it: there are more of them here than the relay has places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_never_finished_keep_nobody_out() {
    let home = Scratch::new();
    let limits =
        "[limits]\nsessions = 10\nhandshakes_per_s = 5000\nhandshakes_per_address_block_per_s = 5000\n";
    let relay = Operated::start(&home, "relay", "metrics = '127.0.0.1:0'", limits);
    let mut port = Port::new(1);
    port.manner = Manner::Abandoning;
    let mut buffer = vec![0; BUFFER_BYTES];
    let start = Instant::now();
    for seed in 0..1_500 {
        port.dial(&relay.address, 10_000 + seed);
        port.turn(&mut buffer, start, None);
        std::thread::sleep(Duration::from_millis(1));
    }
    let stats = relay.stats();
    let started = stats["handshakes"]["started"].as_u64();
    assert!(started > Some(800), "they did begin: {stats}");
    let mut member = RelayClient::dial(&relay.address, 1)
        .await
        .expect("there is a place");
    assert!(matches!(
        member.join(room(1), Alias([1; 8])).await,
        RelayNotice::Joined { .. }
    ));
}
