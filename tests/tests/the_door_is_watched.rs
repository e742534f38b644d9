//! The lobby over real sockets: before the host, without a second knock, with a passphrase, back again.

use std::{net::UdpSocket, thread, time::Duration};

use serde_json::json;

use crate::support::{
    Scratch,
    member::{Member, Options, text},
    peer::{Peer, PeerOptions},
};
use subrosa_proto::meeting::{
    participant::{Command, Event, LeftReason},
    passphrase::Passphrase,
};

/// Options of a host that asks about everybody and can be found at the same place again.
fn asking(port: u16) -> Options {
    let listen = format!("127.0.0.1:{port}");
    Options::silent().with(&["--admit", "ask", "--listen", &listen])
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
fn guests_who_come_before_the_host_are_kept_and_knock_when_it_comes_back() {
    let home = Scratch::new();
    let port = free_port();
    let mut host = Member::found(&home, "host", &asking(port));
    let (ticket, host_dir) = (host.ticket(), host.data_dir.clone());
    host.wait_joined();
    host.kill();
    let options = Options::silent().with(&["--wait", "120"]);
    let guest = Member::join(&home, "guest", &ticket, &options);
    guest.wait_for("host_absent");

    let options = Options {
        data_dir: Some(host_dir),
        ..asking(port)
    };
    let options = Options {
        arguments: options
            .arguments
            .into_iter()
            .filter(|a| a != "--admit" && a != "ask")
            .collect(),
        ..options
    };
    let mut again = Member::join(&home, "host", &ticket, &options);
    again.wait_joined();
    guest.wait_for("waiting");
    let knock = again.wait_for("knock").event;
    assert_eq!(
        (&knock["name"], &knock["via"]),
        (&json!("guest"), &json!("direct")),
        "{knock}"
    );
    assert_eq!(knock["returns"], false);
    again.about("admit", &guest.id());
    guest.wait_joined();
    assert!(!again.safety_code().is_empty());
}

#[test]
fn a_member_comes_back_without_a_knock_and_nobody_else_does() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent().with(&["--admit", "ask"]));
    let ticket = host.ticket();
    let mut guest = Member::join(&home, "guest", &ticket, &Options::silent());
    guest.wait_for("waiting");
    host.wait_for("knock");
    host.about("admit", &guest.id());
    guest.wait_joined();
    guest.kill();
    let mark = host.mark();
    let same = Options {
        data_dir: Some(guest.data_dir.clone()),
        ..Options::silent()
    };
    let again = Member::join(&home, "guest", &ticket, &same);
    again.wait_joined();
    assert_eq!(again.id(), guest.id());
    let knocked = host.look_for(mark, Duration::ZERO, |e| e["event"] == "knock");
    assert!(knocked.is_none(), "{knocked:?}");
    // The same name and the same ticket, and another identity.
    let other = Member::join(&home, "guest", &ticket, &Options::silent());
    other.wait_for("waiting");
    host.wait_since(mark, "knock", |e| e["event"] == "knock");
    thread::sleep(Duration::from_secs(1));
    let past = other.look_for(0, Duration::ZERO, |e| {
        e["event"] == "joined" || e["event"] == "member"
    });
    assert!(past.is_none(), "{past:?}");
}

#[test]
fn a_refusal_says_why_and_the_second_blocks_the_identity() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent().with(&["--admit", "ask"]));
    let ticket = host.ticket();
    let mut options = Options::silent();
    for round in 0..3 {
        let mark = host.mark();
        let mut guest = Member::join(&home, "guest", &ticket, &options);
        options.data_dir = Some(guest.data_dir.clone());
        if round < 2 {
            let knock = host.wait_since(mark, "knock", |e| e["event"] == "knock").event;
            assert_eq!(knock["returns"], round > 0, "{knock}");
            host.command(&json!({"cmd": "refuse", "member": guest.id(), "reason": "not today"}));
        }
        assert_eq!(guest.wait_end(), 22, "{}", guest.story());
        let refused = guest.wait_for("refused").event;
        let clause = ["host", "blocked", "blocked"][round];
        assert_eq!(refused["clause"], clause, "{refused}");
        if round < 2 {
            assert!(text(&refused["reason"]).contains("not today"), "{refused}");
        } else {
            let asked = host.look_for(mark, Duration::ZERO, |e| e["event"] == "knock");
            assert!(asked.is_none(), "{asked:?}");
        }
    }
}

#[test]
fn a_member_who_is_sent_back_waits_in_the_lobby_and_can_be_admitted_again() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let guest = Member::join(&home, "guest", &host.ticket(), &Options::silent());
    guest.wait_joined();
    let witness = Member::join(&home, "witness", &host.ticket(), &Options::silent());
    witness.wait_connected(2);
    guest.wait_connected(2);
    let (mark, guest_mark) = (host.mark(), guest.mark());
    host.about("send_back", &guest.id());
    guest.wait_since(guest_mark, "being sent back", |e| e["event"] == "sent_back");
    guest.wait_since(guest_mark, "waiting", |e| e["event"] == "waiting");
    let knock = host.wait_since(mark, "knock", |e| e["event"] == "knock").event;
    assert_eq!(knock["returns"], true, "{knock}");
    host.about("admit", &guest.id());
    guest.wait_since(guest_mark, "coming back", |e| e["event"] == "joined");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(host.safety_code(), guest.safety_code(), "{}", guest.story());
    assert_eq!(host.safety_code(), witness.safety_code());
}

