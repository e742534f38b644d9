//! A relay until it is told to end.

use std::{io, time::Duration};

use subrosa_node::{
    driver::relay::{RelayNode, RelayStartError},
    error::{ErrorKind, NodeError},
};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    super::runtime,
    printer::{Printer, counters},
    service, settings,
};
use crate::{
    relay_args::SettingsArgs,
    signals::{Asked, Signals},
};

/// How often statistics are printed with `--json`, and a renewed descriptor is looked for.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a relay. SIGHUP reads the settings again. The first signal to end drains it: clients are told and get the time in
/// its settings to move. The second ends it at once.
///
/// # Errors
/// What is wrong with the settings, or keeps it from starting.
pub(super) fn run(args: &SettingsArgs, json: bool) -> Result<u8, NodeError> {
    let loaded = settings::load(args)?;
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let relay = RelayNode::start(loaded).await.map_err(|e| explain(&e))?;
        let printer = Printer { json };
        service::ready("serving");
        let ended = tokio::select! {
            ended = serve(&relay, args, &mut signals, &printer) => ended,
            () = service::keep_watchdog_quiet(&relay) => Ok(()),
        };
        if ended.is_ok() {
            printer.draining(relay.drain_time());
            service::draining(relay.drain_time());
            tokio::select! {
                () = relay.drain() => {}
                () = signals.end() => {}
                () = service::keep_watchdog_quiet(&relay) => {}
            }
        }
        relay.shutdown().await;
        printer.stopped(&relay.stats().await);
        ended.map(|()| 0)
    })
}

/// Until the first signal to end, or until stdout takes no more.
async fn serve(
    relay: &RelayNode,
    args: &SettingsArgs,
    signals: &mut Signals,
    printer: &Printer,
) -> Result<(), NodeError> {
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
            asked = signals.next() => match asked {
                Asked::End => return Ok(()),
                Asked::HangUp => {
                    reload(relay, args, printer).await;
                    continue;
                }
            },
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

/// Reads the settings again. What is wrong with them is told, and the old ones stay in force.
async fn reload(relay: &RelayNode, args: &SettingsArgs, printer: &Printer) {
    service::reloading();
    let reloaded = match settings::load(args) {
        Ok(settings) => relay.reload(settings).await.map_err(|e| explain(&e)),
        Err(error) => Err(error),
    };
    match &reloaded {
        Ok(reloaded) => printer.reloaded(reloaded),
        Err(error) => {
            tracing::error!(error = %error.message, "the settings were not reloaded");
            printer.reload_failed(error);
        }
    }
    service::ready(if reloaded.is_ok() {
        "serving"
    } else {
        "serving by the old settings: the new ones are wrong"
    });
}

fn explain(error: &RelayStartError) -> NodeError {
    let (kind, hint) = match error {
        RelayStartError::Listen { .. } => (ErrorKind::Bind, "choose another `listen` in the relay's file"),
        RelayStartError::Metrics { .. } => (ErrorKind::Bind, "choose another `metrics` in the relay's file"),
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
