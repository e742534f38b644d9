//! What must hold in the demo.

use super::{
    result::Outcome,
    stage::{MEMBERS, RELAYS},
};

/// Least correlation of what was heard with what was said. Opus at 24 kbit/s keeps 0.8 to 0.95 of a voice's waveform.
const CORRELATION_MIN: f64 = 0.7;
/// Least share of the speech that must be recognised.
const RECOGNISED_MIN: f64 = 0.95;
/// Longest mouth-to-ear delay in ms. The goal is 60 on a quiet machine (`./dev bench` measures it); this one says that
/// something is wrong even on a busy one.
const MOUTH_TO_EAR_MS_MAX: f64 = 200.0;
/// Most frames that may be lost for want of a key, over all members: 100 ms for each of the six directions.
const UNDECRYPTABLE_MAX: u64 = 30;
/// Index of the relay in the EEA and of the other one.
const PERMITTED: usize = 0;
const FORBIDDEN: usize = 1;
/// Index of the member that hides its addresses.
const HIDDEN: usize = 2;

/// One thing that must hold.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) ok: bool,
    /// What was found.
    pub(super) detail: String,
}

/// Holds the outcome against what must hold.
pub(super) fn judge(outcome: &Outcome) -> Vec<Check> {
    vec![
        speech(outcome),
        delay(outcome),
        decryption(outcome),
        safety_code(outcome),
        direct_route(outcome),
        hidden_routes(outcome),
        permitted_relay(outcome),
        forbidden_refused(outcome),
        forbidden_silent(outcome),
    ]
}

fn speech(outcome: &Outcome) -> Check {
    let worst = |of: fn(&super::result::Hearing) -> f64| {
        outcome.hearings.iter().map(of).fold(f64::INFINITY, f64::min)
    };
    let (correlation, recognised) = (worst(|h| h.similarity), worst(|h| h.heard));
    Check {
        what: "every listener heard every speaker",
        ok: correlation >= CORRELATION_MIN && recognised >= RECOGNISED_MIN,
        detail: format!(
            "correlation at least {correlation:.3} (needed {CORRELATION_MIN}), {:.0} % recognised (needed {:.0} %)",
            recognised * 100.0,
            RECOGNISED_MIN * 100.0
        ),
    }
}

fn delay(outcome: &Outcome) -> Check {
    let delays: Option<Vec<f64>> = outcome.hearings.iter().map(|h| h.mouth_to_ear_ms).collect();
    let worst = delays.map(|all| all.into_iter().fold(0.0, f64::max));
    Check {
        what: "mouth to ear",
        ok: worst.is_some_and(|ms| ms > 0.0 && ms <= MOUTH_TO_EAR_MS_MAX),
        detail: worst.map_or_else(
            || "nothing was recognised".to_owned(),
            |ms| format!("at most {ms:.1} ms (allowed {MOUTH_TO_EAR_MS_MAX} ms)"),
        ),
    }
}

fn decryption(outcome: &Outcome) -> Check {
    Check {
        what: "frames were decrypted",
        ok: outcome.undecryptable <= UNDECRYPTABLE_MAX,
        detail: format!(
            "{} could not be (allowed {UNDECRYPTABLE_MAX}: when somebody joins, sound may overtake its key)",
            outcome.undecryptable
        ),
    }
}

fn safety_code(outcome: &Outcome) -> Check {
    let first = &outcome.safety_codes[0];
    let agreed = !first.is_empty() && outcome.safety_codes.iter().all(|code| code == first);
    Check {
        what: "safety code agreed on all three",
        ok: agreed,
        detail: if agreed {
            first.clone()
        } else {
            outcome.safety_codes.join(" ≠ ")
        },
    }
}

fn direct_route(outcome: &Outcome) -> Check {
    let mut ways = outcome
        .ways()
        .filter(|(from, to, _)| *from != HIDDEN && *to != HIDDEN);
    let ok = ways.all(|(_, _, route)| route.is_some_and(|r| r.path == "direct"));
    Check {
        what: "Alice and Bob talk directly",
        ok,
        detail: if ok {
            "both ways".to_owned()
        } else {
            "not both ways".to_owned()
        },
    }
}

fn hidden_routes(outcome: &Outcome) -> Check {
    let (operator, country) = RELAYS[PERMITTED];
    let mut ways = outcome
        .ways()
        .filter(|(from, to, _)| *from == HIDDEN || *to == HIDDEN);
    let ok = ways.all(|(_, _, route)| {
        route.is_some_and(|r| {
            r.path == "relay"
                && r.hosting.as_deref() == Some(country)
                && r.legal_seat.as_deref() == Some(country)
                && r.evidence.is_some()
        })
    });
    Check {
        what: "Carol is reached over the permitted relay only",
        ok,
        detail: if ok {
            format!("\"{operator}\", hosted {country}, from and to everybody")
        } else {
            "another way was used".to_owned()
        },
    }
}

fn permitted_relay(outcome: &Outcome) -> Check {
    let relay = &outcome.relays[PERMITTED];
    let forwarded = relay.counter("frames_forwarded").unwrap_or(0);
    Check {
        what: "the relay in Germany forwarded",
        ok: forwarded > 0,
        detail: format!("{forwarded} frames that it cannot read"),
    }
}

fn forbidden_refused(outcome: &Outcome) -> Check {
    let relay = &outcome.relays[FORBIDDEN];
    let refused = |index: usize| {
        let mut refusals = outcome.refusals[index].iter();
        refusals
            .any(|(what, clause, reason)| what == "relay" && clause == "hosting" && relay.is_meant_by(reason))
    };
    let who: Vec<&str> = (0..MEMBERS.len())
        .filter(|&i| refused(i))
        .map(|i| MEMBERS[i])
        .collect();
    let sentence = outcome
        .refusals
        .iter()
        .flatten()
        .find(|(_, _, reason)| relay.is_meant_by(reason));
    Check {
        what: "the relay in the United States was refused",
        ok: who.len() == MEMBERS.len(),
        detail: match sentence {
            Some((_, _, reason)) => format!("by {}: {reason}", who.join(", ")),
            None => "nobody refused it".to_owned(),
        },
    }
}

fn forbidden_silent(outcome: &Outcome) -> Check {
    let relay = &outcome.relays[FORBIDDEN];
    let received = relay.counter("udp_bytes_received");
    Check {
        what: "and got no packet",
        ok: received == Some(0),
        detail: received.map_or_else(
            || "it gave no statistics".to_owned(),
            |bytes| format!("{bytes} bytes received"),
        ),
    }
}
