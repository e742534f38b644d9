//! Co-hosts act at once, and go on without the host; with nobody in charge left, the meeting goes on and says so.

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    member::{Member, Options, text},
    relay::Relay,
};

fn appoint(host: &mut Member, deputy: &Member) {
    let (mark, id) = (deputy.mark(), deputy.id());
    host.command(&json!({"cmd": "role", "member": id, "role": "co_host"}));
    deputy.wait_since(mark, "appointment", |e| {
        e["event"] == "member" && e["id"] == id && e["role"] == "co_host"
    });
}

fn removal_of<'a>(victim: &'a str) -> impl FnMut(&Value) -> bool + 'a {
    move |e| e["event"] == "member" && e["state"] == "removed" && e["id"] == victim
}

/// The safety code over so many members, told after `mark`.
fn code_of(member: &Member, mark: usize, count: usize) -> String {
    let said = member.wait_since(mark, &format!("safety code over {count}"), |e| {
        e["event"] == "safety_code" && e["members"] == count
    });
    said.event["safety_code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn two_co_hosts_who_act_at_once_both_have_their_way() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let join = |name: &str| Member::join(&home, name, &ticket, &Options::silent());
    let (mut left, mut right) = (join("left"), join("right"));
    let (mut first, mut second) = (join("first"), join("second"));
    for member in [&left, &right, &first, &second] {
        member.wait_connected(4);
    }
    for deputy in [&left, &right] {
        appoint(&mut host, deputy);
    }
    let marks = [&host, &left, &right].map(|member| member.mark());
    // Neither waits for the other: the log has two removals side by side, each with a room secret of its own.
    left.about("remove", &first.id());
    right.about("remove", &second.id());
    assert_eq!(first.wait_end(), 23, "{}", first.story());
    assert_eq!(second.wait_end(), 23, "{}", second.story());
    for member in [&host, &left, &right] {
        for victim in [&first, &second] {
            member.wait("removal", removal_of(&victim.id()));
        }
    }
    let codes: Vec<String> = [&host, &left, &right]
        .iter()
        .zip(marks)
        .map(|(member, mark)| code_of(member, mark, 3))
        .collect();
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
}

#[test]
fn a_co_host_admits_when_the_host_is_gone_and_then_the_rest_goes_on_alone() {
    let home = Scratch::new();
    let relay = Relay::start(&home, "Relay", "DE");
    let options = || {
        Options::silent()
            .with(&["--policy", "eea"])
            .relay(&relay.descriptor)
    };
    let mut host = Member::found(&home, "host", &options().with(&["--admit", "ask"]));
    let ticket = host.ticket();
    let mut deputy = Member::join(&home, "deputy", &ticket, &options());
    let member = Member::join(&home, "member", &ticket, &options());
    for guest in [&deputy, &member] {
        guest.wait_for("waiting");
        let id = guest.id();
        host.wait("knock", |e| e["event"] == "knock" && e["member"] == id);
        host.about("admit", &id);
    }
    deputy.wait_connected(2);
    member.wait_connected(2);
    appoint(&mut host, &deputy);
    host.kill();

    let mut late = Member::join(&home, "late", &ticket, &options().with(&["--wait", "60"]));
    let id = late.id();
    deputy.wait("knock", |e| e["event"] == "knock" && e["member"] == id);
    deputy.about("admit", &id);
    late.wait_connected(2);
    assert_eq!(code_of(&late, 0, 4), code_of(&member, 0, 4));

    let mark = member.mark();
    deputy.leave();
    member.wait_since(mark, "nobody in charge", |e| e["code"] == "nobody_in_charge");
    // Those who are left still talk.
    let mark = member.mark();
    late.command(&json!({"cmd": "say", "text": "still here"}));
    member.wait_since(mark, "words", |e| {
        e["event"] == "chat" && e.to_string().contains("still here")
    });
}

#[test]
fn the_founder_hands_over_and_goes_and_the_new_host_s_ticket_lets_people_in() {
    let home = Scratch::new();
    let mut founder = Member::found(&home, "founder", &Options::silent().with(&["--admit", "ask"]));
    let first_ticket = founder.ticket();
    let join = |name: &str, ticket: &str| Member::join(&home, name, ticket, &Options::silent());
    let (mut heir, mut pest) = (join("heir", &first_ticket), join("pest", &first_ticket));
    for guest in [&heir, &pest] {
        let id = guest.id();
        founder.wait("knock", |e| e["event"] == "knock" && e["member"] == id);
        founder.about("admit", &id);
    }
    heir.wait_connected(2);
    pest.wait_connected(2);

    // The ticket of who hosts now is there at once, and leads past the founder.
    founder.command(&json!({"cmd": "role", "member": heir.id(), "role": "host"}));
    let handed = text(&heir.wait_for("ticket").event["ticket"]);
    founder.leave();
    let admit = |heir: &mut Member, name: &str, ticket: &str| {
        let guest = join(name, ticket);
        let id = guest.id();
        heir.wait("knock", |e| e["event"] == "knock" && e["member"] == id);
        heir.about("admit", &id);
        guest.wait_joined();
        guest
    };
    let early = admit(&mut heir, "early", &handed);

    // A removal makes all tickets void, and the new one is the heir's.
    let mark = heir.mark();
    heir.about("remove", &pest.id());
    assert_eq!(pest.wait_end(), 23, "{}", pest.story());
    let renewed = heir.wait_since(mark, "renewed ticket", |e| e["event"] == "ticket");
    let renewed = text(&renewed.event["ticket"]);
    let late = admit(&mut heir, "late", &renewed);
    assert_eq!(code_of(&late, 0, 3), code_of(&early, 0, 3));
    for void in [&first_ticket, &handed] {
        let lost = Member::join(
            &home,
            "lost",
            void,
            &Options::silent().with(&["--discovery", "off"]),
        );
        assert_eq!(
            lost.wait_for("left").event["reason"],
            "unreachable",
            "{}",
            lost.story()
        );
    }
}
