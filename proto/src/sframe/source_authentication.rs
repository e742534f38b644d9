//! Source authentication: the hashes of what a publisher sent, signed by it (`proto/spec/sframe.md`).
//!
//! Whoever can open a frame holds the key that sealed it, and could forge as its sender (RFC 9605 §7.2). A member that
//! forwards for others could so replace what it forwards. The signature, which only the publisher can make, shows it.

use aws_lc_rs::digest;
use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{KeyId, MediaContext};
use crate::{
    identity::{self, BadSignature, Identity, Signature},
    ids::{MeetingId, MemberId, StreamId},
    wire::codec,
};

/// Bytes of a packet's hash. A forger needs a second preimage within a second; 96 bits are far beyond that, and half
/// a SHA-256 would add a third to the cost on the wire.
pub const HASH_BYTES: usize = 12;
/// Hashes in one object: three intervals of 10 ms frames, with room.
pub const HASHES_MAX: usize = 64;
/// Runs of consecutive counters in one object. Each object that was sent leaves a gap, and each change of key.
pub const RUNS_MAX: usize = 16;
/// The highest counter that an object names; a generation ends far earlier.
pub const COUNTER_MAX: u64 = u32::MAX as u64;
/// Bytes of an encoded object at most; sealed and with its headers it fits a datagram.
pub const OBJECT_BYTES_MAX: usize = 1_150;

const DOMAIN: &str = "subrosa-source-authentication-v1";

/// Truncated SHA-256 of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PacketHash(pub [u8; HASH_BYTES]);

impl PacketHash {
    /// `SHA-256("subrosa-packet-v1" ‖ 0 ‖ context ‖ sframe)`, first [`HASH_BYTES`]: over all that a receiver acts on.
    #[must_use]
    pub fn of(context: &MediaContext, sframe: &[u8]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"subrosa-packet-v1\0");
        hash.update(&context.to_bytes());
        hash.update(sframe);
        let mut out = [0; HASH_BYTES];
        out.copy_from_slice(&hash.finish().as_ref()[..HASH_BYTES]);
        Self(out)
    }
}

/// The number of a packet in its stream: later ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct PacketNumber {
    /// The key.
    pub key: KeyId,
    /// The counter under that key.
    pub counter: u64,
}

/// Hashes of packets with consecutive counters under one key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    first: PacketNumber,
    hashes: Vec<PacketHash>,
}

impl Run {
    /// Number of the last packet; `None` if there is none, or it lies beyond [`COUNTER_MAX`].
    fn last(&self) -> Option<PacketNumber> {
        let more = u64::try_from(self.hashes.len()).ok()?.checked_sub(1)?;
        let counter = self.first.counter.checked_add(more)?;
        (counter <= COUNTER_MAX).then_some(PacketNumber {
            counter,
            ..self.first
        })
    }
}

/// Runs in ascending order, none empty, none touching the next, within [`RUNS_MAX`] and [`HASHES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Vec<Run>);

impl Runs {
    /// All packets, in ascending order.
    pub fn packets(&self) -> impl Iterator<Item = (PacketNumber, PacketHash)> + '_ {
        self.0.iter().flat_map(|run| {
            let first = run.first;
            (first.counter..)
                .zip(&run.hashes)
                .map(move |(counter, &hash)| (PacketNumber { counter, ..first }, hash))
        })
    }

    pub(super) fn push(&mut self, number: PacketNumber, hash: PacketHash) {
        let follows = |run: &Run| {
            run.last()
                .is_some_and(|last| last.key == number.key && last.counter + 1 == number.counter)
        };
        match self.0.last_mut().filter(|run| follows(run)) {
            Some(run) => run.hashes.push(hash),
            None => self.0.push(Run {
                first: number,
                hashes: vec![hash],
            }),
        }
    }

    /// Leaves out the oldest runs beyond [`RUNS_MAX`].
    pub(super) fn shorten(&mut self) {
        let surplus = self.0.len().saturating_sub(RUNS_MAX);
        self.0.drain(..surplus);
    }

    fn is_valid(&self) -> bool {
        let apart = |pair: &[Run]| {
            let (last, next) = (pair[0].last(), pair[1].first);
            last.is_some_and(|last| {
                if last.key == next.key {
                    next.counter > last.counter + 1
                } else {
                    next.key > last.key
                }
            })
        };
        let hashes: usize = self.0.iter().map(|run| run.hashes.len()).sum();
        self.0.len() <= RUNS_MAX
            && hashes <= HASHES_MAX
            && self.0.iter().all(|run| run.last().is_some())
            && self.0.windows(2).all(apart)
    }
}

impl Encode for Runs {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for Runs {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        // The codec limits what is read here to the length of the message; the bounds are checked after.
        let runs = Self(Vec::decode(decoder)?);
        runs.is_valid()
            .then_some(runs)
            .ok_or(DecodeError::Other("runs out of order or too many"))
    }
}
bincode::impl_borrow_decode!(Runs);

/// What a publisher sent lately on one stream, signed by it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourceAuthentication {
    /// See [`crate::meeting::keys::KeyStatement::instance`].
    pub instance: u64,
    /// The packets.
    pub runs: Runs,
    /// The publisher's, over meeting, sender, stream and the two fields above.
    pub signature: Signature,
}

impl SourceAuthentication {
    pub(super) fn new(identity: &Identity, stream: &StreamName, instance: u64, runs: Runs) -> Self {
        let signature = identity.sign(DOMAIN, &stream.statement(instance, &runs));
        Self {
            instance,
            runs,
            signature,
        }
    }

    /// Whether the publisher of `stream` signed this about it.
    ///
    /// # Errors
    /// [`BadSignature`] if not.
    pub fn verify(&self, stream: &StreamName) -> Result<(), BadSignature> {
        let statement = stream.statement(self.instance, &self.runs);
        identity::verify(&stream.sender.0, DOMAIN, &statement, &self.signature)
    }
}

/// One stream of one publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamName {
    /// The meeting.
    pub meeting: MeetingId,
    /// The publisher.
    pub sender: MemberId,
    /// Its track.
    pub stream: StreamId,
}

impl StreamName {
    pub(super) fn is_of(&self, context: &MediaContext) -> bool {
        (self.meeting, self.sender, self.stream) == (context.meeting, context.sender, context.stream)
    }

    fn statement(&self, instance: u64, runs: &Runs) -> Vec<u8> {
        let mut out = Vec::with_capacity(OBJECT_BYTES_MAX);
        out.extend_from_slice(&self.meeting.0);
        out.extend_from_slice(&self.sender.0);
        out.push(self.stream.0);
        out.extend_from_slice(&instance.to_be_bytes());
        out.extend_from_slice(&codec::encode(runs));
        out
    }
}
