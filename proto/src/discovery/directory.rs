//! The relay directory: relays announce themselves under the key of their country, and their signed descriptors lie under
//! their own keys, so that whoever looks can judge each before a packet goes to it.

use std::{collections::BTreeSet, time::Duration};

use super::DhtKey;
use crate::{
    ids::RelayId,
    policy::{
        Country, CountryRule, DescriptorBook, DescriptorError, Evidence, Permit, Refusal, RouteJudge,
        RoutePolicy, SignedDescriptor, VerifiedDescriptor, family::Membership,
    },
    time::UnixSeconds,
    wire::relay_message::Load,
};

/// Countries that one search asks for. Reason: the EEA has 30; a policy with more is served by the list of all relays.
pub const COUNTRIES_MAX: usize = 40;
/// Relays that one directory holds. Reason: announcing costs nothing, so whoever floods a country must not fill memory;
/// four times what a country's key remembers.
pub const RELAYS_MAX: usize = 256;

/// Relays that were found, verified.
#[derive(Debug, Default)]
pub struct Directory {
    book: DescriptorBook,
    seen: BTreeSet<RelayId>,
}

/// Why what was found is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No descriptor belongs under that key, or it is another relay's.
    #[error("the descriptor lies under another's key")]
    OtherRelay,
    /// It does not verify, or an older one than is known.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// [`RELAYS_MAX`] are known.
    #[error("{RELAYS_MAX} relays are known, more are not looked at")]
    Full,
}

/// A relay of the directory, and what the policy says of it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its descriptor.
    pub descriptor: VerifiedDescriptor,
    /// The permit, or the clause against it.
    pub verdict: Result<Permit, Refusal>,
}

impl Directory {
    /// Takes in what was found under `key`. Whether it is new.
    ///
    /// # Errors
    /// [`DirectoryError`], one variant for each reason.
    pub fn insert(&mut self, now: UnixSeconds, key: DhtKey, value: &[u8]) -> Result<bool, DirectoryError> {
        let DhtKey::Descriptor(relay) = key else {
            return Err(DirectoryError::OtherRelay);
        };
        let verified = SignedDescriptor::from_bytes(value)?.verify(now)?;
        if verified.relay != relay {
            return Err(DirectoryError::OtherRelay);
        }
        if !self.seen.contains(&relay) && self.seen.len() >= RELAYS_MAX {
            return Err(DirectoryError::Full);
        }
        let inserted = self.book.insert(verified, now)?;
        self.seen.insert(relay);
        Ok(inserted != crate::policy::Inserted::Known)
    }

    /// The newest descriptor of `relay`.
    #[must_use]
    pub fn get(&self, relay: RelayId, now: UnixSeconds) -> Option<&VerifiedDescriptor> {
        self.book.get(relay, now)
    }

    /// The descriptors of all relays, in the order of their keys.
    pub fn descriptors(&self, now: UnixSeconds) -> impl Iterator<Item = &VerifiedDescriptor> + '_ {
        self.book.iter(now)
    }

    /// All relays, hosted in `country` if one is given, each judged; in the order of their keys.
    #[must_use]
    pub fn list(
        &self,
        now: UnixSeconds,
        judge: &RouteJudge,
        evidence: &Evidence,
        country: Option<Country>,
    ) -> Vec<Listed> {
        self.book
            .iter(now)
            .filter(|descriptor| country.is_none_or(|country| descriptor.hosting == country))
            .map(|descriptor| Listed {
                descriptor: descriptor.clone(),
                verdict: judge.permit(descriptor, evidence, now),
            })
            .collect()
    }
}

/// Under which countries to look for relays that `policy` may permit; `None` in the list stands for all relays. Empty if
/// it permits none.
#[must_use]
pub fn countries_of(policy: &RoutePolicy) -> Vec<Option<Country>> {
    if policy.direct_only {
        return Vec::new();
    }
    match &policy.hosting {
        CountryRule::Any => vec![None],
        CountryRule::Only(set) if set.len() > COUNTRIES_MAX => vec![None],
        CountryRule::Only(set) => set.iter().map(Some).collect(),
    }
}

/// A permitted relay that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its descriptor.
    pub descriptor: VerifiedDescriptor,
    /// The round-trip time to it.
    pub rtt: Duration,
    /// How much of it is used, if it said so.
    pub load: Option<Load>,
}

impl Candidate {
    /// What choosing it costs: full ones last; others by their round-trip time, to which load adds a share of it, so that
    /// the nearest relay of a region is not taken by everybody there. Who does not tell its load counts as half used.
    fn cost(&self) -> (bool, Duration) {
        let load = self.load.unwrap_or(Load::Half);
        let percent = match load {
            Load::Idle | Load::Light => 100,
            Load::Half => 125,
            Load::Heavy | Load::Full => 200,
        };
        (load == Load::Full, self.rtt.saturating_mul(percent) / 100)
    }
}

