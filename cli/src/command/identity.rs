//! `subrosa identity`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use subrosa_node::{
    error::NodeError,
    store::{DataDir, identity_file},
};
use subrosa_proto::{identity::Identity, time::UnixSeconds};

use crate::{
    args::{IdentityAction, IdentityArgs},
    output, settings,
};

/// Shows or makes an identity.
pub(super) fn run(args: IdentityArgs) -> Result<u8, NodeError> {
    let dir = settings::data_dir(args.data_dir)?;
    let mut kept = None;
    let identity = match args.what.unwrap_or(IdentityAction::Show) {
        IdentityAction::Show => identity_file::load_or_create(&dir)?,
        IdentityAction::New { replace: false } => identity_file::create(&dir)?,
        IdentityAction::New { replace: true } => {
            // A running node would go on under the old identity.
            let held = DataDir::open(&dir)?;
            let (identity, old) = identity_file::replace(held.path(), now())?;
            kept = old;
            identity
        }
    };
    let file = dir.join(identity_file::IDENTITY_FILE);
    let text = if args.json {
        json!({
            "v": 1,
            "id": identity.member_id().to_string(),
            "fingerprint": identity.member_id().fingerprint(),
            "file": file.display().to_string(),
            "replaced": kept.as_ref().map(|path| path.display().to_string()),
        })
        .to_string()
    } else {
        words(
            &identity,
            &file.display().to_string(),
            kept.map(|path| path.display().to_string()),
        )
    };
    // A reader that went away has what it wanted.
    let _ = output::line(&text);
    Ok(0)
}

fn words(identity: &Identity, file: &str, kept: Option<String>) -> String {
    let mut text = format!(
        "fingerprint  {}\nid           {}\nfile         {file}",
        identity.member_id().fingerprint(),
        identity.member_id(),
    );
    if let Some(kept) = kept {
        text.push_str(&format!("\nold one      {kept}"));
    }
    text
}

fn now() -> UnixSeconds {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(elapsed.as_secs())
}
