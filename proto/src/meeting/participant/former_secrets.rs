//! The room secrets that were in use before, and who may still need one of them.
//!
//! Whoever moves is followed for a moment. Whoever sits beyond a partition may use what it said last, or what it could
//! still learn before it was parted: both sides reason alike, so that after any removals on either side there is a key
//! that both kept.

use std::{collections::VecDeque, time::Duration};

use super::timers::{FORMER_ROOMS_LINGER, FORMER_SECRET_MAX};
use crate::{
    ids::OperationHash,
    meeting::room_secret::RoomSecret,
    time::Timestamp,
    wire::{
        bounded::BoundedVec,
        control_message::{FORMER_SECRETS_MAX, FormerSecret},
    },
};

/// So long after a member was last heard it may still have learned another secret. Reason: longer than a link takes to be
/// given up, and a secret to reach it by way of others.
const LATE_NEWS: Duration = Duration::from_secs(10);

/// What is known of a member's place among the epochs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whereabouts {
    /// The secret that it said to use, by the operation that began its epoch, and when it said so: the last one that is here,
    /// too.
    said: Option<(OperationHash, Timestamp)>,
    /// One that it said to use since, and that never came here. Until it does, the other side knows nothing newer of this one
    /// than what it said before: that is kept as well.
    ahead: Option<(OperationHash, Timestamp)>,
    /// When anything last came from it.
    pub(super) heard_at: Option<Timestamp>,
}

impl Whereabouts {
    /// The member said what it uses; `is_here`: this node has that secret.
    pub(super) fn note(&mut self, now: Timestamp, operation: OperationHash, is_here: bool) {
        if is_here {
            (self.said, self.ahead) = (Some((operation, now)), None);
        } else {
            self.ahead = Some((operation, now));
        }
    }

    /// The epoch that it uses.
    pub(super) fn epoch(&self) -> Option<OperationHash> {
        self.ahead.or(self.said).map(|(operation, _)| operation)
    }
}

/// A room secret that was in use here.
struct Former {
    operation: OperationHash,
    secret: RoomSecret,
    began: Timestamp,
    ended: Timestamp,
}

