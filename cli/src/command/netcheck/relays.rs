//! Checks of relays: believed, permitted, reachable, in this order. A relay that is not permitted gets no packet.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use subrosa_node::{
    error::{ErrorKind, NodeError},
    store::identity_file,
};
use subrosa_proto::{
    ids::MeetingId,
    policy::{
        Preset, RouteJudge, RoutePolicy, SignedDescriptor, SignedPolicy, VerifiedDescriptor,
        signed_descriptor::TEXT_PREFIX,
    },
    time::UnixSeconds,
};

use super::{Finding, Verdict};

/// Largest file that is read as a policy or a descriptor.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A judge under a preset or a policy file.
///
/// # Errors
/// [`ErrorKind::Config`] if the file cannot be read or understood.
pub(super) fn judge(policy: &str) -> Result<RouteJudge, NodeError> {
    let rules = match Preset::from_keyword(policy) {
        Some(preset) => RoutePolicy::from(preset),
        None => from_file(Path::new(policy))?,
    };
    // A judge takes a signed policy only: this one is signed for a meeting that never takes place.
    let author = identity_file::fresh()?;
    let meeting = MeetingId([0; 16]);
    let signed = SignedPolicy::sign(meeting, 0, rules, &author);
    let verified = signed.verify(meeting, author.member_id()).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("the policy {policy} cannot be used: {e}"),
            "correct the policy file; docs/policy.md lists every key",
        )
    })?;
    Ok(RouteJudge::new(verified))
}

fn from_file(path: &Path) -> Result<RoutePolicy, NodeError> {
    let text = read(path).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("cannot read the policy {}: {e}", path.display()),
            "give any, eu, eea, direct, or the path of a policy file",
        )
    })?;
    RoutePolicy::from_toml(&text).map_err(|e| {
        NodeError::new(
            ErrorKind::Config,
            format!("{}: {e}", path.display()),
            "docs/policy.md lists every key",
        )
    })
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("larger than {FILE_BYTES_MAX} bytes"),
        ));
    }
    std::fs::read_to_string(path)
}

/// Looks at one relay.
pub(super) async fn check(given: &str, judge: &RouteJudge) -> Finding {
    let descriptor = match believe(given) {
        Ok(descriptor) => descriptor,
        Err(why) => {
            let hint = "ask the relay's operator for its present descriptor line";
            return Finding::new("relay", Verdict::Failed, why, hint);
        }
    };
    let what = format!("relay {}", descriptor.operator.name);
    if let Err(refusal) = judge.permit(&descriptor, now()) {
        return Finding::new(
            what,
            Verdict::Failed,
            format!(
                "{refusal} (clause {}); nothing was sent to it",
                refusal.clause.name()
            ),
            "choose another relay or another --policy",
        );
    }
    reach(what, &descriptor).await
}

/// Whether the relay answers on one of its addresses.
async fn reach(what: String, descriptor: &VerifiedDescriptor) -> Finding {
    let addresses = descriptor.addresses.iter();
    let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
    Finding::ok(what, format!("permitted, at {}", addresses.join(", ")))
}

fn believe(given: &str) -> Result<VerifiedDescriptor, String> {
    let text = if given.contains(TEXT_PREFIX) {
        given.to_owned()
    } else {
        read(Path::new(given)).map_err(|e| format!("cannot read {given}: {e}"))?
    };
    SignedDescriptor::from_text(&text)
        .and_then(|descriptor| descriptor.verify(now()))
        .map_err(|e| e.to_string())
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}
