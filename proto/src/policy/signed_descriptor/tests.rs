use proptest::prelude::*;

use super::*;
use crate::policy::{
    attestation::Attestation,
    descriptor::{ADDRESSES_MAX, TCP_ADDRESSES_MAX},
    family::Membership,
    fixture::{NOW, after, any_descriptor, attested, claim_of, descriptor_in, relay},
};

fn signed(descriptor: Descriptor) -> SignedDescriptor {
    SignedDescriptor::sign(descriptor, &relay()).unwrap()
}

#[test]
fn a_descriptor_holds_between_its_two_times() {
    let signed = signed(descriptor_in("DE"));
    let verify = |now| signed.clone().verify(now).map(|_| ());
    assert_eq!(verify(NOW), Ok(()));
    assert_eq!(verify(UnixSeconds(NOW.0 - CLOCK_SKEW_SECONDS_MAX)), Ok(()));
    assert_eq!(
        verify(UnixSeconds(NOW.0 - CLOCK_SKEW_SECONDS_MAX - 1)),
        Err(DescriptorError::NotYetValid(NOW))
    );
    assert_eq!(verify(after(24 * 3_600 - 1)), Ok(()));
    assert_eq!(
        verify(after(24 * 3_600)),
        Err(DescriptorError::Expired(after(24 * 3_600)))
    );
}

#[test]
fn it_may_not_hold_for_longer_than_a_day_nor_end_before_it_begins() {
    let with = |valid_until| {
        let descriptor = Descriptor {
            valid_until,
            ..descriptor_in("DE")
        };
        // As a relay would that does not run our checks.
        let signature = relay().sign(DOMAIN, &codec::encode(&descriptor));
        let ours = SignedDescriptor::sign(descriptor.clone(), &relay()).map(|_| ());
        assert_eq!(
            SignedDescriptor {
                descriptor,
                signature
            }
            .verify(NOW)
            .map(|_| ()),
            ours
        );
        ours
    };
    assert_eq!(
        with(after(24 * 3_600 + 1)),
        Err(DescriptorError::ValidTooLong(24 * 3_600 + 1))
    );
    assert_eq!(
        with(UnixSeconds(u64::MAX)),
        Err(DescriptorError::ValidTooLong(u64::MAX - NOW.0))
    );
    assert_eq!(with(NOW), Err(DescriptorError::Malformed));
    assert_eq!(with(UnixSeconds(0)), Err(DescriptorError::Malformed));
}

#[test]
fn another_signer_is_a_forger() {
    let descriptor = descriptor_in("DE");
    let stranger = Identity::from_seed(&[66; 32]);
    assert_eq!(
        SignedDescriptor::sign(descriptor.clone(), &stranger),
        Err(DescriptorError::Fault(DescriptorFault::OtherRelay))
    );
    let signature = stranger.sign(DOMAIN, &codec::encode(&descriptor));
    assert_eq!(
        SignedDescriptor {
            descriptor,
            signature
        }
        .verify(NOW),
        Err(DescriptorError::Forged)
    );
}

#[test]
fn a_false_attestation_fells_the_descriptor() {
    let other_relay = Identity::from_seed(&[66; 32]).relay_id();
    let mut descriptor = descriptor_in("DE");
    let issuer = Identity::from_seed(&[100; 32]);
    let stolen = Attestation::sign(&issuer, other_relay, claim_of(&descriptor), after(9));
    descriptor.attestations.push(stolen);
    assert_eq!(
        SignedDescriptor::sign(descriptor.clone(), &relay()),
        Err(DescriptorError::ForgedAttestation)
    );
    let signature = relay().sign(DOMAIN, &codec::encode(&descriptor));
    let verified = SignedDescriptor {
        descriptor,
        signature,
    }
    .verify(NOW);
    assert_eq!(verified, Err(DescriptorError::ForgedAttestation));
}

#[test]
fn nobody_joins_a_family_that_did_not_sign_for_it() {
    let family = Identity::from_seed(&[100; 32]);
    let other_relay = Identity::from_seed(&[66; 32]).relay_id();
    let in_family = |membership| Descriptor {
        family: Some(membership),
        ..descriptor_in("DE")
    };
    let end = descriptor_in("DE").valid_until;
    let stolen = in_family(Membership::sign(&family, other_relay, end));
    assert_eq!(
        SignedDescriptor::sign(stolen.clone(), &relay()),
        Err(DescriptorError::ForgedFamily)
    );
    let signature = relay().sign(DOMAIN, &codec::encode(&stolen));
    let signed = SignedDescriptor {
        descriptor: stolen,
        signature,
    };
    assert_eq!(signed.verify(NOW), Err(DescriptorError::ForgedFamily));
    let own = in_family(Membership::sign(&family, relay().relay_id(), end));
    assert!(SignedDescriptor::sign(own, &relay()).unwrap().verify(NOW).is_ok());
    let short = UnixSeconds(end.0 - 1);
    let ends = in_family(Membership::sign(&family, relay().relay_id(), short));
    assert_eq!(
        SignedDescriptor::sign(ends, &relay()),
        Err(DescriptorError::Fault(DescriptorFault::FamilyEnds(short)))
    );
}

