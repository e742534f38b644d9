//! From how a meeting ended to the process's exit status (docs/exit-codes.md).

use std::io;

use subrosa_node::{error::ErrorKind, event::Event};

/// What is known about the end so far.
#[derive(Debug, Default)]
pub(super) struct Ending {
    last_error: Option<ErrorKind>,
    left: Option<String>,
    stdout_full: bool,
}

impl Ending {
    /// Takes note of an event.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Error(error) => self.last_error = ErrorKind::from_code(&error.code),
            Event::Left { reason } => self.left = Some(reason.clone()),
            _ => {}
        }
    }

    /// Takes note that stdout took no more. A reader that went away is a normal end; a full disk is not.
    pub(super) fn stdout_failed(&mut self, error: &io::Error) {
        self.stdout_full |= error.kind() != io::ErrorKind::BrokenPipe;
    }

    /// The exit status once the node has ended.
    pub(super) fn status(&self) -> u8 {
        let status = match self.left.as_deref() {
            Some("left" | "leave_after") => 0,
            Some("removed") => ErrorKind::Removed.exit_status(),
            Some("refused") => ErrorKind::Refused.exit_status(),
            Some("locked") => ErrorKind::Locked.exit_status(),
            Some("passphrase") => ErrorKind::Passphrase.exit_status(),
            Some("unreachable") => self.last_error.unwrap_or(ErrorKind::Unreachable).exit_status(),
            _ => self.last_error.unwrap_or(ErrorKind::Internal).exit_status(),
        };
        if status == 0 {
            self.status_after_leaving()
        } else {
            status
        }
    }

    /// The exit status of a process that was asked to leave.
    pub(super) fn status_after_leaving(&self) -> u8 {
        if self.stdout_full {
            ErrorKind::Storage.exit_status()
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use subrosa_node::error::NodeError;

    use super::*;

    fn status(events: &[Event]) -> u8 {
        let mut ending = Ending::default();
        events.iter().for_each(|event| ending.note(event));
        ending.status()
    }

    fn left(reason: &str) -> Event {
        Event::Left {
            reason: reason.into(),
        }
    }

    #[test]
    fn the_status_tells_how_the_meeting_ended() {
        let no_path = Event::Error(NodeError::new(ErrorKind::NoPermittedPath, "m", "h").to_event());
        assert_eq!(status(&[left("left")]), 0);
        assert_eq!(status(&[left("leave_after")]), 0);
        assert_eq!(status(&[left("removed")]), 23);
        assert_eq!(status(&[left("unreachable")]), 20);
        assert_eq!(status(&[no_path.clone(), left("unreachable")]), 21);
        assert_eq!(status(&[no_path.clone(), left("error")]), 21);
        // An error that was overcome does not spoil a normal end.
        assert_eq!(status(&[no_path, left("left")]), 0);
        assert_eq!(status(&[]), 1);
    }
}
