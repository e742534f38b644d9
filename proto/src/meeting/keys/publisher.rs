//! The publisher's side: generations, ratchet steps, and who was given which.
//!
//! At most two generations exist: the active one seals, the pending one is being delivered. A generation that is
//! replaced is erased here at once; receivers keep it for late frames.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    FRAMES_MAX, GENERATION_AGE_MAX, SWITCH_MAX,
    delivery::{Deliveries, Due},
    generation::{Binding, ChainLink},
    key_message::{Heads, KeyAck, KeyMessage, KeyStatement},
    keys_changed::{KeyReason, KeysChanged},
    own_generation::{OwnGeneration, SealError, Sealed},
    recipients::{RECIPIENTS_MAX, RecipientsRoot},
};
use crate::{
    identity::{Identity, Signature},
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    random::Random,
    sframe::{KeyId, MediaContext, key_schedule::Secret},
    time::Timestamp,
};

/// Events that wait to be polled; the oldest is dropped. Each tells of a change that the next one supersedes.
const EVENTS_MAX: usize = 32;

/// More recipients ([`RECIPIENTS_MAX`]) or roster heads than a key message can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many recipients or roster heads for a key message")]
pub struct TooMany;

/// Owns this member's keys. After each `handle_*`, `set_*` or `resend_to`, drain `poll_transmit` and `poll_event`,
/// then arm the timer of `poll_timeout`.
#[derive(Debug)]
pub struct Publisher {
    identity: Identity,
    meeting: MeetingId,
    policy: PolicyHash,
    random: Random,
    instance: u64,
    recipients: BTreeSet<MemberId>,
    /// They are all members of the roster at `heads`, but this one.
    everybody: bool,
    heads: Heads,
    next_generation: u32,
    active: Option<OwnGeneration>,
    pending: Option<OwnGeneration>,
    /// When the pending generation becomes active at the latest.
    switch_at: Option<Timestamp>,
    deliveries: Deliveries,
    /// The recipients' root that each recipient acknowledged last.
    known_roots: BTreeMap<MemberId, RecipientsRoot>,
    events: VecDeque<KeysChanged>,
}

