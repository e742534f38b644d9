//! `subrosa completions`.

use clap::CommandFactory;
use clap_complete::Shell;
use subrosa_node::error::NodeError;

use crate::{args::Cli, output};

/// Prints the completion script.
pub(super) fn run(shell: Shell) -> Result<u8, NodeError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "subrosa", &mut script);
    // A reader that went away has what it wanted.
    let _ = output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(0)
}
