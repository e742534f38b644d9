//! What a relay keeps on disk: its keys, where its descriptor chain stands, and the month's traffic.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use subrosa_proto::{relay::TokenUsage, time::UnixSeconds};
use zeroize::Zeroizing;

/// A relay's folder. Only the relay's user can read it.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
}

/// What changes over the relay's life. A file that is lost or damaged is not fatal: the sequence then goes on with the
/// Unix time, which is always higher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelayState {
    /// Of the last descriptor.
    pub(super) sequence: u64,
    /// Hash of the last descriptor, in hexadecimal.
    pub(super) previous: Option<String>,
    /// When `month_bytes` was counted, in Unix seconds.
    #[serde(default)]
    pub(super) counted_at: u64,
    /// Bytes forwarded in that month.
    #[serde(default)]
    pub(super) month_bytes: u64,
    /// What tokens have used.
    #[serde(default)]
    pub(super) tokens: Vec<TokenState>,
}

/// One token's use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenState {
    token: String,
    bytes: u64,
    valid_until: u64,
}

impl RelayState {
    /// What tokens have used, without those that have expired.
    pub(super) fn tokens(&self, now: UnixSeconds) -> Vec<TokenUsage> {
        let usage = |state: &TokenState| {
            Some(TokenUsage {
                token: state.token.parse().ok()?,
                bytes: state.bytes,
                valid_until: UnixSeconds(state.valid_until),
            })
        };
        let usages = self.tokens.iter().filter_map(usage);
        usages.filter(|usage| now < usage.valid_until).collect()
    }

    pub(super) fn set_tokens(&mut self, usages: &[TokenUsage]) {
        let state = |usage: &TokenUsage| TokenState {
            token: usage.token.to_string(),
            bytes: usage.bytes,
            valid_until: usage.valid_until.0,
        };
        self.tokens = usages.iter().map(state).collect();
    }
}

impl DataDir {
    /// Opens or makes the folder.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The 32 secret bytes in file `name`; made by `make` if there is no such file. A file that is there and is not a
    /// key is an error: a relay must not change its identity because of a damaged disk.
    pub(super) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> [u8; 32],
    ) -> io::Result<Zeroizing<[u8; 32]>> {
        let path = self.path.join(name);
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok().map(Zeroizing::new);
                let bytes = bytes.and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok());
                bytes.map(Zeroizing::new).ok_or_else(|| {
                    let message = format!("{} is not a key of 64 hexadecimal digits", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, message)
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Zeroizing::new(make());
                let text = Zeroizing::new(format!("{}\n", HEXLOWER.encode(&*secret)));
                self.write(name, text.as_bytes())?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }

    /// The saved state; the default if there is none or it is damaged.
    pub(super) fn state(&self) -> RelayState {
        let text = fs::read_to_string(self.path.join("state.toml")).unwrap_or_default();
        toml::from_str(&text).unwrap_or_default()
    }

    /// Saves the state.
    pub(super) fn save(&self, state: &RelayState) -> io::Result<()> {
        let text = toml::to_string(state).map_err(io::Error::other)?;
        self.write("state.toml", text.as_bytes())
    }

    /// Writes a whole new file and then puts it in the old one's place, so that a full disk loses nothing.
    fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let new = self.path.join(format!("{name}.new"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, self.path.join(name))
    }
}
