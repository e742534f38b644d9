//! Source authentication, the publisher's side: collects what it sends, and signs it.

use std::{collections::VecDeque, time::Duration};

use super::{
    MediaContext,
    source_authentication::{HASHES_MAX, PacketHash, PacketNumber, Runs, SourceAuthentication, StreamName},
};
use crate::{
    identity::Identity,
    ids::{MeetingId, StreamId},
    meeting::keys::Sealed,
    time::Timestamp,
    wire::media_packet::MediaKind,
};

/// How often a publisher signs while it sends.
pub const INTERVAL: Duration = Duration::from_millis(200);
/// How often each hash is repeated in later objects, so that as many in a row may get lost.
pub const REPEATS: u8 = 2;
/// So many new hashes are signed at once, without waiting for the interval: each still fits two objects.
const NEW_MAX: usize = HASHES_MAX / 2;

#[derive(Debug)]
struct Sent {
    number: PacketNumber,
    hash: PacketHash,
    interval: u64,
}

/// Collects what one stream of this member sent, and signs it.
#[derive(Debug)]
pub struct SourceAuthenticator {
    identity: Identity,
    stream: StreamName,
    instance: u64,
    /// At most [`HASHES_MAX`]; the last `unsigned` were in no object yet.
    sent: VecDeque<Sent>,
    unsigned: usize,
    interval: u64,
    repeats: u8,
    due: Option<Timestamp>,
}

impl SourceAuthenticator {
    /// For `stream` of this member, whose publisher has the given [`crate::meeting::keys::Publisher::instance`].
    #[must_use]
    pub fn new(identity: Identity, meeting: MeetingId, stream: StreamId, instance: u64) -> Self {
        let stream = StreamName {
            meeting,
            sender: identity.member_id(),
            stream,
        };
        Self {
            identity,
            stream,
            instance,
            sent: VecDeque::new(),
            unsigned: 0,
            interval: 0,
            repeats: 0,
            due: None,
        }
    }

    /// A packet was sealed and is being sent; `sframe` is everything after the media packet's header. Packets of
    /// other streams, and objects of source authentication, are passed over.
    pub fn handle_sealed(&mut self, now: Timestamp, context: &MediaContext, sealed: Sealed, sframe: &[u8]) {
        if !self.stream.is_of(context) || context.kind == MediaKind::SourceAuthentication {
            return;
        }
        if self.sent.len() == HASHES_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            number: PacketNumber {
                key: sealed.key,
                counter: sealed.counter,
            },
            hash: PacketHash::of(context, sframe),
            interval: self.interval,
        });
        self.unsigned = (self.unsigned + 1).min(HASHES_MAX);
        if self.unsigned >= NEW_MAX {
            self.due = Some(now);
        } else {
            self.due.get_or_insert(now + INTERVAL);
        }
    }

    /// When to call [`SourceAuthenticator::poll_object`] next.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }

    /// The next object, if it is due. Seal its encoding as a frame of kind `SourceAuthentication` on the same stream.
    #[must_use]
    pub fn poll_object(&mut self, now: Timestamp) -> Option<SourceAuthentication> {
        self.due.filter(|&due| due <= now)?;
        self.repeats = if self.unsigned > 0 {
            REPEATS
        } else {
            self.repeats.saturating_sub(1)
        };
        self.unsigned = 0;
        self.due = (self.repeats > 0).then(|| now + INTERVAL);
        let mut runs = Runs::default();
        for sent in &self.sent {
            runs.push(sent.number, sent.hash);
        }
        runs.shorten();
        self.interval += 1;
        let oldest_kept = self.interval.saturating_sub(u64::from(REPEATS));
        self.sent.retain(|sent| sent.interval >= oldest_kept);
        Some(SourceAuthentication::new(
            &self.identity,
            &self.stream,
            self.instance,
            runs,
        ))
    }
}
