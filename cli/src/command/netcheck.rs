//! `subrosa netcheck`: whether this computer can take part in a meeting.

mod checks;
mod discovery;
pub(super) mod relays;

use serde_json::json;
use subrosa_node::error::{ErrorKind, NodeError};

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

/// One finding: what was looked at, what was found, what to do.
#[derive(Debug)]
struct Finding {
    what: String,
    verdict: Verdict,
    found: String,
    hint: String,
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
        }
    }
}

/// Runs every check.
///
/// # Errors
/// [`ErrorKind::Check`] if one failed, and what is wrong with the arguments.
pub(super) fn run(args: &NetcheckArgs) -> Result<u8, NodeError> {
    let judge = relays::judge(args.policy.as_deref().unwrap_or("any"))?;
    let mut findings = vec![
        checks::udp_v4(),
        checks::udp_v6(),
        checks::clock(),
        checks::audio(args.audio.as_deref().unwrap_or("default")),
    ];
    if !args.relays.is_empty() {
        let runtime = runtime()?;
        for relay in &args.relays {
            findings.push(runtime.block_on(relays::check(relay, &judge)));
        }
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

fn show(findings: &[Finding], as_json: bool) {
    let text = if as_json {
        let checks: Vec<_> = findings
            .iter()
            .map(|f| json!({"what": f.what, "verdict": f.verdict.name(), "found": f.found, "hint": f.hint}))
            .collect();
        json!({"v": 1, "checks": checks}).to_string()
    } else {
        let paint = Paint::stdout();
        let lines: Vec<String> = findings.iter().map(|f| in_words(f, paint)).collect();
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
