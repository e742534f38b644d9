//! A long-term identity in a file: two lines of text, mode 0600, written whole before it gets its name.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use subrosa_proto::{identity::Identity, time::UnixSeconds};
use zeroize::Zeroizing;

use super::data_dir::{cannot, create_private, replace_private};
use crate::error::{ErrorKind, NodeError};

/// The file's name in a data directory.
pub const IDENTITY_FILE: &str = "identity";
/// The first line: names the format and its version.
const HEADER: &str = "subrosa-identity-1";

/// Reads the identity in `dir`; `None` if there is none yet.
///
/// # Errors
/// [`ErrorKind::Storage`] if the file cannot be read or is not an identity.
pub fn load(dir: &Path) -> Result<Option<Identity>, NodeError> {
    let path = dir.join(IDENTITY_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("read", &path, &e)),
    };
    parse(&text).map(Some).ok_or_else(|| {
        NodeError::new(
            ErrorKind::Storage,
            format!("{} is damaged or of another version", path.display()),
            "restore it from a backup, or make a new identity with: subrosa identity new --replace",
        )
    })
}

/// Reads the identity in `dir`, or makes one and keeps it there.
///
/// # Errors
/// As [`load`], and if the new file cannot be written.
pub fn load_or_create(dir: &Path) -> Result<Identity, NodeError> {
    match load(dir)? {
        Some(identity) => Ok(identity),
        None => create(dir),
    }
}

/// Makes a new identity in `dir`, which has none.
///
/// # Errors
/// [`ErrorKind::Storage`] if there is one, or the file cannot be written.
pub fn create(dir: &Path) -> Result<Identity, NodeError> {
    let path = dir.join(IDENTITY_FILE);
    if path.exists() {
        return Err(NodeError::new(
            ErrorKind::Storage,
            format!("{} exists already", path.display()),
            "keep it, or replace it with: subrosa identity new --replace",
        ));
    }
    let identity = fresh()?;
    write(dir, &path, &identity).map_err(|e| cannot("write", &path, &e))?;
    Ok(identity)
}

/// Makes a new identity in `dir` and keeps the old file, if there is one, under the name that is returned.
///
/// # Errors
/// [`ErrorKind::Storage`] if a file cannot be renamed or written.
pub fn replace(dir: &Path, now: UnixSeconds) -> Result<(Identity, Option<PathBuf>), NodeError> {
    let path = dir.join(IDENTITY_FILE);
    if !path.exists() {
        return Ok((create(dir)?, None));
    }
    let old = dir.join(format!("{IDENTITY_FILE}.{}", now.0));
    // A hard link fails if the name is taken, so that no older identity is lost.
    fs::hard_link(&path, &old).map_err(|e| cannot("write", &old, &e))?;
    let identity = fresh()?;
    write(dir, &path, &identity).map_err(|e| cannot("write", &path, &e))?;
    Ok((identity, Some(old)))
}

/// An identity from the operating system's randomness, kept nowhere.
///
/// # Errors
/// [`ErrorKind::Internal`] if the operating system gives no randomness.
pub fn fresh() -> Result<Identity, NodeError> {
    let seed = crate::entropy::seed()?;
    Ok(Identity::from_seed(&seed))
}

fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    if lines.next()? != HEADER {
        return None;
    }
    let seed = Zeroizing::new(HEXLOWER_PERMISSIVE.decode(lines.next()?.as_bytes()).ok()?);
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.as_slice().try_into().ok()?);
    lines.next().is_none().then(|| Identity::from_seed(&seed))
}

fn write(dir: &Path, path: &Path, identity: &Identity) -> io::Result<()> {
    create_private(dir)?;
    let hex = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&*identity.to_seed()));
    let text = Zeroizing::new(format!("{HEADER}\n{}\n", *hex));
    replace_private(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("subrosa-identity-{name}-{}", std::process::id()))
    }

    #[test]
    fn an_identity_survives_a_restart_in_a_private_file() {
        let dir = scratch("restart");
        let made = load_or_create(&dir).unwrap();
        assert_eq!(load_or_create(&dir).unwrap().public(), made.public());
        let mode = fs::metadata(dir.join(IDENTITY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn replacing_keeps_the_old_identity() {
        let dir = scratch("replace");
        let old = load_or_create(&dir).unwrap();
        assert!(create(&dir).unwrap_err().message.contains("exists"));
        let (new, kept) = replace(&dir, UnixSeconds(7)).unwrap();
        assert_ne!(new.public(), old.public());
        let kept = fs::read_to_string(kept.unwrap()).unwrap();
        assert_eq!(parse(&kept).unwrap().public(), old.public());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_damaged_file_is_reported_and_kept() {
        let dir = scratch("damaged");
        fs::create_dir_all(&dir).unwrap();
        for text in [
            "",
            "subrosa-identity-2\n00\n",
            "subrosa-identity-1\n0011\n",
            "subrosa-identity-1\nzz\n",
        ] {
            fs::write(dir.join(IDENTITY_FILE), text).unwrap();
            assert_eq!(load_or_create(&dir).unwrap_err().kind, ErrorKind::Storage);
            assert_eq!(fs::read_to_string(dir.join(IDENTITY_FILE)).unwrap(), text);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
