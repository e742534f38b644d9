//! What this node offers to carry, and what others offer.

use std::{collections::BTreeMap, time::Duration};

use super::super::{Participant, conduits::fit};
use crate::{
    ids::MemberId,
    time::Now,
    wire::{
        control_message::ControlMessage,
        forwarding_message::{ForwardingMessage, NEIGHBOURS_MAX, Offer, TAKEN_MAX},
    },
};

/// A changed offer is told no sooner after the one before. Reason: it goes to every member.
const OFFER_INTERVAL: Duration = Duration::from_secs(1);
/// A round-trip time has changed noticeably if it did by this share, in percent, and by more than [`RTT_STEP_MS`].
const RTT_CHANGE_PERCENT: u32 = 30;
/// See [`RTT_CHANGE_PERCENT`].
const RTT_STEP_MS: u16 = 10;
/// What is carried has changed noticeably if it did by more than this, in kbit/s. Reason: less than one track.
const TAKEN_STEP_KBPS: u32 = 20;

impl Participant {
    /// What this node may carry for others now, in kbit/s: nothing unless policy and user agree, and no more than its own
    /// speech leaves of its uplink.
    pub(super) fn forwarding_budget(&self, now: Now) -> u32 {
        let terms = self.forwarding.terms;
        if !self.direct || !self.is_member() || !self.members_may_forward(now) {
            return 0;
        }
        let spare = terms
            .uplink_kbps
            .map_or(u32::MAX, |uplink| uplink.saturating_sub(self.own_kbps(now)));
        terms.forwards_kbps.min(spare)
    }

    /// Tells members what this node offers, if that changed noticeably.
    pub(super) fn renew_offer(&mut self, now: Now) {
        let was_told = self
            .forwarding
            .told
            .as_ref()
            .is_some_and(|told| told.budget_kbps > 0);
        let budget_kbps = self.forwarding_budget(now);
        let recent = self
            .forwarding
            .told_at
            .is_some_and(|at| now.monotonic - at < OFFER_INTERVAL);
        // The end of an offer does not wait.
        if budget_kbps == 0 && !was_told || recent && budget_kbps > 0 {
            return;
        }
        let offer = if budget_kbps == 0 {
            Offer::default()
        } else {
            self.offer(now, budget_kbps)
        };
        if self
            .forwarding
            .told
            .as_ref()
            .is_some_and(|told| !is_noticeable(told, &offer))
        {
            return;
        }
        self.forwarding.told = Some(offer.clone());
        self.forwarding.told_at = Some(now.monotonic);
        self.broadcast(&ControlMessage::Forwarding(Box::new(ForwardingMessage::Offer(
            offer,
        ))));
    }

    fn offer(&self, now: Now, budget_kbps: u32) -> Offer {
        let mut taken: Vec<(MemberId, u32)> = self.taken_kbps().into_iter().collect();
        taken.sort_by_key(|(publisher, kbps)| (std::cmp::Reverse(*kbps), *publisher));
        taken.truncate(TAKEN_MAX);
        let mut neighbours: Vec<(MemberId, u16)> = self
            .linked_members(now)
            .into_iter()
            .map(|(member, rtt)| (member, u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX)))
            .collect();
        neighbours.sort_by_key(|(member, rtt)| (*rtt, *member));
        neighbours.truncate(NEIGHBOURS_MAX);
        neighbours.sort_unstable();
        Offer {
            budget_kbps,
            taken: fit(taken),
            neighbours: fit(neighbours),
        }
    }

    pub(super) fn handle_offer(&mut self, now: Now, from: MemberId, offer: Offer) {
        if offer.budget_kbps == 0 || !self.members_may_forward(now) {
            if self.forwarding.offers.remove(&from).is_some() {
                self.forwarding.replan = true;
                self.dirty.routes();
            }
        } else if self.forwarding.offers.insert(from, offer).is_none() {
            self.forwarding.replan = true;
            self.dirty.routes();
        }
    }
}

/// Whether members must know.
fn is_noticeable(told: &Offer, new: &Offer) -> bool {
    let links = |offer: &Offer| -> BTreeMap<MemberId, u16> { offer.neighbours.iter().copied().collect() };
    let (before, after) = (links(told), links(new));
    let same_links = before.keys().eq(after.keys());
    let moved = before.values().zip(after.values()).any(|(a, b)| {
        let step = a.abs_diff(*b);
        step > RTT_STEP_MS && u32::from(step) * 100 > u32::from(*a.max(b)) * RTT_CHANGE_PERCENT
    });
    let taken = |offer: &Offer| -> BTreeMap<MemberId, u32> { offer.taken.iter().copied().collect() };
    let (before, after) = (taken(told), taken(new));
    let same_tracks = before.keys().eq(after.keys());
    let grown = before
        .values()
        .zip(after.values())
        .any(|(a, b)| a.abs_diff(*b) > TAKEN_STEP_KBPS);
    // Above, what lies below a step counts as nothing; a budget's step is a track's, too.
    let budget = told.budget_kbps.abs_diff(new.budget_kbps) > TAKEN_STEP_KBPS
        || (told.budget_kbps == 0) != (new.budget_kbps == 0);
    !same_links || moved || !same_tracks || grown || budget
}
