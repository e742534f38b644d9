//! Bad files, descriptors and surroundings: one clear message each, a stable status, an `error` event, and nothing lost.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use subrosa_node::{audio::resample::resample, driver::clock::unix_now};
use subrosa_proto::{identity::Identity, policy::SignedDescriptor, time::UnixSeconds, wire::armor};

use crate::support::{
    Finished, Scratch,
    hearing::{assert_heard, speech, write_at},
    isolated,
    member::{Member, Options, text},
    process::{Process, unix_now as now},
    relay::{Relay, Trap, paper},
    run,
};

fn last_error(finished: &Finished) -> Value {
    let lines = finished.stdout.lines().rev();
    lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["event"] == "error")
        .unwrap_or_else(|| panic!("no error event: {finished:?}"))
}

/// Runs headless; must fail with this status and code. The message and the advice.
fn fails(home: &Scratch, arguments: &[&str], status: i32, code: &str) -> String {
    let mut all = arguments.to_vec();
    all.extend([
        "--headless",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--leave-after",
        "1",
    ]);
    if !arguments.contains(&"--audio") {
        all.extend(["--audio", "null"]);
    }
    let finished = run(home, &all);
    assert_eq!(finished.status, status, "{finished:?}");
    let error = last_error(&finished);
    assert_eq!(error["code"], code, "{finished:?}");
    let (message, hint) = (text(&error["message"]), text(&error["hint"]));
    assert!(!message.is_empty() && !hint.is_empty(), "{error}");
    format!("{message}; {hint}")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("our own name")
}

#[test]
fn a_wav_file_of_another_rate_is_resampled() {
    let home = Scratch::new();
    let said = speech("bob");
    let clip = home.path().join("clip.wav");
    write_at(
        &clip,
        &resample(&said, 48_000, 22_050).expect("a plausible rate"),
        22_050,
    );
    let host = Member::found(&home, "host", &Options::says(&clip));
    let guest = Member::join(&home, "guest", &host.ticket(), &Options::default());
    let end = host.clip_began() + said.len() as f64 / 48_000.0;
    guest.wait_connected(1);
    thread::sleep(Duration::from_secs_f64((end + 1.5 - now()).max(0.0)));
    // The first syllables may be spoken before the guest's keys are there.
    assert_heard(&guest, &said[24_000..], "22.05 kHz");
}

#[test]
fn a_policy_file_with_an_unknown_key_or_country_is_explained() {
    let home = Scratch::new();
    let known = home.file(
        "known.toml",
        "hosting = [\"DE\"]\nlegal_seat = [\"EU\"]\nparent_seat = [\"EU\"]\n",
    );
    let key = home.file("key.toml", "hosting = [\"DE\"]\nlegal_sea = [\"EU\"]\n");
    let country = home.file("country.toml", "hosting = [\"DE\", \"XX\"]\n");
    let message = fails(&home, &["new", "--policy", path(&key)], 51, "config");
    for expected in ["key.toml", "legal_sea", "legal_seat"] {
        assert!(message.contains(expected), "{message}");
    }
    let message = fails(&home, &["new", "--policy", path(&country)], 51, "config");
    assert!(
        message.contains("country.toml") && message.contains("XX"),
        "{message}"
    );
    let message = fails(&home, &["new", "--policy", "/nowhere/policy.toml"], 51, "config");
    assert!(message.contains("/nowhere/policy.toml"), "{message}");
    drop(known);
}

#[test]
fn a_relay_file_with_an_unknown_key_or_country_is_explained() {
    let home = Scratch::new();
    let valid = "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\nhosting = \"DE\"\n[operator]\nname = \"N\"\n\
                 contact = \"mailto:n@example.org\"\nlegal_seat = \"DE\"\n";
    for (name, content, expected) in [
        ("key.toml", valid.replace("hosting", "hostin"), "hosting"),
        ("country.toml", valid.replace("\"DE\"\n[", "\"XX\"\n["), "XX"),
    ] {
        let file = home.file(name, content);
        let finished = run(&home, &["relay", "--json", "--config", path(&file)]);
        assert_eq!(finished.status, 51, "{finished:?}");
        let error = last_error(&finished);
        assert_eq!(error["code"], "config", "{error}");
        let message = text(&error["message"]);
        assert!(message.contains(name) && message.contains(expected), "{message}");
    }
}

