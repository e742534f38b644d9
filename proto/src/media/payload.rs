//! The audio payload: what SFrame encrypts for each audio packet (`proto/spec/audio-payload.md`).
//!
//! ```text
//!  0         1            5         6
//! +---------+------------+---------+----------+----------+-----
//! | VV D F  |  sequence  | P level | slot 0   | slot 1   | ...   slot = length (1) ‖ Opus packet ‖ zeros
//! | RR SS   |  u32 BE    |         | (newest) |          |
//! +---------+------------+---------+----------+----------+-----
//! ```
//! All slots of a packet have one size, which follows from the packet's length. Written by hand, not by the codec: its
//! size must depend on the sender's settings only, never on what is said.

use std::time::Duration;

use bytes::Bytes;

use super::SAMPLE_RATE_HZ;

/// Bytes before the slots.
pub const HEADER_BYTES: usize = 6;
/// The most redundant frames beside the newest one. Reason: the fifth copy helps only where no conversation is left.
pub const REDUNDANCY_MAX: u8 = 3;
/// The largest distance between two frames of a packet, in frames. Reason: two bits.
pub const SPACING_MAX: u8 = 4;
/// The largest Opus packet in bytes (102 kb/s at 20 ms). Reason: one length byte; voice needs a third of it.
pub const FRAME_BYTES_MAX: usize = 255;
/// The largest payload in bytes; a media packet has room for it.
pub const AUDIO_PAYLOAD_BYTES_MAX: usize =
    HEADER_BYTES + (REDUNDANCY_MAX as usize + 1) * (1 + FRAME_BYTES_MAX);

const VERSION: u8 = 0b01;
const SLOT_BYTES_MIN: usize = 2;

/// How much time an Opus packet covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameDuration {
    /// 10 ms: ten milliseconds less delay for about 8 kb/s more.
    Ms10,
    /// 20 ms.
    #[default]
    Ms20,
}

impl FrameDuration {
    /// Milliseconds.
    #[must_use]
    pub const fn millis(self) -> u32 {
        match self {
            Self::Ms10 => 10,
            Self::Ms20 => 20,
        }
    }

    /// Microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.millis() as i64 * 1_000
    }

    /// As a [`Duration`].
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.millis() as u64)
    }

    /// Samples at 48 kHz.
    #[must_use]
    pub const fn samples(self) -> usize {
        (self.millis() * (SAMPLE_RATE_HZ / 1_000)) as usize
    }
}

/// The loudness of a frame as RFC 6464 §3 counts it: −dBov, 0 is the loudest and 127 is digital silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpeechLevel(u8);

impl SpeechLevel {
    /// Digital silence.
    pub const SILENCE: Self = Self(127);

    /// `minus_dbov` clamped to 127.
    #[must_use]
    pub const fn new(minus_dbov: u8) -> Self {
        Self(if minus_dbov > 127 { 127 } else { minus_dbov })
    }

    /// The level of `samples` (full scale ±1.0): root mean square relative to a full-scale square wave.
    #[must_use]
    pub fn from_pcm(samples: &[f32]) -> Self {
        let count = samples.len().max(1) as f32;
        let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / count;
        if power.is_nan() || power < 1e-13 {
            return Self::SILENCE;
        }
        Self((-10.0 * power.log10()).round().clamp(0.0, 127.0) as u8)
    }

    /// −dBov, 0 to 127.
    #[must_use]
    pub const fn minus_dbov(self) -> u8 {
        self.0
    }
}

/// Everything in a payload but the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioHeader {
    /// The newest frame's number. Counts frames sent, wraps, and starts at a random value.
    pub sequence: u32,
    /// The duration of each frame in the packet.
    pub duration: FrameDuration,
    /// The newest frame's level.
    pub level: SpeechLevel,
    /// Each frame carries in-band FEC for the frame before it (RFC 6716 §2.1.7).
    pub in_band_fec: bool,
    /// The sender pauses (muted, left): silence follows this frame, not loss.
    pub pause_follows: bool,
    /// How many redundant frames follow the newest one; at most [`REDUNDANCY_MAX`].
    pub redundancy: u8,
    /// Redundant frame `i` is frame `sequence − i·spacing`; 1 to [`SPACING_MAX`], and 1 if there is none.
    pub spacing: u8,
}

/// Why bytes are not an audio payload, or why one cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AudioPayloadError {
    /// Shorter than its header and the smallest slots.
    #[error("an audio payload of {0} bytes is too short for its header and slots")]
    TooShort(usize),
    /// Longer than [`AUDIO_PAYLOAD_BYTES_MAX`], or slots larger than a frame can fill.
    #[error("an audio payload of {0} bytes is longer than its slots can be")]
    TooLong(usize),
    /// A version that this code does not know.
    #[error("audio payload version {0} is unknown")]
    UnknownVersion(u8),
    /// The bytes after the header do not divide into equal slots.
    #[error("the slots of an audio payload are not of one size")]
    UnevenSlots,
    /// A redundancy or spacing that the format has no room for, or a spacing without redundancy.
    #[error("redundancy and spacing are out of range")]
    Redundancy,
    /// The newest frame is absent.
    #[error("an audio payload without its newest frame")]
    Empty,
    /// A frame longer than its slot.
    #[error("a frame is longer than its slot")]
    FrameTooLong,
    /// Bytes after a frame that are not zero.
    #[error("the padding of an audio payload is not zero")]
    Padding,
}

