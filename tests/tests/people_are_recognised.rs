//! Contacts, names that lie, and organisations, as everybody sees them.

use serde_json::{Value, json};

use crate::support::{
    Finished, Scratch,
    member::{Member, Options, text},
    run,
};

fn in_dir(member: &Member) -> Options {
    Options {
        data_dir: Some(member.data_dir.clone()),
        ..Options::silent()
    }
}

fn standing(member: &Member, of: &str, mark: usize) -> Value {
    let said = member.wait_since(mark, "standing", |e| {
        e["event"] == "standing" && e["member"] == of
    });
    said.event["standing"].clone()
}

#[test]
fn a_contact_is_known_again_and_another_key_under_its_name_is_shown_loudly() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let ada = Member::join(&home, "Ada", &host.ticket(), &Options::silent());
    ada.wait_joined();
    host.wait("Ada", |e| e["event"] == "member" && e["name"] == "Ada");
    host.command(&json!({"cmd": "verify"}));
    assert_eq!(standing(&host, &ada.id(), 0), "contact");
    host.leave();
    drop(ada);

    // Another meeting, later.
    let mut again = Member::found(&home, "host", &in_dir(&host).with(&["--admit", "ask"]));
    let ticket = again.ticket();
    // The second letter is Cyrillic.
    let lookalike = "A\u{0501}a";
    let mark = again.mark();
    let impostor = Member::join(&home, "Ada", &ticket, &Options::silent());
    assert_eq!(standing(&again, &impostor.id(), mark), "changed_key");
    let impostor = Member::join(&home, lookalike, &ticket, &Options::silent());
    assert_eq!(standing(&again, &impostor.id(), mark), "changed_key");
    let listed = again.data_dir.display().to_string();
    again.leave();
    let contacts = run(&home, &["contacts", "--json", "--data-dir", &listed]);
    let contacts: Value = serde_json::from_str(&contacts.stdout).unwrap();
    assert_eq!(
        contacts["contacts"].as_array().map(Vec::len),
        Some(1),
        "{contacts}"
    );
    let forgotten = run(&home, &["contacts", "forget", "Ada", "--data-dir", &listed]);
    assert!(forgotten.stdout.contains("no contacts"), "{forgotten:?}");
}

#[test]
fn two_people_of_one_name_are_told_apart() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let first = Member::join(&home, "Bob", &host.ticket(), &Options::silent());
    first.wait_joined();
    let second = Member::join(&home, "bob", &host.ticket(), &Options::silent());
    second.wait_joined();
    assert_eq!(standing(&host, &second.id(), 0), "same_name");
}

fn org(home: &Scratch, folder: &str, arguments: &[&str]) -> Finished {
    let arguments = [&["org"], arguments, &["--data-dir", folder]].concat();
    let finished = run(home, &arguments);
    assert_eq!(finished.status, 0, "{finished:?}");
    finished
}

#[test]
fn an_organisation_certifies_revokes_and_is_shown_at_the_door() {
    let home = Scratch::new();
    let path = |name: &str| home.path().join(name).display().to_string();
    let (office, host_dir, ada_dir) = (path("office"), path("host"), path("ada"));
    let rose = org(&home, &office, &["init", "Rose & Co."]).stdout;
    org(&home, &host_dir, &["trust", rose.trim()]);
    let ada: Value = {
        let shown = run(&home, &["identity", "--json", "--data-dir", &ada_dir]);
        serde_json::from_str(&shown.stdout).unwrap()
    };
    let id = text(&ada["id"]);
    let credential = org(&home, &office, &["certify", &id, "--name", "Ada L."]).stdout;
    let file = home.file("credential", credential).display().to_string();

    let in_folder = |folder: &str| Options {
        data_dir: Some(folder.into()),
        ..Options::silent()
    };
    let options = in_folder(&host_dir).with(&["--admit", "ask"]);
    let mut host = Member::found(&home, "host", &options);
    let shows = in_folder(&ada_dir).with(&["--credential", &file]);
    let mut guest = Member::join(&home, "Ada", &host.ticket(), &shows);
    let said = host.wait_for("certified").event;
    assert_eq!(
        (
            &said["organisation"],
            &said["name"],
            &said["trusted"],
            &said["problem"]
        ),
        (&json!("Rose & Co."), &json!("Ada L."), &json!(true), &Value::Null),
        "{said}"
    );
    // It is known before the decision, and admits nobody by itself.
    host.wait_for("knock");
    let told: Vec<String> = host.said().iter().map(|s| text(&s.event["event"])).collect();
    let place = |event: &str| told.iter().position(|told| told == event);
    assert!(place("certified") < place("knock"), "{told:?}");
    guest.wait_for("waiting");
    guest.kill();
    host.leave();

    let list = org(&home, &office, &["revoke", "1"]).stdout;
    org(&home, &host_dir, &["update", list.trim()]);
    let options = in_folder(&host_dir).with(&["--admit", "ask"]);
    let host = Member::found(&home, "host", &options);
    let _guest = Member::join(&home, "Ada", &host.ticket(), &shows);
    let said = host.wait_for("certified").event;
    assert!(text(&said["problem"]).contains("revoked"), "{said}");

    // Somebody else's credential is not even shown.
    let other = run(
        &home,
        &[
            "new",
            "--audio",
            "null",
            "--data-dir",
            &path("other"),
            "--credential",
            &file,
        ],
    );
    assert_eq!(other.status, 2, "{other:?}");
}
