use std::time::Duration;

use super::{
    super::{
        LinkPeer, Output, Participant,
        fixture::{NOW, admit, host, identity, outputs},
    },
    ForwardingTerms,
    carrying::Bucket,
    planning::TrackRate,
};
use crate::{
    ids::{LinkId, MemberId},
    mesh::route_planner::Parent,
    time::Timestamp,
    wire::{
        control_message::ControlMessage,
        forwarding_message::{ForwardRefusal, ForwardingMessage, Offer},
    },
};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(ms * 1_000)
}

/// A host with links to as many members, who came as [`identity`] 11, 12, …
fn linked(members: u8) -> (Participant, Vec<MemberId>) {
    let mut host = host();
    let mut ids = Vec::new();
    for number in 0..members {
        let newcomer = identity(11 + number);
        admit(&mut host, &newcomer);
        let psk = host.secrets.member_psk(&host.meeting).unwrap().id();
        let peer = LinkPeer::Member(newcomer.member_id());
        let remote = format!("192.0.2.{}:4433", 11 + number).parse().unwrap();
        host.handle_link_up(NOW, None, LinkId(u64::from(number)), peer, Some(psk), remote);
        ids.push(newcomer.member_id());
    }
    drop(outputs(&mut host));
    (host, ids)
}

fn says(host: &mut Participant, link: u64, message: ForwardingMessage) -> Vec<ForwardingMessage> {
    host.handle_control(
        NOW,
        LinkId(link),
        &ControlMessage::Forwarding(Box::new(message)).encode(),
    );
    answers(host, link)
}

fn answers(host: &mut Participant, link: u64) -> Vec<ForwardingMessage> {
    let said = outputs(host).into_iter().filter_map(|output| match output {
        Output::Control { link: on, bytes } if on == LinkId(link) => ControlMessage::decode(&bytes).ok(),
        _ => None,
    });
    let said = said.filter_map(|message| match message {
        ControlMessage::Forwarding(message) => Some(*message),
        _ => None,
    });
    said.collect()
}

const TERMS: ForwardingTerms = ForwardingTerms {
    forwards_kbps: 150,
    uplink_kbps: None,
};

#[test]
fn nobody_forwards_unwillingly() {
    let (mut host, ids) = linked(2);
    let answer = says(&mut host, 0, ForwardingMessage::Subscribe(ids[1]));
    assert_eq!(
        answer,
        [ForwardingMessage::Refused(ids[1], ForwardRefusal::NotOffered)]
    );
    host.set_forwarding(NOW, TERMS);
    let answer = says(&mut host, 0, ForwardingMessage::Subscribe(ids[1]));
    assert_eq!(answer, [ForwardingMessage::Serving(ids[1], 1)]);
}

#[test]
fn a_budget_that_is_used_up_is_said_to_be() {
    let (mut host, ids) = linked(4);
    host.set_forwarding(NOW, TERMS);
    // Of 150 kbit/s a track that was never heard takes 64.
    for (link, fits) in [(0, true), (1, true), (2, false)] {
        let answer = says(&mut host, link, ForwardingMessage::Subscribe(ids[3]));
        let expected = if fits {
            ForwardingMessage::Serving(ids[3], 1)
        } else {
            ForwardingMessage::Refused(ids[3], ForwardRefusal::Full)
        };
        assert_eq!(answer, [expected]);
    }
    assert_eq!(host.children().collect::<Vec<_>>(), [(ids[3], 2)]);
    assert_eq!(host.forwarded().refused, 1);
}

#[test]
fn nobody_is_given_what_does_not_come_or_its_own() {
    let (mut host, ids) = linked(2);
    host.set_forwarding(NOW, TERMS);
    let stranger = identity(77).member_id();
    for publisher in [stranger, ids[0], host.id()] {
        let answer = says(&mut host, 0, ForwardingMessage::Subscribe(publisher));
        assert_eq!(
            answer,
            [ForwardingMessage::Refused(publisher, ForwardRefusal::NotHeld)]
        );
    }
}

#[test]
fn an_offer_that_is_withdrawn_ends_what_is_carried() {
    let (mut host, ids) = linked(2);
    host.set_forwarding(NOW, TERMS);
    says(&mut host, 0, ForwardingMessage::Subscribe(ids[1]));
    host.set_forwarding(NOW, ForwardingTerms::default());
    host.watch_forwarding(NOW);
    let refused = ForwardingMessage::Refused(ids[1], ForwardRefusal::NotOffered);
    assert!(answers(&mut host, 0).contains(&refused));
    assert_eq!(host.children().count(), 0);
}

#[test]
fn who_is_removed_is_nobodys_parent_and_nobodys_child() {
    let (mut host, ids) = linked(3);
    host.set_forwarding(NOW, TERMS);
    says(&mut host, 0, ForwardingMessage::Subscribe(ids[1]));
    says(
        &mut host,
        2,
        ForwardingMessage::Offer(Offer {
            budget_kbps: 500,
            ..Offer::default()
        }),
    );
    says(
        &mut host,
        1,
        ForwardingMessage::Route(vec![Parent::Member(ids[2])].try_into().unwrap()),
    );
    assert_eq!(host.peers[&ids[1]].paths.len(), 1);
    host.remove_member(NOW, ids[2], crate::meeting::operation::RemoveReason::Unstated);
    assert!(!host.forwarding.offers.contains_key(&ids[2]));
    assert!(host.peers[&ids[1]].named.is_empty());
    host.remove_member(NOW, ids[0], crate::meeting::operation::RemoveReason::Unstated);
    assert_eq!(host.children().count(), 0);
}

#[test]
fn a_parent_serves_only_if_its_publisher_named_it_and_it_offers() {
    let (mut host, ids) = linked(2);
    let offer = ForwardingMessage::Offer(Offer {
        budget_kbps: 500,
        ..Offer::default()
    });
    let route = || ForwardingMessage::Route(vec![Parent::Member(ids[1])].try_into().unwrap());
    says(&mut host, 0, route());
    assert!(
        host.peers[&ids[0]].feeds.is_empty(),
        "who does not offer is not asked"
    );
    assert!(says(&mut host, 1, offer).contains(&ForwardingMessage::Subscribe(ids[0])));
}

#[test]
fn a_bucket_gives_its_rate_and_no_more() {
    let mut bucket = Bucket::default();
    let mut given = 0;
    for ms in 0..10_000 {
        if bucket.take(at(ms), 80, 200) {
            given += 200;
        }
    }
    // 10 kB a second, and the first burst.
    assert!((100_000..=104_000).contains(&given), "{given}");
    assert!(!bucket.take(at(20_000), 0, 1));
}

#[test]
fn a_track_s_rate_is_measured_and_neither_pauses_nor_bunches_count() {
    let mut rate = TrackRate::default();
    // Ten frames at one moment are no faster track.
    for _ in 0..10 {
        rate.note(at(0), 120);
    }
    assert_eq!(rate.kbps(), 64);
    for frame in 0..120 {
        // A pause of ten seconds in the middle.
        let pause = if frame < 60 { 1_000 } else { 11_000 };
        rate.note(at(frame * 20 + pause), 120);
    }
    // (120 + 80) bytes fifty times a second.
    assert_eq!(rate.kbps(), 80);
    assert!(rate.is_running(at(14_000)));
    assert!(!rate.is_running(at(14_000) + Duration::from_secs(2)));
}
