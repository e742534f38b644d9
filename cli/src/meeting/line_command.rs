//! What a person can type.

use std::path::PathBuf;

use subrosa_node::command::RoleName;
use subrosa_proto::meeting::conversation::reactions::Reaction;

use super::talk_command;
use crate::view_model::Target;

/// Shown by `/help`.
pub(super) const HELP: &str = "\
/who                who is here, and by which way       /mute  /unmute
/admit N|NAME       let somebody in                     /refuse N|NAME [: WHY]
/admit-contacts     let in all contacts who wait        /send-back NAME  to the lobby
/passphrase WORDS   say it at the door                  /ask     ask for the word
/verify             the safety code was compared: everybody here is a contact
/offer-code         words that stand for the ticket, once
/quiet NAME         ask somebody to be silent           /quiet-all
/sharing all|charge who may share                       /reactions NAME on|off
/remove NAME        out, and the keys change            /lock  /unlock
/role NAME ROLE     host, co-host, speaker, listener    /ticket  show the ticket again
/code               the safety code to compare          /stats   how the others are received
/say TEXT           to everybody                        /msg NAME TEXT  to one
/chat               what was said                       /hand [down]  /hands  /lower NAME
/react WHAT         thumbs_up, clap, heart, laugh, …    /poll QUESTION / A / B  (/poll-many: several)
/vote N OPTION…     in poll N                           /close N  /polls
/send FILE          to everybody                        /send-to NAME FILE
/accept N           take file N                         /decline N  /cancel N  /files
/leave              leave (Ctrl-C does the same)        /help";

/// A typed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineCommand {
    /// Nothing typed.
    Nothing,
    Who,
    Mute,
    Unmute,
    Admit(Target),
    Refuse(Target, Option<String>),
    AdmitContacts,
    SendBack(Target),
    Passphrase(String),
    Ask,
    OfferCode,
    Verify,
    Quiet(Target),
    QuietAll,
    /// Only those in charge.
    Sharing(bool),
    Reactions(Target, bool),
    Remove(Target),
    Lock,
    Unlock,
    Role(Target, RoleName),
    Say(String),
    Message(Target, String),
    Chat,
    Hand(bool),
    Hands,
    LowerHand(Target),
    React(Reaction),
    Poll {
        question: String,
        options: Vec<String>,
        multiple: bool,
    },
    /// Options as people count them, from 1.
    Vote(usize, Vec<u8>),
    ClosePoll(usize),
    Polls,
    Send(PathBuf, Option<Target>),
    Accept(usize),
    Decline(usize),
    Cancel(usize),
    Files,
    Code,
    Ticket,
    Stats,
    Leave,
    Help,
}

/// Reads a typed line.
///
/// # Errors
/// A sentence for the person.
pub(super) fn parse(line: &str) -> Result<LineCommand, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(LineCommand::Nothing);
    }
    let Some(line) = line.strip_prefix('/') else {
        return Err("commands start with a slash, /say TEXT says something: /help lists them".to_owned());
    };
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let target = || {
        if rest.is_empty() {
            Err(format!("whom? /{word} NAME"))
        } else {
            Ok(Target(rest.to_owned()))
        }
    };
    Ok(match word {
        "who" | "w" => LineCommand::Who,
        "mute" | "m" => LineCommand::Mute,
        "unmute" | "u" => LineCommand::Unmute,
        "admit" | "a" => LineCommand::Admit(target()?),
        "refuse" => match rest.split_once(':') {
            Some((name, why)) if !name.trim().is_empty() => {
                LineCommand::Refuse(Target(name.trim().to_owned()), Some(why.trim().to_owned()))
            }
            _ => LineCommand::Refuse(target()?, None),
        },
        "admit-contacts" => LineCommand::AdmitContacts,
        "send-back" => LineCommand::SendBack(target()?),
        "passphrase" if !rest.is_empty() => LineCommand::Passphrase(rest.to_owned()),
        "passphrase" => return Err("which? /passphrase WORDS".to_owned()),
        "ask" => LineCommand::Ask,
        "verify" => LineCommand::Verify,
        "offer-code" => LineCommand::OfferCode,
        "quiet" => LineCommand::Quiet(target()?),
        "quiet-all" => LineCommand::QuietAll,
        "sharing" => match rest {
            "all" => LineCommand::Sharing(false),
            "charge" => LineCommand::Sharing(true),
            _ => return Err("who may share? /sharing all or /sharing charge".to_owned()),
        },
        "reactions" => parse_reactions(rest)?,
        "remove" => LineCommand::Remove(target()?),
        "lock" => LineCommand::Lock,
        "unlock" => LineCommand::Unlock,
        "role" => parse_role(rest)?,
        "chat" => LineCommand::Chat,
        "hands" => LineCommand::Hands,
        "polls" => LineCommand::Polls,
        "files" => LineCommand::Files,
        "lower" => LineCommand::LowerHand(target()?),
        "code" => LineCommand::Code,
        "ticket" => LineCommand::Ticket,
        "stats" => LineCommand::Stats,
        "leave" | "quit" | "q" => LineCommand::Leave,
        "help" | "h" | "?" => LineCommand::Help,
        _ => {
            return talk_command::parse(word, rest)
                .unwrap_or_else(|| Err("no such command: /help lists them".to_owned()));
        }
    })
}

