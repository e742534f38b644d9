//! No packet to a relay that the policy refuses. Judged here from the scenario's own words, not by the code under test.

use subrosa_proto::{
    policy::{country::Country, region_set::Region},
    time::Timestamp,
};

use super::Violations;
use crate::scenario::Scenario;

/// See the module.
pub(super) struct Jurisdiction {
    /// For each relay: its name, and whether it may be used.
    relays: Vec<(String, bool)>,
}

impl Jurisdiction {
    pub(super) fn new(scenario: &Scenario) -> Result<Self, String> {
        let allowed = match scenario.policy.as_str() {
            "any" => None,
            "direct" => Some(Vec::new()),
            word => {
                let region = Region::from_keyword(word)
                    .ok_or_else(|| format!("`{word}` is no policy: any, eu, eea, direct"))?;
                Some(region.countries().iter().collect::<Vec<Country>>())
            }
        };
        let mut relays = Vec::new();
        for relay in &scenario.relays {
            let seat = relay.legal_seat.as_ref().unwrap_or(&relay.hosting);
            let mut is_allowed = true;
            for code in [&relay.hosting, seat] {
                let country: Country = code
                    .parse()
                    .map_err(|error| format!("relay {}: {error}", relay.name))?;
                is_allowed &= allowed.as_ref().is_none_or(|set| set.contains(&country));
            }
            relays.push((relay.name.clone(), is_allowed));
        }
        Ok(Self { relays })
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
