//! Everybody takes the track from the publisher, whatever its uplink; over relays where there is no link.

use super::{Draft, Parent, Plan, RoutePlanner, Situation};

/// See the module: what small meetings do, and what fails when the uplink is narrow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FullMesh;

impl RoutePlanner for FullMesh {
    fn name(&self) -> &'static str {
        "mesh"
    }

    fn plan(&self, situation: &Situation) -> Plan {
        let mut draft = Draft::new(situation).with_any_uplink();
        for (member, subscriber) in &situation.subscribers {
            if draft.add(*member, Parent::Direct) {
                continue;
            }
            let mut relays: Vec<_> = subscriber.relays.iter().copied().collect();
            relays.sort_by_key(|relay| (situation.relays.get(relay).map(|offer| offer.rtt), *relay));
            for relay in relays {
                draft.add(*member, Parent::Relay(relay));
            }
        }
        draft.into_plan()
    }
}