fn parse_reactions(rest: &str) -> Result<LineCommand, String> {
    let usage = || "whose? /reactions NAME on|off".to_owned();
    let (name, on) = rest.rsplit_once(char::is_whitespace).ok_or_else(usage)?;
    let on = match on {
        "on" => true,
        "off" => false,
        _ => return Err(usage()),
    };
    Ok(LineCommand::Reactions(Target(name.trim().to_owned()), on))
}

fn parse_role(rest: &str) -> Result<LineCommand, String> {
    let usage = || "whom, and to what? /role NAME host|co-host|speaker|interpreter|listener".to_owned();
    let (name, role) = rest.rsplit_once(char::is_whitespace).ok_or_else(usage)?;
    let role = match role.to_ascii_lowercase().as_str() {
        "host" => RoleName::Host,
        "co-host" | "cohost" | "co_host" => RoleName::CoHost,
        "speaker" => RoleName::Speaker,
        "interpreter" => RoleName::Interpreter,
        "listener" => RoleName::Listener,
        _ => return Err(usage()),
    };
    Ok(LineCommand::Role(Target(name.trim().to_owned()), role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_spaces() {
        assert_eq!(
            parse("/remove Ada Lovelace "),
            Ok(LineCommand::Remove(Target("Ada Lovelace".into())))
        );
        assert_eq!(
            parse("/role Ada Lovelace co-host"),
            Ok(LineCommand::Role(Target("Ada Lovelace".into()), RoleName::CoHost))
        );
    }

    #[test]
    fn mistakes_are_explained() {
        for wrong in ["hello", "/dance", "/admit", "/role Ada", "/role Ada king"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("  "), Ok(LineCommand::Nothing));
    }

    #[test]
    fn help_names_every_command() {
        for word in [
            "who",
            "mute",
            "unmute",
            "admit",
            "refuse",
            "remove",
            "lock",
            "unlock",
            "role",
            "code",
            "ticket",
            "stats",
            "leave",
            "help",
            "admit-contacts",
            "send-back",
            "passphrase",
            "ask",
            "quiet",
            "quiet-all",
            "verify",
            "offer-code",
            "sharing",
            "reactions",
            "who",
            "mute",
            "unmute",
            "admit",
            "refuse",
            "remove",
            "lock",
            "unlock",
            "role",
            "code",
            "ticket",
            "stats",
            "leave",
            "help",
            "say",
            "msg",
            "chat",
            "hand",
            "hands",
            "lower",
            "react",
            "poll",
            "vote",
            "close",
            "polls",
            "send",
            "send-to",
            "accept",
            "decline",
            "cancel",
            "files",
        ] {
            assert!(HELP.contains(&format!("/{word}")), "{word}");
        }
    }
}
