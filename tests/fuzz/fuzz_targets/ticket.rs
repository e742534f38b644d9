//! Tickets as people paste them: any text, any payload in a whole line, and well-signed bodies of a hostile host. What
//! parses writes back to the same line; a valid ticket survives what people do to lines, and no other change.
#![no_main]

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, UNIX, damage, identity, values};
use subrosa_proto::{
    meeting::admission::AdmissionMode,
    policy::{Preset, RoutePolicy, SignedDescriptor, SignedPolicy},
    time::UnixSeconds,
    wire::{
        armor,
        ticket::{ADDRESSES_MAX, RELAYS_MAX, TEXT_PREFIX, Ticket, TicketError, TicketTerms, VERSION},
    },
};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u);
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    match u.int_in_range(0..=4_u8)? {
        0 => {
            let bytes = u.bytes(u.len())?;
            let text = String::from_utf8_lossy(bytes);
            try_text(&text);
            try_text(&format!("{TEXT_PREFIX}{text}"));
        }
        1 => {
            let version = if u.ratio(7, 8)? { VERSION } else { u.arbitrary()? };
            let payload = u.bytes(u.len().min(6_000))?;
            try_line(version, payload);
        }
        2 => {
            // A hostile host signs what it likes.
            let mut body = u.bytes(u.len().min(6_000))?.to_vec();
            if body.len() >= 81 {
                // meeting(16) ‖ secret(32) ‖ epoch(1 as a small number) ‖ host(32)
                body[48] &= 0x7f;
                body[49..81].copy_from_slice(&identity(0).public());
            }
            let signature = identity(0).sign("subrosa-ticket-v1", &body);
            body.extend_from_slice(&signature.0);
            try_line(VERSION, &body);
        }
        3 => made(u)?,
        _ => damaged(u)?,
    }
    Ok(())
}

fn try_text(text: &str) -> Option<Ticket> {
    match Ticket::parse(text, UNIX) {
        Ok(ticket) => {
            check(&ticket);
            Some(ticket)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.name().is_empty() && !error.hint().is_empty());
            None
        }
    }
}

fn try_line(version: u8, payload: &[u8]) {
    let line = armor::write(TEXT_PREFIX, version, payload);
    match armor::read(TEXT_PREFIX, &line) {
        Ok((read_version, read)) => assert!(read_version == version && **read == *payload),
        Err(_) => assert!(line.len() > armor::TEXT_CHARS_MAX),
    }
    if let Some(ticket) = try_text(&line) {
        assert_eq!(ticket.to_text(), line, "not canonical");
    }
}

fn check(ticket: &Ticket) {
    let terms = ticket.terms();
    assert!(terms.addresses.len() <= ADDRESSES_MAX && terms.relays.len() <= RELAYS_MAX);
    assert!(terms.expires > UNIX && ticket.policy().author() == ticket.host());
    assert!(ticket.policy().meeting() == terms.meeting);
    let again = Ticket::parse(&ticket.to_text(), UNIX).expect("what was parsed is written so that it parses");
    assert!(again == *ticket);
    assert!(matches!(
        Ticket::parse(&ticket.to_text(), terms.expires),
        Err(TicketError::Expired { .. })
    ));
    let _ = ticket.relays(UNIX).count();
    let _ = ticket.expect_policy(&RoutePolicy::from(Preset::Eea));
    let _ = (ticket.policy().policy().summary(), format!("{ticket:?}"));
}

fn made(u: &mut Unstructured<'_>) -> Result<()> {
    let host = identity(u.int_in_range(0..=3)?);
    let policy = values::policy(u)?;
    let mut addresses = Vec::new();
    for _ in 0..u.int_in_range(0..=9_u8)? {
        addresses.push(if u.arbitrary()? {
            (u.arbitrary::<[u8; 4]>()?, u.arbitrary::<u16>()?).into()
        } else {
            (u.arbitrary::<[u8; 16]>()?, u.arbitrary::<u16>()?).into()
        });
    }
    let mut relays = Vec::new();
    for number in 0..u.int_in_range(0..=3_u8)? {
        let descriptor = values::descriptor(8 + number, if u.arbitrary()? { "DE" } else { "US" });
        relays.push(SignedDescriptor::sign(descriptor, identity(8 + number)).expect("valid"));
    }
    let terms = TicketTerms {
        meeting: MEETING,
        secret: u.arbitrary::<[u8; 32]>()?.into(),
        epoch: u.arbitrary()?,
        renewal: u.arbitrary()?,
        admission: if u.arbitrary()? {
            AdmissionMode::Ask
        } else {
            AdmissionMode::Ticket
        },
        policy: SignedPolicy::sign(MEETING, u.arbitrary()?, policy, host),
        addresses,
        relays,
        expires: UnixSeconds(u.arbitrary()?),
    };
    let expires = terms.expires;
    if let Ok(ticket) = Ticket::issue(terms, host) {
        let line = ticket.to_text();
        let parsed = try_text(&line);
        assert_eq!(
            parsed.is_some(),
            expires > UNIX,
            "an issued ticket does not parse"
        );
        assert!(parsed.is_none_or(|parsed| parsed == ticket));
    }
    Ok(())
}

fn good_line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let policy = SignedPolicy::sign(MEETING, 0, RoutePolicy::from(Preset::Eea), identity(0));
        let relay = SignedDescriptor::sign(values::descriptor(8, "DE"), identity(8)).expect("valid");
        let terms = TicketTerms {
            meeting: MEETING,
            secret: [3; 32].into(),
            epoch: 0,
            renewal: 0,
            admission: AdmissionMode::Ask,
            policy,
            addresses: vec![([203, 0, 113, 7], 4433).into()],
            relays: vec![relay],
            expires: UnixSeconds(UNIX.0 + 3_600),
        };
        Ticket::issue(terms, identity(0)).expect("valid").to_text()
    })
}

/// A good line on its way through people and programs.
fn damaged(u: &mut Unstructured<'_>) -> Result<()> {
    let good = good_line();
    if u.arbitrary()? {
        // Harmless: white space and quotes.
        let mut text = good.to_owned();
        for _ in 0..u.int_in_range(0..=8_u8)? {
            let place = u.choose_index(text.len() + 1)?;
            if text.is_char_boundary(place) {
                text.insert(place, *u.choose(&[' ', '\n', '\t', '\r', '\u{200b}', '\u{a0}'])?);
            }
        }
        let text = format!("\"{text}\".");
        let ticket = try_text(&text).expect("white space does no harm");
        assert_eq!(ticket.to_text(), good);
        return Ok(());
    }
    let mut bytes = good.as_bytes().to_vec();
    damage(u, &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if let Some(ticket) = try_text(&text) {
        assert_eq!(ticket.to_text(), good, "another ticket under the same signature");
    }
    Ok(())
}
