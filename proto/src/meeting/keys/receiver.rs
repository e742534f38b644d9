//! The receiver's side: one remote publisher's keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    CATCH_UP_MAX, GRACE, STREAMS_MAX, SWITCH_MAX,
    generation::{Binding, ChainLink},
    held_key::HeldKey,
    key_message::{KeyAck, KeyMessage, KeyStatement},
    recipients::RecipientsRoot,
};
use crate::{
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    sframe::{KeyId, MediaContext, header::Header},
    time::Timestamp,
};

/// Keys of one publisher that are held at a time. Reason: all steps of one generation and a few of its neighbours;
/// a publisher that changes keys faster than that within [`GRACE`] loses its oldest.
const KEYS_MAX: usize = 20;
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
    /// The list of recipients is absent, and the root is not the one accepted before; or list and root differ.
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

/// Which frame was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The key that sealed it.
    pub key: KeyId,
    /// Its number under that key and stream.
    pub counter: u64,
}

/// Why a frame was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No key message gave this key, or its time is over.
    #[error("no key for this frame")]
    UnknownKey,
    /// A frame with this number was opened before, or the number is too old to tell.
    #[error("the frame was received before")]
    Replay,
    /// Some byte differs from what the publisher sealed.
    #[error("the frame is not authentic")]
    BadTag,
    /// No SFrame header of this version.
    #[error("the frame is malformed")]
    Malformed,
    /// The context names another meeting or another sender.
    #[error("the frame's context is not this publisher's")]
    ForeignContext,
    /// The publisher has more streams than [`STREAMS_MAX`].
    #[error("a publisher has at most {STREAMS_MAX} streams")]
    TooManyStreams,
}

/// Opens one remote member's frames. It lives as long as the member is in the roster; dropping it erases all keys.
#[derive(Debug)]
pub struct Receiver {
    meeting: MeetingId,
    publisher: MemberId,
    own: MemberId,
    instance: Option<u64>,
    retired_instances: VecDeque<u64>,
    keys: BTreeMap<KeyId, HeldKey>,
    /// The highest key that was erased: neither it nor an earlier one comes back.
    erased: Option<KeyId>,
    /// The recipients that were accepted last, so that a message may name them by their root only.
    accepted: Option<(RecipientsRoot, BTreeSet<MemberId>)>,
}

impl Receiver {
    /// For frames of `publisher`, received by `own`.
    #[must_use]
    pub fn new(meeting: MeetingId, publisher: MemberId, own: MemberId) -> Self {
        Self {
            meeting,
            publisher,
            own,
            instance: None,
            retired_instances: VecDeque::new(),
            keys: BTreeMap::new(),
            erased: None,
            accepted: None,
        }
    }

    /// The publisher's run whose keys are held; `None` before the first key message.
    #[must_use]
    pub const fn instance(&self) -> Option<u64> {
        self.instance
    }

    /// The latest key that is held.
    #[must_use]
    pub fn newest_key(&self) -> Option<KeyId> {
        self.keys.last_key_value().map(|(&key, _)| key)
    }

    /// Takes a key that arrived over the channel from this publisher. An acknowledgement is due even if the key was
    /// known: the one before may be lost.
    ///
    /// # Errors
    /// [`KeyFault`]; the keys stay as they were.
    pub fn handle_key_message(
        &mut self,
        now: Timestamp,
        message: &KeyMessage,
        roster: &dyn RosterAtHeads,
    ) -> Result<KeyAck, KeyFault> {
        self.handle_timeout(now);
        let statement = &message.statement;
        let recipients = self.check(message, roster)?;
        let link = ChainLink {
            key: statement.key,
            secret: message.secret.0.clone(),
        };
        let binding = Binding {
            meeting: self.meeting,
            publisher: self.publisher,
            instance: statement.instance,
            first_recipients: statement.first_recipients,
            policy: roster.policy_hash(),
        };
        if self.instance == Some(statement.instance) {
            if self.erased.is_some_and(|erased| statement.key <= erased) {
                return Err(KeyFault::Outdated);
            }
            self.check_consistency(statement, &binding, &link)?;
        } else {
            self.begin_instance(statement.instance);
        }
        self.accepted = Some((statement.recipients, recipients));
        let key = link.key;
        let held = self
            .keys
            .entry(key)
            .or_insert_with(|| HeldKey::new(binding, link));
        held.statement = Some(statement.clone());
        self.retire_around(now, key);
        self.evict();
        Ok(KeyAck {
            instance: statement.instance,
            key,
        })
    }

