//! `subrosa`: the command line on top of [`subrosa_node`].

use std::process::ExitCode;

mod args;
mod command;
mod config_file;
mod logging;
mod meeting;
mod output;
mod passphrase_input;
mod relay_args;
mod settings;
mod signals;
mod view_model;

fn main() -> ExitCode {
    command::run(std::env::args_os().collect())
}
