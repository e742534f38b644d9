//! Mistakes in a relay's settings: where, what, and what was probably meant.

use std::path::{Path, PathBuf};

use subrosa_proto::policy::nearest::nearest;
use toml::Spanned;

/// A mistake in `relay.toml`, or in what overrides it. Displays as `relay.toml:12: …; did you mean …?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}{}", self.place(), .nearest.as_deref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct RelayConfigError {
    /// The file, or the flag or variable.
    pub file: PathBuf,
    /// Line of the mistake, from 1; 0 if the file could not be read, or if it is no file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// The known word that was probably meant.
    pub nearest: Option<String>,
}

impl RelayConfigError {
    fn place(&self) -> String {
        match self.line {
            0 => format!("{}: ", self.file.display()),
            line => format!("{}:{line}: ", self.file.display()),
        }
    }

    pub(super) fn nowhere(place: &Path, message: String) -> Self {
        Self {
            file: place.to_owned(),
            line: 0,
            message,
            nearest: None,
        }
    }

    pub(super) fn at(text: &str, file: &Path, mistake: Mistake) -> Self {
        let before = text.as_bytes().get(..mistake.offset).unwrap_or(text.as_bytes());
        Self {
            file: file.to_owned(),
            line: before.iter().filter(|&&b| b == b'\n').count() + 1,
            message: mistake.message,
            nearest: mistake.nearest,
        }
    }
}

/// A mistake at a byte of the text.
pub(super) struct Mistake {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) nearest: Option<String>,
}

impl Mistake {
    pub(super) fn new(offset: usize, message: String) -> Self {
        Self {
            offset,
            message,
            nearest: None,
        }
    }

    pub(super) fn of<T>(value: &Spanned<T>, error: &impl std::fmt::Display) -> Self {
        Self::new(value.span().start, error.to_string())
    }
}

/// What serde and the TOML parser found, with the nearest known key for an unknown one.
pub(super) fn syntax(error: &toml::de::Error, text: &str) -> Mistake {
    let message = error.message().trim().to_owned();
    let offset = error.span().map_or(0, |span| span.start);
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return Mistake::new(offset, message);
    };
    let mut quoted = rest.split('`');
    let unknown = quoted.next().unwrap_or_default();
    // "…, expected one of `a`, `b`": every second piece is a key.
    let known: Vec<&str> = quoted
        .skip(1)
        .step_by(2)
        .filter(|piece| !piece.is_empty())
        .collect();
    let nearest = nearest(unknown, known.iter().copied()).map(str::to_owned);
    let list = if nearest.is_some() {
        String::new()
    } else {
        format!("; known here: {}", known.join(", "))
    };
    let offset = if error.span().is_some() {
        offset
    } else {
        text.find(unknown).unwrap_or(0)
    };
    Mistake {
        offset,
        message: format!("unknown key `{unknown}`{list}"),
        nearest,
    }
}
