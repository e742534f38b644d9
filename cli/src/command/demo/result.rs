//! What came of the demo, for people and for programs.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use serde_json::{Value, json};

use super::{
    actors::{Reception, Relay, RouteSeen},
    stage::{MEMBERS, RELAYS},
    table,
    verdict::Check,
};
use crate::output::Paint;

/// How well one member heard another.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) listener: usize,
    pub(super) speaker: usize,
    /// Correlation with the source, 0 to 1.
    pub(super) similarity: f64,
    /// Share of the speech's pieces that were recognised, 0 to 1.
    pub(super) heard: f64,
    /// From the speaker's input to the listener's output; `None` if nothing was recognised.
    pub(super) mouth_to_ear_ms: Option<f64>,
    pub(super) reception: Reception,
}

/// Everything that is judged and shown.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) hearings: Vec<Hearing>,
    pub(super) safety_codes: [String; MEMBERS.len()],
    pub(super) ids: [String; MEMBERS.len()],
    pub(super) routes: [BTreeMap<String, RouteSeen>; MEMBERS.len()],
    /// What each member's node refused: what, clause, reason.
    pub(super) refusals: [Vec<(String, String, String)>; MEMBERS.len()],
    /// Frames that nobody could decrypt, over all members.
    pub(super) undecryptable: u64,
    pub(super) relays: [Relay; RELAYS.len()],
    pub(super) files: Vec<PathBuf>,
}

impl Outcome {
    /// The ways from each member to each other, in order.
    pub(super) fn ways(&self) -> impl Iterator<Item = (usize, usize, Option<&RouteSeen>)> {
        let pairs = (0..MEMBERS.len()).flat_map(|from| (0..MEMBERS.len()).map(move |to| (from, to)));
        pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| (from, to, self.routes[from].get(&self.ids[to])))
    }
}

/// The tables, then the checks.
pub(super) fn to_text(outcome: &Outcome, checks: &[Check], paint: Paint) -> String {
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{}", paint.bold(title));
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
    };
    section("What was heard", heard_lines(outcome));
    section("Routes", route_lines(outcome));
    section("Relays", relay_lines(outcome));
    section(
        "Files",
        outcome
            .files
            .iter()
            .map(|f| format!("  {}", f.display()))
            .collect(),
    );
    let lines = checks.iter().map(|check| {
        let mark = if check.ok {
            paint.green("✓")
        } else {
            paint.red("✗")
        };
        format!("  {mark} {}: {}", check.what, check.detail)
    });
    section("Checks", lines.collect());
    text.trim_matches('\n').to_owned()
}

fn heard_lines(outcome: &Outcome) -> Vec<String> {
    let rows: Vec<Vec<String>> = outcome
        .hearings
        .iter()
        .map(|h| {
            let r = &h.reception;
            vec![
                MEMBERS[h.listener].to_owned(),
                MEMBERS[h.speaker].to_owned(),
                format!("{:.3}", h.similarity),
                format!("{:.0} %", h.heard * 100.0),
                h.mouth_to_ear_ms
                    .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
                r.received.to_string(),
                r.lost.to_string(),
                r.recovered.to_string(),
                r.concealed.to_string(),
            ]
        })
        .collect();
    let head = [
        "listener",
        "speaker",
        "correlation",
        "recognised",
        "mouth to ear",
        "frames",
        "lost",
        "recovered",
        "concealed",
    ];
    table::render(&head, &rows)
}

fn route_lines(outcome: &Outcome) -> Vec<String> {
    let or_dash = |value: Option<&String>| value.map_or_else(|| "-".to_owned(), Clone::clone);
    let rows: Vec<Vec<String>> = outcome
        .ways()
        .map(|(from, to, route)| {
            let mut row = vec![MEMBERS[from].to_owned(), MEMBERS[to].to_owned()];
            let Some(route) = route else {
                row.extend(["none", "-", "-", "-", "-", "-"].map(str::to_owned));
                return row;
            };
            row.push(route.path.clone());
            row.push(if route.via.is_empty() {
                "-".to_owned()
            } else {
                route.via.clone()
            });
            row.extend([&route.hosting, &route.legal_seat, &route.evidence].map(|v| or_dash(v.as_ref())));
            row.push(
                route
                    .rtt_ms
                    .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
            );
            row
        })
        .collect();
    table::render(
        &["from", "to", "path", "via", "hosted", "law", "evidence", "rtt"],
        &rows,
    )
}

fn relay_lines(outcome: &Outcome) -> Vec<String> {
    let rows: Vec<Vec<String>> = outcome
        .relays
        .iter()
        .enumerate()
        .map(|(index, relay)| {
            let counter = |name: &str| {
                relay
                    .counter(name)
                    .map_or_else(|| "-".to_owned(), |n| n.to_string())
            };
            vec![
                RELAYS[index].0.to_owned(),
                RELAYS[index].1.to_owned(),
                verdict_words(outcome, index),
                counter("udp_bytes_received"),
                counter("udp_bytes_sent"),
                counter("frames_forwarded"),
            ]
        })
        .collect();
    table::render(
        &[
            "relay",
            "hosted",
            "by the policy",
            "bytes in",
            "bytes out",
            "frames forwarded",
        ],
        &rows,
    )
}

fn verdict_words(outcome: &Outcome, relay: usize) -> String {
    let relay = &outcome.relays[relay];
    let mut refusals = outcome.refusals.iter().flatten();
    refusals
        .find(|(what, _, reason)| what == "relay" && relay.is_meant_by(reason))
        .map_or_else(
            || "permitted".to_owned(),
            |(_, clause, _)| format!("refused ({clause})"),
        )
}

/// One object with everything.
pub(super) fn to_json(outcome: &Outcome, checks: &[Check]) -> Value {
    json!({
        "v": 1,
        "heard": outcome.hearings.iter().map(|h| json!({
            "listener": MEMBERS[h.listener],
            "speaker": MEMBERS[h.speaker],
            "correlation": h.similarity,
            "recognised": h.heard,
            "mouth_to_ear_ms": h.mouth_to_ear_ms,
            "received": h.reception.received,
            "lost": h.reception.lost,
            "recovered": h.reception.recovered,
            "concealed": h.reception.concealed,
        })).collect::<Vec<_>>(),
        "routes": outcome.ways().map(|(from, to, route)| json!({
            "from": MEMBERS[from],
            "to": MEMBERS[to],
            "path": route.map_or("none", |r| r.path.as_str()),
            "via": route.map(|r| &r.via),
            "hosting": route.and_then(|r| r.hosting.as_ref()),
            "legal_seat": route.and_then(|r| r.legal_seat.as_ref()),
            "evidence": route.and_then(|r| r.evidence.as_ref()),
            "rtt_ms": route.and_then(|r| r.rtt_ms),
        })).collect::<Vec<_>>(),
        "relays": outcome.relays.iter().enumerate().map(|(index, relay)| json!({
            "operator": RELAYS[index].0,
            "hosting": RELAYS[index].1,
            "verdict": verdict_words(outcome, index),
            "stats": relay.stats,
        })).collect::<Vec<_>>(),
        "safety_codes": outcome.safety_codes,
        "files": outcome.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
        "checks": checks.iter().map(|c| json!({"what": c.what, "ok": c.ok, "detail": c.detail})).collect::<Vec<_>>(),
        "ok": checks.iter().all(|c| c.ok),
    })
}
