//! Proving knowledge of a low-entropy secret without telling it: OPAQUE (RFC 9807) over ristretto255 with Argon2id, from
//! the `opaque-ke` crate (`proto/spec/passphrase.md`).
//!
//! Whoever listens, or answers in somebody else's place, learns nothing that a guess could be tried against; each guess
//! costs an exchange with somebody who holds the [`Record`], who counts them ([`super::passphrase_gate`]).

use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest, CredentialResponse,
    Identifiers, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
    argon2::Argon2,
    rand::{CryptoRng, Error, RngCore},
};
use zeroize::Zeroizing;

use crate::random::Random;

/// The shortest passphrase, in bytes. Reason: at most thirty guesses come before the door locks, so a short one is no
/// disaster; an empty one is a mistake.
pub const PASSPHRASE_BYTES_MIN: usize = 4;
/// The longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 256;

/// The one account of a record.
const CREDENTIAL: &[u8] = b"subrosa";
/// Bytes of an encoded server setup.
const SETUP_BYTES: usize = 128;

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Argon2<'static>;
}

/// What both sides know of the exchange's circumstances. An exchange that is carried over to another channel, or that is
/// meant for another purpose, fails like a wrong guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeContext(Vec<u8>);

impl ExchangeContext {
    /// `purpose` names the use and its version, `channel` is keying material that both ends of the channel export.
    #[must_use]
    pub fn new(
        purpose: &str,
        meeting: &[u8; 16],
        guest: &[u8; 32],
        door: &[u8; 32],
        channel: &[u8; 32],
    ) -> Self {
        Self([purpose.as_bytes(), &[0], meeting, guest, door, channel].concat())
    }
}

/// The guess was wrong, or the message is not one of this exchange: the two cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is wrong")]
pub struct WrongPassphrase;

/// A text that cannot be a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a passphrase has {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes")]
pub struct Unusable;

/// A passphrase in memory. Erased on drop; prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// What a person typed: white space at both ends does not count.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(text: &str) -> Result<Self, Unusable> {
        let text = text.trim();
        if (PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&text.len()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(Unusable)
        }
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What is needed to check a passphrase. Not the passphrase, but whoever holds it can try guesses without asking: it is
/// for those in charge only.
#[derive(Clone)]
pub struct Record {
    setup: ServerSetup<Suite>,
    file: ServerRegistration<Suite>,
}

impl Record {
    /// Registers `passphrase`. Costs one Argon2id (19 MiB, some 20 ms).
    ///
    /// # Panics
    /// Never: all messages are our own.
    #[must_use]
    pub fn create(passphrase: &Passphrase, random: &mut Random) -> Self {
        let mut rng = Adapter(random);
        let setup = ServerSetup::<Suite>::new(&mut rng);
        let start = ClientRegistration::<Suite>::start(&mut rng, passphrase.bytes())
            .expect("a passphrase is short and not empty");
        let answer = ServerRegistration::<Suite>::start(&setup, start.message, CREDENTIAL)
            .expect("our own message is well-formed");
        let upload = start
            .state
            .finish(
                &mut rng,
                passphrase.bytes(),
                answer.message,
                ClientRegistrationFinishParameters::default(),
            )
            .expect("our own message is well-formed");
        Self {
            file: ServerRegistration::finish(upload.message),
            setup,
        }
    }

