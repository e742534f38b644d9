//! What one frame costs: Opus, SFrame, and QUIC's packet protection; the latter two beside bare AES-256-GCM over as many
//! bytes.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::BytesMut;
use quinn_proto::ConnectionId;
use subrosa_node::audio::{OpusDecoder, OpusEncoder, wav};
use subrosa_proto::{
    identity::Identity,
    ids::{MeetingId, MemberId, StreamId},
    media::{payload::FrameDuration, playout::FrameDecoder},
    noise::{
        QUIC_VERSION,
        server::{self, MemberAccept},
    },
    random::Random,
    sframe::{MediaContext, OVERHEAD_BYTES_MAX, decrypt, encrypt, header::Header, key_schedule::FrameKey},
    time::UnixSeconds,
    wire::media_packet::MediaKind,
};

use crate::{
    cpu::fastest,
    meeting::speech,
    report::{Figure, Report},
};

/// Operations in a batch of the ciphers, about half a millisecond: few batches are interrupted.
const COUNT: usize = 1_000;
const BATCHES: usize = 200;
/// Passes over the speech.
const OPUS_BATCHES: usize = 8;
/// Frames of speech that a pass takes, 2 s.
const OPUS_FRAMES: usize = 100;
const BITRATE: u32 = 32_000;
const TAG_BYTES: usize = 16;
/// Flags, connection id of 8 bytes, packet number of 4.
const SHORT_HEADER_BYTES: usize = 1 + CID_BYTES + 4;
const CID_BYTES: usize = 8;

pub(crate) fn measure(report: &mut Report) {
    opus(report);
    for bytes in [160, 1_200] {
        let raw = aes(bytes);
        tell(report, "aes_256_gcm_ns", bytes, raw, None);
        tell(report, "sframe_ns", bytes, sframe(bytes), Some(raw));
        if bytes == 1_200 {
            tell(
                report,
                "packet_protection_ns",
                bytes,
                packet_protection(bytes),
                Some(raw),
            );
        }
    }
}

/// Nanoseconds to seal and to open.
type SealOpen = (f64, f64);

fn tell(
    report: &mut Report,
    name: &'static str,
    bytes: usize,
    (seal, open): SealOpen,
    raw: Option<SealOpen>,
) {
    for (what, value, raw) in [
        ("seal", seal, raw.map(|raw| raw.0)),
        ("open", open, raw.map(|raw| raw.1)),
    ] {
        let ratio = raw.map_or_else(String::new, |raw| format!(", {:.2} x AES-256-GCM", value / raw));
        report.add(&Figure::new(
            name,
            format!("{what} {bytes} B{ratio}"),
            value,
            "ns",
        ));
    }
}

fn opus(report: &mut Report) {
    let clip = wav::read(&speech()).expect("the speech that the repository ships");
    let samples = FrameDuration::Ms20.samples();
    let frames: Vec<&[f32]> = clip.chunks_exact(samples).take(OPUS_FRAMES).collect();
    let mut encoder = OpusEncoder::new(FrameDuration::Ms20, BITRATE, false).expect("a bitrate in range");
    let mut packets = Vec::new();
    let encode = fastest(OPUS_BATCHES, frames.len(), || {
        packets.clear();
        packets.extend(
            frames
                .iter()
                .map(|frame| encoder.encode(frame).expect("a whole frame")),
        );
    });
    let case = format!("encode 20 ms, {BITRATE} bit/s");
    report.add(&Figure::new("opus_us", case, encode / 1_000.0, "us"));
    let mut out = vec![0.0; samples];
    for (enhanced, name) in [(false, "decode 20 ms"), (true, "decode 20 ms, enhanced")] {
        let mut decoder = OpusDecoder::new(enhanced).expect("memory");
        let decode = fastest(OPUS_BATCHES, packets.len(), || {
            for packet in &packets {
                decoder.decode(packet, &mut out).expect("our own packet");
            }
        });
        report.add(&Figure::new("opus_us", name, decode / 1_000.0, "us"));
    }
}