    /// Appends the plaintext of `sframe` to `out`.
    ///
    /// # Errors
    /// [`OpenError`]; `out` is as before, and so is the replay window.
    pub fn open(
        &mut self,
        now: Timestamp,
        context: &MediaContext,
        sframe: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened, OpenError> {
        if context.meeting != self.meeting || context.sender != self.publisher {
            return Err(OpenError::ForeignContext);
        }
        let (header, sealed) = Header::parse(sframe).map_err(|_| OpenError::Malformed)?;
        let key = KeyId::try_from(header.kid).map_err(|_| OpenError::Malformed)?;
        self.handle_timeout(now);
        if let Some(held) = self.keys.get_mut(&key) {
            held.open(context, header, sealed, out)?;
            if !std::mem::replace(&mut held.used, true) {
                self.retire_before(now + GRACE, key);
            }
        } else {
            let mut held = self.caught_up(key).ok_or(OpenError::UnknownKey)?;
            held.open(context, header, sealed, out)?;
            // Only now: a forged key id must not make us ratchet.
            held.used = true;
            self.keys.insert(key, held);
            self.retire_before(now + GRACE, key);
            self.evict();
        }
        Ok(Opened {
            key,
            counter: header.counter,
        })
    }

    /// When the next key has to be erased.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.keys.values().filter_map(|held| held.erase_at).min()
    }

    /// Erases keys whose time is over.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((&key, _)) = self
            .keys
            .iter()
            .find(|(_, held)| held.erase_at.is_some_and(|at| at <= now))
        {
            self.erase(key);
        }
    }

    /// Everything about a message that does not depend on the keys held: gives the recipients.
    fn check(
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
        let recipients = match (&message.recipients, &self.accepted) {
            (Some(list), _) if RecipientsRoot::of(&self.meeting, list.members()) == statement.recipients => {
                list.members().clone()
            }
            (None, Some((root, members))) if *root == statement.recipients => members.clone(),
            _ => return Err(KeyFault::RecipientsUnknown),
        };
        if !recipients.contains(&self.own) {
            return Err(KeyFault::NotAddressed);
        }
        let heads = statement.heads.to_vec();
        let Some(members) = roster.members_at(&heads) else {
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

    /// Whether a key fits those that are held of the same generation: same binding, same chain, and one statement
    /// for one key.
    fn check_consistency(
        &self,
        statement: &KeyStatement,
        binding: &Binding,
        link: &ChainLink,
    ) -> Result<(), KeyFault> {
        let generation = KeyId::first(link.key.generation())..=KeyId::last(link.key.generation());
        for (key, held) in self.keys.range(generation) {
            let other = held.statement.as_ref().filter(|_| *key == link.key);
            let contradicts = other.is_some_and(|other| other != statement)
                || held.binding != *binding
                || !same_chain(&held.link, link);
            if contradicts {
                return Err(KeyFault::Equivocation);
            }
        }
        Ok(())
    }

    /// The publisher restarted: its former keys are void.
    fn begin_instance(&mut self, instance: u64) {
        if let Some(former) = self.instance.replace(instance) {
            if self.retired_instances.len() == RETIRED_INSTANCES_MAX {
                self.retired_instances.pop_front();
            }
            self.retired_instances.push_back(former);
        }
        self.keys.clear();
        self.erased = None;
    }

    /// The key that a held one leads to in at most [`CATCH_UP_MAX`] steps; not yet kept.
    fn caught_up(&self, key: KeyId) -> Option<HeldKey> {
        if self.erased.is_some_and(|erased| key <= erased) {
            return None;
        }
        let (from, held) = self.keys.range(..key).next_back()?;
        if from.generation() != key.generation() || key.step() - from.step() > CATCH_UP_MAX {
            return None;
        }
        let mut next = HeldKey::new(held.binding, held.link.advanced_to(key)?);
        // A further step of a generation that has ended ends with it.
        next.erase_at = held.erase_at;
        Some(next)
    }

    /// After a key message: earlier keys end, and so does this one if a later one is held already.
    fn retire_around(&mut self, now: Timestamp, key: KeyId) {
        let first_of_generation = KeyId::first(key.generation());
        // A step is in use when its message is sent; a generation is, when all acknowledged or its time has come.
        self.retire_range(now + SWITCH_MAX + GRACE, None, first_of_generation);
        self.retire_range(now + GRACE, Some(first_of_generation), key);
        if self.newest_key() > Some(key) {
            let held = self.keys.get_mut(&key).expect("just inserted");
            held.erase_at.get_or_insert(now + SWITCH_MAX + GRACE);
        }
    }

    /// A frame under `key` was opened: the publisher has left all earlier keys.
    fn retire_before(&mut self, erase_at: Timestamp, key: KeyId) {
        self.retire_range(erase_at, None, key);
    }

    fn retire_range(&mut self, erase_at: Timestamp, from: Option<KeyId>, below: KeyId) {
        let from = from.unwrap_or(KeyId::first(0));
        for held in self.keys.range_mut(from..below).map(|(_, held)| held) {
            held.erase_at = Some(held.erase_at.map_or(erase_at, |at| at.min(erase_at)));
        }
    }

    fn evict(&mut self) {
        while self.keys.len() > KEYS_MAX {
            let oldest = *self.keys.first_key_value().expect("more than KEYS_MAX").0;
            self.erase(oldest);
        }
    }

    fn erase(&mut self, key: KeyId) {
        self.keys.remove(&key);
        self.erased = self.erased.max(Some(key));
    }
}

/// Whether the earlier of two links of one generation leads to the later.
fn same_chain(a: &ChainLink, b: &ChainLink) -> bool {
    let (earlier, later) = if a.key <= b.key { (a, b) } else { (b, a) };
    earlier
        .advanced_to(later.key)
        .is_some_and(|link| link.secret == later.secret)
}
