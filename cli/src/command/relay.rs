//! `subrosa relay`: a relay until it is told to end.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Map, Value, json};
use subrosa_node::{
    driver::relay::{RelayNode, RelayReport, RelayStartError},
    error::{ErrorKind, NodeError},
    relay_config::RelaySettings,
};
use subrosa_proto::{policy::SignedDescriptor, relay::DropReason};
use tokio::time::{MissedTickBehavior, interval};

use super::runtime;
use crate::{args::RelayArgs, output, signals::Signals};

/// How often statistics are printed with `--json`, and a renewed descriptor is looked for.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often statistics are looked at while the relay drains.
const DRAIN_REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// The version of the JSON lines.
const RELAY_EVENT_VERSION: u32 = 1;

/// Runs a relay. The first signal drains it: clients are told and get the time in its settings to move. The second ends
/// it at once.
///
/// # Errors
/// What is wrong with the settings, or keeps it from starting.
pub(super) fn run(args: &RelayArgs) -> Result<u8, NodeError> {
    let settings = RelaySettings::load(&args.config).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            e.to_string(),
            "docs/relay.toml explains every key",
        )
    })?;
    let drain = settings.drain;
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let relay = RelayNode::start(settings).await.map_err(|e| explain(&e))?;
        let printer = Printer { json: args.json };
        let ended = serve(&relay, &mut signals, &printer).await;
        let mut last = relay.stats().await;
        if ended.is_ok() {
            printer.draining(drain);
            tokio::select! {
                () = relay.drain() => {}
                () = signals.next() => {}
                () = keep_latest(&relay, &mut last) => {}
            }
        }
        relay.shutdown().await;
        printer.stopped(&last);
        ended.map(|()| 0)
    })
}

/// Keeps the latest statistics while the relay drains: once it has ended there are none. Never returns.
async fn keep_latest(relay: &RelayNode, last: &mut RelayReport) {
    loop {
        tokio::time::sleep(DRAIN_REPORT_INTERVAL).await;
        let report = relay.stats().await;
        if report != RelayReport::default() {
            *last = report;
        }
    }
}

/// Until the first signal, or until stdout takes no more.
async fn serve(relay: &RelayNode, signals: &mut Signals, printer: &Printer) -> Result<(), NodeError> {
    let mut shown = None;
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let descriptor = relay.descriptor();
        if shown.as_ref() != Some(&descriptor) {
            if !unless_closed(printer.descriptor(relay, &descriptor))? {
                return Ok(());
            }
            shown = Some(descriptor);
        }
        tokio::select! {
            () = signals.next() => return Ok(()),
            _ = ticks.tick() => {}
        }
        if printer.json {
            let report = relay.stats().await;
            if !unless_closed(printer.event("relay_stats", counters(&report)))? {
                return Ok(());
            }
        }
    }
}

/// What is told, and where.
struct Printer {
    json: bool,
}

impl Printer {
    fn event(&self, name: &str, mut fields: Map<String, Value>) -> io::Result<()> {
        fields.insert("v".to_owned(), RELAY_EVENT_VERSION.into());
        fields.insert("event".to_owned(), name.into());
        output::line(&Value::Object(fields).to_string())
    }

    /// The descriptor is the relay's data: alone on stdout, so that it can be kept in a file.
    fn descriptor(&self, relay: &RelayNode, signed: &SignedDescriptor) -> io::Result<()> {
        let descriptor = signed.unverified();
        let operator = &descriptor.operator;
        if self.json {
            let fields = json!({
                "relay": relay.id().to_string(),
                "fingerprint": relay.id().fingerprint(),
                "listen": relay.local_addr().to_string(),
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

    fn draining(&self, within: Duration) {
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

    fn stopped(&self, report: &RelayReport) {
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
fn say(text: &str) {
    // Without a stderr nobody watches.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Every counter under the name that docs/relay.md explains.
fn counters(report: &RelayReport) -> Map<String, Value> {
    let (relay, driver) = (&report.relay, &report.driver);
    let drops: Map<String, Value> = DropReason::ALL
        .into_iter()
        .filter(|reason| relay.dropped(*reason) > 0)
        .map(|reason| (reason.name().to_owned(), relay.dropped(reason).into()))
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
        "load_permille": driver.load_permille,
        "draining": relay.draining,
    });
    fields.as_object().cloned().unwrap_or_default()
}

fn explain(error: &RelayStartError) -> NodeError {
    let (kind, hint) = match error {
        RelayStartError::Listen { .. } => (ErrorKind::Bind, "choose another `listen` in the relay's file"),
        RelayStartError::DataDir { .. } => (
            ErrorKind::Storage,
            "check `data_dir` in the relay's file and its permissions",
        ),
        RelayStartError::Descriptor(_) => (
            ErrorKind::Config,
            "correct the relay's file; docs/relay.toml explains every key",
        ),
        _ => (
            ErrorKind::Internal,
            "close other programs, or raise the limits on open files and threads (ulimit)",
        ),
    };
    NodeError::new(kind, error.to_string(), hint)
}

/// A program that reads the events and went away is a wish to end; a full disk is a failure.
fn unless_closed(result: io::Result<()>) -> Result<bool, NodeError> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(NodeError::new(
            ErrorKind::Storage,
            format!("cannot write to stdout: {e}"),
            "free some space where stdout goes",
        )),
    }
}
