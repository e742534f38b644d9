//! Organisations on disk: those that this node's owner trusts, and the one that it runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use subrosa_proto::{
    identity::Identity,
    ids::MemberId,
    meeting::{
        credential::{
            Credential, CredentialError, Organisation, REVOKED_MAX, SignedCredential, SignedRevocations,
            TrustedOrganisations,
        },
        name::Name,
    },
    time::UnixSeconds,
};

use super::{
    data_dir::{cannot, create_private, replace_private},
    identity_file,
};
use crate::{
    command::hex_id,
    error::{ErrorKind, NodeError},
};

const FOLDER: &str = "organisations";
const OWN: &str = "own";
const REGISTER: &str = "register.json";
const TRUSTED_SUFFIX: &str = "org";
const REVOKED_SUFFIX: &str = "revoked";

/// What an organisation certified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its number.
    pub serial: u64,
    /// Whom.
    #[serde(with = "hex_id")]
    pub member: MemberId,
    /// By which name.
    pub name: String,
    /// Until when, in seconds since 1970.
    pub not_after: u64,
    /// Taken back.
    pub revoked: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Register {
    name: String,
    list_number: u64,
    issued: Vec<Issued>,
}

/// The organisation that this node's owner runs.
#[derive(Debug)]
pub struct OwnOrganisation {
    folder: PathBuf,
    root: Identity,
    register: Register,
}

/// A [`CredentialError`] for people.
#[must_use]
pub fn credential_error(what: &str, error: &CredentialError) -> NodeError {
    NodeError::new(
        ErrorKind::Usage,
        format!("{what}: {error}"),
        "ask the organisation for the line again",
    )
}

fn own(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join(OWN)
}

impl OwnOrganisation {
    /// Makes one called `name`, with a fresh root key.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a name that is none, [`ErrorKind::Storage`] if there is one already.
    pub fn init(folder: &Path, name: &str) -> Result<Self, NodeError> {
        let name = checked_name(name)?;
        let folder = own(folder);
        let root = identity_file::create(&folder)?;
        let register = Register {
            name: name.to_string(),
            list_number: 0,
            issued: Vec::new(),
        };
        let made = Self {
            folder,
            root,
            register,
        };
        made.save()?;
        Ok(made)
    }

    /// The one in `folder`.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] if there is none, or it is damaged.
    pub fn load(folder: &Path) -> Result<Self, NodeError> {
        let folder = own(folder);
        let none = || {
            NodeError::new(
                ErrorKind::Storage,
                format!("there is no organisation in {}", folder.display()),
                "make one with: subrosa org init NAME",
            )
        };
        let root = identity_file::load(&folder)?.ok_or_else(none)?;
        let path = folder.join(REGISTER);
        let text = fs::read_to_string(&path).map_err(|error| cannot("read", &path, &error))?;
        let register = serde_json::from_str(&text).map_err(|error| {
            NodeError::new(
                ErrorKind::Storage,
                format!("{} is damaged: {error}", path.display()),
                "restore it from a backup",
            )
        })?;
        Ok(Self {
            folder,
            root,
            register,
        })
    }

    /// Name and root key.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if somebody changed the name to one that is none.
    pub fn organisation(&self) -> Result<Organisation, NodeError> {
        Ok(Organisation {
            name: checked_name(&self.register.name)?,
            root: self.root.public(),
        })
    }

    /// Everything that was certified.
    #[must_use]
    pub fn issued(&self) -> &[Issued] {
        &self.register.issued
    }

    /// Certifies somebody until `not_after`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a name that is none, [`ErrorKind::Storage`] if it cannot be noted.
    pub fn certify(
        &mut self,
        member: MemberId,
        name: &str,
        now: UnixSeconds,
        not_after: UnixSeconds,
    ) -> Result<SignedCredential, NodeError> {
        let last = self.register.issued.iter().map(|issued| issued.serial).max();
        let serial = last.unwrap_or(0) + 1;
        let credential = Credential {
            organisation: self.organisation()?,
            member,
            name: checked_name(name)?,
            serial,
            // Clocks differ by some minutes.
            not_before: UnixSeconds(now.0.saturating_sub(300)),
            not_after,
        };
        self.register.issued.push(Issued {
            serial,
            member,
            name: name.to_owned(),
            not_after: not_after.0,
            revoked: false,
        });
        // Noted before it is handed out: what is not in the register cannot be revoked.
        self.save()?;
        Ok(SignedCredential::sign(credential, &self.root))
    }

