//! Streams cut into arbitrary pieces: the frames of a control stream, and the messages of a Noise handshake in the CRYPTO
//! stream. How a stream is cut changes nothing, and no more is kept than one message.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use subrosa_proto::{
    noise::framing::{MESSAGE_BYTES_MAX, Reassembly},
    wire::{
        codec::CONTROL_BYTES_MAX,
        framing::{FrameError, FrameReader, LENGTH_BYTES, frame},
    },
};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u);
});

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let noise = u.arbitrary::<bool>()?;
    let cuts: Vec<usize> = (0..u.int_in_range(0..=24)?)
        .map(|_| u.int_in_range(0..=600_usize))
        .collect::<arbitrary::Result<_>>()?;
    // A well-formed frame or two in front, as long as the input likes.
    let mut stream = Vec::new();
    for _ in 0..u.int_in_range(0..=2_u8)? {
        let len = u.int_in_range(1..=if noise { MESSAGE_BYTES_MAX } else { 70_000 })?;
        if noise {
            stream.extend_from_slice(&(len as u16).to_be_bytes());
            stream.resize(stream.len() + len, 0xab);
        } else if len <= CONTROL_BYTES_MAX {
            stream.extend_from_slice(&frame(&vec![0xab; len]));
        } else {
            stream.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    stream.extend_from_slice(u.bytes(u.len())?);
    if noise {
        reassembly(&stream, &cuts);
    } else {
        frames(&stream, &cuts);
    }
    Ok(())
}

fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (stream, Vec::new());
    for &cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

type Read = (Vec<Vec<u8>>, Result<(), FrameError>);

fn read(pieces: &[&[u8]]) -> Read {
    let (mut reader, mut out) = (FrameReader::new(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(content)) => {
                    assert!((1..=CONTROL_BYTES_MAX).contains(&content.len()));
                    out.push(content.to_vec());
                }
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
        assert!(
            reader.buffered() < LENGTH_BYTES + CONTROL_BYTES_MAX,
            "more than a frame waits"
        );
    }
    (out, reader.finish())
}

fn frames(stream: &[u8], cuts: &[usize]) {
    let (whole, end) = read(&[stream]);
    assert_eq!(
        read(&pieces(stream, cuts)),
        (whole.clone(), end),
        "a cut changed what was read"
    );
    let again: Vec<u8> = whole.iter().flat_map(|content| frame(content)).collect();
    assert!(stream.starts_with(&again), "frames do not write back");
    assert_eq!(end.is_ok(), again.len() == stream.len());
}

fn reassembly(stream: &[u8], cuts: &[usize]) {
    let mut reassembly = Reassembly::default();
    let mut since = 0;
    for piece in pieces(stream, cuts) {
        since += piece.len();
        match reassembly.push(piece) {
            Ok(Some(message)) => {
                assert_eq!(message.len() + 2, since, "a message that is not what was pushed");
                since = 0;
            }
            Ok(None) => assert!(since < 2 + MESSAGE_BYTES_MAX, "more than a message waits"),
            Err(_) => return,
        }
    }
}
