//! `subrosa man`.

use std::{fs, io, path::Path};

use clap::CommandFactory;
use clap_mangen::Man;
use subrosa_node::error::{ErrorKind, NodeError};

use crate::args::Cli;

/// Prints the main page, or writes a page for each command into `out`.
///
/// # Errors
/// If it cannot be written.
pub(super) fn run(out: Option<&Path>) -> Result<u8, NodeError> {
    let failed = |e: io::Error| {
        NodeError::new(
            ErrorKind::Storage,
            format!("cannot write the manual: {e}"),
            "choose another --out",
        )
    };
    let command = Cli::command();
    match out {
        None => match Man::new(command).render(&mut io::stdout()) {
            // A pager that was left early.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            result => result.map_err(failed)?,
        },
        Some(folder) => {
            fs::create_dir_all(folder).map_err(failed)?;
            clap_mangen::generate_to(command, folder).map_err(failed)?;
        }
    }
    Ok(0)
}
