//! A packet stream cut into arbitrary pieces, and the queue before one that stalls. How a stream is cut changes nothing; no more is
//! kept than one packet; what is queued is bounded, in order, and never too old.
#![no_main]

use std::time::Duration;

use arbitrary::Unstructured;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use subrosa_proto::{
    packet_stream::{
        LENGTH_BYTES, PACKET_AGE_MAX, PACKET_BYTES_MAX, PacketQueue, PacketReader, PacketStreamError,
        QUEUE_BYTES_MAX, append,
    },
    time::Timestamp,
};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u);
});

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    if u.arbitrary()? {
        return queue(u);
    }
    let cuts: Vec<usize> = (0..u.int_in_range(0..=24)?)
        .map(|_| u.int_in_range(0..=600_usize))
        .collect::<arbitrary::Result<_>>()?;
    // A well-formed packet or two in front.
    let mut stream = BytesMut::new();
    for _ in 0..u.int_in_range(0..=2_u8)? {
        append(
            &mut stream,
            &vec![0xab; u.int_in_range(0..=PACKET_BYTES_MAX + 1)?],
        );
    }
    stream.extend_from_slice(u.bytes(u.len())?);
    let (whole, end) = read(&[&stream]);
    let (mut rest, mut pieces) = (&stream[..], Vec::new());
    for cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(read(&pieces), (whole.clone(), end), "a cut changed what was read");
    let mut again = BytesMut::new();
    for packet in &whole {
        assert!(append(&mut again, packet));
    }
    assert!(stream.starts_with(&again), "packets do not write back");
    Ok(())
}

fn read(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), PacketStreamError>) {
    let (mut reader, mut out) = (PacketReader::new(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_packet() {
                Ok(Some(packet)) => {
                    assert!((1..=PACKET_BYTES_MAX).contains(&packet.len()));
                    out.push(packet.to_vec());
                }
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
        assert!(
            reader.buffered() < LENGTH_BYTES + PACKET_BYTES_MAX,
            "more than a packet waits"
        );
    }
    (out, Ok(()))
}

/// Each packet holds its number and when it was pushed.
fn queue(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (mut queue, mut now) = (PacketQueue::new(), Timestamp::ZERO);
    let (mut pushed, mut next, mut popped) = (0_u64, 0_u64, 0_u64);
    let mut times = Vec::new();
    while !u.is_empty() {
        now += Duration::from_millis(u.int_in_range(0..=300)?);
        for _ in 0..u.int_in_range(0..=80_u8)? {
            let mut packet = vec![0; u.int_in_range(8..=PACKET_BYTES_MAX)?];
            packet[..8].copy_from_slice(&pushed.to_be_bytes());
            queue.push(now, Bytes::from(packet));
            times.push(now);
            pushed += 1;
        }
        let mut taken = 0;
        for _ in 0..u.int_in_range(0..=80_u8)? {
            let Some(packet) = queue.pop(now) else { break };
            let number = u64::from_be_bytes(packet[..8].try_into().expect("eight bytes"));
            assert!(number >= next, "out of order");
            assert!(now - times[number as usize] <= PACKET_AGE_MAX, "too old");
            next = number + 1;
            taken += packet.len();
            popped += 1;
        }
        assert!(taken <= QUEUE_BYTES_MAX + PACKET_BYTES_MAX);
    }
    let mut left = 0;
    while queue.pop(now).is_some() {
        left += 1;
    }
    assert_eq!(popped + left + queue.dropped(), pushed, "each is sent or counted");
    Ok(())
}
