//! What an operator does to a running relay: other settings, and its end.

use std::{
    thread,
    time::{Duration, Instant},
};

use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    wire::relay_message::{RefusalCode, RelayNotice, RelayRequest},
};
use subrosa_tests::relay_client::{RelayAddress, RelayClient, media_packet};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options},
    operated::{Operated, settings},
    process::unix_now,
};

const ROOM: RoomId = RoomId([7; 16]);
const TRACK: TrackAlias = TrackAlias([9; 8]);

/// A speaker and a listener of its track.
async fn pair(address: &RelayAddress) -> (RelayClient, RelayClient) {
    let mut speaker = RelayClient::dial(address, 1).await.unwrap();
    let mut listener = RelayClient::dial(address, 2).await.unwrap();
    assert!(matches!(
        speaker.join(ROOM, Alias([1; 8])).await,
        RelayNotice::Joined { .. }
    ));
    assert!(matches!(
        listener.join(ROOM, Alias([2; 8])).await,
        RelayNotice::Joined { .. }
    ));
    let (room, track) = (ROOM, TRACK);
    speaker
        .ask_and_wait(&RelayRequest::Announce { room, track })
        .await;
    listener
        .ask_and_wait(&RelayRequest::Subscribe { room, track })
        .await;
    (speaker, listener)
}

