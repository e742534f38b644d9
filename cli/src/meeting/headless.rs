//! The interface for programs: one JSON command per line in, one JSON event per line out (docs/headless.md).

use std::io;

use subrosa_node::{
    command::Command,
    event::{ErrorEvent, Event},
};

use super::{
    Interface,
    stdin::{LINE_BYTES_MAX, StdinLine},
};
use crate::output;

/// JSON both ways.
pub(super) struct Headless;

impl Interface for Headless {
    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        output::line(&event.to_json_line())
    }

    fn on_line(&mut self, line: StdinLine) -> io::Result<Option<Command>> {
        match parse(&line) {
            Ok(command) => Ok(command),
            Err(message) => {
                let error = ErrorEvent {
                    code: "bad_command".to_owned(),
                    message,
                    hint: "one JSON object per line, as in docs/headless.md".to_owned(),
                };
                output::line(&Event::Error(error).to_json_line())?;
                Ok(None)
            }
        }
    }

    fn on_leaving(&mut self) {}
}

/// A line's command; nothing for an empty line and for the end of stdin.
fn parse(line: &StdinLine) -> Result<Option<Command>, String> {
    match line {
        StdinLine::End => Ok(None),
        StdinLine::Text(text) if text.trim().is_empty() => Ok(None),
        StdinLine::Text(text) => serde_json::from_str(text)
            .map(Some)
            .map_err(|e| format!("not a command: {e}")),
        StdinLine::TooLong => Err(format!("the line is longer than {LINE_BYTES_MAX} bytes")),
        StdinLine::NotUtf8 => Err("the line is not UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use subrosa_node::command::RoleName;
    use subrosa_proto::ids::MemberId;

    use super::*;

    fn text(line: &str) -> Result<Option<Command>, String> {
        parse(&StdinLine::Text(line.to_owned()))
    }

    #[test]
    fn every_documented_command_is_understood() {
        let member = MemberId([0xAB; 32]);
        assert_eq!(text(r#"{"cmd":"mute"}"#), Ok(Some(Command::Mute)));
        assert_eq!(text(r#"{"cmd":"leave"}"#), Ok(Some(Command::Leave)));
        assert_eq!(
            text(&format!(
                r#"{{"cmd":"role","member":"{member}","role":"co_host"}}"#
            )),
            Ok(Some(Command::Role {
                member,
                role: RoleName::CoHost
            }))
        );
        assert_eq!(text("  "), Ok(None));
        assert_eq!(parse(&StdinLine::End), Ok(None));
    }

    #[test]
    fn what_is_no_command_is_explained() {
        for bad in [
            "x",
            "{}",
            "[]",
            r#"{"cmd":"dance"}"#,
            r#"{"cmd":"admit","member":"12"}"#,
            r#"{"cmd":"admit","member":"12","x":1}"#,
        ] {
            assert!(text(bad).is_err(), "{bad}");
        }
        assert!(parse(&StdinLine::TooLong).is_err() && parse(&StdinLine::NotUtf8).is_err());
    }
}
