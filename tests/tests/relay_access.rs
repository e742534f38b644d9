//! Who may use a relay: tokens signed offline, listed addresses, and what those who may not are told.

use std::time::Duration;

use serde_json::Value;
use subrosa_proto::{
    ids::{Alias, RoomId},
    relay::token::AccessToken,
    wire::relay_message::{RefusalCode, RelayNotice, RelayRequest},
};
use subrosa_tests::relay_client::RelayClient;

use crate::support::{
    Scratch,
    member::{Member, Options},
    operated::Operated,
    run,
};

const ROOM: RoomId = RoomId([7; 16]);

/// An issuer's key in `home`: its file, and its public key.
fn issuer(home: &Scratch, name: &str) -> (String, String) {
    let file = home.path().join(name).display().to_string();
    let made = run(home, &["relay", "token", "new-key", "--out", &file]);
    assert_eq!(made.status, 0, "{made:?}");
    (file, made.stdout.trim().to_owned())
}

fn issue(home: &Scratch, key: &str, terms: &[&str]) -> String {
    let mut arguments = vec!["relay", "token", "issue", "--key", key];
    arguments.extend(terms);
    let issued = run(home, &arguments);
    assert_eq!(issued.status, 0, "{issued:?}");
    issued.stdout.trim().to_owned()
}

async fn join_with(client: &mut RelayClient, token: Option<&str>) -> Option<RefusalCode> {
    let token = token.map(|line| AccessToken::from_text(line).unwrap().to_bytes());
    client
        .ask(&RelayRequest::Join {
            room: ROOM,
            alias: Alias([1; 8]),
            token,
        })
        .await;
    let answer = client
        .notice_where(|n| matches!(n, RelayNotice::Joined { .. } | RelayNotice::Refused { .. }))
        .await;
    match answer {
        RelayNotice::Refused { code, .. } => Some(code),
        _ => None,
    }
}