    /// The bytes, for a channel to somebody in charge or a private file.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(
            [
                self.setup.serialize().as_slice(),
                self.file.serialize().as_slice(),
            ]
            .concat(),
        )
    }

    /// Reads what [`Record::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (setup, file) = bytes.split_at_checked(SETUP_BYTES)?;
        let record = Self {
            setup: ServerSetup::deserialize(setup).ok()?,
            file: ServerRegistration::deserialize(file).ok()?,
        };
        exactly(&record.to_bytes(), bytes).then_some(record)
    }

    /// Answers the first message of an exchange. From here on the guest knows whether its guess was right: the guess
    /// counts now.
    ///
    /// # Errors
    /// [`WrongPassphrase`] if the message is malformed.
    pub fn answer(
        &self,
        start: &[u8],
        context: ExchangeContext,
        random: &mut Random,
    ) -> Result<(Checking, Vec<u8>), WrongPassphrase> {
        let request = CredentialRequest::<Suite>::deserialize(start).map_err(|_| WrongPassphrase)?;
        if !exactly(&request.serialize(), start) {
            return Err(WrongPassphrase);
        }
        let parameters = ServerLoginParameters {
            context: Some(&context.0),
            identifiers: Identifiers::default(),
        };
        let started = ServerLogin::start(
            &mut Adapter(random),
            &self.setup,
            Some(self.file.clone()),
            request,
            CREDENTIAL,
            parameters,
        )
        .map_err(|_| WrongPassphrase)?;
        let message = started.message.serialize().to_vec();
        Ok((
            Checking {
                state: started.state,
                context,
            },
            message,
        ))
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record(..)")
    }
}

/// The door's side of an exchange, waiting for the proof.
pub struct Checking {
    state: ServerLogin<Suite>,
    context: ExchangeContext,
}

impl Checking {
    /// Checks the proof; gives a key that only the two sides of this exchange have.
    ///
    /// # Errors
    /// [`WrongPassphrase`].
    pub fn finish(self, proof: &[u8]) -> Result<Zeroizing<[u8; 32]>, WrongPassphrase> {
        let bytes = proof;
        let proof = CredentialFinalization::<Suite>::deserialize(bytes).map_err(|_| WrongPassphrase)?;
        if !exactly(&proof.serialize(), bytes) {
            return Err(WrongPassphrase);
        }
        let parameters = ServerLoginParameters {
            context: Some(&self.context.0),
            identifiers: Identifiers::default(),
        };
        let finished = self
            .state
            .finish(proof, parameters)
            .map_err(|_| WrongPassphrase)?;
        Ok(first_half(&finished.session_key))
    }
}

impl std::fmt::Debug for Checking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checking(..)")
    }
}

/// The guest's side of an exchange, waiting for the answer.
pub struct Proving {
    state: ClientLogin<Suite>,
    passphrase: Passphrase,
}

impl Proving {
    /// Begins; gives the first message.
    ///
    /// # Panics
    /// Never: a passphrase is short and not empty.
    #[must_use]
    pub fn start(passphrase: Passphrase, random: &mut Random) -> (Self, Vec<u8>) {
        let started = ClientLogin::<Suite>::start(&mut Adapter(random), passphrase.bytes())
            .expect("a passphrase is short and not empty");
        let message = started.message.serialize().to_vec();
        let state = started.state;
        (Self { state, passphrase }, message)
    }

    /// Reads the answer; gives the proof, and the key that the door will have. Costs one Argon2id. That this succeeds
    /// also proves that the other side holds the record.
    ///
    /// # Errors
    /// [`WrongPassphrase`].
    pub fn finish(
        self,
        answer: &[u8],
        context: &ExchangeContext,
        random: &mut Random,
    ) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), WrongPassphrase> {
        let bytes = answer;
        let answer = CredentialResponse::<Suite>::deserialize(bytes).map_err(|_| WrongPassphrase)?;
        if !exactly(&answer.serialize(), bytes) {
            return Err(WrongPassphrase);
        }
        let parameters = ClientLoginFinishParameters::new(Some(&context.0), Identifiers::default(), None);
        let finished = self
            .state
            .finish(&mut Adapter(random), self.passphrase.bytes(), answer, parameters)
            .map_err(|_| WrongPassphrase)?;
        Ok((
            finished.message.serialize().to_vec(),
            first_half(&finished.session_key),
        ))
    }
}

impl std::fmt::Debug for Proving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proving(..)")
    }
}

/// The library reads what it needs and leaves what follows: a message has one encoding here.
fn exactly(canonical: &[u8], bytes: &[u8]) -> bool {
    canonical == bytes
}

fn first_half(key: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut half = Zeroizing::new([0; 32]);
    half.copy_from_slice(&key[..32]);
    half
}

/// Our generator as the library wants it.
struct Adapter<'a>(&'a mut Random);

impl RngCore for Adapter<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl CryptoRng for Adapter<'_> {}

#[cfg(test)]
mod tests;
