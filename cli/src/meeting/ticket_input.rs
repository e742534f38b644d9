//! Where the ticket comes from. A ticket is a secret, and arguments are not: every user of a computer can list them.
//! So the safe ways are stdin and a file; the argument is taken too, because people paste it.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Write},
    path::Path,
};

use subrosa_node::error::{ErrorKind, NodeError};

use super::stdin::{StdinLine, read_line};

/// The ticket from the argument, a file, or the first line of stdin.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is none, [`ErrorKind::Storage`] if the file cannot be read.
pub(super) fn read(argument: Option<&str>, file: Option<&Path>) -> Result<String, NodeError> {
    let line = match (argument, file) {
        (Some(ticket), _) if ticket != "-" => return Ok(ticket.trim().to_owned()),
        (_, Some(path)) => from_file(path)?,
        _ => from_stdin()?,
    };
    match line {
        StdinLine::Text(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        StdinLine::TooLong => Err(no_ticket("the first line is far longer than any ticket")),
        StdinLine::NotUtf8 => Err(no_ticket("the first line is not text")),
        _ => Err(no_ticket("no ticket was given")),
    }
}

fn from_file(path: &Path) -> Result<StdinLine, NodeError> {
    File::open(path)
        .and_then(|file| read_line(&mut BufReader::new(file)))
        .map_err(|e| {
            NodeError::new(
                ErrorKind::Storage,
                format!("cannot read the ticket from {}: {e}", path.display()),
                "check the path and its permissions",
            )
        })
}

fn from_stdin() -> Result<StdinLine, NodeError> {
    if io::stdin().is_terminal() {
        // A prompt that cannot be shown is no reason not to read.
        let _ = write!(io::stderr(), "ticket: ");
        let _ = io::stderr().flush();
    }
    read_line(&mut io::stdin().lock()).map_err(|e| super::internal("cannot read stdin", &e))
}

fn no_ticket(message: &str) -> NodeError {
    NodeError::new(
        ErrorKind::Usage,
        message,
        "paste the line that starts with subrosa: when asked, or use --ticket-file FILE",
    )
}