    /// Takes back what `chosen` names, and signs the list of all that was taken back and has not expired.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if nothing is chosen, or the list is full.
    pub fn revoke(
        &mut self,
        now: UnixSeconds,
        chosen: impl Fn(&Issued) -> bool,
    ) -> Result<SignedRevocations, NodeError> {
        let mut found = false;
        for issued in self.register.issued.iter_mut().filter(|issued| chosen(issued)) {
            issued.revoked = true;
            found = true;
        }
        if !found {
            return Err(NodeError::new(
                ErrorKind::Usage,
                "no credential of that number or member was issued",
                "subrosa org show lists them",
            ));
        }
        self.register.list_number += 1;
        let serials: Vec<u64> = self
            .register
            .issued
            .iter()
            .filter(|issued| issued.revoked && issued.not_after >= now.0)
            .map(|issued| issued.serial)
            .collect();
        let list = SignedRevocations::sign(self.register.list_number, now, serials, &self.root);
        let list = list.map_err(|_| {
            NodeError::new(
                ErrorKind::Usage,
                format!("more than {REVOKED_MAX} credentials that have not expired are revoked"),
                "make a new organisation, or let credentials expire sooner",
            )
        })?;
        self.save()?;
        Ok(list)
    }

    fn save(&self) -> Result<(), NodeError> {
        let path = self.folder.join(REGISTER);
        let text = serde_json::to_string_pretty(&self.register).unwrap_or_default() + "\n";
        replace_private(&path, text.as_bytes()).map_err(|error| cannot("write", &path, &error))
    }
}

fn checked_name(name: &str) -> Result<Name, NodeError> {
    Name::from_input(name).map_err(|error| {
        NodeError::new(
            ErrorKind::Usage,
            format!("{name:?} is no name: {error}"),
            "choose another",
        )
    })
}

/// Trusts an organisation, by its line.
///
/// # Errors
/// [`ErrorKind::Usage`] for another text, [`ErrorKind::Storage`].
pub fn trust(folder: &Path, text: &str) -> Result<Organisation, NodeError> {
    let organisation = Organisation::from_text(text.trim())
        .map_err(|error| credential_error("this is no organisation", &error))?;
    keep(folder, &organisation.root, TRUSTED_SUFFIX, text.trim())?;
    Ok(organisation)
}

/// Keeps a list of what a trusted organisation took back.
///
/// # Errors
/// [`ErrorKind::Usage`] for another text, or if it is older than the one that is known; [`ErrorKind::Storage`].
pub fn update(folder: &Path, text: &str) -> Result<usize, NodeError> {
    let problem = |error: CredentialError| credential_error("the revocation list cannot be used", &error);
    let list = SignedRevocations::from_text(text.trim()).map_err(problem)?;
    let (_, mut trusted) = trusted(folder)?;
    trusted.take(&list).map_err(problem)?;
    let inner = list.verify().map_err(problem)?;
    keep(folder, &inner.root, REVOKED_SUFFIX, text.trim())?;
    Ok(inner.serials.len())
}

fn keep(folder: &Path, root: &[u8; 32], suffix: &str, text: &str) -> Result<(), NodeError> {
    let folder = folder.join(FOLDER);
    let path = folder.join(format!("{}.{suffix}", MemberId(*root)));
    create_private(&folder)
        .and_then(|()| replace_private(&path, format!("{text}\n").as_bytes()))
        .map_err(|error| cannot("write", &path, &error))
}

/// Those that are trusted, with their lists. The organisation that this node's owner runs is.
///
/// # Errors
/// [`ErrorKind::Storage`] if the folder cannot be read.
pub fn trusted(folder: &Path) -> Result<(Vec<Organisation>, TrustedOrganisations), NodeError> {
    let (mut organisations, mut trusted) = (Vec::new(), TrustedOrganisations::default());
    if let Ok(own) = OwnOrganisation::load(folder) {
        organisations.push(own.organisation()?);
    }
    let place = folder.join(FOLDER);
    let entries = match fs::read_dir(&place) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(cannot("read", &place, &error)),
    };
    let with = |suffix: &'static str| {
        let files = entries
            .iter()
            .filter(move |path: &&PathBuf| path.extension().is_some_and(|e| e == suffix));
        files.filter_map(|path| fs::read_to_string(path).ok())
    };
    organisations.extend(with(TRUSTED_SUFFIX).filter_map(|text| Organisation::from_text(text.trim()).ok()));
    for organisation in &organisations {
        trusted.trust(organisation);
    }
    for list in with(REVOKED_SUFFIX).filter_map(|text| SignedRevocations::from_text(text.trim()).ok()) {
        // One that does not verify says nothing.
        let _ = trusted.take(&list);
    }
    Ok((organisations, trusted))
}
