//! Issuers' secret keys in files, and signed lines from arguments, files or stdin.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use data_encoding::HEXLOWER;
use subrosa_node::error::{ErrorKind, NodeError};
use subrosa_proto::{identity::Identity, ids::RelayId, policy::SignedDescriptor};
use zeroize::Zeroizing;

/// Longest line that is read, in bytes: the largest descriptor in text has about 5,000.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Makes a key and writes it into a new file that only its owner can read.
///
/// # Errors
/// If the file is there already or cannot be written.
pub(super) fn create(path: &Path) -> Result<Identity, NodeError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *seed).map_err(|_| {
        NodeError::new(
            ErrorKind::Internal,
            "the system gives no randomness".to_owned(),
            "",
        )
    })?;
    let text = Zeroizing::new(format!("{}\n", HEXLOWER.encode(&*seed)));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| {
        NodeError::new(
            ErrorKind::Storage,
            format!("cannot write the key {}: {e}", path.display()),
            "choose another file; an existing key is never replaced",
        )
    })?;
    Ok(Identity::from_seed(&seed))
}

/// Reads a key.
///
/// # Errors
/// If the file cannot be read or holds no key.
pub(super) fn load(path: &Path) -> Result<Identity, NodeError> {
    let wrong = |why: String| {
        NodeError::new(
            ErrorKind::Config,
            format!("cannot use the key {}: {why}", path.display()),
            "give a file that `subrosa relay token new-key` or `family new-key` made",
        )
    };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?);
    let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok().map(Zeroizing::new);
    let seed = bytes
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
        .map(Zeroizing::new);
    let seed = seed.ok_or_else(|| wrong("it does not hold 64 hexadecimal digits".to_owned()))?;
    Ok(Identity::from_seed(&seed))
}

/// `given` itself if it contains `prefix`, else what the file of that name or stdin (`-`) holds.
///
/// # Errors
/// If it cannot be read.
pub(super) fn line(given: &str, prefix: &str) -> Result<String, NodeError> {
    if given.contains(prefix) {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let read = if given == "-" {
        io::stdin().take(LINE_BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(given).and_then(|file| file.take(LINE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("cannot read {given}: {e}"),
            format!("give the line that begins with {prefix}, a file that holds it, or - for stdin"),
        )
    })?;
    Ok(text)
}

/// A relay's identity: 64 hexadecimal digits, a descriptor, or a file with one.
///
/// # Errors
/// If it is none of these.
pub(super) fn relay(given: &str) -> Result<RelayId, NodeError> {
    let digits = HEXLOWER.decode(given.trim().to_lowercase().as_bytes()).ok();
    if let Some(id) = digits.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        return Ok(RelayId(id));
    }
    let text = line(given, "subrosa-relay:")?;
    match SignedDescriptor::from_text(&text) {
        Ok(signed) => Ok(signed.unverified().relay),
        Err(error) => Err(NodeError::new(
            ErrorKind::Config,
            error.to_string(),
            "give the relay's descriptor, a file that holds it, or its identity in hexadecimal",
        )),
    }
}
