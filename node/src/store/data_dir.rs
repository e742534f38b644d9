//! The directory that a node keeps its state in, held by one process at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::error::{ErrorKind, NodeError};

/// A data directory that this process alone uses. Dropping it frees it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates `path` with mode 0700 if it is missing and takes it. Two nodes with one identity would be one member
    /// twice, so a second process is told to use another directory.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] if the directory cannot be made or another process holds it.
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        create_private(path).map_err(|e| cannot("create", path, &e))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| cannot("open", &lock_path, &e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(NodeError::new(
                ErrorKind::Storage,
                format!(
                    "the data directory {} is in use by another subrosa",
                    path.display()
                ),
                "end the other one, or give this one its own identity with --data-dir DIR or --ephemeral",
            )),
            Err(TryLockError::Error(e)) => Err(cannot("lock", &lock_path, &e)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes `path` and its missing parents, `path` itself for its owner only.
///
/// # Errors
/// Those of the file system.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces `path` by a file with this content and mode 0600: written beside it, synchronised, then renamed, so that a
/// full disk or a crash leaves the old content.
pub(super) fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary); // left behind by a run that was cut off
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A [`ErrorKind::Storage`] failure in words.
pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> NodeError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => {
            "free some space on that disk, or choose another place with --data-dir DIR"
        }
        io::ErrorKind::PermissionDenied => {
            "check the permissions, or choose another place with --data-dir DIR"
        }
        _ => "choose another place with --data-dir DIR",
    };
    NodeError::new(
        ErrorKind::Storage,
        format!("cannot {verb} {}: {error}", path.display()),
        hint,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_holds_a_data_directory() {
        let root = std::env::temp_dir().join(format!("subrosa-data-dir-{}", std::process::id()));
        let first = DataDir::open(&root).unwrap();
        let second = DataDir::open(&root).unwrap_err();
        assert_eq!(second.kind, ErrorKind::Storage);
        assert!(second.message.contains("in use"), "{second}");
        drop(first);
        assert_eq!(DataDir::open(&root).unwrap().path(), root);
        fs::remove_dir_all(&root).unwrap();
    }
}
