//! Frames in order, and what to do for each frame interval.
//!
//! Positions are frame numbers unwrapped to 64 bits. The buffer plays position after position; each position is played
//! (from its own packet or a copy), rebuilt, given up, or discarded, and is counted as exactly one of these.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    clock_drift::ClockDrift,
    loss_runs::{Arrival, LossInterval},
    payload::{AudioPayload, FrameDuration},
    playout_delay::PlayoutDelay,
    reception_stats::{RateMeter, ReceptionStats},
    repair_wait::RepairWait,
    sequence::{AnotherSequence, Sequence},
};
use crate::time::Timestamp;

/// Frames held at most. Reason: two seconds at 20 ms, ten times the delay that a conversation bears.
pub const FRAMES_MAX: usize = 100;
/// After this much invented sound the stream counts as paused. Reason: beyond it Opus' concealment is noise.
const CONCEAL_MAX_US: i64 = 100_000;
/// A delay this far above the target is cut by discarding frames; below, time stretching brings it down.
const DISCARD_EXCESS_US: i64 = 200_000;
/// As [`DISCARD_EXCESS_US`] when playing begins, where a cut is not heard.
const DISCARD_EXCESS_AT_START_US: i64 = 40_000;

/// What to do for one frame interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Decode this frame.
    Play(Bytes),
    /// Rebuild the frame from the in-band FEC of this one, which follows it.
    Fec(Bytes),
    /// Invent sound.
    Conceal,
    /// Play nothing; nothing was lost.
    Silence,
}

#[derive(Debug)]
struct Slot {
    frame: Bytes,
    arrival: Timestamp,
    /// From its own packet, not a redundant copy.
    own: bool,
    in_band_fec: bool,
    pause_follows: bool,
}

/// When the frame of a [`Decision::Play`] came and was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// When it arrived, if it came in its own packet.
    pub own_arrival: Option<Timestamp>,
    /// How long after it was due it was given out, in µs; negative if before.
    pub excess_us: i64,
}

/// The adaptive jitter buffer of one stream.
#[derive(Debug, Default)]
pub struct JitterBuffer {
    sequence: Option<Sequence>,
    frames: BTreeMap<i64, Slot>,
    playing: bool,
    /// The next packet begins a talk spurt: its transit time cannot be compared with earlier ones.
    anchor_pending: bool,
    /// Invented intervals since the last position that was settled.
    conceal_run: u32,
    last_transit_us: i64,
    delay: PlayoutDelay,
    drift: ClockDrift,
    repair: RepairWait,
    jitter_us: f64,
    rate: RateMeter,
    stats: ReceptionStats,
    /// The frame given out by the last pull, if it was [`Decision::Play`].
    played: Option<Played>,
}

fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2)
}

