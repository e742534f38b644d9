//! The packets that wait for a stream that does not take them now: bounded, oldest dropped first.
//!
//! TCP delivers late what a stall held up. What is dropped here instead is lost for QUIC, which repeats what must arrive (control)
//! and nothing else (media): so after a stall the newest sound goes first.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::time::Timestamp;

/// How long a packet may wait. Reason: as long as media in a relay's queue; later it is played too late anyway.
pub const PACKET_AGE_MAX: Duration = Duration::from_millis(200);
/// Bytes that may wait. Reason: 200 ms at 2.5 Mbit/s.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024;
/// What one waiting packet takes beside its bytes.
const OVERHEAD_BYTES: usize = size_of::<(Timestamp, Bytes)>();

/// See the module.
#[derive(Debug, Default)]
pub struct PacketQueue {
    packets: VecDeque<(Timestamp, Bytes)>,
    bytes: usize,
    dropped: u64,
}

impl PacketQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a packet. What is then too old or too much goes, oldest first.
    pub fn push(&mut self, now: Timestamp, packet: Bytes) {
        self.bytes += packet.len() + OVERHEAD_BYTES;
        self.packets.push_back((now, packet));
        self.drop_old(now);
        while self.bytes > QUEUE_BYTES_MAX && self.packets.len() > 1 {
            self.drop_one();
        }
    }

    /// Takes the oldest packet that is not too old.
    pub fn pop(&mut self, now: Timestamp) -> Option<Bytes> {
        self.drop_old(now);
        let (_, packet) = self.packets.pop_front()?;
        self.bytes -= packet.len() + OVERHEAD_BYTES;
        if self.packets.is_empty() {
            // An idle stream keeps no memory.
            self.packets = VecDeque::new();
        }
        Some(packet)
    }

    /// Packets dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    fn drop_old(&mut self, now: Timestamp) {
        while self
            .packets
            .front()
            .is_some_and(|(since, _)| now - *since > PACKET_AGE_MAX)
        {
            self.drop_one();
        }
    }

    fn drop_one(&mut self) {
        if let Some((_, packet)) = self.packets.pop_front() {
            self.bytes -= packet.len() + OVERHEAD_BYTES;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn after_a_stall_only_what_is_fresh_is_left() {
        let mut queue = PacketQueue::new();
        for frame in 0..50_u8 {
            queue.push(at(u64::from(frame) * 20), Bytes::from(vec![frame]));
        }
        let left: Vec<u8> = std::iter::from_fn(|| queue.pop(at(1_000)))
            .map(|p| p[0])
            .collect();
        assert_eq!(left, (40..50).collect::<Vec<u8>>(), "200 ms of 1 s");
        assert_eq!(queue.dropped(), 40);
        assert!(queue.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_left_is_bounded_ordered_and_counted(sizes in proptest::collection::vec(1_usize..1_500, 0..400)) {
            let mut queue = PacketQueue::new();
            for (number, &size) in sizes.iter().enumerate() {
                let mut packet = vec![0; size.max(2)];
                packet[..2].copy_from_slice(&(number as u16).to_be_bytes());
                queue.push(at(0), packet.into());
                prop_assert!(queue.bytes <= QUEUE_BYTES_MAX);
            }
            let dropped = queue.dropped() as usize;
            for number in dropped..sizes.len() {
                let packet = queue.pop(at(0)).unwrap();
                prop_assert_eq!(&packet[..2], &(number as u16).to_be_bytes());
            }
            prop_assert!(queue.pop(at(0)).is_none());
            prop_assert_eq!(queue.bytes, 0);
        }
    }
}
