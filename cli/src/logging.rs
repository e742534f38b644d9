//! Logs: on stderr, quiet by default, never mixed with data.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts logging. `SUBROSA_LOG` holds a filter in the notation of `tracing`; `-v` raises the level for our own crates.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = match std::env::var("SUBROSA_LOG") {
        Ok(filter) => EnvFilter::new(filter),
        // What dependencies warn of is of no use to people (that there is no other node to learn of yet, for one).
        Err(_) => {
            let others = if verbose == 0 {
                LevelFilter::ERROR
            } else {
                LevelFilter::WARN
            };
            EnvFilter::new(format!(
                "{others},subrosa={level},subrosa_node={level},subrosa_proto={level}"
            ))
        }
    };
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .init();
}
