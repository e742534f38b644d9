//! `subrosa relay family`: which relays belong to one operator, signed offline.

use std::time::Duration;

use subrosa_node::{
    driver::clock::unix_now,
    error::{ErrorKind, NodeError},
};
use subrosa_proto::policy::family::{FamilyId, Membership};

use super::{super::secret_file, print};
use crate::relay_args::FamilyAction;

/// The longest that a membership may hold, in days: relays change hands.
const DAYS_MAX: u64 = 730;

/// Does what the arguments say.
///
/// # Errors
/// A key or relay that is wrong, or a time that no membership may have.
pub(super) fn run(what: &FamilyAction) -> Result<u8, NodeError> {
    match what {
        FamilyAction::NewKey { out } => {
            let family = secret_file::create(out)?;
            print(&FamilyId(family.public()).to_string())
        }
        FamilyAction::Sign { relay, key, days } => sign(relay, key, *days),
    }
}

fn sign(relay: &str, key: &std::path::Path, days: u64) -> Result<u8, NodeError> {
    if !(2..=DAYS_MAX).contains(&days) {
        return Err(NodeError::new(
            ErrorKind::Usage,
            format!("a family signs for 2 to {DAYS_MAX} days"),
            "choose another --days",
        ));
    }
    let family = secret_file::load(key)?;
    let relay = secret_file::relay(relay)?;
    let until = unix_now().after(Duration::from_secs(days * 86_400));
    print(&Membership::sign(&family, relay, until).to_text())
}
