//! A member who lets somebody listen whom the roster does not have: whoever notices names the stranger and sends no more.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use subrosa_proto::{
    identity::Identity,
    ids::MemberId,
    meeting::{
        keys::{KeyMessage, Publisher},
        roster_log::RosterLog,
    },
    random::Random,
    time::Timestamp,
    wire::control_message::ControlMessage,
};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options, text},
    peer::{Peer, PeerOptions},
    process::unix_now,
};

/// A key of `sly` for all of `recipients`, as it goes to `reader`.
fn key_for(sly: &Peer, host: MemberId, recipients: &BTreeSet<MemberId>, reader: MemberId) -> KeyMessage {
    let meeting = sly.participant.meeting();
    let mut log = RosterLog::new(meeting, host);
    for operation in sly.operations.clone() {
        let _ = log.insert(operation);
    }
    let policy = sly.participant.ticket().policy().hash();
    let random = Random::from_seed([7; 32]);
    let mut publisher = Publisher::new(sly.identity.clone(), meeting, policy, random);
    let now = Timestamp::ZERO;
    publisher
        .set_recipients(now, recipients, &log.heads(), false)
        .expect("few recipients");
    std::iter::from_fn(|| publisher.poll_transmit(now))
        .find_map(|(to, message)| (to == reader).then_some(message))
        .expect("a message to each recipient")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shares_its_key_with_a_stranger_is_named_with_it_and_hears_no_more() {
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", 60.0));
    let host = Member::found(&home, "host", &Options::says(&clip));
    let host_id: MemberId = host.id().parse().unwrap();
    let witness = Member::join(&home, "witness", &host.ticket(), &Options::silent());
    witness.wait_connected(1);
    let witness_id: MemberId = witness.id().parse().unwrap();
    let mut sly = Peer::join("sly", &host.ticket(), PeerOptions::default());
    sly.run_until("sound and everybody", |peer| {
        let both = [host_id, witness_id];
        peer.media.len() > 100
            && peer.participant.roster().members.len() == 3
            && both.iter().all(|member| peer.is_linked(*member))
    })
    .await;

    // Nobody minds a key for those who are in the roster.
    let mark = host.mark();
    let ghost_event = |e: &Value| e["event"] == "error" && e["code"] == "ghost";
    let everybody = BTreeSet::from([host_id, witness_id]);
    let honest = key_for(&sly, host_id, &everybody, host_id);
    sly.tell(host_id, &ControlMessage::Key(Box::new(honest)));
    sly.run_for(Duration::from_secs(2)).await;
    assert!(
        host.look_for(mark, Duration::ZERO, ghost_event).is_none(),
        "{}",
        host.story()
    );

    let ghost = Identity::from_seed(&[0x51; 32]).member_id();
    let with_ghost = everybody.into_iter().chain([ghost]).collect();
    let key = key_for(&sly, host_id, &with_ghost, host_id);
    sly.tell(host_id, &ControlMessage::Key(Box::new(key)));
    let named = loop {
        sly.run_for(Duration::from_millis(20)).await;
        if let Some(said) = host.look_for(mark, Duration::ZERO, ghost_event) {
            break said;
        }
        assert!(unix_now() - host.clip_began() < 50.0, "{}", host.story());
    };
    let message = text(&named.event["message"]);
    assert!(
        message.contains("sly") && message.contains(&ghost.fingerprint()),
        "{message}"
    );
    // The host's new key goes to the witness only.
    sly.run_for(Duration::from_secs(4)).await;
    let last_heard = |sly: &Peer| {
        let mut frames = sly.media.iter().rev();
        frames
            .find(|(_, frame)| frame.member == host_id)
            .map_or(0.0, |(at, _)| *at)
    };
    let after = last_heard(&sly) - named.unix;
    assert!(after < 1.0, "the last {after:.3} s after; {}", host.story());
    let received = |member: &Member| member.reception(&host.id(), "received");
    let before = received(&witness);
    sly.run_for(Duration::from_secs(4)).await;
    assert!(received(&witness) > before + 50, "{}", witness.story());
    assert!(last_heard(&sly) < named.unix + 1.0);
    // The witness was shown nothing, and says nothing.
    assert!(witness.look_for(0, Duration::ZERO, ghost_event).is_none());
}