/// Sends 50 frames a second until told to stop; how many.
fn speak(
    connection: quinn::Connection,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> tokio::task::JoinHandle<u32> {
    tokio::spawn(async move {
        let mut sent = 0;
        while stop.try_recv().is_err() {
            let frame = media_packet(TRACK, &u64::from(sent).to_le_bytes());
            connection.send_datagram(frame).unwrap();
            sent += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent
    })
}

async fn count(connection: &quinn::Connection, until_silent: Duration) -> u32 {
    let mut heard = 0;
    while tokio::time::timeout(until_silent, connection.read_datagram())
        .await
        .is_ok_and(|datagram| datagram.is_ok())
    {
        heard += 1;
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloading_changes_limits_without_a_dropped_frame_and_a_bad_file_changes_nothing() {
    let home = Scratch::new();
    let relay = Operated::start(&home, "reloaded", "", "");
    let (mut speaker, mut listener) = pair(&relay.address).await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let speaking = speak(speaker.connection.clone(), stopped);
    let hearing = {
        let connection = listener.connection.clone();
        tokio::spawn(async move { count(&connection, Duration::from_secs(3)).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;

    let good = relay.reload("DE", "", "[limits]\nsessions = 2\nsession_kbit_per_s = 900\n");
    assert_eq!(good["event"], "relay_reloaded", "{good}");
    assert_eq!(good["descriptor"], true, "the descriptor states the limits");
    let told = listener
        .notice_where(
            |n| matches!(n, RelayNotice::Welcome { limits, .. } if limits.bits_per_second == 900_000),
        )
        .await;
    assert!(matches!(told, RelayNotice::Welcome { .. }));
    let mut third = RelayClient::dial(&relay.address, 3).await.unwrap();
    third.ask(&RelayRequest::Ping { nonce: 1 }).await;
    let refused = third
        .notice_where(|n| matches!(n, RelayNotice::Refused { .. }))
        .await;
    assert!(matches!(
        refused,
        RelayNotice::Refused {
            code: RefusalCode::SessionsFull,
            ..
        }
    ));

    let bad = relay.reload("DE", "hostng = 'DE'", "");
    assert_eq!(bad["event"], "relay_reload_failed");
    let message = bad["message"].as_str().unwrap();
    assert!(
        message.contains("reloaded.toml:4: unknown key `hostng`; did you mean `hosting`?"),
        "{message}"
    );
    let mut fourth = RelayClient::dial(&relay.address, 4).await.unwrap();
    fourth.ask(&RelayRequest::Ping { nonce: 1 }).await;
    let refused = fourth
        .notice_where(|n| matches!(n, RelayNotice::Refused { .. }))
        .await;
    assert!(
        matches!(
            refused,
            RelayNotice::Refused {
                code: RefusalCode::SessionsFull,
                ..
            }
        ),
        "the former reload stays in force"
    );

    let moved = relay.reload_text(&settings("reloaded", "DE", "127.0.0.1:1", "", ""));
    assert_eq!(moved["needs_restart"], serde_json::json!(["listen"]));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stop.send(()).unwrap();
    let (sent, heard) = (speaking.await.unwrap(), hearing.await.unwrap());
    assert!(sent > 50 && heard == sent, "heard {heard} of {sent}");
    speaker.ask_and_wait(&RelayRequest::Leave { room: ROOM }).await;
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let home = Scratch::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut relay = Operated::start(&home, "drained", "drain_seconds = 60", "");
    let (mut speaker, _listener) = runtime.block_on(pair(&relay.address));
    relay.signal("TERM");
    runtime.block_on(speaker.notice_where(|n| *n == RelayNotice::Draining { deadline_s: 60 }));
    let late = runtime.block_on(async {
        let mut late = RelayClient::dial(&relay.address, 3).await.unwrap();
        late.ask(&RelayRequest::Ping { nonce: 1 }).await;
        late.notice_where(|n| matches!(n, RelayNotice::Refused { .. }))
            .await
    });
    assert!(matches!(
        late,
        RelayNotice::Refused {
            code: RefusalCode::Draining,
            ..
        }
    ));
    // A reload is no wish to end.
    relay.signal("HUP");
    thread::sleep(Duration::from_millis(300));
    assert!(
        relay
            .said()
            .iter()
            .all(|said| said.event["event"] != "relay_stopped")
    );
    let signalled = Instant::now();
    relay.signal("TERM");
    assert_eq!(relay.wait_end(), 0);
    assert!(signalled.elapsed() < Duration::from_secs(5));
}

#[test]
fn two_relays_restarted_one_after_the_other_are_not_heard() {
    let home = Scratch::new();
    // Restarted at the same address, as a service is.
    let ports = [0; 2].map(|_| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    });
    let start = |name: &str, at: &str| Operated::start_at(&home, name, at, "drain_seconds = 3", "");
    let mut relays = [start("first", &ports[0]), start("second", &ports[1])];
    let sound = babble("bob", 60.0);
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &sound);
    let with_relays = |options: Options| {
        let options = options.with(&["--no-direct", "--policy", "eea"]);
        let relays = relays.iter().map(|relay| relay.descriptor.clone());
        relays.fold(options, |options, descriptor| options.relay(&descriptor))
    };
    let speaker = Member::found(&home, "speaker", &with_relays(Options::says(&clip)));
    let options = with_relays(Options::default());
    let listener = Member::join(&home, "listener", &speaker.ticket(), &options);
    listener.wait_connected(1);
    let began = speaker.clip_began();
    let at = |seconds: f64| {
        thread::sleep(Duration::from_secs_f64((began + seconds - unix_now()).max(0.0)));
    };
    at(8.0);
    let counts = || ["received", "lost", "concealed"].map(|figure| listener.reception(&speaker.id(), figure));
    let (before, restarting) = (counts(), unix_now());
    for (i, name) in ["first", "second"].into_iter().enumerate() {
        relays[i].signal("TERM");
        assert_eq!(relays[i].wait_end(), 0, "{}", relays[i].story());
        relays[i] = start(name, &ports[i]);
        // Members find it again before the other one goes.
        let again = unix_now();
        while relays[i].stats()["sessions"] != 2 {
            assert!(unix_now() - again < 20.0, "{}", listener.story());
        }
        thread::sleep(Duration::from_secs(2));
    }
    // Statistics come every two seconds.
    thread::sleep(Duration::from_millis(2_500));
    let (after, seconds) = (counts(), unix_now() - restarting);
    let [received, lost, concealed] = [0, 1, 2].map(|i| after[i] - before[i]);
    println!(
        "two restarts in {seconds:.1} s: {received} packets received, {lost} frames lost, {concealed} concealed"
    );
    assert!(
        received as f64 > 40.0 * (seconds - 5.0),
        "speech goes on: {received}\n{}",
        listener.story()
    );
    assert_eq!(lost, 0, "frames lost\n{}", listener.story());
}
