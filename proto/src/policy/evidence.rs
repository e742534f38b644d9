//! How well a relay's statement about its jurisdiction is supported (security.md §5).

use std::{fmt, time::Duration};

use super::location::LocationBook;

/// What was found out about relays beside what they and issuers sign. Empty, it supports nothing above *attested*.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What GeoIP sources say about their addresses.
    pub locations: LocationBook,
}

/// What supports a statement. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceLevel {
    /// L0: the operator says so, and signed it.
    Declared,
    /// L1: issuers that the policy names say so too.
    Attested,
    /// L2: more than half of the GeoIP sources that the user supplies agree, and two at least.
    Located,
    /// L3: round-trip times to three or more vantage points leave no contradiction. Not gathered by this version.
    Measured,
}

impl EvidenceLevel {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Declared, Self::Attested, Self::Located, Self::Measured];

    /// The word for it in a policy file.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Attested => "attested",
            Self::Located => "located",
            Self::Measured => "measured",
        }
    }

    /// The word that a screen shows for it.
    #[must_use]
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Attested => "attested",
            Self::Located | Self::Measured => "checked",
        }
    }
}

impl fmt::Display for EvidenceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

/// How far a signal can get and come back in one millisecond: light in fibre covers about 200 km/ms, there and back
/// 100 km. Real routes are longer, so this only ever refutes too little.
pub const KM_PER_MS_OF_RTT: u64 = 100;

/// The farthest that a host which answered within `rtt` can be from the one who measured, in kilometres, rounded up.
#[must_use]
pub fn farthest_km(rtt: Duration) -> u64 {
    let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
    micros.saturating_mul(KM_PER_MS_OF_RTT).div_ceil(1_000)
}

/// Whether an answer within `rtt` refutes that the host is at least `claimed_km_min` kilometres away (the distance
/// from the vantage point to the *nearest* point of the claimed country). `false` proves nothing: a long round trip
/// is possible from anywhere.
#[must_use]
pub fn rtt_refutes(rtt: Duration, claimed_km_min: u64) -> bool {
    claimed_km_min > farthest_km(rtt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_answer_refutes_a_far_claim_and_a_slow_one_refutes_nothing() {
        // Frankfurt to New York is about 6,200 km: 62 ms at the least.
        assert!(rtt_refutes(Duration::from_millis(20), 6_200));
        assert!(!rtt_refutes(Duration::from_millis(62), 6_200));
        assert!(!rtt_refutes(Duration::from_secs(9), 6_200));
        assert!(!rtt_refutes(Duration::MAX, u64::MAX / 100_000));
    }

    #[test]
    fn rounding_never_refutes_what_is_possible() {
        assert_eq!(farthest_km(Duration::from_micros(1)), 1);
        assert!(!rtt_refutes(Duration::ZERO, 0));
    }
}
