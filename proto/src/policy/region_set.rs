//! Named sets of countries. A policy that is signed holds their countries, never their names: the law of a region
//! may change, a signature must not change its meaning with it.

use std::fmt;

use super::{Country, CountrySet};

/// A named set of countries, as of [`Region::AS_OF`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// The 27 member states of the European Union (Article 52 TEU). Territories with a code of their own are *not*
    /// in it, not even where EU law applies (`AX`, `GF`, `GP`, `MF`, `MQ`, `RE`, `YT`): who wants them names them.
    Eu,
    /// The EU and Iceland, Liechtenstein and Norway (EEA Agreement, Article 126).
    Eea,
    /// Third countries whose data protection the European Commission has found adequate (GDPR Article 45) for the
    /// whole country. The decisions on Canada and the United States cover only some recipients there, so these
    /// two are left out: whether a given operator is covered is for people to check, who then name the country.
    EuAdequate,
}

const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT",
    "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

const EEA_BEYOND_EU: [&str; 3] = ["IS", "LI", "NO"];

/// The Commission's list of adequacy decisions, with the latest that are known on [`Region::AS_OF`]: Brazil
/// (Implementing Decision (EU) 2026/179 of 26 January 2026) and the renewal for the United Kingdom (19 December 2025,
/// until 27 December 2031).
const EU_ADEQUATE: [&str; 14] = [
    "AD", "AR", "BR", "CH", "FO", "GB", "GG", "IL", "IM", "JE", "JP", "KR", "NZ", "UY",
];

impl Region {
    /// The day on which the sets were last compared with their sources.
    pub const AS_OF: &'static str = "2026-11-21";

    /// Every region.
    pub const ALL: [Self; 3] = [Self::Eu, Self::Eea, Self::EuAdequate];

    /// The word for it in a policy file.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Eea => "eea",
            Self::EuAdequate => "eu-adequate",
        }
    }

    /// The region with this keyword, in either case.
    #[must_use]
    pub fn from_keyword(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|region| region.keyword().eq_ignore_ascii_case(word))
    }

    /// Its countries.
    #[must_use]
    pub fn countries(self) -> CountrySet {
        match self {
            Self::Eu => EU.map(Country::known).into_iter().collect(),
            Self::Eea => EU.into_iter().chain(EEA_BEYOND_EU).map(Country::known).collect(),
            Self::EuAdequate => EU_ADEQUATE.map(Country::known).into_iter().collect(),
        }
    }
}

impl fmt::Display for Region {
    /// As it is written in a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eu => "EU",
            Self::Eea => "EEA",
            Self::EuAdequate => "EU-adequate countries",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_their_members_and_nobody_else() {
        let sizes = Region::ALL.map(|region| region.countries().len());
        assert_eq!(sizes, [27, 30, 14]);
        let eea = Region::Eea.countries();
        let has = |code: &str| eea.contains(Country::known(code));
        assert!(has("NO") && has("IS") && has("LI") && has("HR"));
        assert!(!has("GB") && !has("CH") && !has("GL") && !has("RE") && !has("SJ"));
        let adequate = Region::EuAdequate.countries();
        assert!(!adequate.contains(Country::known("US")) && adequate.iter().all(|c| !eea.contains(c)));
    }

    #[test]
    fn a_region_is_found_by_its_word() {
        for region in Region::ALL {
            assert_eq!(
                Region::from_keyword(&region.keyword().to_uppercase()),
                Some(region)
            );
        }
    }
}
