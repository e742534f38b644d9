//! A host for unit tests.

use super::{FoundingTerms, Output, Participant, ParticipantConfig};
use crate::{
    identity::Identity,
    meeting::{admission::AdmissionMode, name::Name, operation::Op, role::Role},
    policy::{DiscoveryRule, Evidence, Preset},
    random::Random,
    time::{Now, Timestamp, UnixSeconds},
};

pub(super) const NOW: Now = Now {
    monotonic: Timestamp::ZERO,
    unix: UnixSeconds(1_795_293_120),
};

pub(super) fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

pub(super) fn config(seed: u8) -> ParticipantConfig {
    ParticipantConfig {
        identity: identity(seed),
        name: Name::new("Ada").unwrap(),
        addresses: vec!["192.0.2.1:4433".parse().unwrap()],
        direct: true,
        relays: Vec::new(),
        discovery: DiscoveryRule::Off,
        evidence: Evidence::default(),
    }
}

/// The founder of a meeting, [`identity`] 1.
pub(super) fn host() -> Participant {
    let terms = FoundingTerms {
        policy: Preset::Any.into(),
        admission: AdmissionMode::Ask,
    };
    Participant::found(NOW, config(1), terms, Random::from_seed([2; 32])).unwrap()
}

/// Lets somebody in as a speaker.
pub(super) fn admit(host: &mut Participant, newcomer: &Identity) {
    let admit = Op::Admit {
        member: newcomer.member_id(),
        name: Name::new("Bea").unwrap(),
        role: Role::Speaker,
    };
    host.author(NOW, admit).unwrap();
    host.settle(NOW);
}

/// What it does now.
pub(super) fn outputs(participant: &mut Participant) -> Vec<Output> {
    std::iter::from_fn(|| participant.poll_output()).collect()
}
