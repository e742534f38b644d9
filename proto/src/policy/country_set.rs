//! Sets of countries with one canonical, short form on the wire.

use std::{collections::BTreeSet, fmt};

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{Country, Region};

/// A set of countries.
///
/// On the wire: the number of countries, then for each in alphabetical order the distance of its index (`AA` = 0 …
/// `ZZ` = 675) from its predecessor's index + 1, all as codec integers: one byte for each country in practice. Each
/// set has exactly one such form.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountrySet(BTreeSet<Country>);

impl CountrySet {
    /// Whether `country` is in the set.
    #[must_use]
    pub fn contains(&self, country: Country) -> bool {
        self.0.contains(&country)
    }

    /// Whether the set has no country: as a rule it permits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many countries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The countries in alphabetical order of their codes.
    pub fn iter(&self) -> impl Iterator<Item = Country> + '_ {
        self.0.iter().copied()
    }

    /// The countries of both sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }
}

impl FromIterator<Country> for CountrySet {
    fn from_iter<I: IntoIterator<Item = Country>>(countries: I) -> Self {
        Self(countries.into_iter().collect())
    }
}

/// Codes that are listed one by one before the text is cut short.
const LISTED_MAX: usize = 6;

impl fmt::Display for CountrySet {
    /// As people name it: a region if the set equals one or holds one and up to three more (`EEA`, `EEA and CH`), else
    /// codes (`DE, FR`), else the first codes and a count (`AD, AE, AF, AG, AI, AL and 243 more`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no country");
        }
        for region in [Region::Eea, Region::Eu, Region::EuAdequate] {
            let members = region.countries();
            if !members.0.is_subset(&self.0) {
                continue;
            }
            let more: Vec<&str> = self.0.difference(&members.0).map(Country::code).collect();
            let adequate = Region::EuAdequate.countries();
            if more.is_empty() {
                return write!(f, "{region}");
            } else if *self == members.union(&adequate) {
                return write!(f, "{region} and {}", Region::EuAdequate);
            } else if more.len() <= 3 {
                return write!(f, "{region} and {}", more.join(", "));
            }
        }
        let codes: Vec<&str> = self.0.iter().take(LISTED_MAX).map(Country::code).collect();
        f.write_str(&codes.join(", "))?;
        match self.0.len() - codes.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Debug for CountrySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

impl Encode for CountrySet {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let count = u16::try_from(self.0.len()).expect("at most 676 pairs of letters");
        count.encode(encoder)?;
        let mut next = 0;
        for country in &self.0 {
            (country.index() - next).encode(encoder)?;
            next = country.index() + 1;
        }
        Ok(())
    }
}

impl<C> Decode<C> for CountrySet {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = u16::decode(decoder)?;
        let mut countries = BTreeSet::new();
        let mut next = 0_u16;
        // Ends early: each round moves `next` on, and an index that is not assigned ends it.
        for _ in 0..count {
            let index = next.checked_add(u16::decode(decoder)?);
            let country = index
                .and_then(Country::from_index)
                .ok_or(DecodeError::Other("no country has this index"))?;
            countries.insert(country);
            next = country.index() + 1;
        }
        Ok(Self(countries))
    }
}

impl<'de, C> BorrowDecode<'de, C> for CountrySet {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::codec::{self, DecodeError};

    fn set(codes: &[&str]) -> CountrySet {
        codes.iter().map(|code| Country::known(code)).collect()
    }

    #[test]
    fn sets_have_the_names_that_people_use() {
        let eea = Region::Eea.countries();
        for (set, name) in [
            (CountrySet::default(), "no country"),
            (set(&["FR", "DE"]), "DE, FR"),
            (Region::Eu.countries(), "EU"),
            (eea.clone(), "EEA"),
            (eea.union(&set(&["CH"])), "EEA and CH"),
            (
                eea.union(&Region::EuAdequate.countries()),
                "EEA and EU-adequate countries",
            ),
            (Country::all().collect(), "AD, AE, AF, AG, AI, AL and 243 more"),
        ] {
            assert_eq!(set.to_string(), name);
        }
    }

    #[test]
    fn the_wire_form_is_one_byte_for_each_country_and_one_for_the_count() {
        assert_eq!(codec::encode(&Region::Eea.countries()).len(), 31);
        assert_eq!(codec::encode(&set(&["AD", "AE"])), [2, 3, 0]);
    }

    #[test]
    fn indexes_that_are_not_assigned_are_refused() {
        // AA is user-assigned; a step beyond ZZ; a step that overflows.
        for bytes in [&[1, 0][..], &[1, 251, 0xa4, 0x02], &[2, 3, 251, 0xff, 0xff]] {
            assert_eq!(codec::decode::<CountrySet>(bytes), Err(DecodeError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn sets_round_trip(picked in proptest::collection::btree_set(0_usize..249, 0..249)) {
            let set: CountrySet = Country::all().enumerate().filter(|(i, _)| picked.contains(i)).map(|(_, c)| c).collect();
            prop_assert_eq!(codec::decode::<CountrySet>(&codec::encode(&set)), Ok(set));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(0_u8..30, 0..40)) {
            if let Ok(set) = codec::decode::<CountrySet>(&bytes) {
                prop_assert_eq!(codec::encode(&set), bytes);
            }
        }
    }
}
