//! `subrosa contacts`.

use serde_json::json;
use subrosa_node::{
    error::{ErrorKind, NodeError},
    store::contacts::{Contact, Contacts, look},
};

use crate::{
    args::{ContactsAction, ContactsArgs},
    output, settings,
    view_model::sanitise,
};

/// Lists or forgets contacts.
pub(super) fn run(args: ContactsArgs) -> Result<u8, NodeError> {
    let folder = settings::data_dir(args.data_dir)?;
    let mut contacts = Contacts::load(&folder)?;
    if let Some(ContactsAction::Forget { who }) = &args.what {
        let contact = find(&contacts, who)?;
        contacts.forget(&contact.id);
        contacts.save(&folder)?;
    }
    if args.json {
        let all: Vec<&Contact> = contacts.iter().collect();
        let _ = output::line(&json!({"v": 1, "contacts": all}).to_string());
        return Ok(0);
    }
    let mut any = false;
    for contact in contacts.iter() {
        any = true;
        let name = sanitise(&contact.name);
        // A reader that went away has what it wanted.
        let _ = output::line(&format!("{}  {name}", contact.id.fingerprint()));
    }
    if !any {
        let _ = output::line("no contacts: type /verify in a meeting, after comparing the safety code");
    }
    Ok(0)
}

fn find(contacts: &Contacts, who: &str) -> Result<Contact, NodeError> {
    let matches = |contact: &&Contact| {
        look(&contact.name) == look(who)
            || (who.len() >= 4
                && (contact.id.fingerprint().starts_with(&who.to_ascii_uppercase())
                    || contact.id.to_string().starts_with(&who.to_ascii_lowercase())))
    };
    let found: Vec<&Contact> = contacts.iter().filter(matches).collect();
    match found.as_slice() {
        [contact] => Ok((*contact).clone()),
        [] => Err(usage(format!("no contact goes by {who:?}"))),
        _ => Err(usage(format!("several contacts go by {who:?}"))),
    }
}

fn usage(message: String) -> NodeError {
    NodeError::new(
        ErrorKind::Usage,
        message,
        "subrosa contacts lists them; name one by its fingerprint",
    )
}
