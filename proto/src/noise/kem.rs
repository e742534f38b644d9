//! ML-KEM-768 (FIPS 203) as snow's ephemeral key-encapsulation mechanism.

use ml_kem::{
    DecapsulationKey, EncapsulationKey, KeyExport, MlKem768, Seed,
    kem::{Decapsulate, Encapsulate},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snow::{
    Error,
    types::{Kem, Random as NoiseRandom},
};
use zeroize::Zeroizing;

/// Length of an encapsulation key in bytes.
pub(super) const PUBLIC_LEN: usize = 1184;
/// Length of a ciphertext in bytes.
pub(super) const CIPHERTEXT_LEN: usize = 1088;
/// Length of a shared secret in bytes.
const SECRET_LEN: usize = 32;

/// One handshake's KEM: the initiator generates and decapsulates, the responder encapsulates.
pub(super) struct MlKem {
    /// Erased on drop by the `ml-kem` crate.
    private: Option<DecapsulationKey<MlKem768>>,
    public: Vec<u8>,
    encapsulation: Zeroizing<[u8; 32]>,
}

impl MlKem {
    /// `encapsulation` seeds the randomness of the one encapsulation that this object may do.
    pub(super) fn new(encapsulation: Zeroizing<[u8; 32]>) -> Self {
        Self {
            private: None,
            public: vec![0; PUBLIC_LEN],
            encapsulation,
        }
    }
}

impl Kem for MlKem {
    fn name(&self) -> &'static str {
        "MLKEM768"
    }

    fn pub_len(&self) -> usize {
        PUBLIC_LEN
    }

    fn ciphertext_len(&self) -> usize {
        CIPHERTEXT_LEN
    }

    fn shared_secret_len(&self) -> usize {
        SECRET_LEN
    }

    fn generate(&mut self, rng: &mut dyn NoiseRandom) {
        let mut seed = Zeroizing::new([0; 64]);
        rng.try_fill_bytes(&mut seed[..])
            .expect("the seeded generator does not fail");
        let private = DecapsulationKey::from_seed(Seed::from(*seed));
        self.public
            .copy_from_slice(private.encapsulation_key().to_bytes().as_slice());
        self.private = Some(private);
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn encapsulate(
        &self,
        pubkey: &[u8],
        shared_secret_out: &mut [u8],
        ciphertext_out: &mut [u8],
    ) -> Result<(usize, usize), Error> {
        let key = pubkey.try_into().map_err(|_| Error::Kem)?;
        // Refuses coefficients that are not reduced (FIPS 203 §7.2, the modulus check).
        let key = EncapsulationKey::<MlKem768>::new(key).map_err(|_| Error::Kem)?;
        let mut random = ChaCha20Rng::from_seed(*self.encapsulation);
        let (ciphertext, secret) = key.encapsulate_with_rng(&mut random);
        let secret = Zeroizing::new(<[u8; SECRET_LEN]>::from(secret));
        shared_secret_out
            .get_mut(..SECRET_LEN)
            .ok_or(Error::Kem)?
            .copy_from_slice(&secret[..]);
        ciphertext_out
            .get_mut(..CIPHERTEXT_LEN)
            .ok_or(Error::Kem)?
            .copy_from_slice(ciphertext.as_slice());
        Ok((SECRET_LEN, CIPHERTEXT_LEN))
    }

    fn decapsulate(&self, ciphertext: &[u8], shared_secret_out: &mut [u8]) -> Result<usize, Error> {
        let private = self.private.as_ref().ok_or(Error::Kem)?;
        let ciphertext = ciphertext.try_into().map_err(|_| Error::Kem)?;
        // A wrong ciphertext gives another secret, not an error (implicit rejection); the next tag then fails.
        let secret = Zeroizing::new(<[u8; SECRET_LEN]>::from(private.decapsulate(ciphertext)));
        shared_secret_out
            .get_mut(..SECRET_LEN)
            .ok_or(Error::Kem)?
            .copy_from_slice(&secret[..]);
        Ok(SECRET_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    struct Rng(Random);
    impl NoiseRandom for Rng {
        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
            self.0.fill(dest);
            Ok(())
        }
    }

    #[test]
    fn both_sides_get_the_secret_and_an_unreduced_key_is_refused() {
        let mut ours = MlKem::new(Zeroizing::new([1; 32]));
        ours.generate(&mut Rng(Random::from_seed([2; 32])));
        let theirs = MlKem::new(Zeroizing::new([3; 32]));
        let (mut a, mut b, mut ciphertext) = ([0; 32], [0; 32], [0; CIPHERTEXT_LEN]);
        let lengths = theirs.encapsulate(ours.pubkey(), &mut a, &mut ciphertext);
        assert_eq!(lengths, Ok((SECRET_LEN, CIPHERTEXT_LEN)));
        assert_eq!(ours.decapsulate(&ciphertext, &mut b), Ok(SECRET_LEN));
        assert_eq!(a, b);
        let unreduced = [0xff; PUBLIC_LEN];
        assert_eq!(
            theirs.encapsulate(&unreduced, &mut a, &mut ciphertext),
            Err(Error::Kem)
        );
    }
}