#[test]
fn fields_beyond_their_bounds_are_neither_signed_nor_read() {
    let address = |port: u16| std::net::SocketAddr::from(([192, 0, 2, 1], port));
    let attested_twice = attested(
        descriptor_in("DE"),
        &[(1, 9), (1, 10)],
        claim_of(&descriptor_in("DE")),
    );
    let with = |addresses: &[&str]| Descriptor {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ..descriptor_in("DE")
    };
    let too_many = Descriptor {
        addresses: (1..=9).map(address).collect(),
        ..descriptor_in("DE")
    };
    let over_tcp = |ports: std::ops::RangeInclusive<u16>| Descriptor {
        tcp_addresses: ports.map(address).collect(),
        ..descriptor_in("DE")
    };
    for (descriptor, fault) in [
        (
            over_tcp(1..=5),
            DescriptorFault::TcpAddressCount(TCP_ADDRESSES_MAX + 1),
        ),
        (over_tcp(0..=0), DescriptorFault::Address(address(0))),
        (with(&[]), DescriptorFault::AddressCount(0)),
        (too_many, DescriptorFault::AddressCount(ADDRESSES_MAX + 1)),
        (with(&["192.0.2.1:0"]), DescriptorFault::Address(address(0))),
        (
            with(&["0.0.0.0:1"]),
            DescriptorFault::Address("0.0.0.0:1".parse().unwrap()),
        ),
        (
            with(&["224.0.0.1:1"]),
            DescriptorFault::Address("224.0.0.1:1".parse().unwrap()),
        ),
        (
            with(&["[::ffff:1.2.3.4]:1"]),
            DescriptorFault::Address("[::ffff:1.2.3.4]:1".parse().unwrap()),
        ),
        (
            with(&["192.0.2.1:1", "192.0.2.1:1"]),
            DescriptorFault::Address(address(1)),
        ),
        (attested_twice, DescriptorFault::AttestationOrder),
    ] {
        assert_eq!(
            SignedDescriptor::sign(descriptor.clone(), &relay()),
            Err(DescriptorError::Fault(fault))
        );
        let signature = relay().sign(DOMAIN, &codec::encode(&descriptor));
        let bytes = SignedDescriptor {
            descriptor,
            signature,
        }
        .to_bytes();
        assert_eq!(
            SignedDescriptor::from_bytes(&bytes),
            Err(DescriptorError::Malformed)
        );
    }
}

#[test]
fn text_errors_are_told_apart() {
    let text = signed(descriptor_in("DE")).to_text();
    let error = |text: &str| SignedDescriptor::from_text(text).unwrap_err();
    assert!(text.starts_with(TEXT_PREFIX) && !text.contains('\n'));
    assert_eq!(error("relay.example.org:4433"), DescriptorError::NotADescriptor);
    assert_eq!(error("subrosa:AAAA"), DescriptorError::NotADescriptor);
    assert!(matches!(
        error(&text[..90]),
        DescriptorError::Damaged(Damage::CutShort { have: 76, .. })
    ));
    let newer = armor::write(TEXT_PREFIX, 2, b"what a later version writes");
    assert_eq!(error(&newer), DescriptorError::OtherVersion(2));
    assert_eq!(
        error(&armor::write(TEXT_PREFIX, VERSION, b"nonsense")),
        DescriptorError::Malformed
    );
}

#[test]
fn each_byte_of_a_descriptor_is_under_the_signature() {
    let claim = claim_of(&descriptor_in("DE"));
    let signed = signed(attested(descriptor_in("DE"), &[(1, 60)], claim));
    let bytes = signed.to_bytes();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let believed = SignedDescriptor::from_bytes(&bad).and_then(|signed| signed.verify(NOW));
        assert!(believed.is_err(), "byte {at} can be changed");
    }
}

proptest! {
    #[test]
    fn descriptors_round_trip(descriptor in any_descriptor()) {
        let signed = signed(descriptor);
        prop_assert_eq!(SignedDescriptor::from_bytes(&signed.to_bytes()), Ok(signed.clone()));
        prop_assert_eq!(SignedDescriptor::from_text(&signed.to_text()), Ok(signed.clone()));
        prop_assert!(signed.verify(NOW).is_ok());
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(descriptor in any_descriptor(), at: usize, value: u8) {
        let mut bytes = signed(descriptor).to_bytes();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(signed) = SignedDescriptor::from_bytes(&bytes) {
            prop_assert_eq!(signed.to_bytes(), bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = SignedDescriptor::from_bytes(&bytes);
    }
}
