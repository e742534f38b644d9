//! The media that waits for one listener: bounded, oldest dropped first.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::time::Timestamp;

/// Media datagrams for one listener. A slow listener's queue is its own: nobody else waits for it.
#[derive(Debug, Default)]
pub(super) struct ListenerQueue {
    frames: VecDeque<(Timestamp, Bytes)>,
    bytes: usize,
}

/// Capacity that an empty queue may keep: a packet's worth, so that an idle session costs little.
const CAPACITY_KEPT: usize = 16;

impl ListenerQueue {
    /// Appends a frame. If there are more than `frames_max`, the oldest goes; returns whether one went.
    pub(super) fn push(&mut self, now: Timestamp, frame: Bytes, frames_max: usize) -> bool {
        let full = self.frames.len() >= frames_max;
        if full && let Some((_, oldest)) = self.frames.pop_front() {
            self.bytes -= oldest.len();
        }
        self.bytes += frame.len();
        self.frames.push_back((now, frame));
        full
    }

    /// Takes the oldest frame and how long it waited.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<(Duration, Bytes)> {
        let (since, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        if self.frames.is_empty() && self.frames.capacity() > CAPACITY_KEPT {
            self.frames.shrink_to(CAPACITY_KEPT);
        }
        Some((now - since, frame))
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Payload bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_the_newest_in_order_and_counts_bytes(sizes in proptest::collection::vec(0_usize..40, 0..80), max in 1_usize..20) {
            let mut queue = ListenerQueue::default();
            let mut dropped = 0;
            for (i, &size) in sizes.iter().enumerate() {
                let frame = Bytes::from(vec![i as u8; size]);
                dropped += usize::from(queue.push(Timestamp::ZERO, frame, max));
            }
            prop_assert_eq!(queue.len() + dropped, sizes.len());
            prop_assert_eq!(queue.bytes(), sizes[dropped..].iter().sum::<usize>());
            for &size in &sizes[dropped..] {
                prop_assert_eq!(queue.pop(Timestamp::ZERO).unwrap().1.len(), size);
            }
            prop_assert!(queue.is_empty());
        }
    }
}
