//! What organisations say: credentials, organisations and lists of what was taken back, as bytes, as lines that people pass
//! on, and well signed by a hostile organisation. Nothing is certified that its root did not sign for that member, and a
//! list never goes back.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{UNIX, canonical, damage, identity, member, some_bytes, values};
use subrosa_proto::{
    meeting::credential::{
        CREDENTIAL_PREFIX, Credential, CredentialError, ORGANISATION_PREFIX, Organisation,
        REVOCATIONS_PREFIX, REVOKED_MAX, SignedCredential, SignedRevocations, TRUSTED_MAX,
        TrustedOrganisations, VERSION,
    },
    time::UnixSeconds,
    wire::{armor, codec, door_message::CREDENTIAL_BYTES_MAX},
};

/// The domains, as `proto/spec/credential.md` has them.
const CREDENTIAL_DOMAIN: &str = "subrosa-credential-v1";
const REVOCATIONS_DOMAIN: &str = "subrosa-revocations-v1";
/// The organisations that exist here: identities from this one on.
const FIRST_ROOT: u8 = 12;

fuzz_target!(|data: &[u8]| {
    let Some((selector, rest)) = data.split_first() else {
        return;
    };
    match selector % 6 {
        0 => bytes(rest),
        1 => text(&String::from_utf8_lossy(rest)),
        2 => armoured(rest),
        3 => drop(signed_body(rest)),
        4 => drop(signed_list(rest)),
        _ => drop(machine(&mut Unstructured::new(rest))),
    }
});

fn bytes(data: &[u8]) {
    if let Ok(credential) = SignedCredential::from_bytes(data) {
        assert_eq!(credential.to_bytes(), data, "not canonical");
        let _ = credential.statement();
    }
    let _ = canonical::<Credential>(data);
    let _ = canonical::<Organisation>(data);
    if let Some(list) = canonical::<SignedRevocations>(data)
        && let Ok(list) = list.verify()
    {
        assert!(list.serials.len() <= REVOKED_MAX && list.serials.is_sorted_by(|a, b| a < b));
    }
}

/// What parses writes back to a line that parses to the same.
fn text(text: &str) {
    if let Ok(organisation) = Organisation::from_text(text) {
        assert_eq!(
            Organisation::from_text(&organisation.to_text()).as_ref(),
            Ok(&organisation)
        );
        assert!(!organisation.fingerprint().is_empty());
    }
    if let Ok(credential) = SignedCredential::from_text(text) {
        assert_eq!(
            SignedCredential::from_text(&credential.to_text()).as_ref(),
            Ok(&credential)
        );
        let _ = credential.statement();
    }
    if let Ok(list) = SignedRevocations::from_text(text) {
        assert_eq!(SignedRevocations::from_text(&list.to_text()).as_ref(), Ok(&list));
        let _ = list.verify();
    }
}

/// Any payload in whole lines.
fn armoured(payload: &[u8]) {
    for prefix in [CREDENTIAL_PREFIX, ORGANISATION_PREFIX, REVOCATIONS_PREFIX] {
        text(&armor::write(prefix, VERSION, payload));
    }
}

/// A hostile organisation signs any body as a credential.
fn signed_body(body: &[u8]) -> Option<()> {
    if body.len() > CREDENTIAL_BYTES_MAX {
        return None;
    }
    let root = identity(FIRST_ROOT);
    let signature = root.sign(CREDENTIAL_DOMAIN, body);
    let bytes = [codec::encode(&body.to_vec()), signature.0.to_vec()].concat();
    let signed = SignedCredential::from_bytes(&bytes).ok()?;
    let statement = signed.statement().ok()?;
    assert_eq!(codec::encode(&statement), body, "a body with two readings");
    assert!(
        statement.organisation.root == root.public(),
        "signed for somebody else's root"
    );
    Some(())
}

