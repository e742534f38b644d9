//! `subrosa demo`: three members and two relays as processes of their own, over real UDP on loopback, and a check of
//! what each member heard.

mod actors;
mod child;
mod result;
mod scenario;
mod speech;
mod stage;
mod table;
mod verdict;

use std::{
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use subrosa_node::error::{ErrorKind, NodeError};

use super::runtime;
use crate::{
    args::DemoArgs,
    output::{self, Paint},
    signals::Signals,
};

/// Runs the demo.
///
/// # Errors
/// [`ErrorKind::Check`] if it cannot be carried through; a check that fails shows in the table and in the status.
pub(super) fn run(args: &DemoArgs) -> Result<u8, NodeError> {
    let dir = directory(args.keep.as_deref())?;
    let result = runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            result = scenario::perform(&args.speech, &dir) => result,
            // Dropping the scenario ends its processes.
            _ = signals.next() => Err(NodeError::new(ErrorKind::Check, "interrupted", "")),
        }
    })?;
    let checks = verdict::judge(&result);
    let failed = checks.iter().filter(|check| !check.ok).count();
    let text = if args.json {
        result::to_json(&result, &checks).to_string()
    } else {
        result::to_text(&result, &checks, Paint::stdout())
    };
    output::line(&text).map_err(|e| cannot_write(Path::new("stdout"), &e))?;
    if failed == 0 {
        return Ok(0);
    }
    Err(NodeError::new(
        ErrorKind::Check,
        format!("{failed} of {} checks failed", checks.len()),
        format!("what each process said lies in {}", dir.display()),
    ))
}

/// Where the demo's files go: `given`, or a new directory among the temporary ones.
fn directory(given: Option<&Path>) -> Result<PathBuf, NodeError> {
    let path = given.map_or_else(
        || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            std::env::temp_dir().join(format!("subrosa-demo-{}-{}", since.as_secs(), std::process::id()))
        },
        Path::to_owned,
    );
    std::fs::create_dir_all(&path).map_err(|e| cannot_write(&path, &e))?;
    // The processes run elsewhere: relative paths would mean something else to them.
    path.canonicalize().map_err(|e| cannot_write(&path, &e))
}

fn cannot_write(path: &Path, error: &io::Error) -> NodeError {
    NodeError::new(
        ErrorKind::Storage,
        format!("cannot write {}: {error}", path.display()),
        "free some space, or choose another directory with --keep DIR",
    )
}
