//! Sentences about what happened, and what preceded it.

use std::{fmt::Write, time::Duration};

use serde_json::Value;
use subrosa_proto::time::Timestamp;

use super::recorder::{Happening, Kind, Recording, RouteChange};
use crate::{
    checker::seconds,
    report::Report,
    scenario::{Action, Scenario},
};

/// What lies further back is not named as what came before.
const BEFORE: Duration = Duration::from_secs(15);

/// A line of the script in words: its keys as they are, so that new actions need nothing here.
pub(super) fn describe_action(action: &Action) -> String {
    let value = serde_json::to_value(action).unwrap_or_default();
    let field = |(key, value): (&String, &Value)| match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(key.clone()),
        Value::String(text) => Some(format!("{key} {text}")),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            Some(format!("{key} {}", items.join(", ")))
        }
        other => Some(format!("{key} {other}")),
    };
    let fields = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "do");
    let fields: Vec<String> = fields.filter_map(field).collect();
    let what = value["do"].as_str().unwrap_or_default().replace('-', " ");
    if fields.is_empty() {
        what
    } else {
        format!("{what}: {}", fields.join("; "))
    }
}

/// A happening in words.
pub(super) fn sentence(scenario: &Scenario, recording: &Recording, happening: &Happening) -> String {
    let name = |index: Option<usize>| index.map_or("", |index| scenario.members[index].name.as_str());
    match happening.kind {
        Kind::Script => format!("script: {}", happening.what),
        Kind::Violation => format!("VIOLATION {}", happening.what),
        Kind::Silence => format!(
            "heard nothing of {} for {}",
            name(happening.about),
            happening.what
        ),
        Kind::Route | Kind::Measured => {
            let (now, before) = routes_around(recording, happening);
            let to = name(happening.about);
            let rtt = now.and_then(|route| route.rtt);
            let rtt = rtt.map_or(String::new(), |rtt| format!(", round trip {:.1} ms", millis(rtt)));
            let now = now.map_or_else(|| "?".to_owned(), |route| ways(&route.paths));
            match before.filter(|_| happening.kind == Kind::Route) {
                Some(before) => format!("reaches {to} {now}{rtt} (before: {})", ways(&before.paths)),
                None => format!("reaches {to} {now}{rtt}"),
            }
        }
        Kind::Presence | Kind::Keys | Kind::Told => happening.what.clone(),
    }
}

/// Why, as far as a run tells: the reason that came with it, or what happened shortly before that has to do with it. `index`
/// is the happening's.
pub(super) fn why(scenario: &Scenario, recording: &Recording, index: usize) -> Option<String> {
    let happening = &recording.happenings[index];
    if happening.reason.is_some() || matches!(happening.kind, Kind::Script | Kind::Measured) {
        return happening.reason.clone();
    }
    let before = recording.happenings[..index].iter().rev();
    let mut before = before.take_while(|other| happening.at - other.at <= BEFORE);
    let cause = before.find(|other| match other.kind {
        Kind::Script => true,
        // Ways and silences also come from somebody who starts or goes.
        Kind::Presence => {
            matches!(happening.kind, Kind::Route | Kind::Silence)
                && (other.who == happening.about || other.who == happening.who)
        }
        _ => false,
    })?;
    let who = cause
        .who
        .map_or(String::new(), |who| format!("{} ", scenario.members[who].name));
    Some(format!(
        "{:.3} s after “{who}{}”",
        (happening.at - cause.at).as_secs_f64(),
        cause.what
    ))
}

/// The route that an event told of, and the one before.
fn routes_around<'a>(
    recording: &'a Recording,
    happening: &Happening,
) -> (Option<&'a RouteChange>, Option<&'a RouteChange>) {
    let mine = |route: &&RouteChange| {
        (Some(route.from), Some(route.to)) == (happening.who, happening.about) && route.at <= happening.at
    };
    let mut routes = recording.routes.iter().rev().filter(mine);
    (routes.next(), routes.next())
}

/// `directly`, `over relay berlin`, `directly and over relay berlin`.
pub(super) fn ways(paths: &[Option<String>]) -> String {
    if paths.is_empty() {
        return "by no way".to_owned();
    }
    let way = |path: &Option<String>| {
        path.as_ref()
            .map_or("directly".to_owned(), |relay| format!("over relay {relay}"))
    };
    paths.iter().map(way).collect::<Vec<_>>().join(" and ")
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Everything as text.
pub(super) fn text(scenario: &Scenario, recording: &Recording, report: &Report) -> String {
    let mut text = format!(
        "{}: {}\n\n     time    who        what\n",
        scenario.name, scenario.summary
    );
    let shown = recording
        .happenings
        .iter()
        .enumerate()
        .filter(|(_, happening)| happening.kind != Kind::Measured);
    for (index, happening) in shown {
        let who = happening
            .who
            .map_or("*", |who| scenario.members[who].name.as_str());
        let what = sentence(scenario, recording, happening);
        let why = why(scenario, recording, index).map_or(String::new(), |why| format!("  ← {why}"));
        let _ = writeln!(text, "{:>9.3} s  {who:<10} {what}{why}", seconds(happening.at));
    }
    text.push_str("\nRoutes over time\n");
    text.push_str(&routes(scenario, recording));
    let _ = write!(text, "\n{report}");
    text
}

/// One line for each pair: from when on it was reached how.
fn routes(scenario: &Scenario, recording: &Recording) -> String {
    let members = scenario.members.len();
    let pairs = (0..members).flat_map(|from| (0..members).map(move |to| (from, to)));
    let mut text = String::new();
    for (from, to) in pairs {
        let mine = recording
            .routes
            .iter()
            .filter(|route| (route.from, route.to) == (from, to));
        let mut told: Vec<(Timestamp, String)> = Vec::new();
        for route in mine {
            let now = ways(&route.paths);
            if told.last().is_none_or(|(_, before)| *before != now) {
                told.push((route.at, now));
            }
        }
        if told.is_empty() {
            continue;
        }
        let told: Vec<String> = told
            .iter()
            .map(|(at, how)| format!("{:.3} s {how}", seconds(*at)))
            .collect();
        let names = format!("{} → {}", scenario.members[from].name, scenario.members[to].name);
        let _ = writeln!(text, "{names:<22} {}", told.join("; "));
    }
    text
}
