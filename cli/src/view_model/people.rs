//! Naming people: a name proves nothing, so equal names are told apart by fingerprint.

use subrosa_proto::ids::MemberId;

use super::{Person, ViewModel};

/// How a person names somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(pub(crate) String);

/// What became of looking somebody up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Exactly one.
    Found(MemberId),
    /// Nobody goes by that.
    Nobody,
    /// Several do: the ways to tell them apart.
    Several(Vec<String>),
}

impl ViewModel {
    /// The name to show for `id`: with the beginning of the fingerprint where the name alone would be ambiguous.
    pub(crate) fn label(&self, id: &MemberId) -> String {
        let Some(person) = self.people.get(id) else {
            return short(id);
        };
        let alike = |other: &&Person| fold(&other.name) == fold(&person.name);
        if person.name.trim().is_empty() || self.people.values().filter(alike).count() > 1 {
            format!("{} [{}]", person.name, short(id))
        } else {
            person.name.clone()
        }
    }

    /// Somebody in the lobby, by number, name, or the beginning of the fingerprint or id.
    pub(crate) fn find_knock(&self, target: &Target) -> Lookup {
        if let Ok(number) = target.0.parse::<usize>()
            && let Some(knock) = self.knocks.iter().find(|knock| knock.number == number)
        {
            return Lookup::Found(knock.member);
        }
        let found = self
            .knocks
            .iter()
            .filter(|knock| names(&target.0, &knock.name, &knock.member));
        one_of(
            found
                .map(|knock| (knock.member, format!("{} (\"{}\")", knock.number, knock.name)))
                .collect(),
        )
    }

    /// Somebody in the meeting, by name, or the beginning of the fingerprint or id.
    pub(crate) fn find_person(&self, target: &Target) -> Lookup {
        let found = self
            .people
            .iter()
            .filter(|(id, person)| names(&target.0, &person.name, id));
        one_of(
            found
                .map(|(id, person)| (*id, format!("{} (\"{}\")", short(id), person.name)))
                .collect(),
        )
    }
}

fn one_of(mut found: Vec<(MemberId, String)>) -> Lookup {
    match found.len() {
        0 => Lookup::Nobody,
        1 => Lookup::Found(found.remove(0).0),
        _ => Lookup::Several(found.into_iter().map(|(_, how)| how).collect()),
    }
}

/// Whether `given` names somebody: the whole name, or at least four characters from the start of fingerprint or id.
fn names(given: &str, name: &str, id: &MemberId) -> bool {
    if fold(given) == fold(name) {
        return true;
    }
    let given = given.trim_matches(['[', ']']);
    given.len() >= 4
        && (id.fingerprint().starts_with(&given.to_ascii_uppercase())
            || id.to_string().starts_with(&given.to_ascii_lowercase()))
}

fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The first two groups of the fingerprint: 40 bits, enough to tell people in one meeting apart.
pub(crate) fn short(id: &MemberId) -> String {
    id.fingerprint().chars().take(9).collect()
}
