//! `subrosa org`.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use subrosa_node::{
    error::{ErrorKind, NodeError},
    store::organisations::{self, Issued, OwnOrganisation},
};
use subrosa_proto::{ids::MemberId, meeting::credential::Organisation, time::UnixSeconds};

use crate::{
    args::{OrgAction, OrgArgs},
    output, settings,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Runs an organisation, or trusts one.
pub(super) fn run(args: OrgArgs) -> Result<u8, NodeError> {
    let folder = settings::data_dir(args.data_dir)?;
    let (words, value) = act(&folder, args.what)?;
    // A reader that went away has what it wanted.
    let _ = output::line(&if args.json { value.to_string() } else { words });
    Ok(0)
}

/// What to print: in words, and as JSON.
fn act(folder: &Path, what: OrgAction) -> Result<(String, Value), NodeError> {
    match what {
        OrgAction::Init { name } => {
            let organisation = OwnOrganisation::init(folder, &name)?.organisation()?;
            let text = organisation.to_text();
            let value = json!({"v": 1, "organisation": text, "root": organisation.fingerprint()});
            Ok((text, value))
        }
        OrgAction::Certify { id, name, days } => {
            let member = parse_id(&id)?;
            let mut own = OwnOrganisation::load(folder)?;
            let credential = own.certify(member, &name, now(), now().after(DAY * days))?;
            let serial = own.issued().last().map(|issued| issued.serial);
            let text = credential.to_text();
            let value = json!({"v": 1, "credential": text, "serial": serial});
            Ok((text, value))
        }
        OrgAction::Revoke { which } => revoke(folder, &which),
        OrgAction::Show => show(folder),
        OrgAction::Trust { organisation } => {
            let organisation = organisations::trust(folder, &line(&organisation)?)?;
            let words = format!(
                "trusted: {} [{}]; compare the fingerprint with theirs",
                organisation.name,
                organisation.fingerprint()
            );
            Ok((words, json!({"v": 1, "trusted": described(&organisation)})))
        }
        OrgAction::Update { list } => {
            let count = organisations::update(folder, &line(&list)?)?;
            Ok((
                format!("{count} revoked credentials are known"),
                json!({"v": 1, "revoked": count}),
            ))
        }
    }
}

fn revoke(folder: &Path, which: &str) -> Result<(String, Value), NodeError> {
    let mut own = OwnOrganisation::load(folder)?;
    // A serial number has at most 20 digits, an identity 64.
    let serial = which.parse::<u64>().ok();
    let member = match serial {
        Some(_) => None,
        None => Some(parse_id(which)?),
    };
    let chosen = |issued: &Issued| Some(issued.serial) == serial || Some(issued.member) == member;
    let text = own.revoke(now(), chosen)?.to_text();
    // The one who signs it believes it.
    organisations::update(folder, &text)?;
    let value = json!({"v": 1, "revocations": text});
    Ok((text, value))
}

fn show(folder: &Path) -> Result<(String, Value), NodeError> {
    let (trusted, _) = organisations::trusted(folder)?;
    let (mut words, mut issued) = (Vec::new(), Vec::new());
    if let Ok(own) = OwnOrganisation::load(folder) {
        let organisation = own.organisation()?;
        words.push(format!("organisation  {}", organisation.name));
        words.push(format!("root          {}", organisation.fingerprint()));
        words.push(format!("to trust it   {}", organisation.to_text()));
        for entry in own.issued() {
            issued.push(json!(entry));
            words.push(format!(
                "{:>4}  {}  {}  {}",
                entry.serial,
                entry.member.fingerprint(),
                state(entry),
                entry.name
            ));
        }
    }
    for organisation in &trusted {
        words.push(format!(
            "trusted       {} [{}]",
            organisation.name,
            organisation.fingerprint()
        ));
    }
    if words.is_empty() {
        words.push(
            "no organisation: make one with subrosa org init, or trust one with subrosa org trust".to_owned(),
        );
    }
    let trusted: Vec<Value> = trusted.iter().map(described).collect();
    Ok((
        words.join("\n"),
        json!({"v": 1, "issued": issued, "trusted": trusted}),
    ))
}

fn state(entry: &Issued) -> &'static str {
    if entry.revoked {
        "revoked"
    } else if entry.not_after < now().0 {
        "expired"
    } else {
        "valid"
    }
}

fn described(organisation: &Organisation) -> Value {
    json!({"name": organisation.name.to_string(), "root": organisation.fingerprint()})
}

/// A line as an argument, or the first line of the file that it names.
fn line(given: &str) -> Result<String, NodeError> {
    if given.starts_with("subrosa-") {
        return Ok(given.to_owned());
    }
    let text = std::fs::read_to_string(given).map_err(|error| {
        NodeError::new(
            ErrorKind::Storage,
            format!("cannot read {given}: {error}"),
            "give the line itself, or a file that holds it",
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn parse_id(text: &str) -> Result<MemberId, NodeError> {
    text.trim().to_ascii_lowercase().parse().map_err(|_| {
        NodeError::new(
            ErrorKind::Usage,
            format!("{text:?} is no identity"),
            "give the id that `subrosa identity` shows: 64 hexadecimal digits",
        )
    })
}

fn now() -> UnixSeconds {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(elapsed.as_secs())
}
