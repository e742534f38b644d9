//! `subrosa relay`: its settings, its tokens, and the relay itself.

mod family;
mod health;
mod init;
mod printer;
mod run;
mod service;
mod settings;
mod token;

use subrosa_node::error::{ErrorKind, NodeError};

pub(super) use settings::load;

use crate::{
    output,
    relay_args::{RelayAction, RelayArgs},
};

/// Does what the arguments say.
///
/// # Errors
/// What is wrong with arguments or settings, or keeps the relay from starting.
pub(super) fn run(args: &RelayArgs) -> Result<u8, NodeError> {
    match &args.what {
        None => run::run(&args.settings, args.json),
        Some(RelayAction::Init(init)) => init::run(init),
        Some(RelayAction::Check { settings, json }) => settings::check(settings, *json),
        Some(RelayAction::Show { settings, json }) => settings::show(settings, *json),
        Some(RelayAction::Health(args)) => health::run(args),
        Some(RelayAction::Token { what }) => token::run(what),
        Some(RelayAction::Family { what }) => family::run(what),
    }
}

/// A line on stdout.
///
/// # Errors
/// If stdout cannot be written to.
pub(super) fn print(text: &str) -> Result<u8, NodeError> {
    output::line(text).map(|()| 0).map_err(|e| {
        NodeError::new(
            ErrorKind::Storage,
            format!("cannot write to stdout: {e}"),
            "free some space where stdout goes",
        )
    })
}
