//! A member who signs two operations with one number and shows each to somebody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use subrosa_proto::{
    ids::{MemberId, OperationHash},
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::RosterLog,
    },
    wire::control_message::ControlMessage,
};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options, text},
    peer::{Peer, PeerOptions},
    process::{PATIENCE, unix_now},
};

/// How long after the removal sound may still be decrypted, in seconds: the promise.
const REMOVAL_SECONDS: f64 = 1.0;

/// Keeps `peer` going until `done`.
async fn until(peer: &mut Peer, what: &str, done: impl Fn(&Peer) -> bool) {
    let began = Instant::now();
    while !done(peer) {
        assert!(began.elapsed() < PATIENCE, "no {what}; {:#?}", peer.events);
        peer.run_for(Duration::from_millis(20)).await;
    }
}

fn tells(member: &Member, mark: usize, wanted: impl FnMut(&Value) -> bool) -> bool {
    member.look_for(mark, Duration::ZERO, wanted).is_some()
}

/// Two operations with the number 0, each permitted by itself to a co-host.
fn twins(hostile: &Peer, host: MemberId) -> [SignedOperation; 2] {
    let meeting = hostile.participant.meeting();
    let mut log = RosterLog::new(meeting, host);
    for operation in hostile.operations.clone() {
        let _ = log.insert(operation);
    }
    let sign = |op| SignedOperation::sign(&hostile.identity, meeting, 0, log.heads(), op).unwrap();
    [
        sign(Op::Lock { locked: true }),
        sign(Op::Sharing { in_charge_only: true }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equivocating_member_is_removed_with_proof_and_gets_no_new_room_secret() {
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", 60.0));
    let mut host = Member::found(&home, "host", &Options::says(&clip));
    let (ticket, host_id) = (host.ticket(), host.id().parse::<MemberId>().unwrap());
    let mut liar = Peer::join("liar", &ticket, PeerOptions::default());
    let witnesses = ["one", "two"].map(|name| Member::join(&home, name, &ticket, &Options::silent()));
    until(&mut liar, "sound and everybody", |peer| {
        let roster = peer.participant.roster();
        peer.media.len() > 100 && roster.members.len() == 4
    })
    .await;
    host.command(&json!({"cmd": "role", "member": liar.id(), "role": "co_host"}));
    let me = liar.participant.id();
    until(&mut liar, "power", |peer| {
        peer.participant.roster().role(&me) == Some(Role::CoHost)
    })
    .await;
    let targets = witnesses
        .each_ref()
        .map(|witness| witness.id().parse::<MemberId>().unwrap());
    until(&mut liar, "links to both", |peer| {
        targets.iter().all(|target| peer.is_linked(*target))
    })
    .await;

    let marks = [&host, &witnesses[0], &witnesses[1]].map(|member| member.mark());
    let known: Vec<OperationHash> = liar.grants.iter().map(|grant| grant.operation).collect();
    // From here on it believes nobody, and keeps what it has.
    liar.deaf = true;
    let shown = twins(&liar, host_id);
    let proof = shown
        .each_ref()
        .map(|operation| format!("{:?}", operation.hash()));
    for (target, operation) in targets.iter().zip(shown) {
        liar.tell(
            *target,
            &ControlMessage::Operations(vec![operation].try_into().unwrap()),
        );
    }
    let honest = [&host, &witnesses[0], &witnesses[1]];
    let id = liar.id();
    let gone = |e: &Value| e["event"] == "member" && e["id"] == id && e["state"] == "removed";
    until(&mut liar, "removal everywhere", |_| {
        honest
            .iter()
            .zip(marks)
            .all(|(member, mark)| tells(member, mark, gone))
    })
    .await;
    let removed = unix_now();
    // Everybody is told, by the two hashes that prove it.
    for (member, mark) in honest.iter().zip(marks) {
        let said = member.wait_since(mark, "proof", |e| {
            e["event"] == "error" && e["code"] == "equivocation"
        });
        let message = text(&said.event["message"]);
        assert!(proof.iter().all(|hash| message.contains(hash)), "{}", said.event);
    }
    // The host moves the meeting: a new ticket, which the others get as well.
    until(&mut liar, "new ticket", |_| {
        tells(honest[0], marks[0], |e| e["event"] == "ticket")
    })
    .await;
    liar.run_for(Duration::from_secs(4)).await;
    let late: Vec<_> = liar
        .grants
        .iter()
        .filter(|grant| !known.contains(&grant.operation))
        .collect();
    assert!(late.is_empty(), "the new room secret: {late:?}");
    assert_eq!(liar.heard_since(removed + REMOVAL_SECONDS), 0, "it hears on");
    // Neither of what it signed holds, and the three agree. Somebody who comes later gets in.
    let said = host.wait_since(marks[0], "ticket", |e| e["event"] == "ticket");
    let renewed = text(&said.event["ticket"]);
    assert_ne!(renewed, ticket);
    let late = Member::join(&home, "late", &renewed, &Options::silent());
    late.wait_joined();
    late.wait_connected(3);
    let codes = || [&host, &witnesses[0], &witnesses[1], &late].map(|member| member.safety_code());
    until(&mut liar, "one safety code", |_| {
        let codes = codes();
        !codes[0].is_empty() && codes.iter().all(|code| *code == codes[0])
    })
    .await;
    let story = late.story();
    assert!(!tells(&late, 0, gone) && !story.contains(&id), "{story}");
}
