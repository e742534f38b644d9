//! Media datagrams: from one sender to many queues, without copying.

use bytes::Bytes;

use crate::{
    ids::TrackAlias,
    relay::{
        limits::{GATHER_BYTES, MEDIA_REFUSAL_INTERVAL},
        machine::Relay,
        session::SessionId,
        stats::DropReason,
    },
    time::{Now, Timestamp},
    wire::{
        media_packet::{MediaHeader, MediaKind},
        relay_message::{Refusable, RefusalCode},
    },
};

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
        if self.memory_used() + packet.len() * listeners > self.limits.memory_bytes_max {
            self.stats.drop_frames(DropReason::MemoryFull, 1);
            self.refuse_media(now, sender, header.track, RefusalCode::MemoryFull);
            return;
        }
        let reserve = header.kind == MediaKind::SourceAuthentication;
        if let Err((drop, code)) = self.charge(now, sender, room, reserve, (packet.len(), listeners)) {
            self.stats.drop_frames(drop, 1);
            self.refuse_media(now, sender, header.track, code);
            return;
        }
        self.fan_out(now.monotonic, sender, track, packet);
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
            let before = listener.queue.bytes();
            dropped += u64::from(listener.queue.push(now, packet.clone(), frames_max));
            self.queued_bytes = self.queued_bytes + listener.queue.bytes() - before;
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
            self.queued_bytes -= frame.len();
            if waited > age_max {
                self.stats.drop_frames(DropReason::Stale, 1);
            } else if frame.len() > bytes_max {
                self.stats.drop_frames(DropReason::TooLarge, 1);
            } else {
                self.stats.count_wait(waited);
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
