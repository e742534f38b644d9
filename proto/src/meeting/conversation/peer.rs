//! What this member knows of how far another one has come.

use std::time::Duration;

use super::{
    direct::{Inbox, Outbox, RESEND_FIRST},
    ranges::Ranges,
    rate::{Bucket, SERVE_RATE},
};
use crate::time::Timestamp;

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    /// What it has of this member's present feed.
    pub(super) has: Ranges,
    /// What of it was sent since the last time everything was sent again.
    pub(super) sent: Ranges,
    /// When to send again what it lacks.
    pub(super) resend_at: Option<Timestamp>,
    pub(super) pause: Duration,
    /// When it was last asked for what it has and this member lacks.
    pub(super) asked_at: Option<Timestamp>,
    /// Messages in answer to its digests.
    pub(super) serve: Bucket,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}

impl Peer {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            has: Ranges::default(),
            sent: Ranges::default(),
            resend_at: None,
            pause: RESEND_FIRST,
            asked_at: None,
            serve: Bucket::new(SERVE_RATE, now),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
        }
    }

    /// There is a new way to it.
    pub(super) fn reopen(&mut self, now: Timestamp) {
        self.sent.clear();
        self.pause = RESEND_FIRST;
        self.resend_at = Some(now + RESEND_FIRST);
        self.outbox.reopen();
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        [self.resend_at, self.outbox.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }
}
