//! The receiver's side: one remote publisher's keys.

use std::collections::BTreeMap;

use super::{
    CATCH_UP_MAX, GRACE, SWITCH_MAX,
    generation::{Binding, ChainLink},
    held_key::{HeldKey, OpenError, Opened},
    key_fault::{Expectation, KeyFault, RosterAtHeads},
    key_message::{KeyAck, KeyMessage, KeyStatement},
};
use crate::{
    ids::{MeetingId, MemberId},
    sframe::{KeyId, MediaContext, header::Header},
    time::Timestamp,
};

/// Keys of one publisher that are held at a time. Reason: all steps of one generation and a few of its neighbours;
/// a publisher that changes keys faster than that within [`GRACE`] loses its oldest.
const KEYS_MAX: usize = 20;

/// Opens one remote member's frames. It lives as long as the member is in the roster; dropping it erases all keys.
#[derive(Debug)]
pub struct Receiver {
    expectation: Expectation,
    instance: Option<u64>,
    keys: BTreeMap<KeyId, HeldKey>,
    /// The highest key that was erased: neither it nor an earlier one comes back.
    erased: Option<KeyId>,
}

impl Receiver {
    /// For frames of `publisher`, received by `own`.
    #[must_use]
    pub fn new(meeting: MeetingId, publisher: MemberId, own: MemberId) -> Self {
        Self {
            expectation: Expectation::new(meeting, publisher, own),
            instance: None,
            keys: BTreeMap::new(),
            erased: None,
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
        let recipients = self.expectation.check(message, roster)?;
        let link = ChainLink {
            key: statement.key,
            secret: message.secret.0.clone(),
        };
        let binding = Binding {
            meeting: self.expectation.meeting,
            publisher: self.expectation.publisher,
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
        self.expectation.accept(statement.recipients, recipients);
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
        if context.meeting != self.expectation.meeting || context.sender != self.expectation.publisher {
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

    /// Whether a key that is held, or that one leads to, opens `sframe`. Changes nothing: for checkers.
    #[must_use]
    pub fn can_open(&self, context: &MediaContext, sframe: &[u8]) -> bool {
        let Ok((header, sealed)) = Header::parse(sframe) else {
            return false;
        };
        let Ok(key) = KeyId::try_from(header.kid) else {
            return false;
        };
        let Some(mut fresh) = (match self.keys.get(&key) {
            Some(held) => Some(HeldKey::new(held.binding, held.link.clone())),
            None => self.caught_up(key),
        }) else {
            return false;
        };
        fresh.open(context, header, sealed, &mut Vec::new()).is_ok()
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
            self.expectation.retire(former);
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
