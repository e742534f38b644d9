//! `subrosa relay init`: the few questions that matter, and a commented file.

use std::{
    fs,
    io::{self, BufRead, Write},
    path::Path,
};

use subrosa_node::{
    error::{ErrorKind, NodeError},
    relay_config::{RelaySettings, fill},
};
use toml::Value;

use super::print;
use crate::relay_args::{AccessChoice, InitArgs};

/// Where a relay listens unless told otherwise.
const LISTEN_DEFAULT: &str = "[::]:4433";
/// The `--out` that is stdout.
const STDOUT: &str = "-";

/// Writes a settings file.
///
/// # Errors
/// If an answer is missing or wrong, or the file cannot be written.
pub(super) fn run(args: &InitArgs) -> Result<u8, NodeError> {
    let to_stdout = args.out == Path::new(STDOUT);
    if !to_stdout && args.out.exists() && !args.force {
        return Err(NodeError::new(
            ErrorKind::Usage,
            format!("{} is there already", args.out.display()),
            "choose another --out, or replace it with --force",
        ));
    }
    let text = fill(&answers(args, &mut Questions::new())?);
    let settings = RelaySettings::parse(&text, &args.out).map_err(|error| {
        NodeError::new(
            ErrorKind::Usage,
            format!("these answers do not make settings: {}", error.message),
            "nothing was written; run it again",
        )
    })?;
    if to_stdout {
        return print(text.trim_end());
    }
    write(&args.out, &text)?;
    let shown = args.out.display();
    say(&format!(
        "wrote {shown}: {}, hosted {}, law {}",
        settings.operator.name.as_str(),
        settings.hosting,
        settings.operator.legal_seat
    ));
    say(&format!("check it:  subrosa relay check --config {shown}"));
    say(&format!("run it:    subrosa relay --config {shown}"));
    Ok(0)
}

