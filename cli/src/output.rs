//! stdout and stderr: data on one, words on the other, colour only where a person looks on.

use std::io::{self, IsTerminal, Write};

use subrosa_node::error::NodeError;

/// Colour for a terminal, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For stdout; off if it is no terminal, or `NO_COLOR` is set to anything (no-color.org).
    pub(crate) fn stdout() -> Self {
        Self {
            on: io::stdout().is_terminal() && wanted(),
        }
    }

    /// For stderr, likewise.
    pub(crate) fn stderr() -> Self {
        Self {
            on: io::stderr().is_terminal() && wanted(),
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.code("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.code("32", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
}

/// Writes one line of data and flushes it, so that a program at the other end of a pipe sees it now.
///
/// # Errors
/// If stdout is closed or full; the caller ends politely.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Tells a person on stderr what failed and what to do.
pub(crate) fn error(error: &NodeError) {
    let paint = Paint::stderr();
    // If stderr is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{} {}", paint.red("error:"), error.message);
    if !error.hint.is_empty() {
        let _ = writeln!(io::stderr(), "{} {}", paint.bold("hint:"), error.hint);
    }
}
