//! The interface for people: lines in, lines out.

use std::io::{self, IsTerminal};

use subrosa_node::{command::Command, event::Event};
use subrosa_proto::ids::MemberId;

use super::{
    Interface,
    line_command::{self, HELP, LineCommand},
    qr,
    stdin::StdinLine,
};
use crate::{
    output::{self, Paint},
    view_model::{Lookup, Notice, ViewModel, Weight},
};

/// Lines on stdout, drawn from the view model.
pub(super) struct Lines {
    pub(super) view: ViewModel,
    paint: Paint,
    /// Also draw tickets as QR codes.
    qr: bool,
}

impl Lines {
    pub(super) fn new(muted: bool, qr: bool) -> Self {
        Self {
            view: ViewModel::new(muted),
            paint: Paint::stdout(),
            qr,
        }
    }

    fn show(&self, notice: &Notice) -> io::Result<()> {
        output::line(&match notice.weight {
            Weight::Quiet => self.paint.dim(&notice.text),
            Weight::Plain => notice.text.clone(),
            Weight::Strong => self.paint.bold(&notice.text),
            Weight::Alarm => self.paint.red(&notice.text),
        })
    }

    pub(super) fn show_all(&self, lines: &[String]) -> io::Result<()> {
        lines.iter().try_for_each(|line| output::line(line))
    }

    fn obey(&mut self, command: &LineCommand) -> io::Result<Option<Command>> {
        Ok(Some(match command {
            LineCommand::Nothing => return Ok(None),
            LineCommand::Who => {
                self.show_all(&self.view.who_lines())?;
                return Ok(None);
            }
            LineCommand::Say(_)
            | LineCommand::Message(..)
            | LineCommand::Chat
            | LineCommand::Hand(_)
            | LineCommand::Hands
            | LineCommand::LowerHand(_)
            | LineCommand::React(_)
            | LineCommand::Poll { .. }
            | LineCommand::Vote(..)
            | LineCommand::ClosePoll(_)
            | LineCommand::Polls
            | LineCommand::Send(..)
            | LineCommand::Accept(_)
            | LineCommand::Decline(_)
            | LineCommand::Cancel(_)
            | LineCommand::Files => return self.talk(command),
            LineCommand::Code => {
                self.show_all(&self.view.code_lines())?;
                return Ok(None);
            }
            LineCommand::Stats => {
                self.show_all(&self.view.stats_lines())?;
                return Ok(None);
            }
            LineCommand::Ticket => {
                output::line(
                    self.view
                        .ticket
                        .as_deref()
                        .unwrap_or("only the host's node holds the ticket"),
                )?;
                return Ok(None);
            }
            LineCommand::Help => {
                output::line(HELP)?;
                return Ok(None);
            }
            LineCommand::Mute => {
                self.view.muted = true;
                output::line("muted")?;
                Command::Mute
            }
            LineCommand::Unmute => {
                self.view.muted = false;
                output::line("unmuted: the others hear you")?;
                Command::Unmute
            }
            LineCommand::Lock => Command::Lock,
            LineCommand::Unlock => Command::Unlock,
            LineCommand::Leave => Command::Leave,
            LineCommand::Admit(target) => {
                return self.aimed(&target.0, self.view.find_knock(target), |member| Command::Admit {
                    member,
                });
            }
            LineCommand::Refuse(target, reason) => {
                let found = self.view.find_knock(target);
                if let Lookup::Found(member) = &found {
                    self.view.forget_knock(member);
                }
                return self.aimed(&target.0, found, |member| Command::Refuse {
                    member,
                    reason: reason.clone(),
                });
            }
            LineCommand::AdmitContacts => Command::AdmitContacts,
            LineCommand::Passphrase(words) => Command::Passphrase {
                passphrase: words.clone().into(),
            },
            LineCommand::Verify => Command::Verify,
            LineCommand::OfferCode => Command::OfferCode,
            LineCommand::Ask => Command::AskToSpeak,
            LineCommand::QuietAll => Command::RequestMuteAll,
            LineCommand::Sharing(in_charge_only) => Command::Sharing {
                in_charge_only: *in_charge_only,
            },
            LineCommand::SendBack(target) => {
                return self.aimed(&target.0, self.view.find_person(target), |member| {
                    Command::SendBack { member }
                });
            }
            LineCommand::Quiet(target) => {
                return self.aimed(&target.0, self.view.find_person(target), |member| {
                    Command::RequestMute { member }
                });
            }
            LineCommand::Reactions(target, allowed) => {
                let allowed = *allowed;
                return self.aimed(&target.0, self.view.find_person(target), |member| {
                    Command::Reactions { member, allowed }
                });
            }
            LineCommand::Remove(target) => {
                return self.aimed(&target.0, self.view.find_person(target), |member| {
                    Command::Remove { member }
                });
            }
            LineCommand::Role(target, role) => {
                let role = *role;
                return self.aimed(&target.0, self.view.find_person(target), |member| Command::Role {
                    member,
                    role,
                });
            }
        }))
    }

    pub(super) fn aimed(
        &self,
        given: &str,
        found: Lookup,
        command: impl FnOnce(MemberId) -> Command,
    ) -> io::Result<Option<Command>> {
        match found {
            Lookup::Found(member) => Ok(Some(command(member))),
            Lookup::Nobody => {
                output::line(&format!("nobody goes by \"{given}\": /who lists them"))?;
                Ok(None)
            }
            Lookup::Several(ways) => {
                output::line(&format!(
                    "several go by \"{given}\": say which: {}",
                    ways.join(", ")
                ))?;
                Ok(None)
            }
        }
    }
}

impl Interface for Lines {
    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        for notice in self.view.apply(event) {
            self.show(&notice)?;
        }
        if let (Event::Ticket { ticket }, true) = (event, self.qr) {
            output::line(&qr::draw(ticket))?;
        }
        if let Event::Joined { .. } = event {
            output::line(&self.paint.dim("/help lists what you can type"))?;
        }
        Ok(())
    }

    fn on_line(&mut self, line: StdinLine) -> io::Result<Option<Command>> {
        let text = match line {
            StdinLine::Text(text) => text,
            // Ctrl-D at a terminal is a wish to go; the end of a file is not.
            StdinLine::End => return Ok(io::stdin().is_terminal().then_some(Command::Leave)),
            StdinLine::TooLong | StdinLine::NotUtf8 => "?".to_owned(),
        };
        match line_command::parse(&text) {
            Ok(command) => self.obey(&command),
            Err(advice) => {
                output::line(&advice)?;
                Ok(None)
            }
        }
    }

    fn on_leaving(&mut self) {
        // If stdout is closed, leaving goes on all the same.
        let _ = output::line("leaving … (again to end at once)");
    }
}
