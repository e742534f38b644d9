//! Random choices of a generator.

use subrosa_proto::random::Random;

/// See the module.
pub(super) struct Draw(Random);

impl Draw {
    /// The choices of a seed; `kind` keeps those of one generator apart from another's.
    pub(super) fn new(seed: u64, kind: u8) -> Self {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&seed.to_le_bytes());
        root[31] = kind;
        Self(Random::from_seed(root))
    }

    /// 0 to `n` - 1; the bias of 2⁻⁵⁶ hurts nobody.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    pub(super) fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).expect("below a usize")
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
