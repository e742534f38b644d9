//! A relay that alters what it forwards: nothing altered is heard, the relay is named, and another path takes over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use subrosa_proto::{ids::MemberId, meeting::participant::Event, wire::media_packet::HEADER_BYTES};

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
    let mut listener = Peer::join("listener", &host.ticket(), hidden());
    listener.run_until("sound", |peer| peer.media.len() > 50).await;

    // From now on each datagram comes with one byte changed: every byte in turn, first to last.
    let (next, longest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    relay.alter(Box::new({
        let (next, longest) = (Arc::clone(&next), Arc::clone(&longest));
        move |datagram| {
            let mut altered = datagram.to_vec();
            let n = next.fetch_add(1, Ordering::Relaxed);
            longest.fetch_max(datagram.len(), Ordering::Relaxed);
            altered[n % datagram.len()] ^= 1 << (n % 8);
            Some(altered)
        }
    }));
    // What was on its way may still arrive whole.
    listener.run_for(Duration::from_millis(500)).await;
    let (from, skipped) = (listener.media.len(), next.load(Ordering::Relaxed));
    let before = listener.counters(sender);
    listener
        .run_until("every byte altered", |_| {
            next.load(Ordering::Relaxed) > skipped + longest.load(Ordering::Relaxed) + HEADER_BYTES
        })
        .await;
    let after = listener.counters(sender);
    let altered = next.load(Ordering::Relaxed) - skipped;
    println!(
        "{altered} altered datagrams of at most {} bytes: {before:?} → {after:?}",
        longest.load(Ordering::Relaxed)
    );
    assert_eq!(listener.media.len(), from, "altered frames were accepted");
    assert_eq!(after.opened, before.opened);
    // All but those whose track nobody knows any more, or whose kind or key does not exist, were seen to be altered.
    assert!(
        after.tampered > before.tampered + altered as u64 / 2,
        "{before:?} → {after:?}"
    );
    let named = |event: &Event| matches!(event, Event::Fault { code: "tampering", message, .. } if message.contains(OPERATOR));
    assert!(listener.events.iter().any(named), "{:#?}", listener.events);

    // Honest again, it is used again: nothing was broken by what it did.
    relay.alter(Box::new(|datagram| Some(datagram.to_vec())));
    listener
        .run_until("sound again", |peer| peer.media.len() > from + 50)
        .await;
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
    relays[0].alter(Box::new(|datagram| {
        let mut altered = datagram.to_vec();
        if let Some(last) = altered.last_mut() {
            *last ^= 1;
        }
        Some(altered)
    }));
    let from = listener.media.len();
    listener.run_for(Duration::from_secs(5)).await;
    let heard = listener.media.len() - from;
    assert!(heard > 200, "{heard} of 250 frames in 5 s");
    let named = |event: &Event| matches!(event, Event::Fault { code: "tampering", message, .. } if message.contains(OPERATOR));
    assert!(listener.events.iter().any(named), "{:#?}", listener.events);
}
