//! A relay that alters what it forwards: nothing altered is heard, the relay is named, and another path takes over.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use subrosa_proto::{
    ids::MemberId,
    meeting::participant::Event,
    wire::media_packet::{HEADER_BYTES, MediaKind},
};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    hostile_relay::HostileRelay,
    member::{Member, Options},
    peer::{Peer, PeerOptions},
};

const OPERATOR: &str = "Loki";

fn speaker(home: &Scratch, relays: &[&HostileRelay]) -> Member {
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", 40.0));
    let options = Options::says(&clip).with(&["--no-direct"]);
    let options = relays.iter().fold(options, |options, relay| {
        options.relay(&relay.descriptor.to_text())
    });
    Member::found(home, "speaker", &options)
}

fn hidden() -> PeerOptions {
    PeerOptions {
        direct: false,
        ..PeerOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_with_any_altered_byte_is_accepted_and_the_relay_is_named() {
    let home = Scratch::new();
    let relay = HostileRelay::start(0x91, OPERATOR);
    let host = speaker(&home, &[&relay]);
    let sender: MemberId = host.id().parse().expect("an identity");
    // Three of four frames come with one byte changed: every byte in turn, first to last. The fourth comes whole, so that
    // the relay is not dropped at once.
    let log = Arc::new(Mutex::new(Log::default()));
    relay.alter(Box::new({
        let log = Arc::clone(&log);
        move |datagram| Some(lock(&log).alter(datagram))
    }));
    let all_altered = || {
        let log = lock(&log);
        log.altered > log.longest + HEADER_BYTES && log.seen > 100
    };
    let (mut listeners, mut opened, mut tampered) = (0, 0, 0);
    while !all_altered() {
        // A listener who has had enough of the relay is followed by the next.
        listeners += 1;
        assert!(
            listeners < 30,
            "{} of {} bytes",
            lock(&log).altered,
            lock(&log).longest
        );
        let mut listener = Peer::join("listener", &host.ticket(), hidden());
        listener
            .run_until("tampering", |peer| {
                all_altered() || peer.events.iter().any(is_cut_off)
            })
            .await;
        let counters = listener.counters(sender);
        let log = lock(&log);
        let received = listener.datagrams.iter();
        let whole = received
            .filter(|(_, _, datagram)| !log.changed.contains(&datagram[..]))
            .count();
        assert!(
            counters.opened <= whole as u64,
            "of {whole} whole ones: {counters:?}"
        );
        opened += counters.opened;
        tampered += counters.tampered;
    }
    {
        let log = lock(&log);
        println!(
            "{} altered of at most {} bytes, {listeners} listeners; {opened} opened, {tampered} tampered",
            log.altered, log.longest
        );
        // All but those whose track nobody knows any more, or whose kind or key does not exist, were seen to be altered.
        assert!(opened > 0 && tampered > log.altered as u64 / 2);
    }

    // When it does nothing else any more, it is named.
    relay.alter(Box::new(|datagram| Some(flip_last(datagram))));
    let mut listener = Peer::join("listener", &host.ticket(), hidden());
    listener
        .run_until("accusation of the relay", |peer| is_accused(peer, OPERATOR))
        .await;
}

/// What the relay did.
#[derive(Default)]
struct Log {
    seen: usize,
    altered: usize,
    longest: usize,
    changed: HashSet<Vec<u8>>,
}

impl Log {
    fn alter(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut copy = datagram.to_vec();
        // Without signatures the relay would be dropped at once.
        if datagram[0] == MediaKind::SourceAuthentication as u8 {
            return copy;
        }
        self.seen += 1;
        self.longest = self.longest.max(datagram.len());
        if !self.seen.is_multiple_of(4) {
            copy[self.altered % datagram.len()] ^= 1 << (self.altered % 8);
            self.altered += 1;
            self.changed.insert(copy.clone());
        }
        copy
    }
}

/// Nothing leads to the speaker any more.
fn is_cut_off(event: &Event) -> bool {
    matches!(event, Event::Route { paths, .. } if paths.is_empty())
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn flip_last(datagram: &[u8]) -> Vec<u8> {
    let mut altered = datagram.to_vec();
    if let Some(last) = altered.last_mut() {
        *last ^= 1;
    }
    altered
}

fn is_accused(peer: &Peer, operator: &str) -> bool {
    let named = |event: &Event| matches!(event, Event::Fault { code: "tampering", message, .. } if message.contains(operator));
    peer.events.iter().any(named)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_frames_are_heard_once() {
    let home = Scratch::new();
    let relay = HostileRelay::start(0x92, OPERATOR);
    let host = speaker(&home, &[&relay]);
    let sender: MemberId = host.id().parse().expect("an identity");
    let mut listener = Peer::join("listener", &host.ticket(), hidden());
    listener.run_until("sound", |peer| peer.media.len() > 100).await;
    // The relay replaces each second datagram by an old one.
    let mut kept: Vec<Vec<u8>> = Vec::new();
    relay.alter(Box::new(move |datagram| {
        kept.push(datagram.to_vec());
        let n = kept.len();
        Some(if n.is_multiple_of(2) {
            kept[n / 2].clone()
        } else {
            datagram.to_vec()
        })
    }));
    let from = listener.counters(sender);
    listener.run_for(Duration::from_secs(4)).await;
    let after = listener.counters(sender);
    assert!(after.duplicates > from.duplicates + 50, "{from:?} → {after:?}");
    let mut payloads: Vec<_> = listener.media.iter().map(|(_, frame)| &frame.payload).collect();
    let all = payloads.len();
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len(), all, "a frame was handed on twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_goes_on_over_an_honest_relay() {
    let home = Scratch::new();
    let relays = [
        HostileRelay::start(0x93, OPERATOR),
        HostileRelay::start(0x94, "Baldur"),
    ];
    let host = speaker(&home, &[&relays[0], &relays[1]]);
    let mut listener = Peer::join("listener", &host.ticket(), hidden());
    listener.run_until("sound", |peer| peer.media.len() > 100).await;
    relays[0].alter(Box::new(|datagram| Some(flip_last(datagram))));
    let from = listener.media.len();
    listener.run_for(Duration::from_secs(5)).await;
    let heard = listener.media.len() - from;
    assert!(heard > 200, "{heard} of 250 frames in 5 s");
    listener
        .run_until("accusation of the relay", |peer| is_accused(peer, OPERATOR))
        .await;
}
