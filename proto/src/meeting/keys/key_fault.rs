//! What a key message must fulfil, whatever keys are held, and the names of what it does not.

use std::collections::{BTreeSet, VecDeque};

use super::{
    key_message::{KeyMessage, KeyStatement},
    recipients::RecipientsRoot,
};
use crate::ids::{MeetingId, MemberId, OperationHash, PolicyHash};

/// Former runs of the publisher whose late messages are recognised.
const RETIRED_INSTANCES_MAX: usize = 16;

/// The roster, as the receiver's own log has it.
pub trait RosterAtHeads {
    /// The members at `heads`; `None` if some operation that they rest on is missing here.
    fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>>;
    /// The policy of the meeting, as this member sees it.
    fn policy_hash(&self) -> PolicyHash;
}

/// Why a key message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// These receive the key, or send it, and are no members in the roster that the message rests on. Stop sending
    /// to the publisher and name them.
    #[error("{} would hear the meeting and are not in its roster", .0.len())]
    Ghost(BTreeSet<MemberId>),
    /// The publisher follows another policy.
    #[error("the publisher follows another policy")]
    PolicyMismatch {
        /// The publisher's.
        theirs: PolicyHash,
    },
    /// Fetch the operations up to these heads, then hand the message in again.
    #[error("the roster operations that the key rests on are missing")]
    NeedOperations(Vec<OperationHash>),
    /// Another meeting, or signed by another than the far end of the channel.
    #[error("the key message is for another meeting or from another publisher")]
    Foreign,
    /// We are not among the recipients that it names.
    #[error("this member is not among the key's recipients")]
    NotAddressed,
    /// The list of recipients is absent, and the root is neither the one accepted before nor that of everybody at the
    /// heads; or list and root differ.
    #[error("the recipients do not match their root")]
    RecipientsUnknown,
    /// The signature or the commitment does not hold.
    #[error("signature or commitment of the key message do not hold")]
    Forged,
    /// The publisher gave another secret or other recipients under the same key id before.
    #[error("the publisher contradicts an earlier key message")]
    Equivocation,
    /// The key belongs to a former run of the publisher, or to a generation that has ended.
    #[error("the key message is outdated")]
    Outdated,
}

/// What a receiver remembers besides keys, to judge the next message.
#[derive(Debug)]
pub(super) struct Expectation {
    pub(super) meeting: MeetingId,
    pub(super) publisher: MemberId,
    pub(super) own: MemberId,
    retired_instances: VecDeque<u64>,
    /// The recipients that were accepted last, so that a message may name them by their root only.
    accepted: Option<(RecipientsRoot, BTreeSet<MemberId>)>,
}

impl Expectation {
    pub(super) const fn new(meeting: MeetingId, publisher: MemberId, own: MemberId) -> Self {
        Self {
            meeting,
            publisher,
            own,
            retired_instances: VecDeque::new(),
            accepted: None,
        }
    }

    pub(super) fn accept(&mut self, root: RecipientsRoot, recipients: BTreeSet<MemberId>) {
        self.accepted = Some((root, recipients));
    }

    /// The publisher runs anew; what it sent as `instance` is void.
    pub(super) fn retire(&mut self, instance: u64) {
        if self.retired_instances.len() == RETIRED_INSTANCES_MAX {
            self.retired_instances.pop_front();
        }
        self.retired_instances.push_back(instance);
    }

    /// Everything about a message that does not depend on the keys held: gives the recipients.
    pub(super) fn check(
        &self,
        message: &KeyMessage,
        roster: &dyn RosterAtHeads,
    ) -> Result<BTreeSet<MemberId>, KeyFault> {
        let statement = &message.statement;
        if statement.meeting != self.meeting || statement.publisher != self.publisher {
            return Err(KeyFault::Foreign);
        }
        if self.retired_instances.contains(&statement.instance) {
            return Err(KeyFault::Outdated);
        }
        if statement.verify(&message.signature).is_err()
            || statement.commitment != KeyStatement::commit(&message.secret.0)
        {
            return Err(KeyFault::Forged);
        }
        if statement.policy != roster.policy_hash() {
            return Err(KeyFault::PolicyMismatch {
                theirs: statement.policy,
            });
        }
        let heads = statement.heads.to_vec();
        let members = roster.members_at(&heads);
        let recipients = self.recipients(message, members.as_ref())?;
        if !recipients.contains(&self.own) {
            return Err(KeyFault::NotAddressed);
        }
        let Some(members) = members else {
            return Err(KeyFault::NeedOperations(heads));
        };
        let mut hearing = recipients.clone();
        hearing.insert(self.publisher);
        let ghosts: BTreeSet<_> = hearing.difference(&members).copied().collect();
        if ghosts.is_empty() {
            Ok(recipients)
        } else {
            Err(KeyFault::Ghost(ghosts))
        }
    }

    /// Whom a message names by its list; or by a root that was accepted before, or that everybody at its heads has.
    fn recipients(
        &self,
        message: &KeyMessage,
        members: Option<&BTreeSet<MemberId>>,
    ) -> Result<BTreeSet<MemberId>, KeyFault> {
        let statement = &message.statement;
        let fits = |set: &BTreeSet<MemberId>| RecipientsRoot::of(&self.meeting, set) == statement.recipients;
        if let Some(list) = &message.recipients {
            let fits = fits(list.members());
            return fits
                .then(|| list.members().clone())
                .ok_or(KeyFault::RecipientsUnknown);
        }
        if let Some((root, accepted)) = &self.accepted
            && *root == statement.recipients
        {
            return Ok(accepted.clone());
        }
        let Some(members) = members else {
            return Err(KeyFault::NeedOperations(statement.heads.to_vec()));
        };
        let mut others = members.clone();
        others.remove(&self.publisher);
        if fits(&others) {
            Ok(others)
        } else {
            Err(KeyFault::RecipientsUnknown)
        }
    }
}
