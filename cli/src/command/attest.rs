//! `subrosa attest`: jurisdiction that others vouch for.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::json;
use subrosa_node::{
    driver::clock::unix_now,
    error::{ErrorKind, NodeError},
};
use subrosa_proto::policy::{
    attestation::{self, Attestation, Claim},
    attestation_request::{self, AttestationRequest, RequestTerms},
};

use super::{
    relay::{self, print},
    secret_file,
};
use crate::relay_args::{AttestAction, AttestArgs, ClaimKind, SettingsArgs};

/// The longest that an attestation may hold, in days: what was true two years ago is not evidence.
const DAYS_MAX: u64 = 730;

/// Does what the arguments say.
///
/// # Errors
/// A key, request or attestation that is wrong, or a claim that is not what the caller wants.
pub(super) fn run(args: &AttestArgs) -> Result<u8, NodeError> {
    match &args.what {
        AttestAction::Request { settings } => request(settings),
        AttestAction::Sign {
            request,
            key,
            days,
            only,
        } => sign(request, key, *days, only),
        AttestAction::Verify {
            attestation,
            relay,
            issuer,
            json,
        } => verify(attestation, relay, issuer.as_deref(), *json),
    }
}

fn wrong(message: impl Into<String>, hint: &str) -> NodeError {
    NodeError::new(ErrorKind::Config, message.into(), hint)
}

fn words(claim: &Claim) -> String {
    let part = |name: &str, country: Option<subrosa_proto::policy::Country>| {
        country.map(|country| format!("{name} {country}"))
    };
    let parts = [
        part("hosted", claim.hosting),
        part("law", claim.legal_seat),
        part("parent", claim.parent_seat),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn request(args: &SettingsArgs) -> Result<u8, NodeError> {
    let settings = relay::load(args)?;
    let file = settings.data_dir.join("identity");
    if !file.exists() {
        return Err(wrong(
            format!("the relay has no identity yet: {} is missing", file.display()),
            "start the relay once; it makes its identity",
        ));
    }
    let identity = secret_file::load(&file)?;
    let terms = RequestTerms {
        relay: identity.relay_id(),
        claim: Claim {
            hosting: Some(settings.hosting),
            legal_seat: Some(settings.operator.legal_seat),
            parent_seat: Some(settings.operator.parent_seat),
        },
        operator: settings.operator.name,
        contact: settings.operator.contact,
        asked_at: unix_now(),
    };
    print(&AttestationRequest::sign(&identity, terms).to_text())
}

fn sign(given: &str, key: &std::path::Path, days: u64, only: &[ClaimKind]) -> Result<u8, NodeError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(NodeError::new(
            ErrorKind::Usage,
            format!("an attestation holds for 1 to {DAYS_MAX} days"),
            "choose another --days",
        ));
    }
    let text = secret_file::line(given, attestation_request::LINE.prefix)?;
    let request = AttestationRequest::from_text(&text)
        .map_err(|e| wrong(e.to_string(), "ask the operator for it again"))?;
    let issuer = secret_file::load(key)?;
    let terms = request.terms();
    let vouches = |kind| only.is_empty() || only.contains(&kind);
    let claim = Claim {
        hosting: terms.claim.hosting.filter(|_| vouches(ClaimKind::Hosting)),
        legal_seat: terms.claim.legal_seat.filter(|_| vouches(ClaimKind::LegalSeat)),
        parent_seat: terms.claim.parent_seat.filter(|_| vouches(ClaimKind::ParentSeat)),
    };
    let until = unix_now().after(Duration::from_secs(days * 86_400));
    // The issuer reads what it vouches for; without a stderr nobody watches.
    let _ = writeln!(
        io::stderr(),
        "signed for relay {} of {} ({}): {}; until {until}",
        terms.relay.fingerprint(),
        terms.operator.as_str(),
        terms.contact.as_str(),
        words(&claim)
    );
    print(&Attestation::sign(&issuer, terms.relay, claim, until).to_text())
}

fn verify(given: &str, relay: &str, issuer: Option<&str>, json: bool) -> Result<u8, NodeError> {
    let text = secret_file::line(given, attestation::LINE.prefix)?;
    let attestation =
        Attestation::from_text(&text).map_err(|e| wrong(e.to_string(), "ask the issuer for it again"))?;
    let relay = secret_file::relay(relay)?;
    if !attestation.is_signed_for(relay) {
        return Err(wrong(
            format!(
                "the attestation is not about relay {}, or its issuer did not sign it",
                relay.fingerprint()
            ),
            "do not use it",
        ));
    }
    if attestation.valid_until() <= unix_now() {
        return Err(wrong(
            format!("the attestation expired at {}", attestation.valid_until()),
            "ask the issuer for a new one",
        ));
    }
    let signer = attestation.issuer().to_string();
    if let Some(wanted) = issuer
        && !wanted.eq_ignore_ascii_case(&signer)
    {
        return Err(wrong(
            format!("the attestation is of another issuer: {signer}"),
            "do not use it",
        ));
    }
    let claim = attestation.claim();
    if json {
        let country = |country: Option<subrosa_proto::policy::Country>| country.map(|c| c.to_string());
        let said = json!({
            "v": 1, "event": "attestation", "ok": true, "issuer": signer, "relay": relay.to_string(),
            "hosting": country(claim.hosting), "legal_seat": country(claim.legal_seat),
            "parent_seat": country(claim.parent_seat), "valid_until": attestation.valid_until().to_string(),
        });
        return print(&said.to_string());
    }
    print(&format!(
        "good: issuer {signer} vouches for relay {}: {}; until {}",
        relay.fingerprint(),
        words(claim),
        attestation.valid_until()
    ))
}
