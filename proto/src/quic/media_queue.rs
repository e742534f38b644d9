//! Media datagrams that wait until a connection takes them.
//!
//! QUIC keeps datagrams until its congestion window has room. Left to itself it keeps them however old they are: on an uplink
//! that is too narrow sound would come seconds late, and what is new would wait behind it. So QUIC is given little more than
//! it can send at once, and the rest waits here, where what is too old to be played makes room.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::time::Timestamp;

/// What waits longer is dropped. Reason: a jitter buffer waits for a late frame about as long, and then has given it up.
pub const MEDIA_WAIT_MAX: Duration = Duration::from_millis(100);
/// Bytes that wait at most; the oldest make room. Reason: [`MEDIA_WAIT_MAX`] at 5 Mbit/s.
pub const MEDIA_QUEUE_BYTES_MAX: usize = 64 * 1024;

/// Datagrams of one connection, oldest first.
#[derive(Debug, Default)]
pub struct MediaQueue {
    waiting: VecDeque<(Timestamp, Bytes)>,
    bytes: usize,
    dropped: u64,
}

impl MediaQueue {
    /// Takes a datagram that is to be sent at `now`. One that is larger than the whole queue is dropped.
    pub fn push(&mut self, now: Timestamp, datagram: Bytes) {
        self.bytes += datagram.len();
        self.waiting.push_back((now, datagram));
        while self.bytes > MEDIA_QUEUE_BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// The oldest datagram that is not too old at `now`, and since when it waits; those before it are dropped.
    pub fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Bytes)> {
        while self
            .waiting
            .front()
            .is_some_and(|(since, _)| now.saturating_since(*since) > MEDIA_WAIT_MAX)
        {
            self.drop_oldest();
        }
        let (since, datagram) = self.waiting.pop_front()?;
        self.bytes -= datagram.len();
        Some((since, datagram))
    }

    /// Puts back what [`Self::pop`] gave and the connection did not take.
    pub fn put_back(&mut self, (since, datagram): (Timestamp, Bytes)) {
        self.bytes += datagram.len();
        self.waiting.push_front((since, datagram));
    }

    fn drop_oldest(&mut self) {
        if let Some((_, datagram)) = self.waiting.pop_front() {
            self.bytes -= datagram.len();
            self.dropped += 1;
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Datagrams that were dropped so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn datagram(byte: u8, length: usize) -> Bytes {
        Bytes::from(vec![byte; length])
    }

    #[test]
    fn what_waits_too_long_makes_room_for_what_is_new() {
        let mut queue = MediaQueue::default();
        for n in 0..20 {
            queue.push(at(20 * u64::from(n)), datagram(n, 100));
        }
        // At 380 ms: those of 280 ms and later are left.
        assert_eq!(queue.pop(at(380)), Some((at(280), datagram(14, 100))));
        assert_eq!(queue.dropped(), 14);
        assert_eq!(queue.pop(at(400)), Some((at(300), datagram(15, 100))));
        assert_eq!(queue.pop(at(1_000)), None);
        assert!(queue.is_empty());
        assert_eq!(queue.dropped(), 18);
    }

    #[test]
    fn the_bytes_are_bounded_and_the_oldest_go_first() {
        let mut queue = MediaQueue::default();
        for n in 0..100 {
            queue.push(at(0), datagram(n, 1_000));
        }
        assert!(queue.bytes <= MEDIA_QUEUE_BYTES_MAX);
        assert_eq!(queue.pop(at(0)), Some((at(0), datagram(35, 1_000))));
        queue.push(at(0), datagram(1, MEDIA_QUEUE_BYTES_MAX + 1));
        assert!(queue.is_empty());
        assert_eq!(queue.bytes, 0);
    }
}
