//! L2: what GeoIP sources say about a relay's addresses (security.md §5).
//!
//! The user supplies the sources, and a driver asks them; here it is decided what their answers come to. A source speaks for
//! a relay only if it knows every address, and against it if it puts one of them into another country: a relay that has one
//! address where it says and another one elsewhere is not where it says.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::{Country, Descriptor};

/// Most sources. Reason: each is a file of up to hundreds of megabytes in memory; a fourth and a fifth opinion are enough.
pub const SOURCES_MAX: usize = 5;
/// Fewest sources that must agree, however few there are: one source would be a word, not an agreement.
pub const AGREEING_MIN: usize = 2;
/// Addresses that a book remembers. Reason: those of 256 relays at eight addresses each; only relays that the rest of the
/// policy permits are looked up. What has no place is not located, and refused where the policy asks for it.
pub const ADDRESSES_MAX: usize = 2_048;

/// What one source says about one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It does not know the address, or names no country for it.
    Unknown,
    /// The address is in this country.
    In(Country),
    /// The address is somewhere that ISO 3166-1 has no assigned code for: in no country that a relay can state.
    Elsewhere,
}

impl Answer {
    /// From the code that a source gives, or its silence.
    #[must_use]
    pub fn from_code(code: Option<&str>) -> Self {
        let Some(code) = code.filter(|code| !code.is_empty()) else {
            return Self::Unknown;
        };
        let letters = <[u8; 2]>::try_from(code.as_bytes()).ok();
        letters
            .and_then(|letters| Country::from_code(letters.map(|letter| letter.to_ascii_uppercase())))
            .map_or(Self::Elsewhere, Self::In)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("an unknown place"),
            Self::In(country) => country.fmt(f),
            Self::Elsewhere => f.write_str("a place without a country code"),
        }
    }
}

/// What the sources together say about a relay's hosting country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// More than half of them, and two at least, say what the relay says.
    Agreed,
    /// More than half of them put an address of the relay into another country; one that they name.
    Contradicted {
        /// How many do.
        against: usize,
        /// Of how many.
        of: usize,
        /// The address.
        address: IpAddr,
        /// Where one of them puts it.
        place: Answer,
    },
    /// Neither.
    Undecided {
        /// How many say what the relay says.
        agree: usize,
        /// How many say something else.
        against: usize,
        /// How many there are.
        of: usize,
    },
    /// The answers for some address are not at hand.
    NotConsulted,
}

/// What the sources said, by address: the same number of answers, in the order of the sources, for each.
#[derive(Clone, Debug, Default)]
pub struct LocationBook {
    sources: usize,
    answers: BTreeMap<IpAddr, Vec<Answer>>,
}

impl LocationBook {
    /// A book for so many sources, at most [`SOURCES_MAX`].
    #[must_use]
    pub fn new(sources: usize) -> Self {
        Self {
            sources: sources.min(SOURCES_MAX),
            answers: BTreeMap::new(),
        }
    }

    /// How many sources there are.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources
    }

    /// The addresses of a relay about which the sources have not been asked.
    #[must_use]
    pub fn unasked(&self, descriptor: &Descriptor) -> Vec<IpAddr> {
        let unknown = |address: &IpAddr| self.sources > 0 && !self.answers.contains_key(address);
        addresses_of(descriptor).filter(unknown).collect()
    }

    /// Takes in what each source says about an address. Beyond [`ADDRESSES_MAX`] addresses nothing new is taken; nor is a
    /// row that has not one answer for each source.
    pub fn insert(&mut self, address: IpAddr, answers: Vec<Answer>) {
        let address = address.to_canonical();
        let room = self.answers.len() < ADDRESSES_MAX || self.answers.contains_key(&address);
        if room && answers.len() == self.sources {
            self.answers.insert(address, answers);
        }
    }

    /// What the sources come to about a relay.
    #[must_use]
    pub fn judge(&self, descriptor: &Descriptor) -> Location {
        let mut rows = Vec::new();
        for address in addresses_of(descriptor) {
            match self.answers.get(&address) {
                Some(answers) => rows.push((address, answers.as_slice())),
                None if self.sources == 0 => {}
                None => return Location::NotConsulted,
            }
        }
        agreement(descriptor.hosting, self.sources, &rows)
    }
}

/// Every address that clients may be led to, over UDP and TCP.
fn addresses_of(descriptor: &Descriptor) -> impl Iterator<Item = IpAddr> + '_ {
    let all = descriptor.addresses.iter().chain(&descriptor.tcp_addresses);
    all.map(|address| address.ip().to_canonical())
}