#[test]
fn a_descriptor_that_is_damaged_forged_or_expired_is_explained_and_its_relay_gets_no_packet() {
    let home = Scratch::new();
    let trap = Trap::new();
    let relay = Identity::from_seed(&[4; 32]);
    let good = paper(&relay, trap.address(), "Paper", "DE", |_| {}).to_text();
    let fails = |line: &str| fails(&home, &["new", "--relay", line], 26, "descriptor");

    let message = fails(&good[..good.len() - 10]);
    assert!(message.contains("cannot be used"), "{message}");
    let expired = paper(&relay, trap.address(), "Paper", "DE", |descriptor| {
        descriptor.valid_from = UnixSeconds(unix_now().0 - 7_200);
        descriptor.valid_until = UnixSeconds(unix_now().0 - 3_600);
    });
    let message = fails(&expired.to_text());
    assert!(message.contains("expired"), "{message}");
    // Undamaged, yet not what the relay signed: another country, with a checksum that fits.
    let prefix = "subrosa-relay:";
    let (version, payload) = armor::read(prefix, &good).expect("undamaged");
    let mut altered = payload.to_vec();
    let place = altered
        .windows(2)
        .position(|pair| pair == b"DE")
        .expect("it says DE");
    altered[place..place + 2].copy_from_slice(b"FR");
    let forged = armor::write(prefix, version, &altered);
    assert!(SignedDescriptor::from_text(&forged).is_ok(), "its form is good");
    let message = fails(&forged);
    assert!(
        message.contains("sign") || message.contains("forged"),
        "{message}"
    );
    let message = fails("127.0.0.1:9");
    assert!(message.contains("descriptor"), "{message}");
    assert_eq!(trap.packets(), 0);
}

#[test]
fn a_replayed_descriptor_does_not_take_back_what_its_relay_said_later() {
    let home = Scratch::new();
    let trap = Trap::new();
    let relay = Identity::from_seed(&[5; 32]);
    let before = paper(&relay, trap.address(), "Mover", "DE", |descriptor| {
        descriptor.sequence = 6;
    });
    let hash = before.clone().verify(unix_now()).expect("valid").hash();
    let now_abroad = paper(&relay, trap.address(), "Mover", "US", |descriptor| {
        descriptor.sequence = 7;
        descriptor.previous = Some(hash);
    });
    // In the order in which they were made, the later one counts.
    let options = Options::silent()
        .with(&["--policy", "eea"])
        .relay(&before.to_text())
        .relay(&now_abroad.to_text());
    let mut host = Member::found(&home, "host", &options);
    let refused = host.wait_for("refused").event;
    assert_eq!(refused["clause"], "hosting", "{refused}");
    // A member who brings the old one does not change that.
    let replayer = Options::silent().relay(&before.to_text());
    let mut guest = Member::join(&home, "guest", &host.ticket(), &replayer);
    guest.wait_connected(1);
    thread::sleep(Duration::from_secs(1));
    guest.leave();
    let _ = trap.packets();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(
        trap.packets(),
        0,
        "dialled by its old descriptor\n{}",
        host.story()
    );
    host.leave();
    // Whoever is handed the old one while the newer one is known is told.
    let arguments = [
        "new",
        "--policy",
        "eea",
        "--relay",
        &now_abroad.to_text(),
        "--relay",
        &before.to_text(),
    ];
    let message = fails(&home, &arguments, 26, "descriptor");
    assert!(message.contains("is old"), "{message}");
}

#[test]
fn a_relay_that_is_down_is_named_and_does_not_hold_up_a_direct_call() {
    let home = Scratch::new();
    let gone = {
        let relay = Relay::start(&home, "Sleeper", "DE");
        relay.descriptor.clone()
    };
    let host = Member::found(&home, "host", &Options::silent().relay(&gone));
    let ticket = host.ticket();
    let direct = Member::join(&home, "direct", &ticket, &Options::silent());
    direct.wait_connected(1);
    let mut hidden = Member::join(
        &home,
        "hidden",
        &ticket,
        &Options::silent().with(&["--no-direct"]),
    );
    assert_eq!(hidden.wait_end(), 20, "{}", hidden.story());
    let error = hidden.wait_for("error").event;
    assert_eq!(error["code"], "unreachable", "{error}");
    assert!(text(&error["message"]).contains("Sleeper"), "{error}");
}

#[test]
fn a_missing_audio_server_is_explained() {
    let home = Scratch::new();
    let message = fails(&home, &["new", "--audio", "pulse"], 41, "audio_device");
    assert!(
        message.contains("audio") || message.contains("sound"),
        "{message}"
    );
}

