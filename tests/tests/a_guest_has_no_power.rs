//! A member who tries everything that only those in charge may do.

use std::time::Duration;

use subrosa_proto::{
    identity::Identity,
    ids::{MemberId, PolicyHash},
    meeting::{
        name::Name,
        operation::{Op, RemoveReason, SignedOperation},
        participant::Event,
        role::Role,
        room_secret::RoomSecret,
        roster_log::RosterLog,
    },
    wire::{
        control_message::ControlMessage, door_message::DoorMessage, moderation::Moderation, ticket::Ticket,
    },
};

use crate::support::{
    Scratch,
    member::{Member, Options},
    peer::{Peer, PeerOptions},
    process::unix_now,
};

/// Everything that changes the roster and is not a guest's to do.
fn acts(host: MemberId, judge: MemberId, secret: &RoomSecret, peer: &Peer) -> Vec<Op> {
    let room_secret = secret.commitment(&peer.participant.meeting());
    let accomplice = Identity::from_seed(&[0x99; 32]).member_id();
    let remove = |member| Op::Remove {
        member,
        reason: RemoveReason::Disruption,
        room_secret,
    };
    vec![
        Op::Admit {
            member: accomplice,
            name: Name::new("accomplice").unwrap(),
            role: Role::Speaker,
        },
        remove(host),
        remove(judge),
        Op::Role {
            member: judge,
            role: Role::Listener,
        },
        Op::Role {
            member: host,
            role: Role::Speaker,
        },
        Op::Role {
            member: judge,
            role: Role::Host,
        },
        Op::Lock { locked: true },
        Op::Policy {
            policy: PolicyHash([7; 32]),
        },
        Op::Sharing { in_charge_only: true },
        Op::Reactions {
            member: judge,
            allowed: false,
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_guest_tries_every_host_operation_and_all_are_refused_and_counted() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let host_id: MemberId = host.id().parse().unwrap();
    let mut judge = Peer::join("judge", &ticket, PeerOptions::default());
    let mut hostile = Peer::join("hostile", &ticket, PeerOptions::default());
    let all_in = |peer: &Peer| peer.participant.roster().members.len() == 3;
    // Both run in this task, in turns.
    for _ in 0..200 {
        judge.run_for(Duration::from_millis(20)).await;
        hostile.run_for(Duration::from_millis(20)).await;
        if all_in(&judge) && all_in(&hostile) {
            break;
        }
    }
    assert!(all_in(&judge) && all_in(&hostile));
    for _ in 0..50 {
        judge.run_for(Duration::from_millis(20)).await;
        hostile.run_for(Duration::from_millis(20)).await;
    }
    let before = judge.participant.roster().clone();
    let me = hostile.participant.id();

    let meeting = hostile.participant.meeting();
    let mut log = RosterLog::new(meeting, host_id);
    for operation in hostile.operations.clone() {
        let _ = log.insert(operation);
    }
    let secret = RoomSecret::from_bytes([3; 32]);
    let acts = acts(host_id, judge.participant.id(), &secret, &hostile);
    let count = acts.len() as u64;
    for op in acts {
        let operation = SignedOperation::sign(&hostile.identity, meeting, 0, log.heads(), op).unwrap();
        hostile.shout(&ControlMessage::Operations(vec![operation].try_into().unwrap()));
    }
    let said = [
        ControlMessage::Moderation(Moderation::Mute),
        ControlMessage::Door(DoorMessage::BackToLobby {
            epoch: 1,
            secret: [1; 32],
        }),
        ControlMessage::Door(DoorMessage::TurnedAway(host_id)),
        ControlMessage::Door(DoorMessage::PassphraseRecord(vec![1].try_into().unwrap())),
        ControlMessage::Door(DoorMessage::PassphraseUnlocked),
    ];
    for message in &said {
        hostile.shout(message);
    }
    for _ in 0..50 {
        hostile.run_for(Duration::from_millis(20)).await;
        judge.run_for(Duration::from_millis(20)).await;
    }
    assert_eq!(judge.participant.roster(), &before);
    // More, if both dialled each other and two links carried it.
    let forbidden = judge.counters(me).forbidden;
    assert!(forbidden >= count + said.len() as u64, "{forbidden} counted");
    let muted = |event: &Event| matches!(event, Event::MuteRequested { .. } | Event::SentBack);
    assert!(!judge.events.iter().any(muted), "{:?}", judge.events);
    host.wait("fault", |e| e["event"] == "error" && e["code"] == "forbidden");
    let harmed = host.look_for(0, Duration::ZERO, |e| {
        e["event"] == "locked" || e["event"] == "mute_requested" || e["state"] == "removed"
    });
    assert!(harmed.is_none(), "{harmed:?}");
}

/// What a ticket alone is good for, in a meeting where the host decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_ticket_alone_obtains_no_key_and_no_name() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent().with(&["--admit", "ask"]));
    let ticket = host.ticket();
    let mut thief = Peer::join("thief", &ticket, PeerOptions::default());
    thief
        .run_until("waiting", |peer| peer.events.contains(&Event::Waiting))
        .await;
    thief.run_for(Duration::from_secs(3)).await;
    assert!(thief.grants.is_empty() && thief.operations.is_empty());
    assert!(thief.participant.roster().members.is_empty());
    let named = |event: &Event| matches!(event, Event::Member { .. } | Event::Joined { .. });
    assert!(!thief.events.iter().any(named), "{:?}", thief.events);
    assert_eq!(thief.heard_since(0.0), 0);
    let now = subrosa_proto::time::UnixSeconds(unix_now() as u64);
    let parsed = Ticket::parse(&ticket, now).unwrap();
    assert_eq!(
        parsed.host().to_string(),
        host.id(),
        "the ticket names the host's key, and nobody's name"
    );
}
