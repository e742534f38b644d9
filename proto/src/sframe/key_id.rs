//! The key id (KID) of a frame: `generation << 4 | step` (RFC 9605 §5.1 with R = 4).

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

/// Names one key of a publisher: the generation that its chain belongs to, and how often the chain was ratcheted.
///
/// Ordered by generation, then step: later keys compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    generation: u32,
    step: u8,
}

/// A number that is no key id: the generation does not fit 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#x} is not a key id")]
pub struct NotAKeyId(pub u64);

impl KeyId {
    /// The last step of a generation: four bits.
    pub const STEP_MAX: u8 = 15;
    const STEP_BITS: u32 = 4;

    /// Step 0 of `generation`.
    #[must_use]
    pub const fn first(generation: u32) -> Self {
        Self { generation, step: 0 }
    }

    /// The last step of `generation`.
    #[must_use]
    pub const fn last(generation: u32) -> Self {
        Self {
            generation,
            step: Self::STEP_MAX,
        }
    }

    /// The generation.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// The ratchet step, at most [`KeyId::STEP_MAX`].
    #[must_use]
    pub const fn step(self) -> u8 {
        self.step
    }

    /// The next step of the same generation; `None` after the last.
    #[must_use]
    pub fn next_step(self) -> Option<Self> {
        (self.step < Self::STEP_MAX).then(|| Self {
            step: self.step + 1,
            ..self
        })
    }

    /// The value in the SFrame header, below 2³⁶.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << Self::STEP_BITS | self.step as u64
    }
}

impl TryFrom<u64> for KeyId {
    type Error = NotAKeyId;

    fn try_from(value: u64) -> Result<Self, NotAKeyId> {
        let generation = u32::try_from(value >> Self::STEP_BITS).map_err(|_| NotAKeyId(value))?;
        let step = value.to_le_bytes()[0] & Self::STEP_MAX;
        Ok(Self { generation, step })
    }
}

impl Encode for KeyId {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.to_u64().encode(encoder)
    }
}

impl<C> Decode<C> for KeyId {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::try_from(u64::decode(decoder)?).map_err(|_| DecodeError::Other("not a key id"))
    }
}
bincode::impl_borrow_decode!(KeyId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn key_ids_round_trip(value in 0..1_u64 << 36) {
            prop_assert_eq!(KeyId::try_from(value).unwrap().to_u64(), value);
        }
    }

    #[test]
    fn a_generation_has_sixteen_steps() {
        let mut id = KeyId::first(7);
        let mut steps = 1;
        while let Some(next) = id.next_step() {
            assert!(next > id);
            (id, steps) = (next, steps + 1);
        }
        assert_eq!((steps, id.to_u64()), (16, 0x7f));
        assert!(KeyId::first(8) > id);
        assert_eq!(KeyId::try_from(1 << 36), Err(NotAKeyId(1 << 36)));
    }
}