fn agreement(claimed: Country, sources: usize, rows: &[(IpAddr, &[Answer])]) -> Location {
    let (mut agree, mut against, mut where_else) = (0, 0, None);
    for source in 0..sources {
        let said = || rows.iter().map(|(address, answers)| (*address, answers[source]));
        let other =
            said().find(|(_, answer)| !matches!(answer, Answer::Unknown) && *answer != Answer::In(claimed));
        if let Some(other) = other {
            against += 1;
            where_else.get_or_insert(other);
        } else if said().all(|(_, answer)| answer == Answer::In(claimed)) {
            agree += 1;
        }
    }
    let majority = sources / 2 + 1;
    match where_else {
        Some((address, place)) if against >= majority => Location::Contradicted {
            against,
            of: sources,
            address,
            place,
        },
        _ if agree >= majority.max(AGREEING_MIN) => Location::Agreed,
        _ => Location::Undecided {
            agree,
            against,
            of: sources,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::fixture::{country, descriptor_in};

    const FIRST: &str = "203.0.113.7";

    fn of(code: &str) -> Answer {
        Answer::from_code(Some(code).filter(|code| *code != "?"))
    }

    fn two_addresses() -> Descriptor {
        Descriptor {
            tcp_addresses: vec!["[2001:db8::7]:443".parse().unwrap()],
            ..descriptor_in("DE")
        }
    }

    /// Each source's answers for both addresses.
    fn judged(sources: &[(&str, &str)]) -> Location {
        let mut book = LocationBook::new(sources.len());
        book.insert(
            FIRST.parse().unwrap(),
            sources.iter().map(|(v4, _)| of(v4)).collect(),
        );
        book.insert(
            "2001:db8::7".parse().unwrap(),
            sources.iter().map(|(_, v6)| of(v6)).collect(),
        );
        book.judge(&two_addresses())
    }

    fn undecided(agree: usize, against: usize, of: usize) -> Location {
        Location::Undecided { agree, against, of }
    }

    #[test]
    fn two_of_three_sources_carry_and_one_does_not() {
        let (yes, no, unknown) = (("DE", "de"), ("US", "US"), ("?", "?"));
        assert_eq!(judged(&[yes, yes, no]), Location::Agreed);
        assert_eq!(judged(&[yes, yes]), Location::Agreed);
        assert_eq!(judged(&[yes, yes, unknown]), Location::Agreed);
        assert_eq!(judged(&[yes]), undecided(1, 0, 1), "one source is no agreement");
        assert_eq!(judged(&[yes, unknown, unknown]), undecided(1, 0, 3));
        assert_eq!(judged(&[yes, no]), undecided(1, 1, 2));
        assert_eq!(judged(&[yes, yes, no, no]), undecided(2, 2, 4));
        assert_eq!(judged(&[]), undecided(0, 0, 0));
    }

    #[test]
    fn a_majority_for_another_country_contradicts_and_is_named() {
        let contradicted = judged(&[("DE", "DE"), ("US", "DE"), ("US", "US")]);
        let expected = Location::Contradicted {
            against: 2,
            of: 3,
            address: FIRST.parse().unwrap(),
            place: Answer::In(country("US")),
        };
        assert_eq!(contradicted, expected);
        // Kosovo has no code in ISO 3166-1: it is another place all the same.
        assert!(matches!(
            judged(&[("DE", "XK"), ("DE", "XK"), ("DE", "DE")]),
            Location::Contradicted {
                place: Answer::Elsewhere,
                ..
            }
        ));
    }

    #[test]
    fn a_source_that_knows_only_some_addresses_does_not_speak_for_the_relay() {
        assert_eq!(judged(&[("DE", "?"), ("DE", "DE")]), undecided(1, 0, 2));
        assert_eq!(
            judged(&[("DE", "?"), ("DE", "?"), ("DE", "DE")]),
            undecided(1, 0, 3)
        );
        assert!(matches!(
            judged(&[("?", "FR"), ("?", "FR"), ("DE", "DE")]),
            Location::Contradicted { .. }
        ));
    }

    #[test]
    fn an_address_that_nobody_was_asked_about_leaves_the_relay_unlocated() {
        let mut book = LocationBook::new(2);
        let relay = two_addresses();
        assert_eq!(book.unasked(&relay).len(), 2);
        book.insert(FIRST.parse().unwrap(), vec![of("DE"), of("DE")]);
        assert_eq!(book.judge(&relay), Location::NotConsulted);
        assert_eq!(book.unasked(&relay), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
        book.insert("2001:db8::7".parse().unwrap(), vec![of("DE")]);
        assert_eq!(
            book.judge(&relay),
            Location::NotConsulted,
            "not one answer for each source"
        );
        assert!(LocationBook::new(0).unasked(&relay).is_empty());
        // An IPv4 address is the same however it is written.
        book.insert("::ffff:203.0.113.7".parse().unwrap(), vec![of("US"), of("US")]);
        assert!(matches!(
            book.judge(&descriptor_in("DE")),
            Location::Contradicted { .. }
        ));
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = LocationBook::new(9);
        assert_eq!(book.sources(), SOURCES_MAX);
        for number in 0..=u32::try_from(ADDRESSES_MAX).unwrap() {
            book.insert(
                std::net::Ipv4Addr::from(number).into(),
                vec![Answer::Unknown; SOURCES_MAX],
            );
        }
        assert_eq!(book.answers.len(), ADDRESSES_MAX);
    }

    proptest! {
        #[test]
        fn it_is_never_agreed_and_contradicted_by_the_same_answers(
            answers in proptest::collection::vec((0_usize..3, 0_usize..3), 0..=SOURCES_MAX),
        ) {
            let words = ["DE", "US", "?"];
            let sources: Vec<_> = answers.iter().map(|(a, b)| (words[*a], words[*b])).collect();
            let agree = sources.iter().filter(|both| **both == ("DE", "DE")).count();
            let against = sources.iter().filter(|(a, b)| *a == "US" || *b == "US").count();
            match judged(&sources) {
                Location::Agreed => prop_assert!(agree >= 2 && 2 * agree > sources.len()),
                Location::Contradicted { .. } => prop_assert!(2 * against > sources.len()),
                Location::Undecided { .. } => prop_assert!(
                    2 * against <= sources.len() && (agree < 2 || 2 * agree <= sources.len())
                ),
                Location::NotConsulted => prop_assert!(false, "all were asked"),
            }
        }
    }
}