type Answers = Vec<(&'static str, Option<Value>)>;

fn answers(args: &InitArgs, ask: &mut Questions) -> Result<Answers, NodeError> {
    let hosting = ask.or(
        "--hosting",
        "Country where the hardware stands (two letters)",
        None,
        &args.hosting,
    )?;
    let operator = ask.or(
        "--operator",
        "Who runs the relay (shown in meetings)",
        None,
        &args.operator,
    )?;
    let contact = ask.or(
        "--contact",
        "How to reach the operator (mail or web address)",
        None,
        &args.contact,
    )?;
    let seat = "Country of the operator's legal seat";
    let legal_seat = ask.or("--legal-seat", seat, Some(&hosting), &args.legal_seat)?;
    let parent = "Country of whoever controls the operator";
    let parent_seat = ask.or("--parent-seat", parent, Some(&legal_seat), &args.parent_seat)?;
    let mut answers = access(args, ask)?;
    let monthly = args.monthly_gbyte.map(|n| n.to_string());
    let traffic = "Gigabytes of traffic in a month, after which it sleeps (0: no limit)";
    let monthly = ask.or("--monthly-gbyte", traffic, Some("0"), &monthly)?;
    let monthly: u64 = monthly.parse().map_err(|_| {
        wrong(
            format!("`{monthly}` is not a number of gigabytes"),
            "--monthly-gbyte",
        )
    })?;
    let listen = args.listen.map(|at| at.to_string());
    let listen = ask.or(
        "--listen",
        "UDP address to listen on",
        Some(LISTEN_DEFAULT),
        &listen,
    )?;
    let public = public_addresses(args, ask, &listen)?;
    let text = |value: String| Some(Value::String(value));
    answers.extend([
        ("hosting", text(hosting.to_uppercase())),
        ("operator.name", text(operator)),
        ("operator.contact", text(contact)),
        ("operator.legal_seat", text(legal_seat.to_uppercase())),
        ("operator.parent_seat", text(parent_seat.to_uppercase())),
        ("limits.monthly_gbyte", number(monthly)),
        ("listen", text(listen)),
        ("public_addresses", list(&public)),
        ("data_dir", text(args.data_dir.display().to_string())),
    ]);
    if let Some(metrics) = args.metrics {
        answers.push(("metrics", text(metrics.to_string())));
    }
    Ok(answers)
}

fn number(value: u64) -> Option<Value> {
    (value > 0).then(|| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn list(words: &[String]) -> Option<Value> {
    (!words.is_empty()).then(|| words.to_vec().into())
}

fn words(line: &str) -> Vec<String> {
    line.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn access(args: &InitArgs, ask: &mut Questions) -> Result<Answers, NodeError> {
    let given = args.access.map(|choice| match choice {
        AccessChoice::Open => "open".to_owned(),
        AccessChoice::Blocks => "blocks".to_owned(),
        AccessChoice::Tokens => "tokens".to_owned(),
    });
    let question = "Who may use it: open, blocks (certain addresses) or tokens";
    match ask.or("--access", question, Some("open"), &given)?.as_str() {
        "open" => Ok(Vec::new()),
        "blocks" => {
            let given = (!args.blocks.is_empty()).then(|| args.blocks.join(" "));
            let blocks = ask.or("--allow", "Address blocks, such as 192.0.2.0/24", None, &given)?;
            Ok(vec![("access.address_blocks", list(&words(&blocks)))])
        }
        "tokens" => {
            let given = (!args.issuers.is_empty()).then(|| args.issuers.join(" "));
            let question = "Keys of those who sign tokens (subrosa relay token new-key)";
            let issuers = ask.or("--issuer", question, None, &given)?;
            Ok(vec![("access.token_issuers", list(&words(&issuers)))])
        }
        other => Err(wrong(
            format!("`{other}` is none of open, blocks, tokens"),
            "--access",
        )),
    }
}

fn public_addresses(args: &InitArgs, ask: &mut Questions, listen: &str) -> Result<Vec<String>, NodeError> {
    let everywhere = listen
        .parse::<std::net::SocketAddr>()
        .is_ok_and(|at| at.ip().is_unspecified());
    let given: Vec<String> = args.public.iter().map(ToString::to_string).collect();
    if !given.is_empty() || !everywhere {
        return Ok(given);
    }
    let question = "Addresses that clients dial, such as 192.0.2.10:4433";
    Ok(words(&ask.or("--public", question, None, &None)?))
}

/// Asks on stderr, reads stdin: from a person or from a program.
struct Questions {
    lines: io::Lines<io::StdinLock<'static>>,
}

impl Questions {
    fn new() -> Self {
        Self {
            lines: io::stdin().lock().lines(),
        }
    }

    /// `given`, or the answer to a question, or its default.
    fn or(
        &mut self,
        flag: &str,
        question: &str,
        default: Option<&str>,
        given: &Option<String>,
    ) -> Result<String, NodeError> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        // Without a stderr the answers may still come.
        let _ = write!(io::stderr(), "{question}{shown}: ");
        let line = self.lines.next().and_then(Result::ok);
        let answer = line.as_deref().map(str::trim).filter(|answer| !answer.is_empty());
        match (answer, default) {
            (Some(answer), _) => Ok(answer.to_owned()),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(NodeError::new(
                ErrorKind::Usage,
                format!("an answer is missing: {question}"),
                format!("give {flag}, or answer on stdin"),
            )),
        }
    }
}

fn wrong(message: String, flag: &str) -> NodeError {
    NodeError::new(ErrorKind::Usage, message, format!("correct {flag}"))
}

fn write(path: &Path, text: &str) -> Result<(), NodeError> {
    fs::write(path, text).map_err(|e| {
        NodeError::new(
            ErrorKind::Storage,
            format!("cannot write {}: {e}", path.display()),
            "choose another --out",
        )
    })
}

fn say(text: &str) {
    // Without a stderr nobody watches.
    let _ = writeln!(io::stderr(), "{text}");
}
