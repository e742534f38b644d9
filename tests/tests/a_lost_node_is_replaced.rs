//! SIGKILL in the middle of a call: of a relay, and of a participant.

use std::{thread, time::Duration};

use crate::support::{
    Scratch,
    hearing::{assert_heard, babble, longest_gap, pieces, share_heard, speech, write_clip},
    member::{Member, Options},
    process::unix_now,
    relay::Relay,
};

/// Longest silence that the loss of a relay may cause, in seconds: the promise.
const REPLACED_SECONDS: f64 = 1.0;

#[test]
fn a_relay_killed_in_mid_call_is_replaced_within_one_second() {
    killed_relays_are_replaced(&[("First", "DE"), ("Second", "FR")], 1);
}

/// No path in use survives: a relay that carried nothing so far takes over.
#[test]
fn two_relays_killed_at_once_are_replaced_by_a_third_within_one_second() {
    killed_relays_are_replaced(&[("First", "DE"), ("Second", "FR"), ("Third", "NL")], 2);
}

/// A call between two that only relays connect; the first `victims` of the relays that carry it are killed at one blow.
fn killed_relays_are_replaced(relays: &[(&str, &str)], victims: usize) {
    const BEFORE_SECONDS: f64 = 6.0;
    const AFTER_SECONDS: f64 = 6.0;
    let home = Scratch::new();
    let mut relays: Vec<(&str, Relay)> = relays
        .iter()
        .map(|(operator, country)| (*operator, Relay::start(&home, operator, country)))
        .collect();
    let sound = babble("bob", 40.0);
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &sound);
    let with_relays = |options: Options| {
        let options = options.with(&["--no-direct", "--policy", "eea"]);
        relays
            .iter()
            .fold(options, |options, (_, relay)| options.relay(&relay.descriptor))
    };
    let speaker = Member::found(&home, "speaker", &with_relays(Options::says(&clip)));
    let listener = Member::join(
        &home,
        "listener",
        &speaker.ticket(),
        &with_relays(Options::default()),
    );
    listener.wait_connected(1);
    let began = speaker.clip_began();
    thread::sleep(Duration::from_secs_f64(
        (began + BEFORE_SECONDS - unix_now()).max(0.0),
    ));

    let via = via(&listener);
    let mut left = victims;
    for (operator, relay) in &mut relays {
        if left > 0 && via.contains(*operator) {
            relay.kill();
            left -= 1;
        }
    }
    assert_eq!(left, 0, "only {via:?} carried the call\n{}", listener.story());
    let killed = unix_now() - began;
    thread::sleep(Duration::from_secs_f64(AFTER_SECONDS + 1.5));

    let pieces = pieces(&speaker, &sound, &listener);
    let before = share_heard(&pieces, 2.0, killed - 0.5);
    let after = share_heard(&pieces, killed + 2.0, killed + AFTER_SECONDS);
    let gap = longest_gap(&pieces, killed - 0.5, killed + AFTER_SECONDS);
    println!(
        "via {via}: {victims} killed at {killed:.2} s; heard before {before:.2}, after {after:.2}; gap {gap:.1} s"
    );
    assert!(before > 0.9, "heard {before} before\n{}", listener.story());
    assert!(after > 0.9, "heard {after} after\n{}", listener.story());
    assert!(
        gap <= REPLACED_SECONDS,
        "a gap of {gap:.1} s\n{}",
        listener.story()
    );
}

/// The operators of the relays over which a member hears its peer at present.
fn via(member: &Member) -> String {
    let routes = member.said().into_iter().rev();
    let route = routes
        .map(|said| said.event)
        .find(|event| event["event"] == "route");
    route.expect("a route")["via"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_participant_killed_and_started_again_comes_back_and_is_heard() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::default());
    let ticket = host.ticket();
    let (first, second) = (speech("alice"), speech("bob"));
    let clips = [home.path().join("first.wav"), home.path().join("second.wav")];
    write_clip(&clips[0], &first);
    write_clip(&clips[1], &second);
    let data_dir = home.path().join("guest");
    let options = |clip: &std::path::Path| Options {
        data_dir: Some(data_dir.clone()),
        ..Options::says(clip)
    };
    let mut guest = Member::join(&home, "guest", &ticket, &options(&clips[0]));
    guest.wait_connected(1);
    let id = guest.id();
    thread::sleep(Duration::from_secs(3));
    guest.kill();

    let again = Member::join(&home, "guest", &ticket, &options(&clips[1]));
    again.wait_joined();
    assert_eq!(again.id(), id, "the same identity");
    again.wait_connected(1);
    let end = again.clip_began() + second.len() as f64 / 48_000.0;
    thread::sleep(Duration::from_secs_f64((end + 1.5 - unix_now()).max(0.0)));
    assert_heard(&host, &first[..48_000 * 2], "before");
    assert_heard(&host, &second, "after");
    assert_eq!(host.safety_code(), again.safety_code());
    // One member, not two.
    let members = host
        .said()
        .into_iter()
        .rev()
        .find(|said| said.event["event"] == "safety_code");
    assert_eq!(members.expect("told").event["members"], 2, "{}", host.story());
}
