//! Evidence about relays that only the driver can gather: it is asked for once for each relay, which is judged with the answer.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Output, Participant};
use crate::{
    ids::RelayId,
    policy::{Clause, Evidence, Permit, Refusal, VerifiedDescriptor, location::Answer},
    time::Now,
};

/// Relays about which an answer is awaited. Reason: four are used at once, a ticket names eight, and each peer may name some;
/// those beyond are judged with what is known.
const AWAITED_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// What is known.
    pub(super) book: Evidence,
    /// Relays that wait for what is not known yet.
    awaited: BTreeMap<RelayId, VerifiedDescriptor>,
}

impl Gathering {
    pub(super) fn new(book: Evidence) -> Self {
        Self {
            book,
            awaited: BTreeMap::new(),
        }
    }

    /// How many relays wait.
    pub(super) fn awaited(&self) -> usize {
        self.awaited.len()
    }
}

impl Participant {
    /// Whether the relay has to wait for evidence that may change what was judged; the driver is asked for it.
    pub(super) fn awaits_evidence(
        &mut self,
        descriptor: &VerifiedDescriptor,
        judged: &Result<Permit, Refusal>,
    ) -> bool {
        // Nothing is looked up for relays that are refused anyway.
        let open = match judged {
            Ok(_) => true,
            Err(refusal) => refusal.clause == Clause::EvidenceLocated,
        };
        let relay = descriptor.relay;
        let addresses = self.gathering.book.locations.unasked(descriptor);
        let room = self.gathering.awaited.len() < AWAITED_MAX;
        if !open || addresses.is_empty() || !(room || self.gathering.awaited.contains_key(&relay)) {
            return false;
        }
        let known = self.gathering.awaited.get(&relay);
        if known.is_none_or(|known| known.sequence < descriptor.sequence) {
            self.gathering.awaited.insert(relay, descriptor.clone());
            self.outputs.push_back(Output::Locate { relay, addresses });
        }
        true
    }

    /// What each GeoIP source says about each address of [`Output::Locate`].
    pub fn handle_located(&mut self, now: Now, relay: RelayId, answers: Vec<(IpAddr, Vec<Answer>)>) {
        for (address, said) in answers {
            self.gathering.book.locations.insert(address, said);
        }
        // What is not answered now will not be: the relay is judged with what is known.
        if let Some(descriptor) = self.gathering.awaited.remove(&relay) {
            self.judge_relay(now, descriptor);
            self.renew_ticket(now);
        }
        self.settle(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        meeting::{
            admission::AdmissionMode,
            participant::{
                Event, FoundingTerms, ParticipantConfig,
                fixture::{self, NOW, outputs},
            },
        },
        policy::{
            EvidenceRule, Preset, RoutePolicy,
            fixture::{attested, claim_of, country, descriptor_in, issuer_rule, verified},
            location::LocationBook,
        },
        random::Random,
    };

    /// A relay in Germany that issuer 1 attests.
    fn relay() -> VerifiedDescriptor {
        let german = descriptor_in("DE");
        let claim = claim_of(&german);
        verified(attested(german, &[(1, 3_600)], claim))
    }

    fn host(relays: Vec<VerifiedDescriptor>, evidence: Evidence) -> Participant {
        let terms = FoundingTerms {
            policy: RoutePolicy {
                evidence: EvidenceRule::Located(issuer_rule(1, &[1])),
                ..Preset::Eea.into()
            },
            admission: AdmissionMode::Ask,
        };
        let config = ParticipantConfig {
            relays,
            evidence,
            ..fixture::config(1)
        };
        Participant::found(NOW, config, terms, Random::from_seed([2; 32])).unwrap()
    }

    fn sources(count: usize) -> Evidence {
        Evidence {
            locations: LocationBook::new(count),
        }
    }

    /// What was asked for, whether a relay is dialled, and the clauses of refusals.
    fn seen(host: &mut Participant) -> (Vec<IpAddr>, bool, Vec<String>) {
        let (mut asked, mut dialled, mut refused) = (Vec::new(), false, Vec::new());
        for output in outputs(host) {
            match output {
                Output::Locate { addresses, .. } => asked.extend(addresses),
                Output::Dial { .. } => dialled = true,
                Output::Event(Event::Refused { clause, .. }) => refused.push(clause),
                _ => {}
            }
        }
        (asked, dialled, refused)
    }

    fn answer(host: &mut Participant, codes: &[&str]) {
        let said: Vec<Answer> = codes.iter().map(|code| Answer::In(country(code))).collect();
        let address = relay().addresses[0].ip();
        host.handle_located(NOW, relay().relay, vec![(address, said)]);
    }

    #[test]
    fn a_relay_waits_for_the_answer_and_is_used_when_sources_agree() {
        let mut host = host(vec![relay()], sources(3));
        let (asked, dialled, refused) = seen(&mut host);
        assert_eq!(asked, [relay().addresses[0].ip()]);
        assert!(
            !dialled && refused.is_empty(),
            "nothing is sent before the answer"
        );
        assert!(host.ticket().terms().relays.is_empty());
        host.consider_relay(NOW, relay());
        assert_eq!(seen(&mut host).0, [] as [IpAddr; 0], "asked once");
        answer(&mut host, &["DE", "DE", "US"]);
        assert!(seen(&mut host).1, "dialled");
        assert_eq!(host.ticket().terms().relays.len(), 1, "and named in the ticket");
    }

    #[test]
    fn a_relay_that_sources_put_elsewhere_is_refused_as_contradicted() {
        let mut host = host(vec![relay()], sources(3));
        seen(&mut host);
        answer(&mut host, &["DE", "US", "US"]);
        let (_, dialled, refused) = seen(&mut host);
        assert!(!dialled);
        assert_eq!(refused, [Clause::EvidenceContradicted.name()]);
    }

    #[test]
    fn without_sources_or_without_an_answer_it_is_refused() {
        let mut alone = host(vec![relay()], Evidence::default());
        let (asked, dialled, refused) = seen(&mut alone);
        assert!(asked.is_empty() && !dialled);
        assert_eq!(refused, [Clause::EvidenceLocated.name()]);
        let mut unanswered = host(vec![relay()], sources(2));
        seen(&mut unanswered);
        unanswered.handle_located(NOW, relay().relay, Vec::new());
        let (_, dialled, refused) = seen(&mut unanswered);
        assert!(!dialled);
        assert_eq!(refused, [Clause::EvidenceLocated.name()]);
    }

    #[test]
    fn a_relay_that_was_looked_up_before_is_in_the_first_ticket() {
        let mut evidence = sources(2);
        let said = vec![Answer::In(country("DE")); 2];
        evidence.locations.insert(relay().addresses[0].ip(), said);
        let mut host = host(vec![relay()], evidence);
        let (asked, dialled, _) = seen(&mut host);
        assert!(asked.is_empty() && dialled);
        assert_eq!(host.ticket().terms().relays.len(), 1);
    }
}
