//! Where a passphrase comes from: a prompt, a file, the environment. Never an argument, which others can see.

use std::{fs, path::Path};

use subrosa_node::error::{ErrorKind, NodeError};
use subrosa_proto::meeting::passphrase::Passphrase;
use zeroize::Zeroizing;

/// The environment variable.
const VARIABLE: &str = "SUBROSA_PASSPHRASE";

/// The passphrase of a new meeting, if it is to have one; a prompt asks twice.
///
/// # Errors
/// [`ErrorKind::Usage`] if it cannot be one, [`ErrorKind::Storage`] if the file cannot be read.
pub(crate) fn for_founder(prompts: bool, file: Option<&Path>) -> Result<Option<Passphrase>, NodeError> {
    if let Some(given) = given(file)? {
        return Ok(Some(given));
    }
    if !prompts {
        return Ok(None);
    }
    let first = prompt("passphrase of the meeting: ")?;
    let again = prompt("once more: ")?;
    if first != again {
        return Err(usage("the two passphrases differ".to_owned()));
    }
    Ok(Some(first))
}

/// The passphrase to say at the door, if it is known already.
///
/// # Errors
/// As [`for_founder`].
pub(crate) fn for_guest(prompts: bool, file: Option<&Path>) -> Result<Option<Passphrase>, NodeError> {
    match given(file)? {
        None if prompts => prompt("passphrase of the meeting: ").map(Some),
        given => Ok(given),
    }
}

fn given(file: Option<&Path>) -> Result<Option<Passphrase>, NodeError> {
    let text = match file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| {
                NodeError::new(
                    ErrorKind::Storage,
                    format!("cannot read the passphrase from {}: {error}", path.display()),
                    "check the path and its permissions",
                )
            })?;
            let text = Zeroizing::new(text);
            Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
        }
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Zeroizing::new(text),
            _ => return Ok(None),
        },
    };
    checked(&text).map(Some)
}

fn prompt(words: &str) -> Result<Passphrase, NodeError> {
    let text = rpassword::prompt_password(words)
        .map_err(|error| usage(format!("there is no terminal to ask for the passphrase: {error}")))?;
    checked(&Zeroizing::new(text))
}

fn checked(text: &str) -> Result<Passphrase, NodeError> {
    Passphrase::new(text).map_err(|error| usage(error.to_string()))
}

fn usage(message: String) -> NodeError {
    NodeError::new(
        ErrorKind::Usage,
        message,
        "type it when asked, or use --passphrase-file FILE or the environment variable SUBROSA_PASSPHRASE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_file_is_the_passphrase() {
        let path = std::env::temp_dir().join(format!("subrosa-passphrase-{}", std::process::id()));
        fs::write(&path, "correct horse\nbattery\n").unwrap();
        let read = for_guest(false, Some(&path)).unwrap();
        assert_eq!(read, Some(Passphrase::new("correct horse").unwrap()));
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(
            for_founder(false, Some(&path)).unwrap_err().kind,
            ErrorKind::Usage
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(
            for_founder(false, Some(&path)).unwrap_err().kind,
            ErrorKind::Storage
        );
    }
}
