//! From flags, environment and settings file to a node's configuration: flags > environment > file > default.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use subrosa_node::{
    config::{AdmitMode, DiscoveryConfig, DoorConfig, NodeConfig, Start},
    error::{ErrorKind, NodeError},
};
use subrosa_proto::policy::{DiscoveryRule, nearest::nearest};

use crate::{
    args::{Admit, JoinArgs, MeetingArgs, NewArgs},
    config_file::{self, AdmitKey, ConfigFile},
    passphrase_input,
};

/// Longest name that is sent to others, in bytes of UTF-8.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Longest time for `--leave-after`: a year. Beyond it the flag is a mistake.
const LEAVE_AFTER_SECONDS_MAX: f64 = 365.0 * 86_400.0;

/// What `subrosa new` starts.
///
/// # Errors
/// [`ErrorKind::Usage`] for a value out of range, [`ErrorKind::Config`] for a wrong settings file.
pub(crate) fn for_new(args: NewArgs) -> Result<NodeConfig, NodeError> {
    let file = config_file::load(args.meeting.config.as_deref())?;
    let admit = args.admit.or(file.admit.map(|key| match key {
        AdmitKey::Ask => Admit::Ask,
        AdmitKey::Ticket => Admit::Ticket,
    }));
    let start = Start::New {
        policy: args
            .policy
            .or_else(|| file.policy.clone())
            .unwrap_or_else(|| "any".to_owned()),
        admit: match admit {
            None | Some(Admit::Ask) => AdmitMode::Ask,
            Some(Admit::Ticket) => AdmitMode::Ticket,
        },
    };
    let passphrase = passphrase_input::for_founder(args.passphrase, args.passphrase_file.as_deref())?;
    let mut config = node_config(start, args.meeting, file)?;
    config.door.passphrase = passphrase;
    Ok(config)
}

/// What `subrosa join` starts, once the ticket was read.
///
/// # Errors
/// As [`for_new`].
pub(crate) fn for_join(args: JoinArgs, ticket: String) -> Result<NodeConfig, NodeError> {
    let file = config_file::load(args.meeting.config.as_deref())?;
    let start = Start::Join {
        ticket,
        policy: args.policy,
    };
    let passphrase = passphrase_input::for_guest(args.passphrase, args.passphrase_file.as_deref())?;
    let mut config = node_config(start, args.meeting, file)?;
    config.door.passphrase = passphrase;
    if let Some(seconds) = args.wait {
        config.door.wait = Duration::from_secs(seconds.into());
    }
    Ok(config)
}

