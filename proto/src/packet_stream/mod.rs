//! QUIC packets over TCP, for networks that let no UDP through (`proto/spec/packet-stream.md`).
//!
//! Each packet is preceded by its length, as RFC 4571 frames what was made for datagrams. Everything above is QUIC as it is over
//! UDP, so the stream itself proves nothing, hides nothing, and may lose packets: [`PacketQueue`] drops what waited too long.

mod queue;
mod reader;

pub use self::{
    queue::{PACKET_AGE_MAX, PacketQueue, QUEUE_BYTES_MAX},
    reader::{LENGTH_BYTES, PACKET_BYTES_MAX, PacketReader, PacketStreamError, append},
};