/// The same for a list.
fn signed_list(body: &[u8]) -> Option<()> {
    let root = identity(FIRST_ROOT);
    let signature = root.sign(REVOCATIONS_DOMAIN, body);
    let signed: SignedRevocations = canonical(&[body, &signature.0].concat())?;
    let mut trusted = TrustedOrganisations::default();
    trusted.trust(&organisation(FIRST_ROOT));
    let taken = trusted.take(&signed);
    match signed.verify() {
        Ok(list) => {
            assert!(list.root == root.public() && list.serials.is_sorted_by(|a, b| a < b));
            assert_eq!(taken, Ok(()));
            let text = signed.to_text();
            if text.len() <= armor::TEXT_CHARS_MAX {
                assert_eq!(SignedRevocations::from_text(&text).as_ref(), Ok(&signed));
            }
        }
        Err(error) => assert_eq!(taken, Err(error)),
    }
    Some(())
}

fn organisation(number: u8) -> Organisation {
    Organisation {
        name: "Example".parse().expect("a name"),
        root: identity(number).public(),
    }
}

/// A node's owner trusts some, lists come in any order, credentials are shown by anybody at any time.
fn machine(u: &mut Unstructured<'_>) -> Result<()> {
    let mut trusted = TrustedOrganisations::default();
    // What must hold: by root, the highest list that came while it was trusted.
    let mut model: BTreeMap<u8, Option<(u64, Vec<u64>)>> = BTreeMap::new();
    for _ in 0..40 {
        if u.is_empty() {
            break;
        }
        let root = u.int_in_range(FIRST_ROOT..=FIRST_ROOT + 2)?;
        match u.int_in_range(0..=3_u8)? {
            0 => {
                assert!(
                    trusted.trust(&organisation(root)),
                    "no place for three of {TRUSTED_MAX}"
                );
                model.entry(root).or_default();
            }
            1 => {
                let mut serials: Vec<u64> =
                    some_bytes(u, 6)?.iter().map(|byte| u64::from(byte % 8)).collect();
                serials.sort_unstable();
                serials.dedup();
                let number = u.int_in_range(0..=5)?;
                let list = SignedRevocations::sign(number, UNIX, serials.clone(), identity(root));
                let expected = match model.get_mut(&root) {
                    None => Err(CredentialError::Untrusted),
                    Some(Some((known, _))) if *known > number => Err(CredentialError::Outdated),
                    Some(known) => {
                        *known = Some((number, serials));
                        Ok(())
                    }
                };
                assert_eq!(trusted.take(&list.expect("in order")), expected);
            }
            _ => shown(u, &trusted, &model, root)?,
        }
    }
    Ok(())
}

fn shown(
    u: &mut Unstructured<'_>,
    trusted: &TrustedOrganisations,
    model: &BTreeMap<u8, Option<(u64, Vec<u64>)>>,
    root: u8,
) -> Result<()> {
    let (made_out_to, shown_by) = (member(u.int_in_range(0..=2)?), member(u.int_in_range(0..=2)?));
    let credential = Credential {
        organisation: organisation(u.int_in_range(FIRST_ROOT..=FIRST_ROOT + 2)?),
        member: made_out_to,
        name: values::name(u)?,
        serial: u.int_in_range(0..=7)?,
        not_before: UnixSeconds(u.int_in_range(UNIX.0 - 10..=UNIX.0 + 10)?),
        not_after: UnixSeconds(u.int_in_range(UNIX.0 - 10..=UNIX.0 + 10)?),
    };
    let serial = credential.serial;
    let valid = (credential.not_before..=credential.not_after).contains(&UNIX);
    let signed = SignedCredential::sign(credential, identity(root));
    let mut bytes = signed.to_bytes();
    let changed = u.ratio(1, 4)? && damage(u, &mut bytes)?;
    let Ok(signed) = SignedCredential::from_bytes(&bytes) else {
        assert!(changed, "what an organisation signs does not decode");
        return Ok(());
    };
    let verdict = trusted.check(&signed, shown_by, UNIX);
    let known = model.get(&root);
    let revoked = known.is_some_and(|list| list.as_ref().is_some_and(|(_, all)| all.contains(&serial)));
    match verdict {
        Ok(certified) => {
            assert!(!changed, "a damaged credential certifies");
            assert!(made_out_to == shown_by && valid && !revoked);
            assert!(certified.trusted == known.is_some());
            assert!(certified.organisation.root == identity(root).public());
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(
                changed || made_out_to != shown_by || !valid || revoked,
                "a good credential is refused"
            );
        }
    }
    Ok(())
}
