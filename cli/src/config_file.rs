//! The settings file: TOML, every key known, errors with line and nearest key.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use serde::Deserialize;
use subrosa_node::error::{ErrorKind, NodeError};
use subrosa_proto::policy::nearest::nearest;

/// Largest settings file that is read. It holds a dozen lines.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// `config.toml`. Each key is the flag of the same name; flags and environment win over it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigFile {
    /// `--name`.
    pub(crate) name: Option<String>,
    /// `--audio`.
    pub(crate) audio: Option<String>,
    /// `--frame-ms`.
    pub(crate) frame_ms: Option<u8>,
    /// `--muted`.
    pub(crate) muted: Option<bool>,
    /// `--listen`.
    pub(crate) listen: Option<SocketAddr>,
    /// `--relay`, as a list.
    pub(crate) relays: Option<Vec<String>>,
    /// `--relay-token`, as a list.
    pub(crate) relay_tokens: Option<Vec<String>>,
    /// `--policy` of `subrosa new`.
    pub(crate) policy: Option<String>,
    /// `--discovery`.
    pub(crate) discovery: Option<String>,
    /// `--bootstrap`, as a list.
    pub(crate) bootstrap: Option<Vec<String>>,
    /// `--geoip`, as a list.
    pub(crate) geoip: Option<Vec<PathBuf>>,
    /// `--no-direct`.
    pub(crate) no_direct: Option<bool>,
    /// `--forward`.
    pub(crate) forward: Option<u32>,
    /// `--uplink`.
    pub(crate) uplink: Option<u32>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// `--downloads`.
    pub(crate) downloads: Option<PathBuf>,
    /// `--admit`: `ask` or `ticket`.
    pub(crate) admit: Option<AdmitKey>,
}

/// The values of `admit`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdmitKey {
    /// `"ask"`.
    Ask,
    /// `"ticket"`.
    Ticket,
}

/// Where accepted files go unless said otherwise.
pub(crate) fn default_downloads() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_DOWNLOAD_DIR").map(PathBuf::from);
    given
        .filter(|path| path.is_absolute())
        .or_else(|| Some(etcetera::home_dir().ok()?.join("Downloads")))
}

/// Reads the settings file: `given` must exist, the one in the XDG configuration directory may.
///
/// # Errors
/// [`ErrorKind::Config`] if it cannot be read or says something unknown.
pub(crate) fn load(given: Option<&Path>) -> Result<ConfigFile, NodeError> {
    let (path, required) = match (given, default_path()) {
        (Some(path), _) => (path.to_owned(), true),
        (None, Some(path)) => (path, false),
        (None, None) => return Ok(ConfigFile::default()),
    };
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && !required => return Ok(ConfigFile::default()),
        Err(e) => return Err(unreadable(&path, &e)),
        Ok(meta) if meta.len() > CONFIG_BYTES_MAX => {
            return Err(NodeError::new(
                ErrorKind::Config,
                format!("{} is larger than {CONFIG_BYTES_MAX} bytes", path.display()),
                "give the settings file, not another one",
            ));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?;
    parse(&text, &path)
}

fn unreadable(path: &Path, error: &io::Error) -> NodeError {
    NodeError::new(
        ErrorKind::Config,
        format!("cannot read the settings file {}: {error}", path.display()),
        "check the path and its permissions, or leave --config away",
    )
}

fn parse(text: &str, path: &Path) -> Result<ConfigFile, NodeError> {
    toml::from_str(text).map_err(|error| explain(text, path, &error))
}

/// `subrosa/config.toml` in the XDG configuration directory.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(
        etcetera::choose_base_strategy()
            .ok()?
            .config_dir()
            .join("subrosa/config.toml"),
    )
}

/// `subrosa` in the XDG data directory.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.data_dir().join("subrosa"))
}

/// Puts file, line and nearest key to what the TOML reader says.
fn explain(text: &str, path: &Path, error: &toml::de::Error) -> NodeError {
    let line = error
        .span()
        .map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let place = line.map_or_else(
        || path.display().to_string(),
        |line| format!("{}:{line}", path.display()),
    );
    let message = error
        .message()
        .lines()
        .next()
        .unwrap_or("not valid TOML")
        .to_owned();
    let hint = nearest_key(error.message()).map_or_else(
        || "correct that line; docs/cli.md lists every key".to_owned(),
        |key| format!("did you mean `{key}`? docs/cli.md lists every key"),
    );
    NodeError::new(ErrorKind::Config, format!("{place}: {message}"), hint)
}

/// From "unknown field `x`, expected one of `a`, `b`", the expected key that is most like `x`.
fn nearest_key(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.starts_with("unknown "))?;
    nearest(unknown, quoted).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> NodeError {
        parse(text, Path::new("config.toml")).unwrap_err()
    }

    #[test]
    fn every_key_is_read() {
        let file = parse(
            "name = 'Ada'\naudio = 'null'\nframe_ms = 10\nmuted = true\nlisten = '127.0.0.1:0'\n\
             relays = ['a', 'b']\npolicy = 'eea'\ndiscovery = 'lan'\nbootstrap = ['n']\ngeoip = ['a.mmdb']\nno_direct = true\ndata_dir = '/d'\nadmit = 'ticket'\n",
            Path::new("config.toml"),
        )
        .unwrap();
        assert_eq!(file.name.as_deref(), Some("Ada"));
        assert_eq!(file.relays.unwrap().len(), 2);
        assert_eq!(file.discovery.as_deref(), Some("lan"));
        assert_eq!(file.bootstrap.unwrap(), ["n"]);
        assert_eq!(file.geoip.unwrap(), [Path::new("a.mmdb")]);
        assert!(matches!(file.admit, Some(AdmitKey::Ticket)));
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
        let error = fails("name = 'Ada'\n\nno_drect = true\n");
        assert_eq!(error.kind, ErrorKind::Config);
        assert!(
            error
                .message
                .starts_with("config.toml:3: unknown field `no_drect`"),
            "{error}"
        );
        assert!(error.hint.contains("`no_direct`"), "{}", error.hint);
    }

    #[test]
    fn a_key_like_no_other_gets_no_guess() {
        assert!(!fails("zzz = 1\n").hint.contains("did you mean"));
    }

    #[test]
    fn a_wrong_value_and_broken_toml_name_their_line() {
        assert!(
            fails("name = 'Ada'\nframe_ms = 'x'\n")
                .message
                .starts_with("config.toml:2:")
        );
        assert!(fails("name = 'Ada'\n[[[\n").message.starts_with("config.toml:2:"));
        assert!(fails("admit = 'aks'\n").hint.contains("`ask`"));
    }
}
