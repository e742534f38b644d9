use subrosa_node::event::PathKind;

use super::*;

fn id(n: u8) -> MemberId {
    MemberId([n; 32])
}

fn member(n: u8, name: &str, state: MemberState) -> Event {
    Event::Member {
        id: id(n),
        name: name.into(),
        role: RoleName::Speaker,
        state,
    }
}

fn knock(n: u8, name: &str) -> Event {
    Event::Knock {
        member: id(n),
        name: name.into(),
        fingerprint: id(n).fingerprint(),
        via: "direct".into(),
        returns: false,
    }
}

fn relayed(n: u8) -> Event {
    Event::Route(Route {
        peer: id(n),
        path: PathKind::Relay,
        via: "X".into(),
        hosting: Some("DE".into()),
        legal_seat: Some("FR".into()),
        evidence: Some("declared".into()),
        transport: Some("udp".into()),
        rtt_ms: Some(1.0),
    })
}

#[test]
fn a_relay_that_is_reached_over_tcp_is_shown_as_such() {
    for (transport, end) in [
        ("udp", "declared"),
        ("tcp", "declared, over TCP"),
        ("udp+tcp", "declared, one over TCP"),
        ("tcp+tcp", "declared, over TCP"),
    ] {
        let Event::Route(mut route) = relayed(3) else {
            unreachable!("a route");
        };
        route.transport = Some(transport.into());
        let shown = super::text::route(&route);
        assert!(shown.ends_with(end), "{shown}");
    }
}

fn direct(n: u8) -> Event {
    Event::Route(Route {
        peer: id(n),
        path: PathKind::Direct,
        via: String::new(),
        hosting: None,
        legal_seat: None,
        evidence: None,
        transport: None,
        rtt_ms: None,
    })
}

fn joined() -> ViewModel {
    let mut view = ViewModel::new(false);
    view.apply(&Event::Joined {
        meeting: "00".into(),
        me: id(1),
        policy: "eea".into(),
    });
    view.apply(&member(1, "Me", MemberState::Joined));
    view
}

fn texts(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.text.as_str()).collect()
}

#[test]
fn the_route_line_is_shown_when_it_changes_and_only_then() {
    let mut view = joined();
    view.apply(&member(2, "A", MemberState::Joined));
    view.apply(&member(3, "B", MemberState::Joined));
    assert_eq!(texts(&view.apply(&direct(2))), ["routes  A: direct"]);
    assert_eq!(
        texts(&view.apply(&relayed(3))),
        ["routes  A: direct · B: relay X, hosted DE, law FR, declared"]
    );
    assert!(view.apply(&relayed(3)).is_empty());
    assert_eq!(
        texts(&view.apply(&member(2, "A", MemberState::Left))),
        ["A left", "routes  B: relay X, hosted DE, law FR, declared"]
    );
}

#[test]
fn knocks_have_numbers_that_are_never_used_twice() {
    let mut view = joined();
    assert!(
        view.apply(&knock(4, "Eve"))[0]
            .text
            .starts_with("knock 1: \"Eve\"")
    );
    assert!(view.apply(&knock(4, "Eve")).is_empty());
    view.apply(&member(4, "Eve", MemberState::Joined));
    assert!(view.knocks.is_empty());
    assert!(view.apply(&knock(5, "Bob"))[0].text.starts_with("knock 2:"));
    assert_eq!(view.find_knock(&Target("2".into())), Lookup::Found(id(5)));
    assert_eq!(view.find_knock(&Target("bob".into())), Lookup::Found(id(5)));
    assert_eq!(view.find_knock(&Target("1".into())), Lookup::Nobody);
    view.forget_knock(&id(5));
    assert_eq!(view.find_knock(&Target("2".into())), Lookup::Nobody);
}

#[test]
fn a_stranger_with_the_same_name_is_visibly_different() {
    let mut view = joined();
    view.apply(&member(2, "Ada", MemberState::Joined));
    assert_eq!(view.label(&id(2)), "Ada");
    view.apply(&member(3, "ADA", MemberState::Joined));
    assert_ne!(view.label(&id(2)), view.label(&id(3)));
    assert!(view.label(&id(2)).contains(&id(2).fingerprint()[..9]));
    assert!(matches!(view.find_person(&Target("ada".into())), Lookup::Several(ways) if ways.len() == 2));
    let by_print = Target(id(3).fingerprint()[..9].to_lowercase());
    assert_eq!(view.find_person(&by_print), Lookup::Found(id(3)));
}

#[test]
fn hostile_names_and_reasons_cannot_reach_the_terminal() {
    let mut view = joined();
    let hostile = "\x1b[2J\u{202e}x";
    let events = [
        knock(7, hostile),
        member(8, hostile, MemberState::Joined),
        Event::Refused {
            what: "relay".into(),
            clause: hostile.into(),
            reason: hostile.into(),
        },
        Event::Left {
            reason: hostile.into(),
        },
    ];
    for event in &events {
        for notice in view.apply(event) {
            assert!(!notice.text.contains(['\x1b', '\u{202e}']), "{notice:?}");
        }
    }
    assert!(view.who_lines().iter().all(|line| !line.contains('\x1b')));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut view = joined();
    for n in 0..3 * KNOCKS_MAX {
        let mut key = [0; 32];
        key[0] = u8::try_from(n).unwrap();
        view.apply(&Event::Knock {
            member: MemberId(key),
            name: "n".into(),
            fingerprint: String::new(),
            via: "direct".into(),
            returns: false,
        });
    }
    assert_eq!(view.knocks.len(), KNOCKS_MAX);
}

#[test]
fn changes_are_told_once() {
    let mut view = joined();
    assert_eq!(view.apply(&Event::Locked { locked: true }).len(), 1);
    assert!(view.apply(&Event::Locked { locked: true }).is_empty());
    let code = Event::SafetyCode {
        words: "dune".into(),
        safety_code: "2".into(),
        members: 2,
    };
    assert_eq!(view.apply(&code).len(), 1);
    assert!(view.apply(&code).is_empty());
    let ticket = |t: &str| Event::Ticket { ticket: t.into() };
    assert!(view.apply(&ticket("subrosa:a"))[0].text.contains("invite"));
    assert!(view.apply(&ticket("subrosa:b"))[0].text.contains("renewed"));
}
