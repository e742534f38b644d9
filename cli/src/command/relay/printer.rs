//! What a relay tells people and programs.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Map, Value, json};
use subrosa_node::{
    driver::relay::{RelayNode, RelayReport, Reloaded},
    error::NodeError,
};
use subrosa_proto::{policy::SignedDescriptor, relay::DropReason};

use crate::output;

/// The version of the JSON lines.
const RELAY_EVENT_VERSION: u32 = 1;

/// What is told, and where.
pub(super) struct Printer {
    pub(super) json: bool,
}

impl Printer {
    pub(super) fn event(&self, name: &str, mut fields: Map<String, Value>) -> io::Result<()> {
        fields.insert("v".to_owned(), RELAY_EVENT_VERSION.into());
        fields.insert("event".to_owned(), name.into());
        output::line(&Value::Object(fields).to_string())
    }

    /// The descriptor is the relay's data: alone on stdout, so that it can be kept in a file.
    pub(super) fn descriptor(&self, relay: &RelayNode, signed: &SignedDescriptor) -> io::Result<()> {
        let descriptor = signed.unverified();
        let operator = &descriptor.operator;
        if self.json {
            let fields = json!({
                "relay": relay.id().to_string(),
                "fingerprint": relay.id().fingerprint(),
                "listen": relay.local_addr().to_string(),
                "metrics": relay.metrics_addr().map(|at| at.to_string()),
                "addresses": descriptor.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "operator": operator.name.as_str(),
                "hosting": descriptor.hosting.to_string(),
                "legal_seat": operator.legal_seat.to_string(),
                "parent_seat": operator.parent_seat.to_string(),
                "valid_until": descriptor.valid_until.to_string(),
                "descriptor": signed.to_text(),
            });
            return self.event("relay_ready", fields.as_object().cloned().unwrap_or_default());
        }
        say(&format!(
            "relay {} listens on {}: {}, hosted {}, law {}, parent {}; descriptor valid until {}",
            relay.id().fingerprint(),
            relay.local_addr(),
            operator.name.as_str(),
            descriptor.hosting,
            operator.legal_seat,
            operator.parent_seat,
            descriptor.valid_until,
        ));
        output::line(&signed.to_text())
    }

    /// What a reload did; if stdout is closed, the relay serves on.
    pub(super) fn reloaded(&self, reloaded: &Reloaded) {
        if self.json {
            let fields =
                json!({ "descriptor": reloaded.descriptor, "needs_restart": reloaded.needs_restart });
            let _ = self.event("relay_reloaded", fields.as_object().cloned().unwrap_or_default());
            return;
        }
        let told = if reloaded.descriptor {
            "; sessions were told the new descriptor"
        } else {
            ""
        };
        say(&format!("settings reloaded{told}"));
        if !reloaded.needs_restart.is_empty() {
            let keys = reloaded.needs_restart.join(", ");
            say(&format!("only a restart changes: {keys}"));
        }
    }

    /// Why a reload changed nothing.
    pub(super) fn reload_failed(&self, error: &NodeError) {
        if self.json {
            let fields = json!({ "message": error.message, "hint": error.hint });
            let _ = self.event(
                "relay_reload_failed",
                fields.as_object().cloned().unwrap_or_default(),
            );
        } else {
            output::error(error);
            say("the settings stay as they were");
        }
    }

    pub(super) fn draining(&self, within: Duration) {
        let seconds = within.as_secs();
        if self.json {
            let fields = json!({ "seconds": seconds });
            // If stdout is closed, draining goes on all the same.
            let _ = self.event("relay_draining", fields.as_object().cloned().unwrap_or_default());
        } else {
            say(&format!(
                "draining for at most {seconds} s (again to end at once)"
            ));
        }
    }

    pub(super) fn stopped(&self, report: &RelayReport) {
        if self.json {
            // Nothing is left to do if stdout is closed.
            let _ = self.event("relay_stopped", counters(report));
        } else {
            say(&format!(
                "stopped after {} frames forwarded",
                report.relay.frames_forwarded
            ));
        }
    }
}

/// Words for the operator, on stderr.
pub(super) fn say(text: &str) {
    // Without a stderr nobody watches.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Every counter under the name that docs/relay.md explains.
pub(super) fn counters(report: &RelayReport) -> Map<String, Value> {
    let (relay, driver) = (&report.relay, &report.driver);
    let drops: Map<String, Value> = DropReason::ALL
        .into_iter()
        .filter(|reason| relay.dropped(*reason) > 0)
        .map(|reason| (reason.name().to_owned(), relay.dropped(reason).into()))
        .collect();
    let refusals: Map<String, Value> = relay
        .refusals
        .iter()
        .map(|(code, count)| (code.name().to_owned(), (*count).into()))
        .collect();
    let fields = json!({
        "sessions": relay.sessions,
        "rooms": relay.rooms,
        "tracks": relay.tracks,
        "sessions_total": relay.sessions_total,
        "udp_bytes_received": driver.udp_bytes_received,
        "udp_bytes_sent": driver.udp_bytes_sent,
        "datagrams_received": driver.datagrams_received,
        "datagrams_sent": driver.datagrams_sent,
        "frames_received": relay.frames_received,
        "frames_forwarded": relay.frames_forwarded,
        "frames_dropped": drops,
        "envelopes_forwarded": relay.envelopes_forwarded,
        "streams_forwarded": relay.streams_forwarded,
        "queue_delay_us_max": relay.queue_delay_us_max,
        "month_bytes": relay.month_bytes,
        "tokens": relay.tokens,
        "upstreams": relay.upstreams,
        "mirrored_rooms": relay.mirrored_rooms,
        "handshakes": {
            "started": driver.handshakes_started,
            "finished": driver.handshakes_finished,
            "failed": driver.handshakes_failed,
            "retried": driver.retries,
            "refused": driver.handshakes_refused,
            "shed": driver.handshakes_shed,
        },
        "refusals": refusals,
        "hibernating": relay.hibernating,
        "load_permille": driver.load_permille,
        "draining": relay.draining,
    });
    fields.as_object().cloned().unwrap_or_default()
}
