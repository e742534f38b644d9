//! Files between real processes: whole, checked, safe to name, going on after a killed sender, and not in a voice's way.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options, text},
    process::Said,
    relay::Relay,
};

const MEBIBYTE: usize = 1_024 * 1_024;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 977) as u8).collect()
}

fn wait_file(member: &Member, mark: usize, state: &str, patience: u64) -> Said {
    member
        .look_for(mark, Duration::from_secs(patience), |e| {
            e["event"] == "file" && e["state"] == state
        })
        .unwrap_or_else(|| panic!("no file {state}: {}", member.story()))
}

/// Accepts what is offered; where it is then.
fn take(member: &mut Member, mark: usize, patience: u64) -> String {
    let offer = wait_file(member, mark, "offered", 30).event;
    member.command(&json!({"cmd": "accept", "file": offer["file"]}));
    text(&wait_file(member, mark, "received", patience).event["path"])
}

#[test]
fn a_file_goes_to_everybody_who_takes_it_under_a_safe_name() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let mut guest = Member::join(&home, "guest", &host.ticket(), &Options::silent());
    let mut other = Member::join(&home, "other", &host.ticket(), &Options::silent());
    for member in [&host, &guest, &other] {
        member.wait_connected(2);
    }
    let bytes = content(300_000);
    let path = home.file("..\\..\\.profile\u{202e}gpj.exe", &bytes);
    host.command(&json!({"cmd": "send", "path": path}));
    let refuses = wait_file(&other, 0, "offered", 30).event;
    let name = text(&refuses["name"]);
    assert!(
        !name.contains(['\\', '/', '\u{202e}']) && !name.starts_with('.'),
        "{name}"
    );
    other.command(&json!({"cmd": "decline", "file": refuses["file"]}));
    wait_file(&host, 0, "declined", 30);
    let received = take(&mut guest, 0, 60);
    assert_eq!(
        Path::new(&received).parent(),
        Some(guest.downloads.as_path()),
        "{received}"
    );
    assert!(fs::read(&received).unwrap() == bytes);
    wait_file(&host, 0, "delivered", 30);
    assert!(!other.downloads.exists());

    // Again under the same name: nothing is overwritten.
    let mark = guest.mark();
    fs::write(&path, content(1_000)).unwrap();
    host.command(&json!({"cmd": "send", "path": path, "to": guest.id()}));
    let second = take(&mut guest, mark, 60);
    assert_ne!(received, second);
    assert!(fs::read(&received).unwrap() == bytes && fs::read(second).unwrap().len() == 1_000);
    // What cannot be sent is explained.
    host.command(&json!({"cmd": "send", "path": home.path().join("none")}));
    host.wait("advice", |e| e["event"] == "error" && e["code"] == "file");
}

#[test]
fn five_megabytes_go_on_where_they_were_after_the_sender_is_killed() {
    let home = Scratch::new();
    let relay = Relay::start(&home, "nordlicht", "DE");
    let host = Member::found(&home, "host", &Options::silent().relay(&relay.descriptor));
    let ticket = host.ticket();
    let mut taker = Member::join(&home, "taker", &ticket, &Options::silent());
    taker.wait_joined();
    // Over the relay at first: slow enough to be killed in the middle.
    let slow = Options::silent().relay(&relay.descriptor).with(&["--no-direct"]);
    let mut sender = Member::join(&home, "sender", &ticket, &slow);
    sender.wait_connected(2);
    taker.wait_connected(2);
    let bytes = content(5 * MEBIBYTE);
    let path = home.file("five.bin", &bytes);
    sender.command(&json!({"cmd": "send", "path": path, "to": taker.id()}));
    let offer = wait_file(&taker, 0, "offered", 30).event;
    taker.command(&json!({"cmd": "accept", "file": offer["file"]}));
    let far = |e: &Value| e["state"] == "progress" && e["done"].as_u64() > Some(400_000);
    taker.look_for(0, Duration::from_secs(60), far).expect("progress");
    sender.kill();
    let part = fs::read_dir(&taker.downloads)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let before = fs::metadata(&part).unwrap().len();
    assert!(before >= 400_000 && before < bytes.len() as u64, "{before}");

    let again = Options {
        data_dir: Some(sender.data_dir.clone()),
        ..Options::silent()
    };
    let mark = taker.mark();
    let mut sender = Member::join(&home, "sender", &ticket, &again);
    sender.wait_connected(2);
    sender.command(&json!({"cmd": "send", "path": path, "to": taker.id()}));
    // Nobody is asked again, and nothing that was there is sent again.
    let first = taker
        .wait_since(mark, "progress", |e| e["state"] == "progress")
        .event;
    assert!(first["done"].as_u64() >= Some(before), "{first} after {before}");
    let received = text(&wait_file(&taker, mark, "received", 90).event["path"]);
    assert!(fs::read(received).unwrap() == bytes);
    wait_file(&sender, 0, "delivered", 30);
    assert!(!part.exists());
}

#[test]
fn a_voice_is_not_disturbed_by_a_transfer_on_the_same_link() {
    let home = Scratch::new();
    let clip = home.path().join("babble.wav");
    write_clip(&clip, &babble("alice", 40.0));
    let mut host = Member::found(&home, "host", &Options::says(&clip));
    let mut guest = Member::join(&home, "guest", &host.ticket(), &Options::default());
    guest.wait_connected(1);
    host.wait_connected(1);
    std::thread::sleep(Duration::from_secs(4));
    let host_id = host.id();
    let figures =
        |guest: &Member| ["received", "lost", "concealed"].map(|figure| guest.reception(&host_id, figure));
    let before = figures(&guest);
    let bytes = content(40 * MEBIBYTE);
    let path = home.file("big.bin", &bytes);
    host.command(&json!({"cmd": "send", "path": path}));
    let started = std::time::Instant::now();
    let received = take(&mut guest, 0, 120);
    let took = started.elapsed();
    std::thread::sleep(Duration::from_millis(2_100));
    let after = figures(&guest);
    assert!(fs::read(received).unwrap() == bytes);
    println!(
        "40 MiB in {took:?} ({:.1} MB/s); audio before {before:?}, after {after:?} (received, lost, concealed)",
        bytes.len() as f64 / took.as_secs_f64() / 1e6
    );
    assert_eq!(after[1], before[1], "frames were lost");
    assert!(
        after[2] <= before[2] + 5,
        "{} frames were concealed",
        after[2] - before[2]
    );
}