#[test]
fn a_key_is_private_and_a_token_says_what_it_allows() {
    let home = Scratch::new();
    let (key, public) = issuer(&home, "issuer.key");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = run(&home, &["relay", "token", "new-key", "--out", &key]);
    assert_ne!(again.status, 0, "a key is never replaced");
    let terms = [
        "--days",
        "30",
        "--sessions",
        "5",
        "--kbit-per-s",
        "2000",
        "--gbyte",
        "1.5",
    ];
    let token = issue(&home, &key, &terms);
    let shown = run(&home, &["relay", "token", "show", "--json", &token]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&shown["issuer"], &shown["ok"]), (&public.into(), &true.into()));
    assert_eq!(
        (&shown["sessions"], &shown["bytes"]),
        (&5.into(), &1_500_000_000_u64.into())
    );
    let mut damaged = token.clone().into_bytes();
    damaged[40] = if damaged[40] == b'A' { b'B' } else { b'A' };
    let damaged = String::from_utf8(damaged).unwrap();
    let damaged = run(&home, &["relay", "token", "show", &damaged]);
    assert_ne!(damaged.status, 0);
    assert_ne!(
        run(
            &home,
            &["relay", "token", "issue", "--key", &key, "--days", "401"]
        )
        .status,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_asked_for_and_forged_expired_and_exhausted_ones_refused() {
    let home = Scratch::new();
    let (key, public) = issuer(&home, "issuer.key");
    let (stranger, _) = issuer(&home, "stranger.key");
    let access = format!("[access]\ntoken_issuers = ['{public}']\n");
    let relay = Operated::start(&home, "guarded", "", &access);
    let good = issue(&home, &key, &["--sessions", "1"]);
    let mut first = RelayClient::dial(&relay.address, 1).await.unwrap();
    assert_eq!(
        join_with(&mut first, None).await,
        Some(RefusalCode::TokenRequired)
    );
    let forged = issue(&home, &stranger, &[]);
    assert_eq!(
        join_with(&mut first, Some(&forged)).await,
        Some(RefusalCode::TokenInvalid)
    );
    let elsewhere = issue(&home, &key, &["--relay", &"ab".repeat(32)]);
    assert_eq!(
        join_with(&mut first, Some(&elsewhere)).await,
        Some(RefusalCode::TokenInvalid)
    );
    let short = issue(&home, &key, &["--seconds", "1"]);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(
        join_with(&mut first, Some(&short)).await,
        Some(RefusalCode::TokenExpired)
    );
    assert_eq!(join_with(&mut first, Some(&good)).await, None);
    let mut second = RelayClient::dial(&relay.address, 2).await.unwrap();
    assert_eq!(
        join_with(&mut second, Some(&good)).await,
        Some(RefusalCode::TokenSessionsFull)
    );
    let other = issue(&home, &key, &["--relay", &relay.descriptor]);
    assert_eq!(
        join_with(&mut second, Some(&other)).await,
        None,
        "others are served"
    );

    // Taken back while in use: that session ends, the other does not notice.
    let id = AccessToken::from_text(&good).unwrap().id();
    let revoking = format!("{access}revoked_tokens = ['{id}']\n");
    assert_eq!(relay.reload("DE", "", &revoking)["event"], "relay_reloaded");
    let told = first
        .notice_where(|n| matches!(n, RelayNotice::Refused { .. }))
        .await;
    assert!(matches!(
        told,
        RelayNotice::Refused {
            code: RefusalCode::TokenInvalid,
            ..
        }
    ));
    second.ask(&RelayRequest::Ping { nonce: 5 }).await;
    second
        .notice_where(|n| *n == RelayNotice::Pong { nonce: 5 })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listed_addresses_need_no_token_and_others_are_told() {
    let home = Scratch::new();
    let relay = Operated::start(
        &home,
        "listed",
        "",
        "[access]\naddress_blocks = ['127.0.0.0/8']\n",
    );
    let mut here = RelayClient::dial(&relay.address, 1).await.unwrap();
    assert_eq!(join_with(&mut here, None).await, None);
    relay.reload("DE", "", "[access]\naddress_blocks = ['192.0.2.0/24']\n");
    let told = here
        .notice_where(|n| matches!(n, RelayNotice::Refused { .. }))
        .await;
    assert!(matches!(
        told,
        RelayNotice::Refused {
            code: RefusalCode::AddressNotAllowed,
            ..
        }
    ));
    let mut stranger = RelayClient::dial(&relay.address, 2).await.unwrap();
    stranger.ask(&RelayRequest::Ping { nonce: 1 }).await;
    let told = stranger
        .notice_where(|n| matches!(n, RelayNotice::Refused { .. }))
        .await;
    assert!(matches!(
        told,
        RelayNotice::Refused {
            code: RefusalCode::AddressNotAllowed,
            ..
        }
    ));
}

#[test]
fn members_show_their_token_and_see_why_they_are_refused() {
    let home = Scratch::new();
    let (key, public) = issuer(&home, "issuer.key");
    let access = format!("[access]\ntoken_issuers = ['{public}']\n");
    let relay = Operated::start(&home, "guarded", "", &access);
    let token = home.file("token.txt", issue(&home, &key, &["--sessions", "2"]));
    let token = token.display().to_string();
    let base = Options::silent()
        .with(&["--no-direct", "--policy", "eea"])
        .relay(&relay.descriptor);
    let with_token = base.clone().with(&["--relay-token", &token]);
    let host = Member::found(&home, "host", &with_token);
    let guest = Member::join(&home, "guest", &host.ticket(), &with_token);
    guest.wait_joined();
    guest.wait_connected(1);
    let outsider = Member::join(&home, "outsider", &host.ticket(), &base);
    let refused = outsider.wait("refusal", |event| {
        event["event"] == "refused" && event["clause"] == "token_required"
    });
    let reason = refused.event["reason"].as_str().unwrap();
    assert!(reason.contains("asks for a token"), "{reason}");
    let third = Member::join(&home, "third", &host.ticket(), &with_token);
    third.wait("refusal", |event| {
        event["event"] == "refused" && event["clause"] == "token_sessions_full"
    });
}
