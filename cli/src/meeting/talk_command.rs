//! What a person can type about chat, hands, polls and files.

use std::path::PathBuf;

use super::line_command::LineCommand;
use crate::view_model::Target;

/// Reads a command of this kind; none if `word` is of another.
pub(super) fn parse(word: &str, rest: &str) -> Option<Result<LineCommand, String>> {
    Some(match word {
        "say" | "s" => text(rest, "say what? /say TEXT").map(LineCommand::Say),
        "msg" => message(rest),
        "hand" => match rest {
            "" | "up" => Ok(LineCommand::Hand(true)),
            "down" => Ok(LineCommand::Hand(false)),
            _ => Err("/hand raises yours, /hand down lowers it".to_owned()),
        },
        "react" | "r" => rest.parse().map(LineCommand::React).map_err(
            |error: subrosa_proto::meeting::conversation::reactions::UnknownReaction| error.to_string(),
        ),
        "poll" => poll(rest, false),
        "poll-many" => poll(rest, true),
        "vote" | "v" => vote(rest),
        "close" => number(rest, "which poll? /close N").map(LineCommand::ClosePoll),
        "send" => {
            text(rest, "which file? /send FILE").map(|path| LineCommand::Send(PathBuf::from(path), None))
        }
        "send-to" => send_to(rest),
        "accept" => number(rest, "which file? /accept N").map(LineCommand::Accept),
        "decline" => number(rest, "which file? /decline N").map(LineCommand::Decline),
        "cancel" => number(rest, "which file? /cancel N").map(LineCommand::Cancel),
        _ => return None,
    })
}

fn text(rest: &str, usage: &str) -> Result<String, String> {
    if rest.is_empty() {
        Err(usage.to_owned())
    } else {
        Ok(rest.to_owned())
    }
}

fn number(rest: &str, usage: &str) -> Result<usize, String> {
    rest.parse().map_err(|_| usage.to_owned())
}

/// A name at the beginning, in quotes if it has spaces, and what follows.
fn name_and_rest(rest: &str) -> Option<(Target, &str)> {
    let (name, rest) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => rest.split_once(char::is_whitespace)?,
    };
    let rest = rest.trim();
    (!name.trim().is_empty() && !rest.is_empty()).then(|| (Target(name.trim().to_owned()), rest))
}

fn message(rest: &str) -> Result<LineCommand, String> {
    let (name, text) = name_and_rest(rest)
        .ok_or("to whom, and what? /msg NAME TEXT, with \"quotes\" around a name with spaces")?;
    Ok(LineCommand::Message(name, text.to_owned()))
}

fn send_to(rest: &str) -> Result<LineCommand, String> {
    let (name, path) = name_and_rest(rest)
        .ok_or("to whom, and which file? /send-to NAME FILE, with \"quotes\" around a name with spaces")?;
    Ok(LineCommand::Send(PathBuf::from(path), Some(name)))
}

fn poll(rest: &str, multiple: bool) -> Result<LineCommand, String> {
    let mut parts = rest.split(" / ").map(|part| part.trim().to_owned());
    let question = parts.next().unwrap_or_default();
    let options: Vec<String> = parts.collect();
    if question.is_empty() || options.len() < 2 {
        return Err("ask like this: /poll Shall we meet on Friday? / yes / no".to_owned());
    }
    Ok(LineCommand::Poll {
        question,
        options,
        multiple,
    })
}

fn vote(rest: &str) -> Result<LineCommand, String> {
    let usage = || "which poll, and which options? /vote 1 2; /vote 1 alone takes the vote back".to_owned();
    let mut numbers = rest.split([' ', ',']).filter(|word| !word.is_empty());
    let poll = numbers
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(usage)?;
    let options = numbers.map(|word| word.parse().ok().filter(|option| *option > 0));
    let options: Option<Vec<u8>> = options.collect();
    Ok(LineCommand::Vote(poll, options.ok_or_else(usage)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meeting::line_command::parse;

    #[test]
    fn names_with_spaces_stand_in_quotes() {
        assert_eq!(
            parse("/msg \"Ada Lovelace\" hello there"),
            Ok(LineCommand::Message(
                Target("Ada Lovelace".into()),
                "hello there".into()
            ))
        );
        assert_eq!(
            parse("/send-to Ben my file.pdf"),
            Ok(LineCommand::Send(
                "my file.pdf".into(),
                Some(Target("Ben".into()))
            ))
        );
    }

    #[test]
    fn polls_and_votes_are_read() {
        assert_eq!(
            parse("/poll Friday or/and Monday? / yes / no"),
            Ok(LineCommand::Poll {
                question: "Friday or/and Monday?".into(),
                options: vec!["yes".into(), "no".into()],
                multiple: false
            })
        );
        assert_eq!(parse("/vote 3 1, 2"), Ok(LineCommand::Vote(3, vec![1, 2])));
        assert_eq!(parse("/vote 3"), Ok(LineCommand::Vote(3, vec![])));
    }

    #[test]
    fn mistakes_are_explained() {
        for wrong in [
            "/say",
            "/msg Ada",
            "/msg \"Ada",
            "/hand sideways",
            "/react skull",
            "/poll Friday?",
            "/vote",
            "/vote 1 0",
            "/close x",
            "/send",
            "/send-to Ada",
            "/accept",
            "/cancel -1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
