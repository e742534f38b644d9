//! What this node's owner knows of people: contacts, and whom organisations certify.

use std::time::{SystemTime, UNIX_EPOCH};

use subrosa_proto::{
    ids::MemberId,
    meeting::{
        credential::{Certified, CredentialError},
        participant::Command as Wish,
    },
};

use super::Driver;
use crate::{
    event::{Event, StandingName},
    store::contacts::{Contact, Standing, look},
};

impl Driver {
    /// Tells what is known of somebody who shows `name`.
    pub(super) fn tell_standing(&mut self, member: MemberId, name: &str) {
        if member == self.participant.id() {
            return;
        }
        let roster = self.participant.roster();
        let double = roster
            .members
            .iter()
            .any(|(id, other)| *id != member && look(&other.name.to_string()) == look(name));
        let (standing, contact) = match self.contacts.standing(&member, name) {
            Standing::Contact(contact) => (StandingName::Contact, Some(contact)),
            Standing::ChangedKey(contact) => (StandingName::ChangedKey, Some(contact)),
            Standing::Stranger if double => (StandingName::SameName, None),
            Standing::Stranger => return,
        };
        self.user.tell(Event::Standing {
            member,
            standing,
            contact: contact.as_ref().map(|contact| contact.name.clone()),
            verified_unix: contact.map(|contact| contact.verified_unix),
        });
    }

    /// Tells what a credential says.
    pub(super) fn tell_certified(&mut self, member: MemberId, result: Result<Certified, CredentialError>) {
        let event = match result {
            Ok(certified) => Event::Certified {
                member,
                organisation: certified.organisation.name.to_string(),
                root: certified.organisation.fingerprint(),
                name: certified.name.to_string(),
                trusted: certified.trusted,
                not_after_unix: certified.not_after.0,
                problem: None,
            },
            Err(error) => Event::Certified {
                member,
                organisation: String::new(),
                root: String::new(),
                name: String::new(),
                trusted: false,
                not_after_unix: 0,
                problem: Some(error.to_string()),
            },
        };
        self.user.tell(event);
    }

    /// The owner compared the safety code with everybody: all who are in are contacts from now on.
    pub(super) fn verify_present(&mut self) {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let me = self.participant.id();
        let present: Vec<Contact> = self
            .participant
            .roster()
            .members
            .iter()
            .filter(|(id, _)| **id != me)
            .map(|(id, member)| Contact {
                id: *id,
                name: member.name.to_string(),
                verified_unix: elapsed.as_secs(),
            })
            .collect();
        let mut pinned = Vec::new();
        for contact in present {
            let (id, name) = (contact.id, contact.name.clone());
            if self.contacts.pin(contact) {
                pinned.push((id, name));
            }
        }
        if let Some(store) = &self.store
            && let Err(error) = self.contacts.save(store.path())
        {
            self.user.tell(Event::Error(error.to_event()));
        }
        for (id, name) in pinned {
            self.tell_standing(id, &name);
        }
    }

    /// Lets in everybody who waits and is a contact.
    pub(super) fn admit_contacts(&mut self) {
        let known = self.contacts.iter().map(|contact| contact.id).collect();
        self.participant
            .handle_command(self.clock.now(), Wish::AdmitAll(known));
    }
}
