//! Randomness as an input: one seed from the driver, and named streams drawn from it.

use aws_lc_rs::digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// A seeded cryptographic generator (ChaCha20). The node seeds it from the operating system, a simulation from its
/// root seed; equal seeds give equal streams.
///
/// Not `Clone`: two copies would hand out the same keys.
pub struct Random(ChaCha20Rng);

impl Random {
    /// The generator for `seed` (32 bytes of full entropy where keys depend on it).
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// An independent generator for the named purpose; draws 32 bytes from this one.
    #[must_use]
    pub fn fork(&mut self, label: &str) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"subrosa-random-fork-v1\0");
        hash.update(&self.bytes::<32>());
        hash.update(label.as_bytes());
        let mut seed = [0; 32];
        seed.copy_from_slice(hash.finish().as_ref());
        Self::from_seed(seed)
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// `N` fresh bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// 64 fresh bits.
    #[must_use]
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_and_forks_differ() {
        let mut a = Random::from_seed([7; 32]);
        let mut b = Random::from_seed([7; 32]);
        assert_eq!(a.next_u64(), b.next_u64());
        let (mut x, mut y) = (a.fork("x"), b.fork("y"));
        assert_ne!(x.next_u64(), y.next_u64());
    }
}