/// A valid audio payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPayload {
    header: AudioHeader,
    slot_bytes: usize,
    slots: Bytes,
}

impl AudioPayload {
    /// Packs `frames` (newest first, `header.redundancy + 1` of them; an empty one is absent) into slots that hold
    /// `frame_bytes` each.
    ///
    /// # Errors
    /// [`AudioPayloadError`] if header, frames and slots do not fit together.
    pub fn new(header: AudioHeader, frame_bytes: usize, frames: &[&[u8]]) -> Result<Self, AudioPayloadError> {
        if header.redundancy > REDUNDANCY_MAX
            || !(1..=SPACING_MAX).contains(&header.spacing)
            || (header.redundancy == 0 && header.spacing != 1)
            || frames.len() != usize::from(header.redundancy) + 1
        {
            return Err(AudioPayloadError::Redundancy);
        }
        if frame_bytes == 0 || frame_bytes > FRAME_BYTES_MAX || frames.iter().any(|f| f.len() > frame_bytes) {
            return Err(AudioPayloadError::FrameTooLong);
        }
        if frames[0].is_empty() {
            return Err(AudioPayloadError::Empty);
        }
        let slot_bytes = frame_bytes + 1;
        let mut slots = vec![0; slot_bytes * frames.len()];
        for (slot, frame) in slots.chunks_exact_mut(slot_bytes).zip(frames) {
            slot[0] = frame.len() as u8;
            slot[1..=frame.len()].copy_from_slice(frame);
        }
        Ok(Self {
            header,
            slot_bytes,
            slots: slots.into(),
        })
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`AudioPayloadError`] for anything that [`Self::write`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, AudioPayloadError> {
        if bytes.len() > AUDIO_PAYLOAD_BYTES_MAX {
            return Err(AudioPayloadError::TooLong(bytes.len()));
        }
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(AudioPayloadError::TooShort(bytes.len()));
        };
        let header = Self::parse_header(head)?;
        let count = usize::from(header.redundancy) + 1;
        if rest.len() < count * SLOT_BYTES_MIN {
            return Err(AudioPayloadError::TooShort(bytes.len()));
        }
        if rest.len() % count != 0 {
            return Err(AudioPayloadError::UnevenSlots);
        }
        let slot_bytes = rest.len() / count;
        if slot_bytes > 1 + FRAME_BYTES_MAX {
            return Err(AudioPayloadError::TooLong(bytes.len()));
        }
        for slot in rest.chunks_exact(slot_bytes) {
            let (_, padding) = slot[1..]
                .split_at_checked(slot[0].into())
                .ok_or(AudioPayloadError::FrameTooLong)?;
            if padding.iter().any(|byte| *byte != 0) {
                return Err(AudioPayloadError::Padding);
            }
        }
        if rest[0] == 0 {
            return Err(AudioPayloadError::Empty);
        }
        Ok(Self {
            header,
            slot_bytes,
            slots: Bytes::copy_from_slice(rest),
        })
    }

    fn parse_header(head: &[u8; HEADER_BYTES]) -> Result<AudioHeader, AudioPayloadError> {
        let first = head[0];
        if first >> 6 != VERSION {
            return Err(AudioPayloadError::UnknownVersion(first >> 6));
        }
        let redundancy = (first >> 2) & 0b11;
        let spacing = (first & 0b11) + 1;
        if redundancy == 0 && spacing != 1 {
            return Err(AudioPayloadError::Redundancy);
        }
        Ok(AudioHeader {
            sequence: u32::from_be_bytes([head[1], head[2], head[3], head[4]]),
            duration: if first & 0x20 == 0 {
                FrameDuration::Ms20
            } else {
                FrameDuration::Ms10
            },
            level: SpeechLevel(head[5] & 0x7f),
            in_band_fec: first & 0x10 != 0,
            pause_follows: head[5] & 0x80 != 0,
            redundancy,
            spacing,
        })
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let AudioHeader {
            sequence,
            duration,
            level,
            in_band_fec,
            pause_follows,
            redundancy,
            spacing,
        } = self.header;
        let short = u8::from(duration == FrameDuration::Ms10);
        out.push(VERSION << 6 | short << 5 | u8::from(in_band_fec) << 4 | redundancy << 2 | (spacing - 1));
        out.extend_from_slice(&sequence.to_be_bytes());
        out.push(u8::from(pause_follows) << 7 | level.0);
        out.extend_from_slice(&self.slots);
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &AudioHeader {
        &self.header
    }

    /// Bytes that [`Self::write`] appends.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        HEADER_BYTES + self.slots.len()
    }

    /// The frames that are present, newest first: how many frames older than the newest, and the Opus packet.
    pub fn frames(&self) -> impl Iterator<Item = (u32, Bytes)> + '_ {
        (0..=u32::from(self.header.redundancy)).filter_map(move |copy| {
            let start = copy as usize * self.slot_bytes;
            let length = usize::from(self.slots[start]);
            let frame = self.slots.slice(start + 1..start + 1 + length);
            (length > 0).then_some((copy * u32::from(self.header.spacing), frame))
        })
    }

    /// How long after the newest frame its last redundant copy travels: redundancy × spacing × duration.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.header.duration.as_duration()
            * u32::from(self.header.redundancy)
            * u32::from(self.header.spacing)
    }
}

#[cfg(test)]
mod tests;
