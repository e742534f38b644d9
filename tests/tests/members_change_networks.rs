//! Members who change their network while they are in a meeting: back within five seconds, without joining again. Needs root
//! and iproute2; says so loudly where they are missing.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options},
    nat::{Internet, internet_for},
    operated::Operated,
};

/// Whoever changed its network is heard again within so long.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Frames that show that somebody is heard: more than may have come before the change and are not told yet (figures come every
/// two seconds).
const FRAMES: u64 = 150;
/// What these frames and the figures take.
const SHOWN_AFTER: Duration = Duration::from_secs(4);
/// The length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Where the relay is.
const RELAY: u8 = 250;

/// A relay, a host and a guest who both speak, each on the backbone: at .250, .1 and .2.
struct Meeting {
    internet: Internet,
    places: (String, String),
    _relay: Option<Operated>,
    host: Member,
    guest: Member,
}

impl Meeting {
    fn begin(name: &str, home: &Scratch, clip: &Path, with_relay: bool) -> Option<Self> {
        let lay = |internet: &mut Internet| {
            Ok((
                internet.machine(RELAY)?,
                (internet.machine(1)?, internet.machine(2)?),
            ))
        };
        let (internet, (relay_place, places)) = internet_for(name, lay)?;
        write_clip(clip, &babble("alice", 60.0));
        let at = |place: &str, options: Options| Options {
            namespace: Some(place.to_owned()),
            ..options.with(&["--listen", "0.0.0.0:0", "--discovery", "off"])
        };
        let relay = with_relay.then(|| {
            let listen = format!("198.51.100.{RELAY}:4433");
            Operated::start_in(home, &relay_place, "backbone", &listen, "", "")
        });
        let speaks = Options::says(clip);
        let options = match &relay {
            Some(relay) => speaks.clone().relay(&relay.descriptor),
            None => speaks.clone(),
        };
        let host = Member::found(home, "host", &at(&places.0, options));
        let guest = Member::join(home, "guest", &host.ticket(), &at(&places.1, speaks));
        for (member, other) in [(&host, &guest), (&guest, &host)] {
            member.wait("a direct path", |e| {
                e["event"] == "route" && e["path"] == "direct"
            });
            assert!(
                received_more(member, other, Duration::from_secs(10)),
                "{}",
                member.story()
            );
        }
        Some(Self {
            internet,
            places,
            _relay: relay,
            host,
            guest,
        })
    }

    /// Makes a change, and waits until both hear each other again.
    fn survives(&self, what: &str, change: impl FnOnce(&Internet)) {
        let pairs = [(&self.host, &self.guest), (&self.guest, &self.host)];
        let lost = || pairs.map(|(member, other)| member.reception(&other.id(), "lost"));
        let before = lost();
        change(&self.internet);
        let began = Instant::now();
        for (member, other) in pairs {
            let left = Duration::from_secs(25).saturating_sub(began.elapsed());
            assert!(received_more(member, other, left), "{}", member.story());
        }
        let took = began.elapsed().saturating_sub(SHOWN_AFTER);
        let gaps: Vec<Duration> = lost()
            .iter()
            .zip(before)
            .map(|(after, before)| FRAME * u32::try_from(after - before).unwrap_or(u32::MAX))
            .collect();
        println!("{what}: both heard again within {took:.1?}, lost {gaps:.2?}");
        assert!(took < BACK_WITHIN, "{what}: {took:?}");
        assert!(gaps.iter().all(|gap| *gap < BACK_WITHIN), "{what}: {gaps:?}");
    }
}

/// Whether the speaker is heard within `patience`.
fn received_more(listener: &Member, speaker: &Member, patience: Duration) -> bool {
    let id = speaker.id();
    let until = Instant::now() + patience;
    let before = listener.reception(&id, "received");
    while Instant::now() < until {
        if listener.reception(&id, "received") > before + FRAMES {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

#[test]
fn a_host_that_changes_its_network_is_heard_again_though_there_is_no_relay() {
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    let name = "a_host_that_changes_its_network_is_heard_again_though_there_is_no_relay";
    let Some(meeting) = Meeting::begin(name, &home, &clip, false) else {
        return;
    };
    meeting.survives("the host moves", |internet| {
        internet.renumber(&meeting.places.0, 1, 101);
    });
    meeting.survives("the guest moves", |internet| {
        internet.renumber(&meeting.places.1, 2, 102);
    });
}

#[test]
fn two_who_change_their_networks_at_once_meet_again_by_the_relay() {
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    let name = "two_who_change_their_networks_at_once_meet_again_by_the_relay";
    let Some(meeting) = Meeting::begin(name, &home, &clip, true) else {
        return;
    };
    let marks = [meeting.host.mark(), meeting.guest.mark()];
    let changed = Instant::now();
    meeting.survives("both move", |internet| {
        internet.renumber(&meeting.places.0, 1, 101);
        internet.renumber(&meeting.places.1, 2, 102);
    });
    for (member, mark) in [&meeting.host, &meeting.guest].into_iter().zip(marks) {
        // If the direct path was given up meanwhile, it is there again.
        let lost = member.look_for(mark, Duration::from_secs(2), |e| {
            e["event"] == "route" && e["path"] != "direct"
        });
        if lost.is_some() {
            member.wait_since(mark, "a direct path", |e| {
                e["event"] == "route" && e["path"] == "direct"
            });
        }
    }
    println!("direct again after {:.2} s", changed.elapsed().as_secs_f64());
}
