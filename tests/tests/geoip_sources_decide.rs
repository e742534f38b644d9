//! Evidence `located`: GeoIP files that each member supplies decide whether a relay is where it says.

use subrosa_proto::policy::SignedDescriptor;
use subrosa_tests::mmdb::{Form, database, loopback_in};

use crate::support::{
    Scratch,
    member::{Member, Options},
    operated::Operated,
    run,
};

/// A relay in Germany that an issuer attests: the relay, its attested descriptor, and the issuer's key.
fn attested_relay(home: &Scratch) -> (Operated, String, String) {
    let key = home.path().join("issuer.key").display().to_string();
    let issuer = run(home, &["relay", "token", "new-key", "--out", &key]).stdout;
    let relay = Operated::start(home, "attested", "", "");
    let file = relay.file.display().to_string();
    let request = run(home, &["attest", "request", "--config", &file]).stdout;
    let request = home.file("request.txt", &request).display().to_string();
    let signed = run(home, &["attest", "sign", &request, "--key", &key, "--days", "30"]);
    assert_eq!(signed.status, 0, "{signed:?}");
    let line = signed.stdout.trim();
    relay.reload("DE", &format!("attestations = ['{line}']"), "");
    let ready = relay.wait("attested descriptor", |event| {
        let text = event["descriptor"]
            .as_str()
            .filter(|_| event["event"] == "relay_ready");
        let signed = text.and_then(|text| SignedDescriptor::from_text(text).ok());
        signed.is_some_and(|signed| signed.unverified().attestations.len() == 1)
    });
    let descriptor = ready.event["descriptor"].as_str().expect("a line").to_owned();
    (relay, descriptor, issuer.trim().to_owned())
}

/// Files in which this computer is in these countries, as options; each file is another maker's.
fn sources(home: &Scratch, name: &str, codes: &[&str]) -> Vec<String> {
    let mut options = Vec::new();
    for (number, code) in codes.iter().enumerate() {
        let form = if number % 2 == 0 { Form::Nested } else { Form::Flat };
        let mut bytes = loopback_in(form, code);
        // A reader finds the data by the marker that comes last; what stands before the tree's end differs by maker.
        if number > 1 {
            bytes = database(form, &[("127.0.0.1", 32, code), ("192.0.2.0", 24, code)]);
        }
        let file = home.file(&format!("{name}{number}.mmdb"), bytes);
        options.extend(["--geoip".to_owned(), file.display().to_string()]);
    }
    options
}

fn slices(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

#[test]
fn a_relay_is_used_by_those_whose_sources_agree_and_by_nobody_else() {
    let home = Scratch::new();
    let (mut relay, descriptor, issuer) = attested_relay(&home);
    let policy = home.file(
        "policy.toml",
        format!(
            "preset = 'eea'\nevidence = 'located'\nissuers = {{ at_least = 1, of = ['{issuer}'] }}\n\
             discovery = 'off'\n"
        ),
    );
    let policy = policy.display().to_string();
    let agreeing = sources(&home, "agree", &["DE", "DE", "US"]);
    let founding = Options::silent()
        .with(&["--policy", &policy, "--admit", "ticket", "--no-direct"])
        .with(&slices(&agreeing))
        .relay(&descriptor);
    let mut host = Member::found(&home, "host", &founding);
    let ticket = host.ticket();
    let other = sources(&home, "other", &["DE", "DE"]);
    let options = Options::silent().with(&["--no-direct"]).with(&slices(&other));
    let mut guest = Member::join(&home, "guest", &ticket, &options);
    guest.wait_connected(1);
    let route = guest.wait("a route over the relay", |event| {
        event["event"] == "route" && event["via"].as_str().is_some_and(|via| !via.is_empty())
    });
    assert_eq!(route.event["evidence"], "checked", "{}", route.event);

    for (name, codes, clause) in [
        ("none", &[][..], "evidence_located"),
        ("single", &["DE"][..], "evidence_located"),
        ("split", &["DE", "FR"][..], "evidence_located"),
        ("contrary", &["DE", "US", "US"][..], "evidence_contradicted"),
    ] {
        let given = sources(&home, name, codes);
        let options = Options::silent().with(&["--no-direct"]).with(&slices(&given));
        let stranger = Member::join(&home, name, &ticket, &options);
        let refused = stranger.wait("a refusal", |event| {
            event["event"] == "refused" && event["what"] == "relay"
        });
        assert_eq!(refused.event["clause"], clause, "{}", refused.event);
    }
    guest.leave();
    host.leave();
    relay.signal("TERM");
    relay.wait_end();
}

#[test]
fn a_file_that_is_no_source_is_named_with_its_fault_and_the_remedy() {
    let home = Scratch::new();
    let whole = loopback_in(Form::Nested, "DE");
    let good = home.file("good.mmdb", &whole).display().to_string();
    let same = home.file("same.mmdb", &whole).display().to_string();
    let torn = home
        .file("torn.mmdb", &whole[..whole.len() / 2])
        .display()
        .to_string();
    let text = home.file("list.csv", "127.0.0.0/8,DE\n").display().to_string();
    let asn = database(Form::NetworkNumber, &[("127.0.0.0", 8, "")]);
    let asn = home.file("asn.mmdb", asn).display().to_string();
    let missing = home.unused("missing.mmdb").display().to_string();
    let folder = home.path().display().to_string();
    for (files, fault, remedy) in [
        (vec![&missing], "cannot read the GeoIP file", "check the path"),
        (vec![&folder], "cannot read the GeoIP file", "unpacked .mmdb"),
        (vec![&torn], "not in MaxMind's DB format", "damaged"),
        (vec![&text], "not in MaxMind's DB format", ".csv"),
        (vec![&asn], "names no countries", "file of countries"),
        (vec![&same, &good], "hold the same data", "different makers"),
        (
            vec![&good; 6],
            "6 GeoIP files are given, at most 5",
            "different makers",
        ),
    ] {
        let mut arguments = vec!["netcheck", "--audio", "null"];
        for file in &files {
            arguments.extend(["--geoip", file]);
        }
        let finished = run(&home, &arguments);
        assert_eq!(finished.status, 51, "{finished:?}");
        assert!(
            finished.stderr.contains(fault) && finished.stderr.contains(remedy),
            "{finished:?}"
        );
        if files.len() < 3 {
            assert!(finished.stderr.contains(files[0].as_str()), "{finished:?}");
        }
    }
    let finished = run(&home, &["netcheck", "--audio", "null", "--geoip", &good]);
    assert!(!finished.stderr.contains("GeoIP"), "{finished:?}");
}
