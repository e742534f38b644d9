//! One hash for the sources that decide what a run does. Also part of the build script.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// What decides what a run does, from the repository's root.
pub(crate) const PARTS: [&str; 3] = ["proto/src", "simulations/src", "Cargo.lock"];
/// Of these, what only prepares runs or tells of them: new words on a figure make no run void.
pub(crate) const WITHOUT: [&str; 3] = [
    "simulations/src/command",
    "simulations/src/explain",
    "simulations/src/sweep",
];

/// SHA-256 over paths and contents of all files of [`PARTS`] but [`WITHOUT`], in hexadecimal; `None` if they are not all there.
#[must_use]
pub(crate) fn of_tree(root: &Path) -> Option<String> {
    let mut files = Vec::new();
    for part in PARTS {
        collect(&root.join(part), &mut files)?;
    }
    files.retain(|file| !WITHOUT.iter().any(|part| file.starts_with(root.join(part))));
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let (name, bytes) = (file.strip_prefix(root).ok()?, fs::read(&file).ok()?);
        hash.update(name.to_str()?.as_bytes());
        hash.update([0]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    Some(hexadecimal(&hash.finalize()))
}

/// SHA-256, in hexadecimal.
#[must_use]
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Option<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Some(());
    }
    for entry in fs::read_dir(path).ok()? {
        collect(&entry.ok()?.path(), files)?;
    }
    Some(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
