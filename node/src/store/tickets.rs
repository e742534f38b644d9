//! The newest ticket of each meeting: a removal renews it, and whoever comes back needs the renewed one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use subrosa_proto::{ids::MeetingId, time::UnixSeconds, wire::ticket::Ticket};

use super::data_dir::{cannot, create_private, replace_private};
use crate::error::NodeError;

fn path(folder: &Path, meeting: MeetingId) -> PathBuf {
    folder.join("tickets").join(format!("{meeting}.ticket"))
}

/// Keeps `ticket`.
///
/// # Errors
/// [`NodeError`] of kind `storage`; the former one is still there.
pub fn keep(folder: &Path, ticket: &Ticket) -> Result<(), NodeError> {
    let path = path(folder, ticket.terms().meeting);
    create_private(&folder.join("tickets"))
        .and_then(|()| replace_private(&path, ticket.to_text().as_bytes()))
        .map_err(|error| cannot("write", &path, &error))
}

/// The ticket to join with: a newer one of the same host's same meeting if it was kept, else `given`.
#[must_use]
pub fn newest(folder: &Path, given: Ticket, now: UnixSeconds) -> Ticket {
    let kept = fs::read_to_string(path(folder, given.terms().meeting)).ok();
    match kept.and_then(|text| Ticket::parse(&text, now).ok()) {
        Some(kept) if kept.supersedes(&given) => kept,
        _ => given,
    }
}
