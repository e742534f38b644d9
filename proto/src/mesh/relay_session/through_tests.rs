use super::*;
use crate::{
    ids::Alias,
    policy::{
        Evidence, RouteJudge,
        fixture::{NOW, descriptor_in, signed_policy, verified},
        route_policy::Preset,
    },
    wire::relay_message::{RelayNotice, RelayRequest},
};

const FAR: LinkId = LinkId(1);
const NEAR: LinkId = LinkId(2);
const ROOM: RoomId = RoomId([5; 16]);
const TRACK: TrackAlias = TrackAlias([6; 8]);

fn near() -> RelayId {
    RelayId([9; 32])
}

fn at(ms: u64) -> Now {
    Now {
        monotonic: Timestamp::from_micros(ms * 1_000),
        unix: NOW,
    }
}

/// A session that wants one room and sends a track in it, its policy, and a permit for the other relay.
fn session() -> (RelaySession, PolicyHash, Permit) {
    let judge = RouteJudge::new(signed_policy(Preset::Eea.into()));
    let descriptor = verified(descriptor_in("DE"));
    let permit = judge.permit(&descriptor, &Evidence::default(), NOW).unwrap();
    let mut session = RelaySession::new(descriptor, permit, at(0).monotonic);
    session.set_rooms(&[(ROOM, Alias([7; 8]))].into());
    let tracks = super::super::RoomTracks {
        announced: [TRACK].into(),
        ..Default::default()
    };
    session.set_tracks(ROOM, tracks);
    (session, judge.policy().hash(), permit)
}

fn requests(session: &mut RelaySession) -> Vec<RelayRequest> {
    std::iter::from_fn(|| session.poll_request()).collect()
}

/// The relay lets it in, and somebody wants its track.
fn let_in(session: &mut RelaySession, now: Now) {
    let present = Vec::new().try_into().unwrap();
    session.handle_notice(now.monotonic, RelayNotice::Joined { room: ROOM, present });
    let wanted = RelayNotice::Subscribe {
        room: ROOM,
        track: TRACK,
    };
    session.handle_notice(now.monotonic, wanted);
}

#[test]
fn a_way_is_wanted_after_a_second_without_a_link_and_asks_for_the_rooms() {
    let (mut session, policy, permit) = session();
    assert!(!session.wants_way(at(999).monotonic));
    assert!(session.wants_way(at(1_000).monotonic));
    assert_eq!(session.link(at(1_000), policy), None);
    session.go_through(near(), NEAR, permit);
    assert_eq!(session.link(at(1_000), policy), Some(NEAR));
    let asked = requests(&mut session);
    assert!(
        matches!(&asked[..], [RelayRequest::JoinThrough { room: ROOM, .. }]),
        "{asked:?}"
    );
}

#[test]
fn without_either_permit_there_is_no_way() {
    let (mut session, policy, permit) = session();
    session.go_through(near(), NEAR, permit);
    let later = Now {
        unix: permit.until(),
        ..at(1_000)
    };
    assert_eq!(session.link(later, policy), None);
    assert_eq!(session.link(at(1_000), PolicyHash([0; 32])), None);
}

#[test]
fn the_way_of_before_serves_until_the_track_is_wanted_on_the_link_of_its_own() {
    let (mut session, policy, permit) = session();
    session.go_through(near(), NEAR, permit);
    let_in(&mut session, at(1_100));
    assert_eq!(session.link_for(at(1_100), policy, ROOM, TRACK), Some(NEAR));
    session.handle_up(at(2_000).monotonic, FAR);
    assert_eq!(session.link(at(2_000), policy), Some(FAR));
    assert_eq!(session.link_for(at(2_000), policy, ROOM, TRACK), Some(NEAR));
    assert!(session.comes_by(near()));
    assert_eq!(session.poll_leave(at(2_000).monotonic), None);
    let_in(&mut session, at(2_050));
    assert_eq!(session.link_for(at(2_050), policy, ROOM, TRACK), Some(FAR));
    assert_eq!(
        session.poll_leave(at(2_050).monotonic),
        None,
        "what is under way arrives"
    );
    assert_eq!(session.poll_leave(at(2_550).monotonic), Some((NEAR, vec![ROOM])));
    assert_eq!(session.poll_leave(at(2_600).monotonic), None, "once");
    assert!(!session.comes_by(near()));
}

#[test]
fn a_link_that_ends_before_it_took_over_leaves_the_way_of_before() {
    let (mut session, policy, permit) = session();
    session.go_through(near(), NEAR, permit);
    let_in(&mut session, at(1_100));
    session.handle_up(at(2_000).monotonic, FAR);
    requests(&mut session);
    session.handle_down(at(2_100).monotonic);
    assert_eq!(session.through(), Some(near()));
    assert_eq!(session.link(at(2_100), policy), Some(NEAR));
    let asked = requests(&mut session);
    assert!(
        matches!(&asked[..], [RelayRequest::JoinThrough { room: ROOM, .. }]),
        "{asked:?}"
    );
}

#[test]
fn a_failed_dial_does_not_disturb_the_way() {
    let (mut session, policy, permit) = session();
    session.go_through(near(), NEAR, permit);
    let_in(&mut session, at(1_100));
    requests(&mut session);
    assert!(session.poll_dial(at(1_200), policy));
    session.handle_down(at(4_200).monotonic);
    assert_eq!(session.link_for(at(4_200), policy, ROOM, TRACK), Some(NEAR));
    assert!(requests(&mut session).is_empty());
}

#[test]
fn a_relay_that_did_not_lead_there_is_not_asked_again_for_a_while() {
    let (mut session, policy, permit) = session();
    session.go_through(near(), NEAR, permit);
    assert!(
        !session.lose_through(at(1_500).monotonic, RelayId([8; 32])),
        "another's loss"
    );
    assert!(session.lose_through(at(1_500).monotonic, near()));
    assert_eq!(session.link(at(1_500), policy), None);
    assert!(!session.may_go_through(at(11_499).monotonic, near()));
    assert!(session.may_go_through(at(11_500).monotonic, near()));
    assert!(
        !session.may_go_through(at(11_500).monotonic, session.relay()),
        "not through itself"
    );
}

#[test]
fn whoever_gives_a_relay_up_leaves_its_rooms_at_the_other_one() {
    let (mut session, _, permit) = session();
    session.go_through(near(), NEAR, permit);
    assert_eq!(session.into_leave(), Some((NEAR, vec![ROOM])));
    let (mut session, _, permit) = self::session();
    session.go_through(near(), NEAR, permit);
    session.handle_up(at(2_000).monotonic, FAR);
    assert_eq!(session.into_leave(), Some((NEAR, vec![ROOM])));
    let (session, ..) = self::session();
    assert_eq!(session.into_leave(), None);
}
