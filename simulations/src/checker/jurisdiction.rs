//! No packet to a relay that the policy refuses. Judged here from the scenario's own words, not by the code under test.

use subrosa_proto::{
    policy::{country::Country, region_set::Region},
    time::Timestamp,
};

use super::Violations;
use crate::scenario::{RelaySpec, Scenario};

/// See the module.
pub(super) struct Jurisdiction {
    /// For each relay: its name, and whether it may be used.
    relays: Vec<(String, bool)>,
}

impl Jurisdiction {
    pub(super) fn new(scenario: &Scenario) -> Result<Self, String> {
        let names = scenario.relays.iter().map(|relay| relay.name.clone());
        Ok(Self {
            relays: names.zip(permitted(scenario)?).collect(),
        })
    }

    pub(super) fn dialled(&self, at: Timestamp, from: &str, relay: usize, violations: &mut Violations) {
        let (name, allowed) = &self.relays[relay];
        if !allowed {
            let what = format!("{from} dials {name}, which the policy refuses");
            violations.add(at, "jurisdiction", &what);
        }
    }

    pub(super) fn packet(&self, at: Timestamp, relay: usize, violations: &mut Violations) {
        let (name, allowed) = &self.relays[relay];
        if !allowed {
            let what = format!("a packet reached {name}, which the policy refuses");
            violations.add(at, "jurisdiction", &what);
        }
    }
}

/// For each relay, whether it lies and the policy would refuse it for the truth.
pub(crate) fn lies(scenario: &Scenario) -> Vec<bool> {
    let mut honest = scenario.clone();
    for relay in &mut honest.relays {
        relay.claims = None;
    }
    let honest = permitted(&honest).unwrap_or_default();
    let relays = scenario.relays.iter().zip(honest);
    relays
        .map(|(relay, permitted)| relay.claims.is_some() && !permitted)
        .collect()
}

/// For each relay of a scenario, whether its policy permits it.
///
/// # Errors
/// A sentence if policy or countries are unknown.
pub(crate) fn permitted(scenario: &Scenario) -> Result<Vec<bool>, String> {
    let allowed = match scenario.policy.as_str() {
        "any" => None,
        "direct" => Some(Vec::new()),
        word => {
            let region = Region::from_keyword(word)
                .ok_or_else(|| format!("`{word}` is no policy: any, eu, eea, direct"))?;
            Some(region.countries().iter().collect::<Vec<Country>>())
        }
    };
    let is_allowed = |code: &String| -> Result<bool, String> {
        let country: Country = code.parse().map_err(|error| format!("{error}"))?;
        Ok(allowed.as_ref().is_none_or(|set| set.contains(&country)))
    };
    let judge = |relay: &RelaySpec| {
        // A policy judges what descriptors say: nothing here shows that one lies.
        let stated = relay.stated();
        let seat = relay.legal_seat.as_ref().unwrap_or(stated);
        let judged = is_allowed(stated).and_then(|hosting| Ok(hosting && is_allowed(seat)?));
        judged.map_err(|error| format!("relay {}: {error}", relay.name))
    };
    scenario.relays.iter().map(judge).collect()
}
