//! People whose identity this node's owner has verified: pinned, so that another key under a known name is noticed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use subrosa_proto::ids::MemberId;

use super::data_dir::{cannot, create_private, replace_private};
use crate::{
    command::hex_id,
    error::{ErrorKind, NodeError},
};

/// Contacts that are kept; a person's address book is far smaller.
pub const CONTACTS_MAX: usize = 4_096;
const FILE: &str = "contacts.json";

/// One contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The identity.
    #[serde(with = "hex_id")]
    pub id: MemberId,
    /// The name under which it was verified.
    pub name: String,
    /// When, in seconds since 1970.
    pub verified_unix: u64,
}

/// What is known of somebody who shows a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Verified before, under this name.
    Contact(Contact),
    /// Not a contact, and a contact of that name, or one that looks like it, has another key.
    ChangedKey(Contact),
    /// Nothing is known.
    Stranger,
}

/// All contacts.
#[derive(Debug, Default)]
pub struct Contacts {
    by_id: BTreeMap<MemberId, Contact>,
}

impl Contacts {
    /// Reads the contacts in `folder`; none if there is no file.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] if the file cannot be read or is damaged.
    pub fn load(folder: &Path) -> Result<Self, NodeError> {
        let path = path(folder);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let contacts: Vec<Contact> = serde_json::from_str(&text).map_err(|error| {
            NodeError::new(
                ErrorKind::Storage,
                format!("{} is damaged: {error}", path.display()),
                "restore it from a backup, or move it away and verify your contacts again",
            )
        })?;
        let by_id = contacts
            .into_iter()
            .map(|contact| (contact.id, contact))
            .collect();
        Ok(Self { by_id })
    }

    /// Writes them to `folder`.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`]; the former file is still there.
    pub fn save(&self, folder: &Path) -> Result<(), NodeError> {
        let path = path(folder);
        let contacts: Vec<&Contact> = self.by_id.values().collect();
        let text = serde_json::to_string_pretty(&contacts).unwrap_or_default() + "\n";
        create_private(folder)
            .and_then(|()| replace_private(&path, text.as_bytes()))
            .map_err(|error| cannot("write", &path, &error))
    }

    /// All of them, by identity.
    pub fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.by_id.values()
    }

    /// Pins somebody, or renews the name; false if there is no place left.
    pub fn pin(&mut self, contact: Contact) -> bool {
        if self.by_id.len() >= CONTACTS_MAX && !self.by_id.contains_key(&contact.id) {
            return false;
        }
        self.by_id.insert(contact.id, contact);
        true
    }

    /// Forgets somebody.
    pub fn forget(&mut self, id: &MemberId) -> Option<Contact> {
        self.by_id.remove(id)
    }

    /// What is known of `id`, which shows `name`.
    #[must_use]
    pub fn standing(&self, id: &MemberId, name: &str) -> Standing {
        if let Some(contact) = self.by_id.get(id) {
            return Standing::Contact(contact.clone());
        }
        let folded = look(name);
        match self.by_id.values().find(|contact| look(&contact.name) == folded) {
            Some(contact) => Standing::ChangedKey(contact.clone()),
            None => Standing::Stranger,
        }
    }
}

/// What a name looks like: two names that a reader would take for one have one look (Unicode TS #39 §4).
#[must_use]
pub fn look(name: &str) -> String {
    let skeleton = |text: &str| unicode_security::skeleton(text).collect::<String>();
    skeleton(&skeleton(name.trim()).to_lowercase())
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(n: u8, name: &str) -> Contact {
        Contact {
            id: MemberId([n; 32]),
            name: name.to_owned(),
            verified_unix: 7,
        }
    }

    #[test]
    fn another_key_under_a_known_name_is_noticed_however_it_is_spelt() {
        let mut contacts = Contacts::default();
        assert!(contacts.pin(contact(1, "Ada Lovelace")));
        let standing = |n: u8, name: &str| contacts.standing(&MemberId([n; 32]), name);
        assert_eq!(standing(1, "Ada"), Standing::Contact(contact(1, "Ada Lovelace")));
        // The last with a Cyrillic letter that looks like `a`.
        for name in ["Ada Lovelace", "ada lovelace ", "Ad\u{430} Lovelace"] {
            assert_eq!(
                standing(2, name),
                Standing::ChangedKey(contact(1, "Ada Lovelace")),
                "{name}"
            );
        }
        assert_eq!(standing(2, "Adam"), Standing::Stranger);
    }

    #[test]
    fn contacts_survive_in_a_private_file() {
        let folder = std::env::temp_dir().join(format!("subrosa-contacts-{}", std::process::id()));
        let mut contacts = Contacts::load(&folder).unwrap();
        contacts.pin(contact(1, "Ada"));
        contacts.pin(contact(2, "Ben"));
        contacts.forget(&MemberId([1; 32]));
        contacts.save(&folder).unwrap();
        let again: Vec<Contact> = Contacts::load(&folder).unwrap().iter().cloned().collect();
        assert_eq!(again, [contact(2, "Ben")]);
        fs::write(path(&folder), "[{}]").unwrap();
        assert_eq!(Contacts::load(&folder).unwrap_err().kind, ErrorKind::Storage);
        fs::remove_dir_all(&folder).unwrap();
    }
}
