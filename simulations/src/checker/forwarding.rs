//! Nobody forwards what the policy does not let members forward, what its user did not agree to, or more than that. Judged by
//! the bytes that machines send.

use std::time::Duration;

use subrosa_proto::time::Timestamp;

use super::Violations;
use crate::scenario::{Expect, Scenario};

/// Over so much time a budget must hold. Reason: bursts of a quarter of a second are allowed, and even out.
const WINDOW: Duration = Duration::from_secs(2);
/// What a window may have beyond its share: one burst.
const BURST: Duration = Duration::from_millis(300);
/// The headers of lower layers, as the access links count them.
const HEADER_BYTES: usize = 58;

#[derive(Clone, Debug, Default)]
struct Forwarder {
    budget_kbps: u32,
    frames: u64,
    /// The present window: when it began, and what was sent in it.
    since: Timestamp,
    bytes: u64,
}

/// See the module.
pub(super) struct Forwarding {
    permitted: bool,
    nodes: Vec<Forwarder>,
}

impl Forwarding {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let members = scenario.members.iter().map(|member| Forwarder {
            budget_kbps: member.forwards_kbps,
            ..Forwarder::default()
        });
        Self {
            // Of the presets that a scenario can name, one lets members forward.
            permitted: scenario.policy == "any",
            nodes: members.collect(),
        }
    }

    pub(super) fn forwarded(
        &mut self,
        at: Timestamp,
        node: usize,
        bytes: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        let forwarder = &mut self.nodes[node];
        forwarder.frames += 1;
        if !self.permitted {
            let what = format!("{} forwards, which the policy lets no member do", names[node]);
            violations.add(at, "jurisdiction", &what);
        }
        if forwarder.budget_kbps == 0 {
            let what = format!("{} forwards, and its user did not agree", names[node]);
            violations.add(at, "jurisdiction", &what);
        }
        if at - forwarder.since >= WINDOW {
            (forwarder.since, forwarder.bytes) = (at, 0);
        }
        forwarder.bytes += (bytes + HEADER_BYTES) as u64;
        let allowed = f64::from(forwarder.budget_kbps) * 125.0 * (WINDOW + BURST).as_secs_f64();
        if forwarder.bytes as f64 > allowed + 3_000.0 {
            let what = format!(
                "{} forwards more than {} kbit/s",
                names[node], forwarder.budget_kbps
            );
            violations.add(at, "bounds", &what);
        }
    }

    pub(super) fn finish(
        &self,
        at: Timestamp,
        expect: &Expect,
        violations: &mut Violations,
        names: &[String],
    ) {
        for (name, forwarder) in names.iter().zip(&self.nodes) {
            if expect.forwarders.contains(name) && forwarder.frames == 0 {
                violations.add(at, "expectation", &format!("{name} forwarded nothing"));
            }
            if expect.nobody_forwards && forwarder.frames > 0 {
                violations.add(at, "expectation", &format!("{name} forwarded"));
            }
        }
    }

    pub(super) fn frames(&self) -> u64 {
        self.nodes.iter().map(|forwarder| forwarder.frames).sum()
    }
}