impl JitterBuffer {
    /// Takes a payload that arrived at `arrival`.
    pub fn insert(&mut self, arrival: Timestamp, payload: &AudioPayload) {
        self.stats.received += 1;
        self.rate.insert(arrival, payload.wire_bytes());
        let header = *payload.header();
        if self
            .sequence
            .as_ref()
            .is_some_and(|known| known.duration != header.duration)
        {
            self.restart();
        }
        let (position, kind) = self.place(header.sequence, header.duration);
        match kind {
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return;
            }
            Arrival::Ancient => {
                self.stats.late += 1;
                return;
            }
            Arrival::Reordered => self.stats.reordered += 1,
            Arrival::Newest => self.repair.set_protection(&header),
        }
        self.measure(arrival, position);
        self.store(arrival, position, payload);
    }

    /// The position of `sequence`, and whether it is new.
    fn place(&mut self, sequence: u32, duration: FrameDuration) -> (i64, Arrival) {
        if let Some(known) = &mut self.sequence {
            match known.place(sequence) {
                Ok(placed) => return placed,
                Err(AnotherSequence) => self.restart(),
            }
        }
        self.sequence = Some(Sequence::starting_at(sequence, duration));
        self.anchor_pending = true;
        (i64::from(sequence), Arrival::Newest)
    }

    /// Forgets the sequence: the sender began another one.
    fn restart(&mut self) {
        self.stats.restarts += 1;
        self.stats.discarded += self.frames.len() as u64;
        self.frames.clear();
        self.sequence = None;
        self.pause();
    }

    fn pause(&mut self) {
        self.playing = false;
        self.anchor_pending = true;
    }

    fn measure(&mut self, arrival: Timestamp, position: i64) {
        let Some(known) = &self.sequence else { return };
        let media = known.media_us(position);
        let transit = micros(arrival) - media;
        if self.anchor_pending {
            if position < known.next {
                return;
            }
            self.anchor_pending = false;
            self.delay.restart();
            self.drift.restart();
        } else {
            // RFC 3550 §6.4.1.
            let difference = (transit - self.last_transit_us).abs() as f64;
            self.jitter_us += (difference - self.jitter_us) / 16.0;
        }
        self.last_transit_us = transit;
        self.delay.insert(media, transit);
        if self.drift.insert(micros(arrival), transit) {
            self.delay.set_drift(self.drift.ppm(), media);
        }
    }

    fn store(&mut self, arrival: Timestamp, position: i64, payload: &AudioPayload) {
        let Some(next) = self.sequence.as_ref().map(|known| known.next) else {
            return;
        };
        if position < next {
            self.stats.late += 1;
        }
        for (back, frame) in payload.frames() {
            let place = position - i64::from(back);
            if place < next {
                continue;
            }
            let own = back == 0;
            if own || !self.frames.contains_key(&place) {
                let header = payload.header();
                let slot = Slot {
                    frame,
                    arrival,
                    own,
                    in_band_fec: header.in_band_fec,
                    pause_follows: own && header.pause_follows,
                };
                self.frames.insert(place, slot);
            }
        }
        while self.frames.len() > FRAMES_MAX {
            self.discard_first();
        }
    }

    /// Throws the oldest frame away and gives up the positions before it.
    fn discard_first(&mut self) {
        let Some((position, _)) = self.frames.pop_first() else {
            return;
        };
        let Some(known) = &mut self.sequence else { return };
        let missing = (position - known.next).max(0);
        self.stats.lost += missing as u64;
        self.stats.discarded += 1;
        known.next = position + 1;
        self.conceal_run = 0;
    }

    /// How long after the next frame was due `now` is, in µs.
    fn excess_of_next(&self, now: Timestamp) -> Option<i64> {
        let known = self.sequence.as_ref()?;
        let media = known.media_us(known.next);
        Some(micros(now) - media - self.delay.offset(media)? - self.repair.wait_us())
    }

    /// True if the next frame can be played.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.playing
            && self
                .sequence
                .as_ref()
                .is_some_and(|known| self.frames.contains_key(&known.next))
    }

    /// Frames held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True if no frame is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The stream's frame duration; 20 ms before the first packet.
    #[must_use]
    pub fn frame_duration(&self) -> FrameDuration {
        self.sequence
            .as_ref()
            .map_or(FrameDuration::Ms20, |known| known.duration)
    }

    /// Decides for the next frame interval. While the answer is [`Decision::Silence`], ask at every opportunity: playing
    /// begins when the first frame is due, not on a grid.
    pub fn pull(&mut self, now: Timestamp) -> Decision {
        self.rate.advance(now);
        self.played = None;
        let decision = if self.playing || self.start(now) {
            self.decide(now)
        } else {
            Decision::Silence
        };
        match decision {
            Decision::Silence => self.stats.silence += 1,
            Decision::Conceal => self.stats.concealed += 1,
            Decision::Play(_) | Decision::Fec(_) => {}
        }
        decision
    }

    /// Begins to play if the first frame is due.
    fn start(&mut self, now: Timestamp) -> bool {
        self.repair.update();
        loop {
            let Some((&first, _)) = self.frames.first_key_value() else {
                return false;
            };
            let Some(known) = &mut self.sequence else {
                return false;
            };
            // Positions before it fell into silence.
            self.stats.lost += (first - known.next).max(0) as u64;
            known.next = first;
            self.stats.inserted += u64::from(std::mem::take(&mut self.conceal_run));
            let Some(excess) = self.excess_of_next(now) else {
                return false;
            };
            if excess < 0 {
                return false;
            }
            if excess <= DISCARD_EXCESS_AT_START_US || self.frames.len() == 1 {
                self.playing = true;
                return true;
            }
            self.discard_first();
        }
    }

    fn decide(&mut self, now: Timestamp) -> Decision {
        self.repair.update();
        while self.frames.len() > 1 && self.excess_of_next(now).is_some_and(|us| us > DISCARD_EXCESS_US) {
            self.discard_first();
        }
        let Some((&first, _)) = self.frames.first_key_value() else {
            return self.run_dry();
        };
        let Some(known) = &mut self.sequence else {
            return Decision::Silence;
        };
        // Positions before `first` are lost; sound invented while nothing was here covers as many of them.
        let missing = first - known.next;
        let covered = missing.min(self.conceal_run.into());
        self.stats.inserted += u64::from(self.conceal_run) - covered as u64;
        self.conceal_run = 0;
        known.next += covered;
        for _ in 0..covered {
            self.count_lost();
        }
        while self.frames.len() > 1 && self.excess_of_next(now).is_some_and(|us| us > DISCARD_EXCESS_US) {
            self.discard_first();
        }
        if self.has_next() {
            self.play(now)
        } else {
            self.bridge()
        }
    }

    /// Nothing to play and nothing behind it: the frame is late, lost, or was never sent.
    fn run_dry(&mut self) -> Decision {
        self.conceal_run += 1;
        if i64::from(self.conceal_run) * self.frame_duration().micros() > CONCEAL_MAX_US {
            self.conceal_run -= 1;
            self.pause();
            return Decision::Silence;
        }
        Decision::Conceal
    }

    /// The next position is missing, later ones are here.
    fn bridge(&mut self) -> Decision {
        self.count_lost();
        let Some(known) = &mut self.sequence else {
            return Decision::Silence;
        };
        known.next += 1;
        match self.frames.get(&known.next) {
            Some(slot) if slot.in_band_fec => {
                self.stats.recovered_fec += 1;
                Decision::Fec(slot.frame.clone())
            }
            _ => Decision::Conceal,
        }
    }

    fn play(&mut self, now: Timestamp) -> Decision {
        let excess_us = self.excess_of_next(now).unwrap_or(0);
        let Some((position, slot)) = self.frames.pop_first() else {
            return Decision::Silence;
        };
        if let Some(known) = &mut self.sequence {
            known.next = position + 1;
        }
        if slot.own {
            self.stats.played += 1;
            self.repair.note(false);
        } else {
            self.count_lost();
            self.stats.recovered_redundancy += 1;
        }
        self.played = Some(Played {
            own_arrival: slot.own.then_some(slot.arrival),
            excess_us,
        });
        if slot.pause_follows && self.frames.is_empty() {
            self.pause();
        }
        Decision::Play(slot.frame)
    }

    fn count_lost(&mut self) {
        self.stats.lost += 1;
        self.repair.note(true);
    }

    /// About the frame that the last pull gave out; `None` if that was not [`Decision::Play`].
    #[must_use]
    pub const fn played(&self) -> Option<Played> {
        self.played
    }

    /// Losses since the last call, and the newest sequence number.
    pub(super) fn take_losses(&mut self) -> Option<(u32, LossInterval)> {
        self.sequence.as_mut().map(Sequence::take_losses)
    }

    /// The counters; those that concern samples are zero.
    #[must_use]
    pub fn stats(&self) -> ReceptionStats {
        let target_us = self.delay.spread_us() + self.repair.wait_us();
        ReceptionStats {
            jitter: Duration::from_micros(self.jitter_us as u64),
            target_delay: Duration::from_micros(target_us.max(0) as u64),
            bitrate_bps: self.rate.bits_per_second(),
            drift_ppm: self.drift.ppm() as f32,
            ..self.stats
        }
    }
}

#[cfg(test)]
mod tests;
