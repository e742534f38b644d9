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
/// Frames that show that somebody is heard: more than may have come before the change and are not told yet. Figures come every
/// two seconds, and are up to two seconds old then.
const FRAMES: u64 = 250;
/// What these frames and the figures take at most.
const SHOWN_AFTER: Duration = Duration::from_secs(9);
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
        for member in [&host, &guest] {
            member.wait("a direct path", |e| {
                e["event"] == "route" && e["path"] == "direct"
            });
        }
        let meeting = Self {
            internet,
            places,
            _relay: relay,
            host,
            guest,
        };
        meeting.wait_heard(meeting.figures("received"), 2 * SHOWN_AFTER);
        Some(meeting)
    }

    /// Who listens, and to whom.
    fn pairs(&self) -> [(&Member, &Member); 2] {
        [(&self.host, &self.guest), (&self.guest, &self.host)]
    }

    /// A figure of both.
    fn figures(&self, name: &str) -> [u64; 2] {
        self.pairs()
            .map(|(listener, speaker)| listener.reception(&speaker.id(), name))
    }

    /// Waits until both have heard so much more than `before` that they certainly hear each other.
    fn wait_heard(&self, before: [u64; 2], patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let heard = self.figures("received");
            let Some(deaf) = (0..2).find(|way| heard[*way] <= before[*way] + FRAMES) else {
                return;
            };
            assert!(Instant::now() < until, "{}", self.pairs()[deaf].0.story());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a change, and waits until both hear each other again.
    fn survives(&self, what: &str, change: impl FnOnce(&Internet)) {
        let (lost, received) = (self.figures("lost"), self.figures("received"));
        change(&self.internet);
        let began = Instant::now();
        self.wait_heard(received, SHOWN_AFTER + 4 * BACK_WITHIN);
        let took = began.elapsed().saturating_sub(SHOWN_AFTER);
        let frames = |now: u64, before: u64| u32::try_from(now - before).unwrap_or(u32::MAX);
        let gaps: Vec<Duration> = self
            .figures("lost")
            .into_iter()
            .zip(lost)
            .map(|(now, before)| FRAME * frames(now, before))
            .collect();
        println!("{what}: both heard again within {took:.1?}, lost {gaps:.2?}");
        let stories = || self.pairs().map(|(member, _)| member.story()).join("\n");
        assert!(took < BACK_WITHIN, "{what}: {took:?}\n{}", stories());
        let back = gaps.iter().all(|gap| *gap < BACK_WITHIN);
        assert!(back, "{what}: {gaps:?}\n{}", stories());
    }
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
