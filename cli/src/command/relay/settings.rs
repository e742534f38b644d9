//! `subrosa relay check` and `show`; settings from flags, environment and file.

use serde_json::json;
use subrosa_node::{
    error::{ErrorKind, NodeError},
    relay_config::{Override, RelayConfigError, RelaySettings},
};

use super::print;
use crate::relay_args::SettingsArgs;

/// The settings: flags over the environment over the file.
///
/// # Errors
/// [`ErrorKind::Config`] with file, line, reason and the nearest known key.
pub(in crate::command) fn load(args: &SettingsArgs) -> Result<RelaySettings, NodeError> {
    try_load(args).map_err(|error| explain(&error))
}

fn explain(error: &RelayConfigError) -> NodeError {
    NodeError::new(
        ErrorKind::Config,
        error.to_string(),
        "docs/relay.toml explains every key",
    )
}

fn try_load(args: &SettingsArgs) -> Result<RelaySettings, RelayConfigError> {
    // The grammar requires it.
    let file = args.config.clone().unwrap_or_default();
    let mut overrides = Override::from_environment(std::env::vars())?;
    for text in &args.set {
        overrides.push(Override::from_flag(text)?);
    }
    RelaySettings::load_with(&file, &overrides)
}

/// `subrosa relay check`.
pub(super) fn check(args: &SettingsArgs, json: bool) -> Result<u8, NodeError> {
    let file = args.config.clone().unwrap_or_default();
    match (try_load(args), json) {
        (Ok(settings), _) => {
            let access = if settings.access.open {
                "everybody"
            } else {
                "listed addresses and holders of a token"
            };
            let operator = &settings.operator;
            let text = format!(
                "{} is fine: {}, hosted {}, law {}, parent {}; for {access}; {} sessions, {} rooms",
                file.display(),
                operator.name.as_str(),
                settings.hosting,
                operator.legal_seat,
                operator.parent_seat,
                settings.limits.sessions_max,
                settings.limits.rooms_max,
            );
            let machine = json!({ "v": 1, "event": "relay_check", "ok": true });
            print(&if json { machine.to_string() } else { text })
        }
        (Err(error), true) => {
            let said = json!({
                "v": 1, "event": "relay_check", "ok": false, "file": error.file.display().to_string(),
                "line": error.line, "message": error.message, "nearest": error.nearest,
            });
            print(&said.to_string())?;
            Ok(ErrorKind::Config.exit_status())
        }
        (Err(error), false) => Err(explain(&error)),
    }
}

/// `subrosa relay show`.
pub(super) fn show(args: &SettingsArgs, json: bool) -> Result<u8, NodeError> {
    let table = load(args)?.to_table();
    if json {
        let mut said = json!({ "v": 1, "event": "relay_settings" });
        said["settings"] = serde_json::to_value(&table).unwrap_or_default();
        return print(&said.to_string());
    }
    print(toml::to_string(&table).unwrap_or_default().trim_end())
}
