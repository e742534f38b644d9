//! Frames on a control stream: a u32 length, big endian, then that many bytes (`proto/spec/relay.md`, Framing).
//!
//! The reader is incremental and bounded: it keeps less than one frame, and a length beyond the bound is an error at
//! the length field, before anything of that frame is stored.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wire::codec::CONTROL_BYTES_MAX;

/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 4;

/// A peer's stream is not a series of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame is announced that is longer than [`CONTROL_BYTES_MAX`].
    #[error("a control frame of {0} bytes is more than {CONTROL_BYTES_MAX}")]
    TooLong(u32),
    /// An empty frame: no message is empty, and a stream of empty frames would cost the reader for nothing.
    #[error("a control frame is empty")]
    Empty,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a control frame")]
    Truncated,
}

/// `message` with its length in front, ready for the stream.
///
/// # Panics
/// If `message` is empty or longer than [`CONTROL_BYTES_MAX`]; `codec::encode` gives neither.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    assert!(
        !message.is_empty() && message.len() <= CONTROL_BYTES_MAX,
        "a control message outgrew its frame"
    );
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + message.len());
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// Takes `length` bytes off the front of `buffer` with the length field before them, if they are all there.
pub(crate) fn split_off(buffer: &mut BytesMut, length_bytes: usize, length: usize) -> Option<BytesMut> {
    if buffer.len() < length_bytes + length {
        return None;
    }
    buffer.advance(length_bytes);
    let content = buffer.split_to(length);
    if buffer.is_empty() {
        // An idle stream keeps no memory.
        *buffer = BytesMut::new();
    }
    Some(content)
}

/// Splits a stream into frames.
///
/// Use: [`push`](Self::push) what arrived, then take frames with [`next_frame`](Self::next_frame) until it gives
/// `None`. After an error the stream is of no more use.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// What arrived and was not given out yet. Bounded by the caller's chunk plus one frame.
    buffer: BytesMut,
}

impl FrameReader {
    /// A reader at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's content, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] and [`FrameError::Empty`], as soon as the length field says so.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length as usize > CONTROL_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        Ok(split_off(&mut self.buffer, LENGTH_BYTES, length as usize).map(BytesMut::freeze))
    }

    /// Called when the stream ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if it ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }

    /// Bytes that wait for the rest of their frame.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_beyond_the_bound_is_refused_at_once() {
        let mut reader = FrameReader::new();
        reader.push(&(CONTROL_BYTES_MAX as u32 + 1).to_be_bytes());
        assert_eq!(
            reader.next_frame(),
            Err(FrameError::TooLong(CONTROL_BYTES_MAX as u32 + 1))
        );
    }

    #[test]
    fn an_empty_frame_and_a_truncated_one_are_refused() {
        let mut reader = FrameReader::new();
        reader.push(&[0; 4]);
        assert_eq!(reader.next_frame(), Err(FrameError::Empty));
        let mut reader = FrameReader::new();
        reader.push(&[0, 0, 0, 2, 9]);
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(reader.finish(), Err(FrameError::Truncated));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..12),
            cut in 1_usize..97,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| frame(m)).collect();
            let mut reader = FrameReader::new();
            let mut out = Vec::new();
            for chunk in stream.chunks(cut) {
                reader.push(chunk);
                while let Some(content) = reader.next_frame().unwrap() {
                    out.push(content.to_vec());
                }
            }
            prop_assert_eq!(out, messages);
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_give_frames_or_an_error_and_keep_less_than_one_frame(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut reader = FrameReader::new();
            reader.push(&bytes);
            while let Ok(Some(content)) = reader.next_frame() {
                prop_assert!(!content.is_empty());
            }
            prop_assert!(reader.buffered() <= bytes.len());
        }
    }
}