/// Picks up to `count` of `candidates` by distance and load, spread over operators: one of each family or operator,
/// `in_use` among them, before a second of any, since what one operator runs can fail, or be coerced, together.
#[must_use]
pub fn choose(
    mut candidates: Vec<Candidate>,
    in_use: &[VerifiedDescriptor],
    count: usize,
) -> Vec<VerifiedDescriptor> {
    candidates.sort_by_key(|candidate| (candidate.cost(), candidate.descriptor.relay));
    let mut chosen: Vec<VerifiedDescriptor> = Vec::new();
    for other_operators_only in [true, false] {
        for Candidate { descriptor, .. } in &candidates {
            let taken = chosen.iter().chain(in_use).any(|c| c.relay == descriptor.relay);
            let related = chosen.iter().chain(in_use).any(|c| are_related(c, descriptor));
            if chosen.len() < count && !taken && !(related && other_operators_only) {
                chosen.push(descriptor.clone());
            }
        }
    }
    chosen
}

fn are_related(a: &VerifiedDescriptor, b: &VerifiedDescriptor) -> bool {
    let family = |of: &VerifiedDescriptor| of.family.as_ref().map(Membership::family);
    a.operator.name == b.operator.name || family(a).is_some() && family(a) == family(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        policy::{
            Clause, Descriptor, Preset, SignedPolicy,
            fixture::{MEETING, NOW, after, descriptor_in, host},
        },
    };

    fn of(number: u8, country: &str, operator: &str) -> VerifiedDescriptor {
        let identity = Identity::from_seed(&[number; 32]);
        let mut descriptor = Descriptor {
            relay: identity.relay_id(),
            ..descriptor_in(country)
        };
        descriptor.operator.name = operator.parse().unwrap();
        SignedDescriptor::sign(descriptor, &identity)
            .unwrap()
            .verify(NOW)
            .unwrap()
    }

    fn candidate(descriptor: VerifiedDescriptor, rtt_ms: u64, load: Load) -> Candidate {
        Candidate {
            descriptor,
            rtt: Duration::from_millis(rtt_ms),
            load: Some(load),
        }
    }

    fn judge(preset: Preset) -> RouteJudge {
        let signed = SignedPolicy::sign(MEETING, 0, preset.into(), &host());
        RouteJudge::new(signed.verify(MEETING, host().member_id()).unwrap())
    }

    fn enter(directory: &mut Directory, descriptor: &VerifiedDescriptor) -> Result<bool, DirectoryError> {
        directory.insert(
            NOW,
            DhtKey::Descriptor(descriptor.relay),
            &descriptor.signed().to_bytes(),
        )
    }

    #[test]
    fn each_relay_is_listed_with_the_clause_against_it() {
        let mut directory = Directory::default();
        for descriptor in [of(1, "DE", "a"), of(2, "US", "b"), of(3, "FR", "c")] {
            assert_eq!(enter(&mut directory, &descriptor), Ok(true));
            assert_eq!(enter(&mut directory, &descriptor), Ok(false));
        }
        let listed = directory.list(NOW, &judge(Preset::Eea), &Evidence::default(), None);
        assert_eq!(listed.len(), 3);
        for relay in &listed {
            match &relay.verdict {
                Ok(_) => assert_ne!(relay.descriptor.hosting.code(), "US"),
                Err(refusal) => {
                    assert_eq!(relay.descriptor.hosting.code(), "US");
                    assert_eq!(refusal.clause, Clause::Hosting);
                }
            }
        }
        let german = directory.list(NOW, &judge(Preset::Any), &Evidence::default(), "DE".parse().ok());
        assert_eq!(german.len(), 1);
        assert!(
            directory
                .list(after(90_000), &judge(Preset::Any), &Evidence::default(), None)
                .is_empty(),
            "expired"
        );
    }

    #[test]
    fn garbage_and_strangers_descriptors_are_not_taken_in() {
        let mut directory = Directory::default();
        let descriptor = of(1, "DE", "a");
        let bytes = descriptor.signed().to_bytes();
        let elsewhere = DhtKey::Descriptor(RelayId([9; 32]));
        assert_eq!(
            directory.insert(NOW, elsewhere, &bytes),
            Err(DirectoryError::OtherRelay)
        );
        assert!(
            directory
                .insert(NOW, DhtKey::Descriptor(descriptor.relay), b"rose")
                .is_err()
        );
        assert!(directory.insert(NOW, DhtKey::country(None), &bytes).is_err());
        assert!(
            directory
                .list(NOW, &judge(Preset::Any), &Evidence::default(), None)
                .is_empty()
        );
    }

    #[test]
    fn a_flood_of_relays_is_bounded() {
        let mut directory = Directory::default();
        for number in 0..RELAYS_MAX {
            let mut seed = [8; 32];
            seed[..8].copy_from_slice(&number.to_be_bytes());
            let identity = Identity::from_seed(&seed);
            let descriptor = Descriptor {
                relay: identity.relay_id(),
                ..descriptor_in("DE")
            };
            let signed = SignedDescriptor::sign(descriptor, &identity)
                .unwrap()
                .verify(NOW)
                .unwrap();
            assert_eq!(enter(&mut directory, &signed), Ok(true));
        }
        assert_eq!(
            enter(&mut directory, &of(1, "DE", "a")),
            Err(DirectoryError::Full)
        );
    }

    #[test]
    fn the_nearest_of_different_operators_come_first() {
        let candidates = vec![
            candidate(of(1, "DE", "a"), 5, Load::Idle),
            candidate(of(2, "DE", "a"), 1, Load::Idle),
            candidate(of(3, "FR", "b"), 30, Load::Idle),
        ];
        let names = |count| {
            let chosen = choose(candidates.clone(), &[], count);
            chosen
                .iter()
                .map(|d| d.operator.name.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["a"]);
        assert_eq!(choose(candidates.clone(), &[], 1)[0], candidates[1].descriptor);
        assert_eq!(names(2), ["a", "b"]);
        assert_eq!(names(9), ["a", "b", "a"]);
        // Beside one of a, one of b comes first though it is farther; what is in use is not chosen again.
        let in_use = [candidates[1].descriptor.clone()];
        let beside = choose(candidates.clone(), &in_use, 9);
        assert_eq!(
            beside,
            [candidates[2].descriptor.clone(), candidates[0].descriptor.clone()]
        );
    }

    #[test]
    fn a_loaded_relay_counts_as_farther_and_a_full_one_comes_last() {
        let nearest = |loads: [Option<Load>; 3]| {
            let rtts = [10, 12, 25];
            let operators = ["a", "b", "c"];
            let candidates = (0..3_u8).map(|n| Candidate {
                load: loads[usize::from(n)],
                ..candidate(
                    of(n + 1, "DE", operators[usize::from(n)]),
                    rtts[usize::from(n)],
                    Load::Idle,
                )
            });
            let chosen = choose(candidates.collect(), &[], 3);
            chosen
                .iter()
                .map(|d| d.operator.name.as_str().to_owned())
                .collect::<String>()
        };
        let (idle, half, heavy, full) = (
            Some(Load::Idle),
            Some(Load::Half),
            Some(Load::Heavy),
            Some(Load::Full),
        );
        assert_eq!(nearest([idle, idle, idle]), "abc");
        assert_eq!(nearest([half, idle, idle]), "bac");
        assert_eq!(nearest([None, idle, idle]), "bac", "unknown counts as half");
        assert_eq!(nearest([heavy, idle, idle]), "bac");
        assert_eq!(
            nearest([heavy, heavy, idle]),
            "abc",
            "load does not outweigh a continent"
        );
        assert_eq!(nearest([full, full, heavy]), "cab");
    }

    #[test]
    fn relays_of_one_family_are_one_operator_whatever_they_are_called() {
        let family = Identity::from_seed(&[50; 32]);
        let in_family = |number: u8, operator: &str| {
            let identity = Identity::from_seed(&[number; 32]);
            let mut descriptor = Descriptor {
                relay: identity.relay_id(),
                ..descriptor_in("DE")
            };
            descriptor.operator.name = operator.parse().unwrap();
            descriptor.family = Some(Membership::sign(&family, descriptor.relay, after(90_000)));
            let signed = SignedDescriptor::sign(descriptor, &identity).unwrap();
            signed.verify(NOW).unwrap()
        };
        let candidates = vec![
            candidate(in_family(1, "a"), 1, Load::Idle),
            candidate(in_family(2, "b"), 2, Load::Idle),
            candidate(of(3, "FR", "c"), 30, Load::Idle),
        ];
        let chosen = choose(candidates.clone(), &[], 2);
        assert_eq!(chosen, [0, 2].map(|n: usize| candidates[n].descriptor.clone()));
    }

    #[test]
    fn a_policy_is_looked_up_under_its_countries() {
        assert_eq!(countries_of(&Preset::Any.into()), [None]);
        assert_eq!(countries_of(&Preset::Eea.into()).len(), 30);
        assert!(countries_of(&Preset::Direct.into()).is_empty());
    }
}