#[test]
fn the_passphrase_comes_before_the_knock() {
    let home = Scratch::new();
    let file = home.file("passphrase", "correct horse\n");
    let file = file.display().to_string();
    let options = Options::silent().with(&["--admit", "ask", "--passphrase-file", &file]);
    let mut host = Member::found(&home, "host", &options);
    let ticket = host.ticket();
    // One who knows it, one who has to be asked, and is wrong first.
    let knows = Member::join(
        &home,
        "knows",
        &ticket,
        &Options::silent().with(&["--passphrase-file", &file]),
    );
    knows.wait_for("waiting");
    let mut asked = Member::join(&home, "asked", &ticket, &Options::silent());
    asked.wait("question", |e| {
        e["event"] == "passphrase_wanted" && e["wrong"] == false
    });
    asked.command(&json!({"cmd": "passphrase", "passphrase": "battery staple"}));
    asked.wait("no", |e| e["event"] == "passphrase_wanted" && e["wrong"] == true);
    let early = host.look_for(0, Duration::ZERO, |e| {
        e["event"] == "knock" && e["name"] == "asked"
    });
    assert!(early.is_none(), "{early:?}");
    asked.command(&json!({"cmd": "passphrase", "passphrase": "correct horse"}));
    asked.wait_for("waiting");
    for guest in [&knows, &asked] {
        host.wait("knock", |e| {
            e["event"] == "knock" && e["member"] == guest.id().as_str()
        });
        host.about("admit", &guest.id());
        guest.wait_joined();
    }
    // The passphrase stands nowhere in what was kept.
    let kept = std::fs::read_dir(host.data_dir.join("meetings")).unwrap();
    for entry in kept {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"correct"));
    }
}

/// Guesses once from `127.0.0.FROM` with a fresh identity; what the door said in the end.
async fn guess(ticket: &str, from: u8, passphrase: &str) -> Event {
    let options = PeerOptions {
        bind: format!("127.0.0.{from}:0"),
        ..PeerOptions::default()
    };
    let mut peer = Peer::join("guesser", ticket, options);
    let asked = |peer: &Peer, wanted: bool| peer.events.contains(&Event::PassphraseWanted { wrong: wanted });
    let end = |peer: &Peer| {
        let ends = |event: &&Event| matches!(event, Event::Left(_) | Event::Waiting);
        peer.events.iter().find(ends).cloned()
    };
    peer.run_until("question", |peer| asked(peer, false) || end(peer).is_some())
        .await;
    if let Some(event) = end(&peer) {
        return event;
    }
    let passphrase = Passphrase::new(passphrase).unwrap();
    peer.command(Command::Passphrase(passphrase));
    peer.run_until("answer", |peer| asked(peer, true) || end(peer).is_some())
        .await;
    end(&peer).unwrap_or(Event::PassphraseWanted { wrong: true })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_thirty_first_wrong_passphrase_is_refused_until_the_host_unlocks() {
    let home = Scratch::new();
    let file = home.file("passphrase", "correct horse\n").display().to_string();
    let options = Options::silent().with(&["--admit", "ask", "--passphrase-file", &file]);
    let mut host = Member::found(&home, "host", &options);
    let ticket = host.ticket();
    for number in 0..30_u8 {
        let said = guess(&ticket, 2 + number / 5, "wrong").await;
        assert_eq!(said, Event::PassphraseWanted { wrong: true }, "guess {number}");
        if number == 4 {
            // The sixth from one address is refused, right or wrong.
            let said = guess(&ticket, 2, "correct horse").await;
            assert_eq!(said, Event::Left(LeftReason::Passphrase));
        }
    }
    host.wait("warning", |e| {
        e["event"] == "error" && e["code"] == "passphrase_locked"
    });
    // Not even the right one, from a place that never guessed.
    let said = guess(&ticket, 99, "correct horse").await;
    assert_eq!(said, Event::Left(LeftReason::Passphrase));
    host.command(&json!({"cmd": "unlock"}));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(guess(&ticket, 100, "correct horse").await, Event::Waiting);
}

#[test]
fn a_code_of_words_stands_for_the_ticket_once() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    host.wait_joined();
    host.command(&json!({"cmd": "offer_code"}));
    let code = host.wait_for("code").event;
    let (words, at) = (text(&code["words"]), text(&code["addresses"][0]));
    let with = |at: &str| Options::silent().with(&["--at", at]);
    let guest = Member::join(&home, "guest", &words, &with(&at));
    guest.wait_joined();
    host.wait("use", |e| e["event"] == "code_used" && e["right"] == true);
    // The same words again meet a silent port.
    let mut late = Member::join(&home, "late", &words, &with(&at));
    assert_eq!(late.wait_end(), 20, "{}", late.story());

    // A wrong word spends a code.
    let mark = host.mark();
    host.command(&json!({"cmd": "offer_code"}));
    let words = text(&host.wait_since(mark, "code", |e| e["event"] == "code").event["words"]);
    let mut wrong: Vec<&str> = words.split('-').collect();
    wrong[3] = if wrong[3] == "zoo" { "zone" } else { "zoo" };
    let mut guesser = Member::join(&home, "guesser", &wrong.join(" "), &with(&at));
    assert_eq!(guesser.wait_end(), 14, "{}", guesser.story());
    host.wait_since(mark, "misuse", |e| {
        e["event"] == "code_used" && e["right"] == false
    });
    let mut late = Member::join(&home, "late", &words, &with(&at));
    assert_eq!(late.wait_end(), 20, "{}", late.story());
}
