//! The safety code: digits that are equal on every screen when everybody sees the same meeting
//! (`proto/spec/safety-code.md`).

use std::collections::BTreeSet;

use crate::ids::{MeetingId, MemberId, PolicyHash};

/// 30 decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SafetyCode([u32; 6]);

impl SafetyCode {
    /// The code of these members of this meeting under this policy. Costs about 10 ms: call it when the roster changed.
    #[must_use]
    pub fn new(meeting: &MeetingId, policy: &PolicyHash, members: &BTreeSet<MemberId>) -> Self {
        let _ = (meeting, policy, members);
        todo!()
    }
}

impl std::fmt::Display for SafetyCode {
    /// Six groups of five digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups: Vec<String> = self.0.iter().map(|group| format!("{group:05}")).collect();
        f.write_str(&groups.join(" "))
    }
}
