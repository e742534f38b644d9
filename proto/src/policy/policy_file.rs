//! Policy files: TOML in which each mistake is answered with its line and the word that was probably meant.

use super::route_policy::RoutePolicy;

/// A mistake in a policy file. Displays as `line 3, column 1: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PolicyFileError {
    /// Line of the mistake, from 1.
    pub line: usize,
    /// Column of the mistake in characters, from 1.
    pub column: usize,
    /// What is wrong and what was probably meant.
    pub message: String,
}

impl RoutePolicy {
    /// Reads a policy file (`docs/policy.md`).
    ///
    /// # Errors
    /// [`PolicyFileError`] for the first mistake.
    pub fn from_toml(text: &str) -> Result<Self, PolicyFileError> {
        let _ = text;
        todo!()
    }
}