fn node_config(start: Start, flags: MeetingArgs, file: ConfigFile) -> Result<NodeConfig, NodeError> {
    let relays = if flags.relays.is_empty() {
        file.relays.unwrap_or_default()
    } else {
        flags.relays
    };
    let data_dir = if flags.ephemeral {
        None
    } else {
        Some(data_dir(flags.data_dir.or(file.data_dir))?)
    };
    let credential = flags.credential.as_deref().map(first_line).transpose()?;
    Ok(NodeConfig {
        start,
        name: checked_name(flags.name.or(file.name).unwrap_or_else(|| "guest".to_owned()))?,
        audio: flags.audio.or(file.audio).unwrap_or_else(|| "default".to_owned()),
        frame_ms: checked_frame_ms(flags.frame_ms.or(file.frame_ms).unwrap_or(20))?,
        listen: flags
            .listen
            .or(file.listen)
            .unwrap_or_else(|| SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        relays: split_relays(&relays),
        relay_tokens: if flags.relay_tokens.is_empty() {
            file.relay_tokens.unwrap_or_default()
        } else {
            flags.relay_tokens
        },
        geoip: geoip(flags.geoip, file.geoip),
        no_direct: flags.no_direct || file.no_direct.unwrap_or(false),
        forward_kbps: flags.forward.or(file.forward).unwrap_or(0),
        uplink_kbps: flags.uplink.or(file.uplink),
        data_dir,
        downloads: flags
            .downloads
            .or(file.downloads)
            .or_else(config_file::default_downloads),
        leave_after: flags.leave_after.map(checked_leave_after).transpose()?,
        muted: flags.muted || file.muted.unwrap_or(false),
        discovery: DiscoveryConfig {
            rule: discovery_rule(flags.discovery.or(file.discovery).as_deref())?,
            bootstrap: nodes(flags.bootstrap, file.bootstrap),
        },
        door: DoorConfig {
            credential,
            ..DoorConfig::default()
        },
    })
}

/// The first line of a file.
fn first_line(path: &std::path::Path) -> Result<String, NodeError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        NodeError::new(
            ErrorKind::Storage,
            format!("cannot read {}: {error}", path.display()),
            "check the path and its permissions",
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// `given`, or `subrosa` in the XDG data directory.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is neither.
pub(crate) fn data_dir(given: Option<PathBuf>) -> Result<PathBuf, NodeError> {
    given.or_else(config_file::default_data_dir).ok_or_else(|| {
        NodeError::new(
            ErrorKind::Usage,
            "there is no home directory to keep the identity in",
            "set HOME, or name a directory with --data-dir DIR, or use --ephemeral",
        )
    })
}

/// The reach that `given` names; any, if it names none.
///
/// # Errors
/// [`ErrorKind::Usage`] for another word.
pub(crate) fn discovery_rule(given: Option<&str>) -> Result<DiscoveryRule, NodeError> {
    let Some(given) = given else {
        return Ok(DiscoveryRule::Any);
    };
    let found = DiscoveryRule::ALL
        .into_iter()
        .find(|rule| rule.keyword() == given);
    found.ok_or_else(|| {
        NodeError::new(
            ErrorKind::Usage,
            format!("`{given}` is no reach of discovery"),
            match nearest(given, DiscoveryRule::ALL.map(DiscoveryRule::keyword)) {
                Some(keyword) => format!("did you mean `{keyword}`?"),
                None => "give off, lan, permitted-relays or any".to_owned(),
            },
        )
    })
}

/// Nodes to begin with: the flags', else the file's; one text may hold several, separated by white space.
pub(crate) fn nodes(flags: Vec<String>, file: Option<Vec<String>>) -> Vec<String> {
    let given = if flags.is_empty() {
        file.unwrap_or_default()
    } else {
        flags
    };
    let split = given.iter().flat_map(|text| text.split_whitespace());
    split.map(str::to_owned).collect()
}

/// GeoIP files: the flags', else the settings file's.
pub(crate) fn geoip(flags: Vec<PathBuf>, file: Option<Vec<PathBuf>>) -> Vec<PathBuf> {
    if flags.is_empty() {
        file.unwrap_or_default()
    } else {
        flags
    }
}

/// One environment variable or file line may hold several descriptors, separated by white space. Paths stay whole.
fn split_relays(given: &[String]) -> Vec<String> {
    let split = |text: &String| -> Vec<String> {
        if text.contains("subrosa-relay:") {
            text.split_whitespace().map(str::to_owned).collect()
        } else {
            vec![text.trim().to_owned()]
        }
    };
    given
        .iter()
        .flat_map(split)
        .filter(|relay| !relay.is_empty())
        .collect()
}

fn checked_name(name: String) -> Result<String, NodeError> {
    let usage = |message: String| Err(NodeError::new(ErrorKind::Usage, message, "choose another --name"));
    if name.trim().is_empty() {
        return usage("the name is empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return usage(format!(
            "the name has {} bytes; at most {NAME_BYTES_MAX} are sent",
            name.len()
        ));
    }
    if name.chars().any(char::is_control) {
        return usage("the name contains control characters".to_owned());
    }
    Ok(name)
}

fn checked_frame_ms(frame_ms: u8) -> Result<u8, NodeError> {
    if matches!(frame_ms, 10 | 20) {
        return Ok(frame_ms);
    }
    Err(NodeError::new(
        ErrorKind::Usage,
        format!("--frame-ms {frame_ms} is not possible"),
        "choose 20, or 10 for less delay",
    ))
}

fn checked_leave_after(seconds: f64) -> Result<Duration, NodeError> {
    if (0.0..=LEAVE_AFTER_SECONDS_MAX).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(NodeError::new(
        ErrorKind::Usage,
        format!("--leave-after {seconds} is not a time that can be waited for"),
        "give seconds, from 0 to a year",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> MeetingArgs {
        MeetingArgs {
            data_dir: Some("/d".into()),
            ..MeetingArgs::default()
        }
    }

    fn config(flags: MeetingArgs, file: ConfigFile) -> Result<NodeConfig, NodeError> {
        let start = Start::Join {
            ticket: String::new(),
            policy: None,
        };
        node_config(start, flags, file)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = || ConfigFile {
            name: Some("File".into()),
            frame_ms: Some(10),
            relays: Some(vec!["r".into()]),
            ..ConfigFile::default()
        };
        let both = config(
            MeetingArgs {
                name: Some("Flag".into()),
                ..flags()
            },
            file(),
        )
        .unwrap();
        assert_eq!((both.name.as_str(), both.frame_ms), ("Flag", 10));
        assert_eq!(both.relays, ["r"]);
        assert_eq!(both.audio, "default");
        assert_eq!(both.listen.to_string(), "[::]:0");
        let bare = config(flags(), ConfigFile::default()).unwrap();
        assert_eq!((bare.name.as_str(), bare.frame_ms), ("guest", 20));
    }

    #[test]
    fn values_out_of_range_are_usage_errors() {
        for wrong in [
            MeetingArgs {
                name: Some("x".repeat(65)),
                ..flags()
            },
            MeetingArgs {
                name: Some("a\x1b[2Jb".into()),
                ..flags()
            },
            MeetingArgs {
                name: Some(" ".into()),
                ..flags()
            },
            MeetingArgs {
                frame_ms: Some(15),
                ..flags()
            },
            MeetingArgs {
                leave_after: Some(-1.0),
                ..flags()
            },
            MeetingArgs {
                leave_after: Some(f64::NAN),
                ..flags()
            },
        ] {
            assert_eq!(
                config(wrong, ConfigFile::default()).unwrap_err().kind,
                ErrorKind::Usage
            );
        }
    }

    #[test]
    fn several_descriptors_may_stand_in_one_variable_but_paths_stay_whole() {
        assert_eq!(
            split_relays(&[
                "subrosa-relay:a subrosa-relay:b".into(),
                "my relays/de.txt".into(),
                String::new()
            ]),
            ["subrosa-relay:a", "subrosa-relay:b", "my relays/de.txt"]
        );
    }

    #[test]
    fn ephemeral_keeps_nothing() {
        let args = MeetingArgs {
            ephemeral: true,
            ..MeetingArgs::default()
        };
        assert_eq!(config(args, ConfigFile::default()).unwrap().data_dir, None);
    }
}
