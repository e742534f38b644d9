//! What is said between members beside sound: frames and bytes between the marks of a scenario.

use subrosa_proto::{time::Timestamp, wire::control_message::ControlMessage};

use crate::report::MarkFigures;

/// See the module. Pings and their answers do not count: they go with links and time, not with what happens.
pub(super) struct Cost {
    pings: [u8; 2],
    frames: u64,
    bytes: u64,
    marks: Vec<MarkFigures>,
}

impl Cost {
    pub(super) fn new() -> Self {
        let tag = |message: ControlMessage| message.encode()[0];
        Self {
            pings: [tag(ControlMessage::Ping(0)), tag(ControlMessage::Pong(0))],
            frames: 0,
            bytes: 0,
            marks: Vec::new(),
        }
    }

    pub(super) fn control(&mut self, frame: &[u8]) {
        if frame.first().is_some_and(|tag| !self.pings.contains(tag)) {
            self.frames += 1;
            self.bytes += frame.len() as u64;
        }
    }

    /// Everything so far is before `name`.
    pub(super) fn mark(&mut self, at: Timestamp, name: &str) {
        self.marks.push(MarkFigures {
            name: name.to_owned(),
            at_s: super::seconds(at),
            frames: self.frames,
            bytes: self.bytes,
        });
    }

    pub(super) fn into_marks(self) -> Vec<MarkFigures> {
        self.marks
    }
}
