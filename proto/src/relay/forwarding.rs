//! Media datagrams: from one sender to many queues, without copying.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    ids::TrackAlias,
    relay::{
        limits::{GATHER_BYTES, MEDIA_REFUSAL_INTERVAL, MediaRate},
        machine::Relay,
        rate_limiter::RateLimiter,
        session::SessionId,
        stats::DropReason,
    },
    time::{Now, Timestamp},
    wire::{
        media_packet::MediaHeader,
        relay_message::{Refusable, RefusalCode},
    },
};

/// What one address block uses.
#[derive(Debug)]
pub(super) struct BlockQuota {
    sessions: usize,
    media: RateLimiter,
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

impl Relay {
    /// A media datagram from a client. It is queued, unchanged, for each listener of its track; a frame that is not
    /// forwarded is counted with its reason.
    pub fn handle_datagram(&mut self, now: Now, sender: SessionId, packet: &Bytes) {
        self.stats.frames_received += 1;
        self.stats.bytes_received += packet.len() as u64;
        let Ok((header, _)) = MediaHeader::parse(packet) else {
            self.stats.drop_frames(DropReason::Malformed, 1);
            return;
        };
        let announced = self
            .session_ref(sender)
            .and_then(|s| s.announced.get(&header.track).copied());
        let Some(track) = announced.map(|a| a.track) else {
            self.stats.drop_frames(DropReason::NotAnnounced, 1);
            self.refuse_media(now, sender, header.track, RefusalCode::NotAnnounced);
            return;
        };
        let listeners = self.tracks[track]
            .listeners
            .iter()
            .filter(|&&l| l != sender)
            .count();
        if listeners == 0 {
            self.stats.drop_frames(DropReason::NoListener, 1);
            return;
        }
        let room = self.tracks[track].room;
        if let Err((drop, code)) = self.charge(now, sender, room, packet.len(), listeners) {
            self.stats.drop_frames(drop, 1);
            self.refuse_media(now, sender, header.track, code);
            return;
        }
        self.fan_out(now.monotonic, sender, track, packet);
    }

    /// Takes `bytes`, sent once and forwarded to `listeners`, from each quota, or from none.
    pub(super) fn charge(
        &mut self,
        now: Now,
        sender: SessionId,
        room: usize,
        bytes: usize,
        listeners: usize,
    ) -> Result<(), (DropReason, RefusalCode)> {
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
        if !session.media.allows(now, bytes) {
            return Err((DropReason::SessionBitrate, RefusalCode::SessionBitrate));
        }
        let mut block = self.blocks.get_mut(&session.block);
        if let Some(block) = &mut block
            && !block.media.allows(now, bytes)
        {
            return Err((DropReason::AddressBlockBitrate, RefusalCode::AddressBlockBitrate));
        }
        if !self.rooms[room].media.take(now, forwarded) {
            return Err((DropReason::RoomBitrate, RefusalCode::RoomBitrate));
        }
        // Only now: what a full room refuses costs the sender's neighbours nothing.
        if let Some(block) = block {
            block.media.take(now, bytes);
        }
        session.media.take(now, bytes);
        Ok(())
    }

    fn fan_out(&mut self, now: Timestamp, sender: SessionId, track: usize, packet: &Bytes) {
        let frames_max = self.limits.queue_frames_max;
        let gathers = self.gather.is_open();
        let mut dropped = 0;
        for &id in &self.tracks[track].listeners {
            let Some(listener) = self
                .sessions
                .get_mut(id.0 as usize)
                .and_then(|s| s.as_deref_mut())
            else {
                continue;
            };
            if id == sender || listener.closing.is_some() {
                continue;
            }
            dropped += u64::from(listener.queue.push(now, packet.clone(), frames_max));
            if listener.ready {
                continue;
            }
            if !gathers || listener.queue.bytes() >= GATHER_BYTES {
                listener.ready = true;
                self.ready.push_back(id);
            } else if !listener.gathering {
                listener.gathering = true;
                self.gather.add(now, id);
            }
        }
        self.stats.drop_frames(DropReason::QueueFull, dropped);
    }

    /// The gather window ended: those who waited are ready.
    pub(super) fn release_gathered(&mut self, now: Timestamp) {
        let Some(waiting) = self.gather.release(now) else {
            return;
        };
        for id in waiting {
            if let Some(session) = self
                .sessions
                .get_mut(id.0 as usize)
                .and_then(|s| s.as_deref_mut())
            {
                session.gathering = false;
                if !session.ready {
                    session.ready = true;
                    self.ready.push_back(id);
                }
            }
        }
    }

    /// The next session that has something to send now. It is named once; what its connection does not take waits for
    /// [`handle_writable`](Self::handle_writable).
    pub fn poll_ready(&mut self, now: Now) -> Option<SessionId> {
        self.release_gathered(now.monotonic);
        while let Some(id) = self.ready.pop_front() {
            if let Some(session) = self.session(id) {
                session.ready = false;
                return Some(id);
            }
        }
        None
    }

    /// The oldest frame that waits for a listener and fits its path, `bytes_max` bytes in a datagram. Frames that waited
    /// too long or are too large are dropped and counted.
    pub fn poll_datagram(&mut self, now: Now, id: SessionId, bytes_max: usize) -> Option<Bytes> {
        let age_max = self.limits.queue_age_max;
        let session = self.sessions.get_mut(id.0 as usize)?.as_deref_mut()?;
        while let Some((waited, frame)) = session.queue.pop(now.monotonic) {
            if waited > age_max {
                self.stats.drop_frames(DropReason::Stale, 1);
            } else if frame.len() > bytes_max {
                self.stats.drop_frames(DropReason::TooLarge, 1);
            } else {
                count_wait(&mut self.stats, waited);
                self.stats.frames_forwarded += 1;
                self.stats.forward_bytes(frame.len() as u64);
                return Some(frame);
            }
        }
        None
    }

    /// Bytes of media that wait for a listener.
    #[must_use]
    pub fn queued_bytes(&self, id: SessionId) -> usize {
        self.session_ref(id).map_or(0, |s| s.queue.bytes())
    }

    /// The session's connection can take more (an acknowledgement or more credit arrived).
    pub fn handle_writable(&mut self, id: SessionId) {
        if self
            .session_ref(id)
            .is_some_and(|s| !s.queue.is_empty() || !s.control.is_empty())
        {
            self.make_ready(id);
        }
    }

    /// Tells a sender, now and then, why its media are dropped.
    pub(super) fn refuse_media(&mut self, now: Now, sender: SessionId, track: TrackAlias, code: RefusalCode) {
        let Some(session) = self.session(sender) else {
            return;
        };
        if session
            .media_refused
            .is_some_and(|at| now.monotonic - at < MEDIA_REFUSAL_INTERVAL)
        {
            return;
        }
        session.media_refused = Some(now.monotonic);
        self.refuse(
            sender,
            Refusable::Media(track),
            code,
            "media are dropped until this ends",
        );
    }
}

fn count_wait(stats: &mut super::stats::RelayStats, waited: Duration) {
    let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    stats.queue_delay_us_sum += micros;
    stats.queue_delay_us_max = stats.queue_delay_us_max.max(micros);
}