#[test]
fn a_line_that_is_no_command_is_answered_and_the_meeting_goes_on() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    host.wait_joined();
    for line in ["dance", r#"{"cmd":"admit","member":"12"}"#, r#"{"cmd":"remove"}"#] {
        let mark = host.mark();
        host.say(line);
        let error = host.wait_since(mark, "error", |e| e["event"] == "error").event;
        assert_eq!(error["code"], "bad_command", "{error}");
    }
    let guest = Member::join(&home, "guest", &host.ticket(), &Options::silent());
    guest.wait_joined();
    host.leave();
}

/// Runs `subrosa ARGUMENTS` with a disk of `free_kib` KiB at `mount`, in a mount namespace of its own. `None` where the
/// system does not allow that.
fn with_small_disk(home: &Scratch, mount: &Path, free_kib: u32, arguments: &[&str]) -> Option<Process> {
    let allowed = Command::new("unshare")
        .args(["-rm", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        crate::support::skipped("a full disk", "this system allows no mount namespaces");
        return None;
    }
    let mut command = isolated(Command::new("unshare"), home);
    // A tmpfs has no size of zero: the rest is filled.
    let script = "mount -t tmpfs -o size=512k none \"$0\" && head -c \"$1\" /dev/zero > \"$0/filler\" && shift && exec \"$@\"";
    let filler = (512 - free_kib) * 1_024;
    command.args(["-rm", "sh", "-c", script, path(mount), &filler.to_string()]);
    command.arg(crate::support::binary());
    let mut arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
    let always = [
        "--headless",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--leave-after",
        "60",
    ];
    arguments.extend(always.map(str::to_owned));
    Some(Process::start_with(command, home, "host", &arguments))
}

#[test]
fn a_full_disk_at_the_start_is_explained() {
    let home = Scratch::new();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).expect("writable");
    let data = disk.join("data");
    let arguments = ["new", "--audio", "null", "--data-dir", path(&data)];
    let Some(mut host) = with_small_disk(&home, &disk, 0, &arguments) else {
        return;
    };
    let status = host.wait_end();
    let error = host.wait("error", |e| e["event"] == "error").event;
    assert_eq!(
        (status, text(&error["code"]).as_str()),
        (50, "storage"),
        "{}",
        host.story()
    );
    assert!(text(&error["hint"]).contains("space"), "{error}");
}

#[test]
fn a_ticket_that_cannot_be_kept_is_told_and_the_meeting_goes_on() {
    let home = Scratch::new();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).expect("writable");
    let data = disk.join("data");
    let arguments = [
        "new",
        "--admit",
        "ticket",
        "--audio",
        "null",
        "--data-dir",
        path(&data),
    ];
    // One page: the identity fits, the ticket does not.
    let Some(mut host) = with_small_disk(&home, &disk, 4, &arguments) else {
        return;
    };
    let error = host.wait("error", |e| e["event"] == "error").event;
    assert_eq!(error["code"], "storage", "{}", host.story());
    let ticket = text(&host.wait("ticket", |e| e["event"] == "ticket").event["ticket"]);
    let guest = Member::join(&home, "guest", &ticket, &Options::silent());
    guest.wait_connected(1);
    host.say(r#"{"cmd":"leave"}"#);
    assert_eq!(host.wait_end(), 0, "{}", host.story());
}

#[test]
fn a_disk_that_fills_up_while_recording_is_told_and_the_call_goes_on() {
    let home = Scratch::new();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).expect("writable");
    let audio = format!("file:,{}", disk.join("heard.wav").display());
    let data = home.path().join("host");
    let arguments = [
        "new",
        "--admit",
        "ticket",
        "--audio",
        &audio,
        "--data-dir",
        path(&data),
    ];
    // 256 KiB are less than three seconds.
    let Some(mut host) = with_small_disk(&home, &disk, 256, &arguments) else {
        return;
    };
    let error = host.wait("error", |e| e["event"] == "error").event;
    assert_eq!(error["code"], "audio_file", "{}", host.story());
    assert!(text(&error["message"]).contains("heard.wav"), "{error}");
    let ticket = text(&host.wait("ticket", |e| e["event"] == "ticket").event["ticket"]);
    let guest = Member::join(&home, "guest", &ticket, &Options::silent());
    guest.wait_connected(1);
    host.say(r#"{"cmd":"leave"}"#);
    assert_eq!(host.wait_end(), 0, "{}", host.story());
    let errors = host
        .said()
        .into_iter()
        .filter(|said| said.event["event"] == "error")
        .count();
    assert!(errors <= 2, "one message, not a flood\n{}", host.story());
}
