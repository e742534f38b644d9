//! Each kind of wrong ticket fails fast, with its own code, status, message and advice.

use std::time::{Duration, Instant};

use subrosa_node::driver::clock::unix_now;
use subrosa_proto::{
    identity::Identity,
    policy::SignedPolicy,
    time::UnixSeconds,
    wire::{
        armor,
        ticket::{TEXT_PREFIX, Ticket, TicketTerms, VERSION},
    },
};
use zeroize::Zeroizing;

use crate::support::{
    Scratch,
    member::{Member, Options, text},
};

/// Longest that a wrong ticket may keep somebody waiting who could see at once that it is wrong.
const AT_ONCE: Duration = Duration::from_secs(5);
/// The same where only silence tells.
const SOON: Duration = Duration::from_secs(15);

/// Joins with `ticket`; must fail in time with this status and code. The message.
fn fails(
    home: &Scratch,
    ticket: &str,
    arguments: &[&str],
    status: i32,
    code: &str,
    within: Duration,
) -> String {
    let began = Instant::now();
    let mut guest = Member::join(home, "guest", ticket, &Options::silent().with(arguments));
    let ended = guest.wait_end();
    let took = began.elapsed();
    assert_eq!(ended, status, "{}", guest.story());
    let error = guest.wait_for("error").event;
    assert_eq!(error["code"], code, "{}", guest.story());
    assert!(!text(&error["hint"]).is_empty(), "{error}");
    assert!(took < within, "it took {took:?}\n{}", guest.story());
    text(&error["message"])
}

fn parsed(ticket: &str) -> Ticket {
    Ticket::parse(ticket, unix_now()).expect("the host's ticket is good")
}

/// The same meeting, signed by somebody else.
fn signed_by_another(terms: &TicketTerms) -> String {
    let another = Identity::from_seed(&[0x81; 32]);
    let policy = parsed_policy(terms);
    let terms = TicketTerms {
        policy: SignedPolicy::sign(terms.meeting, 0, policy, &another),
        ..terms.clone()
    };
    Ticket::issue(terms, &another).expect("good terms").to_text()
}

fn parsed_policy(_terms: &TicketTerms) -> subrosa_proto::policy::RoutePolicy {
    subrosa_proto::policy::Preset::Any.into()
}

#[test]
fn a_damaged_ticket_and_one_of_another_version_fail_at_once() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let cut = &ticket[..ticket.len() / 2];
    fails(&home, cut, &[], 10, "ticket_damaged", AT_ONCE);
    let middle = ticket.len() / 2;
    let other = if ticket.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let changed = format!("{}{other}{}", &ticket[..middle], &ticket[middle + 1..]);
    fails(&home, &changed, &[], 10, "ticket_damaged", AT_ONCE);

    let (_, payload) = armor::read(TEXT_PREFIX, &ticket).expect("undamaged");
    let newer = armor::write(TEXT_PREFIX, VERSION + 1, &payload);
    let message = fails(&home, &newer, &[], 12, "ticket_version", AT_ONCE);
    assert!(message.contains("version"), "{message}");
}

#[test]
fn an_expired_ticket_and_one_for_another_policy_fail_at_once() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let seed = Identity::from_seed(&[0x82; 32]);
    let mut terms = parsed(&ticket).terms().clone();
    terms.policy = SignedPolicy::sign(terms.meeting, 0, parsed_policy(&terms), &seed);
    terms.expires = UnixSeconds(unix_now().0 - 1);
    let expired = Ticket::issue(terms, &seed).expect("good terms").to_text();
    let message = fails(&home, &expired, &[], 11, "ticket_expired", AT_ONCE);
    assert!(message.contains("expired"), "{message}");
    let message = fails(&home, &ticket, &["--policy", "eea"], 13, "ticket_policy", AT_ONCE);
    assert!(message.contains("EEA") || message.contains("policy"), "{message}");
}

#[test]
fn a_ticket_with_a_forged_secret_meets_silence_and_says_so() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let mut terms = parsed(&host.ticket()).terms().clone();
    terms.secret = Zeroizing::new([0x83; 32]);
    let forged = signed_by_another(&terms);
    let message = fails(&home, &forged, &[], 20, "unreachable", SOON);
    assert!(
        message.contains("not valid there") || message.contains("does not answer"),
        "{message}"
    );
    assert!(
        host.look_for(0, Duration::ZERO, |e| e["event"] == "knock")
            .is_none(),
        "{}",
        host.story()
    );
}

#[test]
fn a_ticket_that_names_another_host_is_refused_at_once() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let forged = signed_by_another(parsed(&host.ticket()).terms());
    let message = fails(&home, &forged, &[], 14, "ticket_refused", AT_ONCE);
    assert!(message.contains("somebody else"), "{message}");
}