impl Publisher {
    /// A publisher without recipients. `random` must be seeded with full entropy: keys come from it.
    #[must_use]
    pub fn new(identity: Identity, meeting: MeetingId, policy: PolicyHash, mut random: Random) -> Self {
        let instance = random.next_u64();
        Self {
            identity,
            meeting,
            policy,
            instance,
            random,
            recipients: BTreeSet::new(),
            everybody: false,
            heads: Heads::default(),
            next_generation: 0,
            active: None,
            pending: None,
            switch_at: None,
            deliveries: Deliveries::default(),
            known_roots: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Counts generations from `first`, which should be random: frames of a restarted publisher may overtake its first
    /// key message, and must not name keys that receivers still hold from its former run. 16 bits keep the header short.
    #[must_use]
    pub fn counting_from(mut self, first: u16) -> Self {
        debug_assert!(self.active.is_none() && self.pending.is_none());
        self.next_generation = first.into();
        self
    }

    /// Random number of this run of the publisher, as its key messages carry it.
    #[must_use]
    pub const fn instance(&self) -> u64 {
        self.instance
    }

    /// The key that frames are sealed with; `None` without recipients.
    #[must_use]
    pub fn active_key(&self) -> Option<KeyId> {
        self.active.as_ref().map(|generation| generation.link.key)
    }

    /// Sets who may decrypt from now on, chosen from the roster at `heads`. Somebody added only: ratchets, active at
    /// once. Somebody gone: a new generation, active when all acknowledged or after [`SWITCH_MAX`]. `everybody`: they are all
    /// members at `heads` but this one, so that nobody has to be given the list.
    ///
    /// # Errors
    /// [`TooMany`]; the recipients stay as they were.
    pub fn set_recipients(
        &mut self,
        now: Timestamp,
        recipients: &BTreeSet<MemberId>,
        heads: &[OperationHash],
        everybody: bool,
    ) -> Result<(), TooMany> {
        let heads = Heads::new(heads).ok_or(TooMany)?;
        if recipients.len() > RECIPIENTS_MAX {
            return Err(TooMany);
        }
        self.heads = heads;
        self.everybody = everybody;
        if *recipients == self.recipients {
            return Ok(());
        }
        let removed: Vec<_> = self.recipients.difference(recipients).copied().collect();
        for &member in &removed {
            self.deliveries.forget_member(member);
            self.known_roots.remove(&member);
        }
        self.recipients.clone_from(recipients);
        if recipients.is_empty() {
            self.active = None;
            self.discard_pending();
            self.deliveries = Deliveries::default();
        } else if self.active.is_none() {
            self.start_generation(now, KeyReason::Start);
        } else if !removed.is_empty() {
            self.start_generation(now, KeyReason::Removal);
        } else if !self.ratchet(now) {
            self.start_generation(now, KeyReason::Join);
        }
        self.switch_if_ready(now);
        Ok(())
    }

    /// The meeting has another policy: a new generation, as after a removal.
    pub fn set_policy(&mut self, now: Timestamp, policy: PolicyHash) {
        if policy == self.policy {
            return;
        }
        self.policy = policy;
        if self.active.is_some() {
            self.start_generation(now, KeyReason::Policy);
        }
    }

    /// `from`, the far end of the channel, accepted a key.
    pub fn handle_ack(&mut self, now: Timestamp, from: MemberId, ack: &KeyAck) {
        if ack.instance != self.instance || !self.recipients.contains(&from) {
            return;
        }
        let generations = [&mut self.active, &mut self.pending].into_iter().flatten();
        for generation in generations.filter(|generation| generation.number() == ack.key.generation()) {
            // Nobody was sent a later step than the current one: such an acknowledgement is a lie.
            if ack.key > generation.link.key || !generation.members.contains(&from) {
                continue;
            }
            generation.acknowledged.insert(from);
            if ack.key == generation.link.key {
                self.deliveries.settle(from, ack.key.generation());
                self.known_roots.insert(from, generation.statement.recipients);
            }
        }
        self.switch_if_ready(now);
    }

    /// Gives `member` its keys again, because the channel to it is new or it asked. Nothing if it is no recipient.
    pub fn resend_to(&mut self, now: Timestamp, member: MemberId) {
        if !self.recipients.contains(&member) {
            return;
        }
        self.known_roots.remove(&member);
        for generation in [&self.active, &self.pending].into_iter().flatten() {
            if generation.members.contains(&member) {
                self.deliveries.owe(now, member, generation.number());
            }
        }
    }

    /// When to call [`Publisher::handle_timeout`] and drain [`Publisher::poll_transmit`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        // A muted publisher has sealed nothing and does not rotate by the clock, but when it next speaks.
        let rotation = self
            .active
            .as_ref()
            .filter(|generation| generation.frames > 0 && self.pending.is_none())
            .map(|generation| generation.started + GENERATION_AGE_MAX);
        [rotation, self.switch_at, self.deliveries.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// A timer fired (or not yet: early calls do nothing).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.switch_if_ready(now);
        if self
            .active
            .as_ref()
            .is_some_and(|generation| generation.frames > 0)
        {
            self.rotate_if_due(now);
        }
    }

    /// The next key message that is due at `now`, and to whom. Send it over the pairwise channel and erase the bytes.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<(MemberId, KeyMessage)> {
        loop {
            let Due {
                member,
                generation,
                again,
            } = self.deliveries.pop_due(now)?;
            let Some(generation) = [&self.active, &self.pending]
                .into_iter()
                .flatten()
                .find(|held| held.number() == generation)
            else {
                continue;
            };
            // Whoever acknowledged this root, or has the roster, knows its members; a message that got lost may be the one
            // that said so.
            let known = generation.everybody
                || self.known_roots.get(&member) == Some(&generation.statement.recipients);
            return Some((member, generation.message(again || !known)));
        }
    }

    /// The next change of keys.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<KeysChanged> {
        self.events.pop_front()
    }