impl Former {
    /// Whether a member may know no newer secret.
    fn may_be_used_by(&self, member: &Whereabouts) -> bool {
        let may_follow = |(operation, said_at): (OperationHash, Timestamp)| {
            let heard_at = member.heard_at.unwrap_or(said_at).max(said_at);
            operation == self.operation || self.ended >= said_at && self.began <= heard_at + LATE_NEWS
        };
        let said = member.said.into_iter().chain(member.ahead);
        member.epoch().is_none() || said.into_iter().any(may_follow)
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct FormerSecrets(VecDeque<Former>);

impl FormerSecrets {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RoomSecret> {
        self.0.iter().map(|former| &former.secret)
    }

    /// As it is told to somebody who comes in.
    pub(super) fn to_wire(&self) -> BoundedVec<FormerSecret, FORMER_SECRETS_MAX> {
        let told = self.0.iter().map(|former| FormerSecret {
            operation: former.operation,
            secret: *former.secret.expose(),
        });
        told.collect::<Vec<_>>().try_into().unwrap_or_default()
    }

    pub(super) fn holds(&self, operation: &OperationHash) -> bool {
        self.0.iter().any(|former| former.operation == *operation)
    }

    /// The secret of an epoch that is in use again.
    pub(super) fn take_back(&mut self, operation: OperationHash) {
        self.0.retain(|former| former.operation != operation);
    }

    /// Keeps what was in use since `began`. May leave one more than there is room for, until
    /// [`Self::forget_unneeded`].
    pub(super) fn keep(
        &mut self,
        now: Timestamp,
        operation: OperationHash,
        secret: RoomSecret,
        began: Timestamp,
    ) {
        let former = Former {
            operation,
            secret,
            began,
            ended: now,
        };
        self.0.push_back(former);
    }

    /// Forgets what nobody needs, given the other members of the roster who did not say to use the present secret. Returns
    /// whether anything went.
    pub(super) fn forget_unneeded(&mut self, now: Timestamp, others: &[Whereabouts]) -> bool {
        let before = self.0.len();
        let needed = |former: &Former| others.iter().any(|member| former.may_be_used_by(member));
        self.0.retain(|former| {
            let age = now - former.ended;
            age < FORMER_ROOMS_LINGER || age < FORMER_SECRET_MAX && needed(former)
        });
        while self.0.len() > FORMER_SECRETS_MAX {
            // Of those that somebody may need, one in the middle: whoever is missing knows the oldest, whoever is
            // moving the newest.
            let surplus = self.0.iter().position(|former| !needed(former));
            self.0.remove(surplus.unwrap_or(FORMER_SECRETS_MAX / 2));
        }
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn hash(n: u8) -> OperationHash {
        OperationHash([n; 32])
    }

    /// Epochs 0, 1, …, of which the last is in use and the others each ended at the given second.
    fn ended_at(seconds: &[u64]) -> FormerSecrets {
        let mut former = FormerSecrets::default();
        let mut began = at(0);
        for (n, second) in (0..).zip(seconds) {
            former.keep(at(*second), hash(n), RoomSecret::from_bytes([n; 32]), began);
            began = at(*second);
        }
        former
    }

    fn kept(former: &FormerSecrets) -> Vec<u8> {
        former.iter().map(|secret| secret.expose()[0]).collect()
    }

    fn said(n: u8, said_at: u64, heard_at: u64) -> Whereabouts {
        let mut member = Whereabouts {
            heard_at: Some(at(heard_at)),
            ..Whereabouts::default()
        };
        member.note(at(said_at), hash(n), true);
        member
    }

    #[test]
    fn whoever_is_moving_is_followed_for_two_seconds() {
        let mut former = ended_at(&[10]);
        assert!(!former.forget_unneeded(at(11), &[]));
        assert!(former.forget_unneeded(at(13), &[]));
        assert!(former.is_empty());
    }

    #[test]
    fn what_somebody_parted_may_use_outlasts_any_number_of_later_removals() {
        // It said to use 1, was last heard at 20 s, and may have learned of 2; all later ones came when it was gone.
        let parted = said(1, 12, 20);
        let mut former = FormerSecrets::default();
        let ends = [10, 19, 40, 41, 42, 43, 44, 45];
        let mut began = at(0);
        for (n, end) in (0..).zip(ends) {
            former.keep(at(end), hash(n), RoomSecret::from_bytes([n; 32]), began);
            former.forget_unneeded(at(end), &[parted]);
            assert!(former.iter().count() <= FORMER_SECRETS_MAX);
            began = at(end);
        }
        assert_eq!(kept(&former)[..2], [1, 2]);
        former.forget_unneeded(at(50), &[parted]);
        assert_eq!(kept(&former), [1, 2]);
        former.forget_unneeded(at(20 + 600 + 40), &[parted]);
        assert!(former.is_empty(), "ten minutes are over");
    }

    #[test]
    fn whoever_was_ahead_of_us_makes_us_keep_what_we_used_then() {
        // It said to use an epoch that we never had, while we used 1.
        let ahead = said(99, 15, 15);
        let mut former = ended_at(&[10, 20, 30, 40]);
        former.forget_unneeded(at(60), &[ahead]);
        assert_eq!(kept(&former), [1, 2]);
    }

    #[test]
    fn whoever_went_ahead_unheard_still_knows_of_us_what_we_used_with_it() {
        // It said 0, and just before it was parted again 99, whose secret never came; we had gone on to 1.
        let mut ahead = said(0, 12, 50);
        ahead.note(at(50), hash(99), false);
        let mut former = ended_at(&[40]);
        assert!(!former.forget_unneeded(at(60), &[ahead]));
        assert_eq!(kept(&former), [0]);
        // When it has said so with the secret here, nothing of before is needed.
        ahead.note(at(61), hash(99), true);
        assert!(former.forget_unneeded(at(62), &[ahead]));
    }

    #[test]
    fn a_secret_that_is_in_use_again_is_not_former() {
        let mut former = ended_at(&[10, 20]);
        former.take_back(hash(0));
        assert_eq!(kept(&former), [1]);
    }
}