fn nonce(counter: usize) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&(counter as u64).to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Bare AES-256-GCM, with a copy into the buffer in which it happens, as the others have one.
fn aes(bytes: usize) -> SealOpen {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes"));
    let (plaintext, aad) = (vec![1; bytes], [2; SHORT_HEADER_BYTES]);
    let mut buffer = Vec::with_capacity(bytes + TAG_BYTES);
    let seal = fastest(BATCHES, COUNT, || {
        for counter in 0..COUNT {
            buffer.clear();
            buffer.extend_from_slice(&plaintext);
            let tag = key.seal_in_place_separate_tag(nonce(counter), Aad::from(aad), &mut buffer);
            buffer.extend_from_slice(tag.expect("a short message").as_ref());
        }
    });
    let sealed = buffer.clone();
    let open = fastest(BATCHES, COUNT, || {
        for _ in 0..COUNT {
            buffer.clear();
            buffer.extend_from_slice(&sealed);
            key.open_in_place(nonce(COUNT - 1), Aad::from(aad), &mut buffer)
                .expect("what was sealed");
        }
    });
    (seal, open)
}

fn sframe(bytes: usize) -> SealOpen {
    let key = FrameKey::derive(&[7; 64], 1);
    let context = MediaContext {
        kind: MediaKind::Audio,
        layer: 0,
        meeting: MeetingId([1; 16]),
        sender: MemberId([2; 32]),
        stream: StreamId::AUDIO,
    };
    let plaintext = vec![1; bytes];
    let mut sealed = Vec::with_capacity(bytes + OVERHEAD_BYTES_MAX);
    let seal = fastest(BATCHES, COUNT, || {
        for counter in 0..COUNT as u64 {
            sealed.clear();
            encrypt::seal(
                &key,
                Header { kid: 1, counter },
                &context.to_bytes(),
                &plaintext,
                &mut sealed,
            );
        }
    });
    let mut opened = Vec::with_capacity(bytes + OVERHEAD_BYTES_MAX);
    let open = fastest(BATCHES, COUNT, || {
        for _ in 0..COUNT {
            opened.clear();
            let (header, rest) = Header::parse(&sealed).expect("our own header");
            decrypt::open(&key, header, &context.to_bytes(), rest, &mut opened).expect("what was sealed");
        }
    });
    (seal, open)
}

/// Packet and header protection of a 1-RTT packet. The keys are an Initial's, which differ from others only in where they
/// come from.
fn packet_protection(bytes: usize) -> SealOpen {
    let config = server::member(MemberAccept {
        identity: Identity::from_seed(&[1; 32]),
        keys: Vec::new(),
        unadmitted: subrosa_proto::noise::Unadmitted::default(),
        clock: Arc::new(|| UnixSeconds(0)),
        random: Random::from_seed([2; 32]),
    });
    let keys = config
        .crypto
        .initial_keys(QUIC_VERSION, &ConnectionId::new(&[3; CID_BYTES]))
        .expect("our own version");
    let (packet_key, header_key) = (keys.packet.local, keys.header.local);
    let number_at = 1 + CID_BYTES;
    let mut clear = vec![1; SHORT_HEADER_BYTES + bytes + TAG_BYTES];
    // A short header whose packet number has four bytes.
    clear[0] = 0x43;
    let mut packet = Vec::with_capacity(clear.len());
    let seal = fastest(BATCHES, COUNT, || {
        for number in 0..COUNT as u64 {
            packet.clear();
            packet.extend_from_slice(&clear);
            packet_key.encrypt(number, &mut packet, SHORT_HEADER_BYTES);
            header_key.encrypt(number_at, &mut packet);
        }
    });
    let mut payload = BytesMut::with_capacity(clear.len());
    // The header's protection samples 16 bytes of what follows.
    let mut begin = [0; SHORT_HEADER_BYTES + TAG_BYTES];
    let open = fastest(BATCHES, COUNT, || {
        for _ in 0..COUNT {
            begin.copy_from_slice(&packet[..SHORT_HEADER_BYTES + TAG_BYTES]);
            header_key.decrypt(number_at, &mut begin);
            payload.clear();
            payload.extend_from_slice(&packet[SHORT_HEADER_BYTES..]);
            packet_key
                .decrypt(COUNT as u64 - 1, &begin[..SHORT_HEADER_BYTES], &mut payload)
                .expect("what was sealed");
        }
    });
    (seal, open)
}
