//! `subrosa netcheck`: whether this computer can take part in a meeting.

mod checks;
mod discovery;
mod outside;
pub(super) mod relays;

use serde_json::json;
use subrosa_node::{
    error::{ErrorKind, NodeError},
    geoip::GeoIp,
};

use super::runtime;
use crate::{
    args::NetcheckArgs,
    output::{self, Paint},
};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It works.
    Ok,
    /// Meetings work without it, if not as well.
    Warning,
    /// Meetings will not work.
    Failed,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// Who can mend what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mender {
    /// Whoever uses this computer.
    User,
    /// Whoever runs the network that it is in.
    Network,
    /// Whoever runs the relay, or the node of the discovery network.
    Operator,
}

impl Mender {
    fn words(self) -> &'static str {
        match self {
            Self::User => "you can mend that on this computer",
            Self::Network => "whoever runs this network can mend that",
            Self::Operator => "whoever runs the other side can mend that",
        }
    }
}

/// One finding: what was looked at, what was found, what to do.
#[derive(Debug)]
struct Finding {
    what: String,
    verdict: Verdict,
    found: String,
    hint: String,
    mender: Mender,
}

impl Finding {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, found, "")
    }

    fn new(
        what: impl Into<String>,
        verdict: Verdict,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            verdict,
            found: found.into(),
            hint: hint.into(),
            mender: Mender::User,
        }
    }

    fn mended_by(self, mender: Mender) -> Self {
        Self { mender, ..self }
    }
}

/// All findings in one sentence: the worst, and who can mend it.
fn in_short(findings: &[Finding]) -> String {
    let worst = |verdict| {
        findings
            .iter()
            .find(move |finding: &&Finding| finding.verdict == verdict)
    };
    let about =
        |finding: &Finding| format!("{}: {}; {}", finding.what, finding.found, finding.mender.words());
    match (worst(Verdict::Failed), worst(Verdict::Warning)) {
        (Some(failed), _) => format!("not ready: {}", about(failed)),
        (None, Some(warning)) => format!("ready, but not at its best: {}", about(warning)),
        (None, None) => "ready for meetings".to_owned(),
    }
}

/// Runs every check.
///
/// # Errors
/// [`ErrorKind::Check`] if one failed, and what is wrong with the arguments.
pub(super) fn run(args: &NetcheckArgs) -> Result<u8, NodeError> {
    let judge = relays::judge(args.policy.as_deref().unwrap_or("any"))?;
    let geoip = GeoIp::open(&args.geoip)?;
    let mut findings = vec![
        checks::udp_v4(),
        checks::udp_v6(),
        checks::clock(),
        checks::audio(args.audio.as_deref().unwrap_or("default")),
    ];
    if !args.relays.is_empty() {
        let runtime = runtime()?;
        findings.extend(runtime.block_on(async {
            let mut outside = outside::Outside::default();
            let mut found = Vec::new();
            for relay in &args.relays {
                found.push(relays::check(relay, &judge, &geoip, &mut outside).await);
            }
            found.extend(outside.finding());
            found.extend(outside.clock());
            outside.close().await;
            found
        }));
    }
    if !args.bootstrap.is_empty() {
        findings.push(runtime()?.block_on(discovery::check(&args.bootstrap, &judge)));
    }
    show(&findings, args.json);
    let failed: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Failed)
        .map(|finding| finding.what.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(0);
    }
    Err(NodeError::new(
        ErrorKind::Check,
        format!("not in order: {}", failed.join(", ")),
        "follow the hints above and run netcheck again",
    ))
}

fn mended_by(finding: &Finding) -> Option<&'static str> {
    (finding.verdict != Verdict::Ok).then_some(match finding.mender {
        Mender::User => "user",
        Mender::Network => "network",
        Mender::Operator => "operator",
    })
}

fn show(findings: &[Finding], as_json: bool) {
    let text = if as_json {
        let checks: Vec<_> = findings
            .iter()
            .map(|f| json!({"what": f.what, "verdict": f.verdict.name(), "found": f.found, "hint": f.hint, "mended_by": mended_by(f)}))
            .collect();
        json!({"v": 1, "checks": checks, "in_short": in_short(findings)}).to_string()
    } else {
        let paint = Paint::stdout();
        let mut lines: Vec<String> = findings.iter().map(|f| in_words(f, paint)).collect();
        lines.push(format!("{}: {}", paint.bold("in short"), in_short(findings)));
        lines.join("\n")
    };
    // A reader that went away has what it wanted; the exit status tells the rest.
    let _ = output::line(&text);
}

fn in_words(finding: &Finding, paint: Paint) -> String {
    let mark = match finding.verdict {
        Verdict::Ok => paint.green("✓"),
        Verdict::Warning => paint.bold("!"),
        Verdict::Failed => paint.red("✗"),
    };
    let mut text = format!("{mark} {:<10} {}", finding.what, finding.found);
    if !finding.hint.is_empty() {
        text.push_str(&format!(
            "\n  {:<10} {} {}",
            "",
            paint.bold("hint:"),
            finding.hint
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told_in_one_sentence_with_who_can_mend_it() {
        let warning = || Finding::new("audio", Verdict::Warning, "no sound", "");
        let failed = || Finding::new("relay", Verdict::Failed, "out of reach", "").mended_by(Mender::Network);
        assert_eq!(in_short(&[Finding::ok("clock", "right")]), "ready for meetings");
        assert!(in_short(&[warning()]).starts_with("ready, but not at its best: audio: no sound; you"));
        let both = in_short(&[warning(), failed()]);
        assert!(
            both.starts_with("not ready: relay: out of reach; whoever runs this network"),
            "{both}"
        );
    }
}