    /// Appends the sealed frame (SFrame header, ciphertext, tag) to `out`. Starts a new generation if the active one
    /// has served its time.
    ///
    /// # Errors
    /// [`SealError`]; `out` is as before.
    pub fn seal(
        &mut self,
        now: Timestamp,
        context: &MediaContext,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Sealed, SealError> {
        if context.meeting != self.meeting || context.sender != self.identity.member_id() {
            return Err(SealError::ForeignContext);
        }
        // Not left to the timer: it may be late, and a removed member holds the old key.
        self.switch_if_ready(now);
        self.rotate_if_due(now);
        let generation = self.active.as_mut().ok_or(SealError::NoRecipients)?;
        generation.seal(context, plaintext, out)
    }

    fn rotate_if_due(&mut self, now: Timestamp) {
        let Some(active) = self.active.as_ref().filter(|_| self.pending.is_none()) else {
            return;
        };
        if now - active.started >= GENERATION_AGE_MAX {
            self.start_generation(now, KeyReason::Age);
        } else if active.frames >= FRAMES_MAX {
            self.start_generation(now, KeyReason::Frames);
        }
    }

    /// Ratchets the newest generation, so that whoever is new cannot hear what came before. False if it has no
    /// further step.
    fn ratchet(&mut self, now: Timestamp) -> bool {
        let is_active = self.pending.is_none();
        let Some(mut generation) = self.pending.take().or_else(|| self.active.take()) else {
            return false;
        };
        let next = generation.link.next();
        let ratcheted = next.is_some();
        if let Some(next) = next {
            let signed = self.statement(&generation.binding, &next);
            generation.advance(next, (&self.recipients, self.everybody), signed);
            self.owe_all(now, generation.number());
        }
        if is_active {
            if ratcheted {
                self.announce(&generation, KeyReason::Join);
            }
            self.active = Some(generation);
        } else {
            self.pending = Some(generation);
        }
        ratcheted
    }

    /// A fresh chain for the present recipients: active at once if none is, else pending in place of any other.
    fn start_generation(&mut self, now: Timestamp, reason: KeyReason) {
        // A second removal does not give the first removed member more time.
        let switch_at = (now + SWITCH_MAX).min(self.switch_at.unwrap_or(now + SWITCH_MAX));
        let reason = match self.discard_pending() {
            Some(KeyReason::Removal) => KeyReason::Removal,
            _ => reason,
        };
        let link = ChainLink {
            key: KeyId::first(self.next_generation),
            secret: Secret::random(&mut self.random),
        };
        self.next_generation = self
            .next_generation
            .checked_add(1)
            .expect("2^32 generations take decades");
        let binding = Binding {
            meeting: self.meeting,
            publisher: self.identity.member_id(),
            instance: self.instance,
            first_recipients: RecipientsRoot::of(&self.meeting, &self.recipients),
            policy: self.policy,
        };
        let signed = self.statement(&binding, &link);
        let recipients = (self.recipients.clone(), self.everybody);
        let generation = OwnGeneration::new(now, binding, link, reason, recipients, signed);
        self.owe_all(now, generation.number());
        if self.active.is_none() {
            self.announce(&generation, reason);
            self.active = Some(generation);
        } else {
            self.pending = Some(generation);
            self.switch_at = Some(switch_at);
        }
    }

    fn statement(&self, binding: &Binding, link: &ChainLink) -> (KeyStatement, Signature) {
        let statement = KeyStatement {
            meeting: self.meeting,
            publisher: self.identity.member_id(),
            instance: self.instance,
            key: link.key,
            commitment: KeyStatement::commit(&link.secret),
            first_recipients: binding.first_recipients,
            recipients: RecipientsRoot::of(&self.meeting, &self.recipients),
            policy: binding.policy,
            heads: self.heads.clone(),
        };
        let signature = statement.sign(&self.identity);
        (statement, signature)
    }

    /// Activates the pending generation if all its recipients have it, or its time has come.
    fn switch_if_ready(&mut self, now: Timestamp) {
        let late = self.switch_at.is_some_and(|at| now >= at);
        let Some(generation) = self
            .pending
            .take_if(|pending| late || pending.members.is_subset(&pending.acknowledged))
        else {
            return;
        };
        self.switch_at = None;
        if let Some(ended) = self.active.take() {
            self.deliveries.forget_generation(ended.number());
        }
        self.announce(&generation, generation.reason);
        self.active = Some(generation);
    }

    fn discard_pending(&mut self) -> Option<KeyReason> {
        self.switch_at = None;
        let pending = self.pending.take()?;
        self.deliveries.forget_generation(pending.number());
        Some(pending.reason)
    }

    fn owe_all(&mut self, now: Timestamp, generation: u32) {
        for &member in &self.recipients {
            self.deliveries.owe(now, member, generation);
        }
    }

    fn announce(&mut self, generation: &OwnGeneration, reason: KeyReason) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(KeysChanged {
            key: generation.link.key,
            reason,
            members: generation.members.clone(),
        });
    }
}
