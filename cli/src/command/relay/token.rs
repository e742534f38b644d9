//! `subrosa relay token`: who may use a relay, signed offline.

use std::time::Duration;

use serde_json::json;
use subrosa_node::{
    driver::clock::unix_now,
    error::{ErrorKind, NodeError},
};
use subrosa_proto::{
    policy::attestation::IssuerId,
    relay::token::{AccessToken, TEXT_PREFIX, TOKEN_RELAYS_MAX, TokenQuota, TokenTerms},
};

use super::{super::secret_file, print};
use crate::relay_args::{IssueArgs, TokenAction};

/// Does what the arguments say.
///
/// # Errors
/// A key or token that is wrong, terms that no token may have.
pub(super) fn run(what: &TokenAction) -> Result<u8, NodeError> {
    match what {
        TokenAction::NewKey { out } => {
            let issuer = secret_file::create(out)?;
            print(&IssuerId(issuer.public()).to_string())
        }
        TokenAction::Issue(args) => issue(args),
        TokenAction::Show { token, json } => show(token, *json),
    }
}

fn usage(message: String, hint: &str) -> NodeError {
    NodeError::new(ErrorKind::Usage, message, hint)
}

fn issue(args: &IssueArgs) -> Result<u8, NodeError> {
    let issuer = secret_file::load(&args.key)?;
    let relays: Vec<_> = args
        .relays
        .iter()
        .map(|relay| secret_file::relay(relay))
        .collect::<Result<_, _>>()?;
    let relays = relays.try_into().map_err(|_| {
        usage(
            format!("a token names at most {TOKEN_RELAYS_MAX} relays"),
            "name none: then it holds wherever the issuer is accepted",
        )
    })?;
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| {
        NodeError::new(
            ErrorKind::Internal,
            "the system gives no randomness".to_owned(),
            "",
        )
    })?;
    let now = unix_now();
    let seconds = args.seconds.unwrap_or(args.days.saturating_mul(86_400));
    let terms = TokenTerms {
        serial,
        relays,
        quota: TokenQuota {
            sessions: args.sessions,
            bits_per_second: args.kbit_per_s.map(|kbit| kbit.saturating_mul(1_000)),
            bytes: args.gbyte.map(|gbyte| (gbyte.max(0.0) * 1e9) as u64),
        },
        valid_from: now,
        valid_until: now.after(Duration::from_secs(seconds)),
    };
    let token = AccessToken::sign(&issuer, terms)
        .map_err(|e| usage(e.to_string(), "a token holds for 1 to 400 days"))?;
    print(&token.to_text())
}

fn show(given: &str, json: bool) -> Result<u8, NodeError> {
    let text = secret_file::line(given, TEXT_PREFIX)?;
    let wrong = |message: String| {
        NodeError::new(
            ErrorKind::Config,
            message,
            "ask whoever gave it to you for another",
        )
    };
    let token = AccessToken::from_text(&text).map_err(|e| wrong(e.to_string()))?;
    let holds = token.verify(None, unix_now());
    let terms = token.terms();
    let relays: Vec<String> = terms.relays.iter().map(ToString::to_string).collect();
    let quota = &terms.quota;
    if json {
        let said = json!({
            "v": 1, "event": "relay_token", "ok": holds.is_ok(), "token": token.id().to_string(),
            "issuer": token.issuer().to_string(), "relays": relays, "sessions": quota.sessions,
            "bits_per_second": quota.bits_per_second, "bytes": quota.bytes,
            "valid_from": terms.valid_from.to_string(), "valid_until": terms.valid_until.to_string(),
            "error": holds.err().map(|e| e.to_string()),
        });
        print(&said.to_string())?;
    } else {
        let or_relay = |value: Option<String>| value.unwrap_or_else(|| "as the relay allows".to_owned());
        print(&format!("token     {}", token.id()))?;
        print(&format!("issuer    {}", token.issuer()))?;
        let at = if relays.is_empty() {
            "all that accept the issuer".to_owned()
        } else {
            relays.join(" ")
        };
        print(&format!("relays    {at}"))?;
        print(&format!(
            "valid     {} to {}",
            terms.valid_from, terms.valid_until
        ))?;
        print(&format!(
            "sessions  {}",
            or_relay(quota.sessions.map(|n| n.to_string()))
        ))?;
        let rate = quota
            .bits_per_second
            .map(|bits| format!("{} kbit/s", bits / 1_000));
        print(&format!("bitrate   {}", or_relay(rate)))?;
        let traffic = quota.bytes.map(|bytes| format!("{} MB", bytes / 1_000_000));
        print(&format!("traffic   {}", or_relay(traffic)))?;
    }
    match holds {
        Ok(_) => Ok(0),
        Err(_) if json => Ok(ErrorKind::Config.exit_status()),
        Err(error) => Err(wrong(error.to_string())),
    }
}
