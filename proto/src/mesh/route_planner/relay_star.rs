//! Everybody takes the track from one relay: what a meeting server does.

use super::{Draft, Parent, Plan, RoutePlanner, Situation};
use crate::ids::RelayId;

/// See the module. Who does not reach that relay gets the track from the publisher, as far as its uplink goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayStar;

impl RoutePlanner for RelayStar {
    fn name(&self) -> &'static str {
        "star"
    }

    fn plan(&self, situation: &Situation) -> Plan {
        let mut draft = Draft::new(situation);
        let reaches = |relay: RelayId| {
            let there = situation.subscribers.values();
            there.filter(|one| one.relays.contains(&relay)).count()
        };
        let permitted = situation.relays.iter().filter(|(_, offer)| offer.permitted);
        let centre = permitted
            .max_by_key(|(relay, offer)| (reaches(**relay), std::cmp::Reverse((offer.rtt, **relay))));
        for member in situation.subscribers.keys() {
            let served = centre.is_some_and(|(relay, _)| draft.add(*member, Parent::Relay(*relay)));
            if !served {
                draft.add(*member, Parent::Direct);
            }
        }
        draft.into_plan()
    }
}
