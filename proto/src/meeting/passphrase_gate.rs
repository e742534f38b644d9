//! Who may guess the passphrase how often: each node in charge keeps its own count (`proto/spec/passphrase.md`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use super::{
    admission::RefusalReason,
    passphrase::{Checking, ExchangeContext, Record},
};
use crate::{ids::MemberId, random::Random, time::Timestamp};

/// Wrong guesses within [`GUESS_WINDOW`] after which an identity, or an address, may not try (security.md §4).
pub const GUESSES_PER_WINDOW: usize = 5;
/// See [`GUESSES_PER_WINDOW`].
pub const GUESS_WINDOW: Duration = Duration::from_secs(3_600);
/// Wrong guesses from everywhere after which nobody may try until somebody in charge unlocks. Reason: identities cost
/// nothing, addresses little; this is what keeps a weak passphrase from being searched.
pub const GUESSES_MAX: u8 = 30;
/// Exchanges under way. Reason: one for each person at the door.
const CHECKING_MAX: usize = 64;
/// An exchange takes two messages; its place is given away after so long.
const CHECKING_PATIENCE: Duration = Duration::from_secs(30);
/// Identities that are remembered as proven: more than a meeting and its lobby hold. The least is forgotten, and has to
/// prove itself again.
const PROVEN_MAX: usize = 1_024;
/// Sources of wrong guesses that are remembered: two for each guess before the door locks, over and over within an hour.
const SOURCES_MAX: usize = 512;

/// Where guesses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Identity(MemberId),
    V4([u8; 4]),
    /// The first half of an IPv6 address: one household holds all of the other half.
    V6([u8; 8]),
}

fn block(address: IpAddr) -> Source {
    match address.to_canonical() {
        IpAddr::V4(ip) => Source::V4(ip.octets()),
        IpAddr::V6(ip) => {
            let mut block = [0; 8];
            block.copy_from_slice(&ip.octets()[..8]);
            Source::V6(block)
        }
    }
}

struct Attempt {
    checking: Checking,
    address: Option<IpAddr>,
    since: Timestamp,
}

/// See the module.
#[derive(Default)]
pub struct PassphraseGate {
    record: Option<Record>,
    wrong: BTreeMap<Source, VecDeque<Timestamp>>,
    total: u8,
    under_way: BTreeMap<MemberId, Attempt>,
    proven: BTreeSet<MemberId>,
}

impl PassphraseGate {
    /// Asks everybody for the passphrase of `record` from now on.
    pub fn set(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// What is needed to check, for somebody else in charge.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether `member` still has to say it.
    #[must_use]
    pub fn wants(&self, member: &MemberId) -> bool {
        self.record.is_some() && !self.proven.contains(member)
    }

    /// Whether nobody may try.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.total >= GUESSES_MAX
    }

    /// Somebody in charge allows guesses again.
    pub fn unlock(&mut self) {
        self.total = 0;
        self.wrong.clear();
    }

    /// Whether somebody may guess now.
    ///
    /// # Errors
    /// The reason to tell.
    pub fn may_try(
        &self,
        now: Timestamp,
        member: MemberId,
        address: Option<IpAddr>,
    ) -> Result<(), RefusalReason> {
        if self.is_locked() {
            return Err(RefusalReason::PassphraseLocked);
        }
        let recent = |source: Source| {
            self.wrong.get(&source).map_or(0, |times| {
                times.iter().filter(|at| now - **at < GUESS_WINDOW).count()
            })
        };
        let too_many = sources(member, address).any(|source| recent(source) >= GUESSES_PER_WINDOW);
        if too_many {
            return Err(RefusalReason::TooManyGuesses);
        }
        Ok(())
    }

    /// A guess: gives the answer. It counts as wrong until it proves right, because the guest knows from the answer.
    ///
    /// # Errors
    /// The reason to tell.
    pub fn start(
        &mut self,
        now: Timestamp,
        member: MemberId,
        address: Option<IpAddr>,
        (message, context): (&[u8], ExchangeContext),
        random: &mut Random,
    ) -> Result<Vec<u8>, RefusalReason> {
        self.may_try(now, member, address)?;
        self.under_way
            .retain(|_, attempt| now - attempt.since < CHECKING_PATIENCE);
        if self.under_way.len() >= CHECKING_MAX && !self.under_way.contains_key(&member) {
            return Err(RefusalReason::TooManyWaiting);
        }
        let Some(record) = &self.record else {
            return Err(RefusalReason::WrongPassphrase);
        };
        let answered = record.answer(message, context, random);
        self.charge(now, member, address);
        let (checking, answer) = answered.map_err(|_| RefusalReason::WrongPassphrase)?;
        let attempt = Attempt {
            checking,
            address,
            since: now,
        };
        self.under_way.insert(member, attempt);
        Ok(answer)
    }

