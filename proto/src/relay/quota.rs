//! Quotas of media: whose bytes are taken from which buckets.

use crate::{
    relay::{
        limits::{MediaRate, RelayLimits, SESSION_BYTES},
        machine::Relay,
        rate_limiter::RateLimiter,
        session::SessionId,
        stats::DropReason,
    },
    time::{Now, Timestamp},
    wire::relay_message::RefusalCode,
};

/// What one address block uses.
#[derive(Debug)]
pub(super) struct BlockQuota {
    sessions: usize,
    pub(super) media: RateLimiter,
}

impl BlockQuota {
    pub(super) fn new(rate: MediaRate, now: Timestamp) -> Self {
        Self {
            sessions: 0,
            media: RateLimiter::media(rate, now),
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions
    }

    pub(super) fn add_session(&mut self) {
        self.sessions += 1;
    }

    /// Returns whether that was the last one.
    pub(super) fn remove_session(&mut self) -> bool {
        self.sessions -= 1;
        self.sessions == 0
    }
}

/// Why media are not forwarded: for the counters, and for the sender.
type Objection = (DropReason, RefusalCode);

impl Relay {
    /// Takes `bytes`, sent once and forwarded to `listeners`, from each quota, or from none.
    ///
    /// Signatures over sound may use each quota's `reserve`. They are larger than frames, so that a full bucket would refuse them
    /// first; listeners that lack them take the relay for hostile and leave it, which makes overload a breakdown.
    pub(super) fn charge(
        &mut self,
        now: Now,
        sender: SessionId,
        room: usize,
        reserve: bool,
        (bytes, listeners): (usize, usize),
    ) -> Result<(), Objection> {
        if self.month_is_used_up() {
            self.roll_month(now);
            if self.month_is_used_up() {
                return Err((DropReason::MonthlyTraffic, RefusalCode::MonthlyTraffic));
            }
        }
        let now = now.monotonic;
        let (bytes, forwarded) = (bytes as u64, (bytes * listeners) as u64);
        let Some(session) = self
            .sessions
            .get_mut(sender.0 as usize)
            .and_then(|s| s.as_deref_mut())
        else {
            return Err((DropReason::NotAnnounced, RefusalCode::NotAnnounced));
        };
        // What another relay sends was asked for here, and counts where it goes.
        let upstream = session.upstream().is_some();
        if !upstream && !session.media.allows_beside_reserve(now, bytes, reserve) {
            return Err((DropReason::SessionBitrate, RefusalCode::SessionBitrate));
        }
        let mut token = session.token.and_then(|token| self.tokens.uses.get_mut(&token));
        if let Some(token) = &mut token {
            if token.is_used_up() {
                return Err((DropReason::TokenTraffic, RefusalCode::TokenTraffic));
            }
            let media = &mut token.media;
            let refuses = |media: &mut RateLimiter| !media.allows_beside_reserve(now, bytes, reserve);
            if media.as_mut().is_some_and(refuses) {
                return Err((DropReason::TokenBitrate, RefusalCode::TokenBitrate));
            }
        }
        let mut block = self.blocks.get_mut(&session.block).filter(|_| !upstream);
        if let Some(block) = &mut block
            && !block.media.allows_beside_reserve(now, bytes, reserve)
        {
            return Err((DropReason::AddressBlockBitrate, RefusalCode::AddressBlockBitrate));
        }
        let total = &mut self.total_media;
        let refuses = |total: &mut RateLimiter| !total.allows_beside_reserve(now, forwarded, reserve);
        if total.as_mut().is_some_and(refuses) {
            return Err((DropReason::TotalBitrate, RefusalCode::TotalBitrate));
        }
        let room = &mut self.rooms[room].media;
        if !room.allows_beside_reserve(now, forwarded, reserve) {
            return Err((DropReason::RoomBitrate, RefusalCode::RoomBitrate));
        }
        room.take(now, forwarded);
        // Only now: what one bucket refuses costs the others nothing.
        if let Some(total) = total {
            total.take(now, forwarded);
        }
        if let Some(block) = block {
            block.media.take(now, bytes);
        }
        if let Some(token) = token {
            token.bytes = token.bytes.saturating_add(forwarded);
            if let Some(media) = &mut token.media {
                media.take(now, bytes);
            }
        }
        session.media.take(now, bytes);
        Ok(())
    }

    /// Memory that sessions, and what waits for them, may take at most in the end, in bytes.
    pub(super) fn memory_used(&self) -> usize {
        self.admitted * SESSION_BYTES + self.queued_bytes
    }

    /// Replaces the limits. Sessions and rooms that are there stay, also if they are more than the new limits allow; rates
    /// hold for them at once.
    pub fn set_limits(&mut self, now: Now, limits: RelayLimits) {
        let limits = limits.clamped();
        let at = now.monotonic;
        self.limits = limits;
        for session in self.sessions.iter_mut().flatten() {
            let clients = session.clients();
            session.media.set_media(limits.session_media.times(clients), at);
        }
        for (_, room) in &mut self.rooms {
            room.media.set_media(limits.room_media, at);
        }
        for block in self.blocks.values_mut() {
            block.media.set_media(limits.address_block_media, at);
        }
        match (&mut self.total_media, limits.total_media) {
            (Some(bucket), Some(rate)) => bucket.set_media(rate, at),
            (bucket, rate) => *bucket = rate.map(|rate| RateLimiter::media(rate, at)),
        }
        self.gather.set_window_max(limits.gather_window_max);
        self.announce_state();
    }
}
