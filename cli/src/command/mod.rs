//! One module per command, and what they share.

mod completions;
mod contacts;
mod demo;
mod identity;
mod netcheck;
mod org;
mod relay;
mod relays;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind as ClapKind};
use subrosa_node::error::{ErrorKind, NodeError};
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::{Action, Cli},
    logging, meeting,
};

/// Parses the arguments and runs the command.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let machine = arguments.iter().any(|a| a == "--headless" || a == "--json");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, machine),
    };
    logging::start(cli.global.verbose);
    let result = match cli.command {
        Action::New(args) => meeting::new(args),
        Action::Join(args) => meeting::join(args),
        Action::Relay(args) => relay::run(&args),
        Action::Demo(args) => demo::run(&args),
        Action::Identity(args) => identity::run(args),
        Action::Relays(args) => relays::run(args),
        Action::Contacts(args) => contacts::run(args),
        Action::Org(args) => org::run(args),
        Action::Netcheck(args) => netcheck::run(&args),
        Action::Completions { shell } => completions::run(shell),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            meeting::report(&error, machine);
            ExitCode::from(error.kind.exit_status())
        }
    }
}

/// Help and version go to stdout with status 0, wrong usage to stderr with status 2.
fn usage(error: &clap::Error, machine: bool) -> ExitCode {
    let asked = matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion);
    if machine && !asked {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default();
        let message = message.trim_start_matches("error: ").to_owned();
        meeting::report_event(&NodeError::new(ErrorKind::Usage, message, "see: subrosa help"));
    }
    // If the stream is closed there is nobody to tell.
    let _ = error.print();
    if asked {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(ErrorKind::Usage.exit_status())
    }
}

/// The runtime that a command's sockets live in.
///
/// # Errors
/// [`ErrorKind::Internal`] if the operating system gives no threads.
pub(crate) fn runtime() -> Result<Runtime, NodeError> {
    Builder::new_multi_thread().enable_all().build().map_err(|e| {
        NodeError::new(
            ErrorKind::Internal,
            format!("cannot start threads: {e}"),
            "close other programs, or raise the limit on threads (ulimit -u)",
        )
    })
}
