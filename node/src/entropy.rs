//! Randomness from the operating system: the seed of everything random in this process.

use zeroize::Zeroizing;

use crate::error::{ErrorKind, NodeError};

/// 32 bytes of full entropy, erased on drop.
///
/// # Errors
/// [`NodeError`] if the operating system gives none.
pub fn seed() -> Result<Zeroizing<[u8; 32]>, NodeError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *seed).map_err(|_| {
        NodeError::new(
            ErrorKind::Internal,
            "the operating system gave no randomness",
            "try again",
        )
    })?;
    Ok(seed)
}
