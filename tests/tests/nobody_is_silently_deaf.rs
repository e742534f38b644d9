//! A key that does not come is missed: its publisher is named, asked, and heard again.

use std::time::Duration;

use subrosa_proto::{ids::MemberId, meeting::participant::Event};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options},
    peer::{Peer, PeerOptions},
    process::unix_now,
};

/// A publisher repeats an unacknowledged key for so long, then no more (`proto/spec/keys.md`).
const REPEATED_FOR: Duration = Duration::from_secs(21);

fn misses_key(peer: &Peer) -> usize {
    let faults = peer.events.iter();
    faults
        .filter(|event| matches!(event, Event::Fault { code: "no_key", message, .. } if message.contains("no key from host")))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lacks_a_key_says_whose_and_gets_it_however_late() {
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", 60.0));
    let host = Member::found(&home, "host", &Options::says(&clip));
    let host_id: MemberId = host.id().parse().unwrap();
    let mut peer = Peer::join("peer", &host.ticket(), PeerOptions::default());
    peer.keyless = true;
    peer.run_until("the missing key's name", |peer| misses_key(peer) == 1)
        .await;
    assert!(peer.media.is_empty());
    // The publisher has given up by itself.
    peer.run_for(REPEATED_FOR).await;
    assert_eq!(misses_key(&peer), 1, "told once");
    assert!(peer.media.is_empty() && peer.counters(host_id).unknown_key > 500);
    peer.keyless = false;
    let began = unix_now();
    peer.run_until("sound", |peer| peer.media.len() > 50).await;
    let took = peer.media[0].0 - began;
    println!("heard {took:.2} s after the way was free");
    assert!(took < 2.5, "{took:.2} s");
    let came = |event: &Event| matches!(event, Event::KeyCame { member } if *member == host_id);
    assert_eq!(peer.events.iter().filter(|event| came(event)).count(), 1);
}