    /// The proof.
    ///
    /// # Errors
    /// The reason to tell.
    pub fn finish(&mut self, member: MemberId, proof: &[u8]) -> Result<(), RefusalReason> {
        let attempt = self.under_way.remove(&member);
        let attempt = attempt.ok_or(RefusalReason::WrongPassphrase)?;
        if attempt.checking.finish(proof).is_err() {
            return Err(RefusalReason::WrongPassphrase);
        }
        self.total = self.total.saturating_sub(1);
        for source in sources(member, attempt.address) {
            if let Some(times) = self.wrong.get_mut(&source) {
                times.retain(|at| *at != attempt.since);
            }
        }
        if self.proven.len() >= PROVEN_MAX {
            self.proven.pop_first();
        }
        self.proven.insert(member);
        Ok(())
    }

    fn charge(&mut self, now: Timestamp, member: MemberId, address: Option<IpAddr>) {
        self.total = self.total.saturating_add(1);
        self.wrong
            .retain(|_, times| times.back().is_some_and(|at| now - *at < GUESS_WINDOW));
        for source in sources(member, address) {
            if self.wrong.len() >= SOURCES_MAX && !self.wrong.contains_key(&source) {
                continue;
            }
            let times = self.wrong.entry(source).or_default();
            if times.len() >= GUESSES_PER_WINDOW {
                times.pop_front();
            }
            times.push_back(now);
        }
    }
}

fn sources(member: MemberId, address: Option<IpAddr>) -> impl Iterator<Item = Source> {
    std::iter::once(Source::Identity(member)).chain(address.map(block))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meeting::passphrase::{Passphrase, Proving};

    fn context() -> ExchangeContext {
        ExchangeContext::new("test-v1", &[1; 16], &[2; 32], &[3; 32], &[4; 32])
    }

    fn gate() -> PassphraseGate {
        let mut gate = PassphraseGate::default();
        let passphrase = Passphrase::new("correct horse").unwrap();
        gate.set(Record::create(&passphrase, &mut Random::from_seed([1; 32])));
        gate
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn address(n: u8) -> Option<IpAddr> {
        Some([10, 0, 0, n].into())
    }

    fn guess(
        gate: &mut PassphraseGate,
        now: u64,
        member: u8,
        from: u8,
        text: &str,
    ) -> Result<(), RefusalReason> {
        let mut random = Random::from_seed([member; 32]);
        let member = MemberId([member; 32]);
        let (proving, start) = Proving::start(Passphrase::new(text).unwrap(), &mut random);
        let answer = gate.start(at(now), member, address(from), (&start, context()), &mut random)?;
        match proving.finish(&answer, &context(), &mut random) {
            Ok((proof, _)) => gate.finish(member, &proof),
            Err(_) => Err(RefusalReason::WrongPassphrase),
        }
    }

    #[test]
    fn five_wrong_guesses_an_hour_are_all_for_an_identity_and_for_an_address() {
        let mut gate = gate();
        for n in 0..5 {
            // One identity from many addresses.
            assert_eq!(
                guess(&mut gate, n, 1, 100 + n as u8, "wrong"),
                Err(RefusalReason::WrongPassphrase)
            );
            // Many identities from one address.
            assert_eq!(
                guess(&mut gate, n, 10 + n as u8, 9, "wrong"),
                Err(RefusalReason::WrongPassphrase)
            );
        }
        let too_many = Err(RefusalReason::TooManyGuesses);
        assert_eq!(guess(&mut gate, 6, 1, 50, "correct horse"), too_many);
        assert_eq!(guess(&mut gate, 6, 2, 9, "correct horse"), too_many);
        assert_eq!(guess(&mut gate, 6, 3, 51, "correct horse"), Ok(()));
        assert_eq!(guess(&mut gate, 3_700, 1, 50, "correct horse"), Ok(()));
    }

    #[test]
    fn a_right_guess_is_not_counted() {
        let mut gate = gate();
        for n in 0..100 {
            assert_eq!(guess(&mut gate, n, n as u8, 9, "correct horse"), Ok(()));
        }
        assert!(!gate.wants(&MemberId([7; 32])) && gate.wants(&MemberId([200; 32])));
    }

    #[test]
    fn the_thirty_first_guess_is_refused_until_somebody_unlocks() {
        let mut gate = gate();
        for n in 0..30 {
            assert_eq!(
                guess(&mut gate, n, n as u8, n as u8, "wrong"),
                Err(RefusalReason::WrongPassphrase)
            );
        }
        // Time alone does not open it.
        for later in [31, 100_000] {
            assert_eq!(
                guess(&mut gate, later, 99, 99, "correct horse"),
                Err(RefusalReason::PassphraseLocked)
            );
        }
        gate.unlock();
        assert_eq!(guess(&mut gate, 100_001, 99, 99, "correct horse"), Ok(()));
    }

    #[test]
    fn whoever_stops_after_the_answer_has_guessed() {
        let mut gate = gate();
        let mut random = Random::from_seed([1; 32]);
        let member = MemberId([1; 32]);
        for n in 0..5 {
            let (_, start) = Proving::start(Passphrase::new("wrong").unwrap(), &mut random);
            assert!(
                gate.start(at(n), member, None, (&start, context()), &mut random)
                    .is_ok()
            );
        }
        let (_, start) = Proving::start(Passphrase::new("wrong").unwrap(), &mut random);
        assert_eq!(
            gate.start(at(6), member, None, (&start, context()), &mut random),
            Err(RefusalReason::TooManyGuesses)
        );
    }
}
