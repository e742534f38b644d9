//! A page that tells a run: the data as JSON inside a fixed page that draws it.

use serde_json::{Value, json};

use super::{
    narrative,
    recorder::{Presence, Recording},
};
use crate::{checker::seconds, report::Report, scenario::Scenario};

/// Draws what stands for [`DATA`]; loads nothing.
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(super) fn html(scenario: &Scenario, recording: &Recording, report: &Report) -> Result<String, String> {
    let data =
        serde_json::to_string(&data(scenario, recording, report)).map_err(|error| error.to_string())?;
    // Names and words of a scenario must not end the script: JSON may say `<` in numbers.
    let data = data.replace('<', "\\u003c");
    let title = format!("{}, seed {}", scenario.name, report.seed);
    let page = PAGE
        .replace("{{title}}", &escaped(&title))
        .replace("{{style}}", STYLE);
    Ok(page.replace("{{script}}", SCRIPT).replace("{{data}}", &data))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn data(scenario: &Scenario, recording: &Recording, report: &Report) -> Value {
    let relay = |name: &String| scenario.relay(name);
    let routes = recording.routes.iter().map(|route| {
        // −1: directly.
        let paths = route
            .paths
            .iter()
            .map(|path| path.as_ref().map_or(Some(-1), |name| Some(relay(name)? as i64)));
        let paths: Vec<i64> = paths.flatten().collect();
        json!([
            seconds(route.at),
            route.from,
            route.to,
            paths,
            route.rtt.map(narrative::millis)
        ])
    });
    let happenings = recording.happenings.iter().enumerate().map(|(index, happening)| {
        json!({
            "t": seconds(happening.at),
            "who": happening.who.map(|who| &scenario.members[who].name),
            "kind": happening.kind.word(),
            "what": narrative::sentence(scenario, recording, happening),
            "why": narrative::why(scenario, recording, index),
        })
    });
    json!({
        "scenario": scenario.name,
        "summary": scenario.summary,
        "seed": report.seed,
        "seconds": report.seconds,
        "trace": report.trace_hash,
        "loss": report.loss_percent,
        "rtt": report.rtt_ms,
        "bin": recording.series.bin.as_secs_f64(),
        "nodes": nodes(scenario, recording),
        "relays": scenario.relays.iter().map(|relay| json!([relay.name, relay.hosting])).collect::<Vec<_>>(),
        "routes": routes.collect::<Vec<_>>(),
        "happenings": happenings.collect::<Vec<_>>(),
    })
}

/// Members: where each was, and what it heard.
fn nodes(scenario: &Scenario, recording: &Recording) -> Vec<Value> {
    let word = |presence: Presence| match presence {
        Presence::Dialling => "dialling",
        Presence::In => "in",
        Presence::Out => "out",
    };
    // Three digits are enough for a line of pixels.
    let short = |value: f64| (value * 1e3).round() / 1e3;
    let nodes = scenario
        .members
        .iter()
        .zip(&recording.presence)
        .zip(&recording.series.listeners);
    let nodes = nodes.map(|((member, presence), bins)| {
        let presence: Vec<Value> = presence
            .iter()
            .map(|(at, where_)| json!([seconds(*at), word(*where_)]))
            .collect();
        let delay = bins
            .iter()
            .map(|bin| bin.delay().map(|delay| short(narrative::millis(delay))));
        let most = bins
            .iter()
            .map(|bin| (bin.heard > 0).then(|| short(narrative::millis(bin.delay_max))));
        let loss = bins.iter().map(|bin| bin.loss().map(|loss| short(loss * 100.0)));
        json!({
            "name": member.name,
            "presence": presence,
            "delay": delay.collect::<Vec<_>>(),
            "delayMax": most.collect::<Vec<_>>(),
            "loss": loss.collect::<Vec<_>>(),
        })
    });
    nodes.collect()
}
