//! What the demo knows of its members and relays from what they said.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The way from one member to another, as the member said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct RouteSeen {
    pub(super) peer: String,
    pub(super) path: String,
    pub(super) via: String,
    pub(super) hosting: Option<String>,
    pub(super) legal_seat: Option<String>,
    pub(super) evidence: Option<String>,
    pub(super) rtt_ms: Option<f64>,
}

/// Reception of one peer, as the listener said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Reception {
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) recovered: u64,
    pub(super) concealed: u64,
    pub(super) undecryptable: u64,
}

/// A member.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) id: Option<String>,
    pub(super) ticket: Option<String>,
    pub(super) joined: bool,
    pub(super) safety_code: String,
    /// Who it sees in the meeting, by id.
    pub(super) present: BTreeMap<String, String>,
    pub(super) routes: BTreeMap<String, RouteSeen>,
    /// Changes of route after the first to each peer, in words.
    pub(super) rerouted: Vec<String>,
    pub(super) reception: BTreeMap<String, Reception>,
    /// How many statistics came so far.
    pub(super) stats_seen: u64,
    /// Knocks not answered yet: id, name, fingerprint.
    pub(super) knocks: Vec<(String, String, String)>,
    /// Refusals: what, clause, reason.
    pub(super) refusals: Vec<(String, String, String)>,
    pub(super) errors: Vec<String>,
    /// When its first sample was taken: microseconds of Unix time.
    pub(super) input_began_us: Option<u64>,
    /// When its first sample was heard, likewise.
    pub(super) output_began_us: Option<u64>,
    pub(super) left: Option<String>,
    pub(super) ended: bool,
}

impl Member {
    /// Takes in one event of the headless interface.
    pub(super) fn apply(&mut self, event: &Value) {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap_or_default() {
            "ready" => self.id = Some(text("node")),
            "ticket" => self.ticket = Some(text("ticket")),
            "joined" => {
                self.joined = true;
                self.id = Some(text("self"));
            }
            "safety_code" => self.safety_code = text("safety_code"),
            "knock" => self
                .knocks
                .push((text("member"), text("name"), text("fingerprint"))),
            "member" if event["state"] == "joined" => {
                self.present.insert(text("id"), text("name"));
            }
            "member" => {
                self.present.remove(&text("id"));
            }
            "route" => self.on_route(event),
            "stats" => self.on_stats(event),
            "refused" => self.refusals.push((text("what"), text("clause"), text("reason"))),
            "error" => self
                .errors
                .push(format!("{} ({})", text("message"), text("code"))),
            "audio" => {
                self.input_began_us = event["input_started_unix_us"].as_u64().or(self.input_began_us);
                self.output_began_us = event["output_started_unix_us"].as_u64().or(self.output_began_us);
            }
            "left" => self.left = Some(text("reason")),
            _ => {}
        }
    }

    fn on_route(&mut self, event: &Value) {
        let route = RouteSeen::deserialize(event).unwrap_or_default();
        let before = self.routes.insert(route.peer.clone(), route.clone());
        if let Some(before) = before
            && (before.path != route.path || before.via != route.via)
        {
            self.rerouted.push(format!("{} → {}", before.path, route.path));
        }
    }

    fn on_stats(&mut self, event: &Value) {
        self.stats_seen += 1;
        for peer in event["peers"].as_array().into_iter().flatten() {
            let reception = Reception::deserialize(peer).unwrap_or_default();
            let id = peer["member"].as_str().unwrap_or_default();
            self.reception.insert(id.to_owned(), reception);
        }
    }

    /// Whether it is in and has a way to `others` peers.
    pub(super) fn is_connected(&self, others: usize) -> bool {
        let with_path = self.routes.values().filter(|route| route.path != "none");
        self.joined && with_path.count() >= others
    }
}

/// A relay.
#[derive(Debug, Default)]
pub(super) struct Relay {
    pub(super) descriptor: Option<String>,
    /// What refusals name it by.
    pub(super) fingerprint: String,
    /// The latest statistics line.
    pub(super) stats: Value,
    pub(super) stats_seen: u64,
    pub(super) errors: Vec<String>,
    pub(super) ended: bool,
}

impl Relay {
    /// Takes in one line of `subrosa relay --json`.
    pub(super) fn apply(&mut self, event: &Value) {
        match event["event"].as_str().unwrap_or_default() {
            "relay_ready" => {
                self.descriptor = event["descriptor"].as_str().map(str::to_owned);
                self.fingerprint = event["fingerprint"].as_str().unwrap_or_default().to_owned();
            }
            "relay_stats" | "relay_stopped" => {
                self.stats_seen += 1;
                self.stats = event.clone();
            }
            "error" => self
                .errors
                .push(format!("{} ({})", event["message"], event["code"])),
            _ => {}
        }
    }

    /// Whether a refusal with this reason is about this relay.
    pub(super) fn is_meant_by(&self, reason: &str) -> bool {
        !self.fingerprint.is_empty() && reason.contains(&self.fingerprint)
    }

    /// A counter of the latest statistics.
    pub(super) fn counter(&self, name: &str) -> Option<u64> {
        self.stats[name].as_u64()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_is_known_by_what_it_says() {
        let mut member = Member::default();
        for event in [
            json!({"v":1,"event":"joined","self":"aa","meeting":"m","policy":"p"}),
            json!({"v":1,"event":"route","peer":"bb","path":"relay","via":"X","hosting":"DE"}),
            json!({"v":1,"event":"stats","peers":[{"member":"bb","received":9,"concealed":1}]}),
            json!({"v":1,"event":"route","peer":"bb","path":"direct","via":""}),
            json!({"v":1,"event":"something_newer"}),
        ] {
            member.apply(&event);
        }
        assert!(member.is_connected(1) && !member.is_connected(2));
        assert_eq!(member.reception["bb"].received, 9);
        assert_eq!(member.rerouted, ["relay → direct"]);
    }
}
