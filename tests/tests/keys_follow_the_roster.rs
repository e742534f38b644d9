//! Who is out decrypts nothing that comes later; who comes decrypts nothing that came before.

use std::time::Duration;

use subrosa_proto::{ids::MemberId, wire::media_packet::MediaHeader};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options},
    peer::{Peer, PeerOptions},
    process::unix_now,
    relay::Relay,
};

/// How long after the removal sound may still be decrypted, in seconds: the promise.
const REMOVAL_SECONDS: f64 = 1.0;

fn speaker(home: &Scratch, seconds: f64) -> Options {
    let clip = home.unused("clip.wav");
    write_clip(&clip, &babble("alice", seconds));
    Options::says(&clip)
}

/// The host removes a member who closes nothing, forgets nothing and does not listen to the news.
async fn stubborn_member_hears_nothing(options: PeerOptions, relay: Option<&Relay>) {
    let home = Scratch::new();
    let mut talker = speaker(&home, 40.0);
    if let Some(relay) = relay {
        talker = talker.relay(&relay.descriptor);
    }
    let mut host = Member::found(&home, "host", &talker);
    let mut stubborn = Peer::join("stubborn", &host.ticket(), options);
    stubborn.stubborn = true;
    let bystander = Member::join(&home, "bystander", &host.ticket(), &Options::silent());
    stubborn.run_until("sound", |peer| peer.media.len() > 100).await;
    bystander.wait_connected(1);

    let mark = host.mark();
    host.about("remove", &stubborn.id());
    let removed = loop {
        stubborn.run_for(Duration::from_millis(20)).await;
        let gone = |e: &serde_json::Value| e["event"] == "member" && e["state"] == "removed";
        if let Some(said) = host.look_for(mark, Duration::ZERO, gone) {
            break said.unix;
        }
    };
    stubborn.run_for(Duration::from_secs(6)).await;
    let last = stubborn.media.last().map_or(0.0, |(at, _)| *at);
    println!("last frame {:.3} s after the removal", last - removed);
    assert_eq!(
        stubborn.heard_since(removed + REMOVAL_SECONDS),
        0,
        "the last {:.3} s after",
        last - removed
    );
    // Those who remain still hear the host, and nobody counts the removed one.
    let received = |member: &Member| member.reception(&host.id(), "received");
    let before = received(&bystander);
    stubborn.run_for(Duration::from_secs(4)).await;
    assert!(received(&bystander) > before + 50, "{}", bystander.story());
    assert_eq!(stubborn.heard_since(removed + REMOVAL_SECONDS), 0);
    assert_eq!(host.safety_code(), bystander.safety_code());
    // The old ticket no longer leads anywhere.
    let renewed = host.wait_since(mark, "renewed ticket", |e| e["event"] == "ticket");
    assert_ne!(renewed.event["ticket"], host.ticket());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_on_a_direct_link_decrypts_nothing_from_one_second_after() {
    stubborn_member_hears_nothing(PeerOptions::default(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_behind_a_relay_decrypts_nothing_from_one_second_after() {
    let home = Scratch::new();
    let relay = Relay::start(&home, "Stepping-Stone", "DE");
    let options = PeerOptions {
        direct: false,
        ..PeerOptions::default()
    };
    stubborn_member_hears_nothing(options, Some(&relay)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_cannot_decrypt_earlier_frames() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &speaker(&home, 30.0));
    let ticket = host.ticket();
    let sender: MemberId = host.id().parse().expect("an identity");
    // Somebody who was there before records everything, ciphertext as it came.
    let mut recorder = Peer::join("recorder", &ticket, PeerOptions::default());
    recorder.run_until("sound", |peer| peer.media.len() > 150).await;
    let recorded: Vec<_> = recorder.datagrams.clone();
    assert!(recorder.counters(sender).opened > 150);

    let mut newcomer = Peer::join("newcomer", &ticket, PeerOptions::default());
    let begun = unix_now();
    while newcomer.media.len() < 50 {
        newcomer.run_for(Duration::from_millis(50)).await;
        recorder.run_for(Duration::from_millis(5)).await;
        assert!(
            unix_now() - begun < 30.0,
            "the newcomer hears nothing: {:?}",
            newcomer.events
        );
    }
    let (_, link, live) = newcomer.datagrams.last().expect("it hears").clone();
    let (alias, _) = MediaHeader::parse(&live).expect("a media packet");
    // The frames that it missed, dressed as if they came to it.
    let before = newcomer.counters(sender);
    let frames = newcomer.media.len();
    let mut fed = 0;
    for (_, _, datagram) in &recorded {
        let Ok((header, sframe)) = MediaHeader::parse(datagram) else {
            continue;
        };
        let mut dressed = Vec::new();
        MediaHeader {
            track: alias.track,
            ..header
        }
        .write(&mut dressed);
        dressed.extend_from_slice(sframe);
        newcomer.feed(link, &dressed);
        fed += 1;
    }
    let after = newcomer.counters(sender);
    assert!(fed > 150);
    assert_eq!(newcomer.media.len(), frames, "{before:?} → {after:?}");
    assert_eq!(after.opened, before.opened);
    // The same frames, fed once more to who was there, are recognised: the recording itself is good.
    let known = recorder.counters(sender).duplicates;
    for (_, link, datagram) in &recorded {
        recorder.feed(*link, datagram);
    }
    assert!(
        recorder.counters(sender).duplicates > known + 100,
        "{:?}",
        recorder.counters(sender)
    );
}
