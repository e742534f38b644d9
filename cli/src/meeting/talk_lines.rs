//! Obeying what a person types about chat, hands, polls and files.

use std::io;

use subrosa_node::command::Command;
use subrosa_proto::meeting::conversation::{files::FileId, item::ItemHash};

use super::{line_command::LineCommand, lines::Lines};
use crate::output;

impl Lines {
    /// What a command of this kind asks of the node, if anything.
    pub(super) fn talk(&mut self, command: &LineCommand) -> io::Result<Option<Command>> {
        Ok(Some(match command {
            LineCommand::Say(text) => Command::Say {
                text: text.clone(),
                to: None,
            },
            LineCommand::Message(target, text) => {
                let text = text.clone();
                let found = self.view.find_person(target);
                return self.aimed(&target.0, found, |to| Command::Say { text, to: Some(to) });
            }
            LineCommand::Hand(up) => Command::Hand { up: *up },
            LineCommand::LowerHand(target) => {
                let found = self.view.find_person(target);
                return self.aimed(&target.0, found, |member| Command::LowerHand { member });
            }
            LineCommand::React(reaction) => Command::React { reaction: *reaction },
            LineCommand::Poll {
                question,
                options,
                multiple,
            } => Command::Poll {
                question: question.clone(),
                options: options.clone(),
                multiple: *multiple,
            },
            LineCommand::Vote(number, options) => {
                // People count from 1, the node from 0.
                let choices = options.iter().map(|option| option - 1).collect();
                return self.about_poll(*number, |poll| Command::Vote { poll, choices });
            }
            LineCommand::ClosePoll(number) => {
                return self.about_poll(*number, |poll| Command::ClosePoll { poll });
            }
            LineCommand::Send(path, None) => Command::Send {
                path: path.clone(),
                to: None,
            },
            LineCommand::Send(path, Some(target)) => {
                let path = path.clone();
                let found = self.view.find_person(target);
                return self.aimed(&target.0, found, |to| Command::Send { path, to: Some(to) });
            }
            LineCommand::Accept(number) => {
                return self.about_file(*number, |file| Command::Accept { file });
            }
            LineCommand::Decline(number) => {
                return self.about_file(*number, |file| Command::Decline { file });
            }
            LineCommand::Cancel(number) => {
                return self.about_file(*number, |file| Command::Cancel { file });
            }
            other => {
                let lines = match other {
                    LineCommand::Chat => self.view.chat_lines(),
                    LineCommand::Hands => vec![self.view.hands_line()],
                    LineCommand::Polls => self.view.polls_lines(),
                    _ => self.view.files_lines(),
                };
                self.show_all(&lines)?;
                return Ok(None);
            }
        }))
    }

    fn about_poll(
        &self,
        number: usize,
        command: impl FnOnce(ItemHash) -> Command,
    ) -> io::Result<Option<Command>> {
        let poll = self
            .view
            .find_poll(number)
            .and_then(|poll| poll.poll.parse().ok());
        if poll.is_none() {
            output::line(&format!("there is no poll {number}: /polls lists them"))?;
        }
        Ok(poll.map(command))
    }

    fn about_file(
        &self,
        number: usize,
        command: impl FnOnce(FileId) -> Command,
    ) -> io::Result<Option<Command>> {
        let file = self.view.find_file(number).and_then(|file| file.id.parse().ok());
        if file.is_none() {
            output::line(&format!("there is no file {number}: /files lists them"))?;
        }
        Ok(file.map(command))
    }
}
