//! What is certified, and what no longer is.

use proptest::prelude::*;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_795_300_000);

fn root() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn organisation() -> Organisation {
    Organisation {
        name: Name::new("Rose & Co.").unwrap(),
        root: root().public(),
    }
}

fn credential(serial: u64) -> SignedCredential {
    let statement = Credential {
        organisation: organisation(),
        member: MemberId([7; 32]),
        name: Name::new("Ada").unwrap(),
        serial,
        not_before: UnixSeconds(NOW.0 - 10),
        not_after: UnixSeconds(NOW.0 + 10),
    };
    SignedCredential::sign(statement, &root())
}

fn trusting() -> TrustedOrganisations {
    let mut trusted = TrustedOrganisations::default();
    assert!(trusted.trust(&organisation()));
    trusted
}

#[test]
fn a_credential_holds_for_its_member_and_time_only() {
    let (trusted, member) = (trusting(), MemberId([7; 32]));
    let certified = trusted.check(&credential(1), member, NOW).unwrap();
    assert!(certified.trusted);
    assert_eq!(certified.organisation, organisation());
    let check = |member, now| trusted.check(&credential(1), member, UnixSeconds(now));
    assert!(matches!(
        check(MemberId([8; 32]), NOW.0),
        Err(CredentialError::OtherMember(_))
    ));
    assert_eq!(check(member, NOW.0 - 11), Err(CredentialError::Early));
    assert_eq!(check(member, NOW.0 + 11), Err(CredentialError::Expired));
}

#[test]
fn an_organisation_of_the_same_name_with_another_key_is_not_trusted() {
    let another = Identity::from_seed(&[2; 32]);
    let mut statement = credential(1).statement().unwrap();
    statement.organisation.root = another.public();
    let forged = SignedCredential::sign(statement, &another);
    let certified = trusting().check(&forged, MemberId([7; 32]), NOW).unwrap();
    assert_eq!(certified.organisation.name, organisation().name);
    assert!(!certified.trusted);
}

#[test]
fn what_is_revoked_no_longer_holds_and_an_older_list_does_not_bring_it_back() {
    let (mut trusted, member) = (trusting(), MemberId([7; 32]));
    let list = |number, serials: Vec<u64>| SignedRevocations::sign(number, NOW, serials, &root()).unwrap();
    trusted.take(&list(2, vec![3, 5])).unwrap();
    assert_eq!(
        trusted.check(&credential(5), member, NOW),
        Err(CredentialError::Revoked)
    );
    assert!(trusted.check(&credential(4), member, NOW).is_ok());
    assert_eq!(trusted.take(&list(1, vec![])), Err(CredentialError::Outdated));
    assert_eq!(
        trusted.check(&credential(3), member, NOW),
        Err(CredentialError::Revoked)
    );
    let strange = SignedRevocations::sign(9, NOW, vec![4], &Identity::from_seed(&[2; 32])).unwrap();
    assert_eq!(trusted.take(&strange), Err(CredentialError::Untrusted));
    assert_eq!(
        SignedRevocations::sign(1, NOW, vec![2, 1], &root()),
        Err(CredentialError::List)
    );
}

#[test]
fn the_texts_round_trip_and_damage_is_noticed() {
    let signed = credential(1);
    assert_eq!(SignedCredential::from_text(&signed.to_text()), Ok(signed.clone()));
    assert_eq!(
        Organisation::from_text(&organisation().to_text()),
        Ok(organisation())
    );
    let list = SignedRevocations::sign(1, NOW, vec![1, 2], &root()).unwrap();
    assert_eq!(SignedRevocations::from_text(&list.to_text()), Ok(list));
    let text = signed.to_text();
    assert!(SignedCredential::from_text(&text[..text.len() - 2]).is_err());
    assert!(Organisation::from_text(&text).is_err());
    assert!(signed.to_bytes().len() <= CREDENTIAL_BYTES_MAX);
}

proptest! {
    #[test]
    fn what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(signed) = SignedCredential::from_bytes(&bytes) {
            prop_assert_eq!(signed.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_changed_byte_is_noticed(index in 0_usize..400, flip in 1_u8..) {
        let mut bytes = credential(1).to_bytes();
        let index = index % bytes.len();
        bytes[index] ^= flip;
        if let Ok(signed) = SignedCredential::from_bytes(&bytes) {
            prop_assert!(signed.statement().is_err());
        }
    }
}
