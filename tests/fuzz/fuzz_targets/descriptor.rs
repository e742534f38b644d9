//! Relay descriptors and attestations, as bytes and as text: forged, damaged, and well signed by a lying relay. A permit
//! never outlives what it rests on, and the book never goes back.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, UNIX, canonical, identity, values};
use subrosa_proto::{
    policy::{
        Descriptor, DescriptorBook, DescriptorError, Evidence, Preset, RouteJudge, RoutePolicy, SignedDescriptor,
        SignedPolicy, VerifiedDescriptor,
        attestation::{self, Attestation, Claim},
        descriptor::{ADDRESSES_MAX, ATTESTATIONS_MAX, CLOCK_SKEW_SECONDS_MAX, VALIDITY_SECONDS_MAX},
        signed_descriptor::{TEXT_PREFIX, VERSION},
    },
    time::UnixSeconds,
    wire::armor,
};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u);
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    match u.int_in_range(0..=5_u8)? {
        0 => {
            let bytes = u.bytes(u.len())?;
            if let Some(signed) = check(SignedDescriptor::from_bytes(bytes)) {
                assert_eq!(signed.to_bytes(), bytes, "not canonical");
            }
        }
        1 => {
            let text = String::from_utf8_lossy(u.bytes(u.len())?);
            check(SignedDescriptor::from_text(&text));
            check(SignedDescriptor::from_text(&format!("{TEXT_PREFIX}{text}")));
            let _ = Attestation::from_text(&text);
        }
        2 => {
            let payload = u.bytes(u.len().min(6_000))?;
            let line = armor::write(TEXT_PREFIX, VERSION, payload);
            if let Some(signed) = check(SignedDescriptor::from_text(&line)) {
                assert_eq!(signed.to_text(), line, "not canonical");
            }
        }
        3 => {
            let payload = u.bytes(u.len().min(1_000))?;
            let line = armor::write(attestation::LINE.prefix, 1, payload);
            if let Ok(attestation) = Attestation::from_text(&line) {
                assert_eq!(attestation.to_text(), line, "not canonical");
                let _ = attestation.is_signed_for(identity(8).relay_id());
            }
        }
        4 => {
            // A lying relay signs whatever decodes.
            if let Some(mut descriptor) = canonical::<Descriptor>(u.bytes(u.len())?) {
                descriptor.relay = identity(8).relay_id();
                if let Ok(signed) = SignedDescriptor::sign(descriptor, identity(8)) {
                    accept(signed);
                }
            }
        }
        _ => book(u)?,
    }
    Ok(())
}

fn check(read: Result<SignedDescriptor, DescriptorError>) -> Option<SignedDescriptor> {
    match read {
        Ok(signed) => {
            assert!(signed.unverified().check().is_ok());
            assert!(SignedDescriptor::from_bytes(&signed.to_bytes()).as_ref() == Ok(&signed));
            assert!(SignedDescriptor::from_text(&signed.to_text()).as_ref() == Ok(&signed));
            accept(signed.clone());
            Some(signed)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.name().is_empty());
            None
        }
    }
}

fn accept(signed: SignedDescriptor) {
    let Ok(verified) = signed.clone().verify(UNIX) else {
        return;
    };
    assert!(verified.valid_from.0 <= UNIX.0 + CLOCK_SKEW_SECONDS_MAX && UNIX < verified.valid_until);
    assert!(verified.valid_until.0 - verified.valid_from.0 <= VALIDITY_SECONDS_MAX);
    assert!((1..=ADDRESSES_MAX).contains(&verified.addresses.len()));
    assert!(verified.attestations.len() <= ATTESTATIONS_MAX);
    assert!(signed.verify(verified.valid_until).is_err());
    judge(&verified);
}

fn judge(verified: &VerifiedDescriptor) {
    for preset in Preset::ALL {
        let policy = SignedPolicy::sign(MEETING, 0, RoutePolicy::from(preset), identity(0));
        let policy = policy
            .verify(MEETING, identity(0).member_id())
            .expect("just signed");
        let hash = policy.hash();
        let allowed = policy.policy().clone();
        match RouteJudge::new(policy).permit(verified, &Evidence::default(), UNIX) {
            Ok(permit) => {
                assert!(!allowed.direct_only);
                assert!(permit.relay() == Some(verified.relay) && permit.policy() == hash);
                assert!(UNIX < permit.until() && permit.until() <= verified.valid_until);
                assert!(permit.is_valid(UNIX, hash) && !permit.is_valid(permit.until(), hash));
            }
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
    }
}

/// Descriptors of a few relays in any order, as members pass them on.
fn book(u: &mut Unstructured<'_>) -> Result<()> {
    let mut book = DescriptorBook::new();
    let mut now = UNIX;
    let mut newest = [0_u64; 3];
    for _ in 0..12 {
        if u.is_empty() {
            break;
        }
        let number = u.int_in_range(0..=2_u8)?;
        let relay = identity(8 + number);
        let mut descriptor = values::descriptor(8 + number, if u.arbitrary()? { "DE" } else { "US" });
        descriptor.sequence = u.int_in_range(0..=6)?;
        descriptor.valid_from = UnixSeconds(now.0 - u.int_in_range(0..=70_000)?);
        descriptor.valid_until = UnixSeconds(descriptor.valid_from.0 + u.int_in_range(1..=86_400)?);
        descriptor.previous = if u.arbitrary()? {
            book.newest_hash(relay.relay_id())
        } else {
            None
        };
        if u.ratio(1, 4)? {
            let claim = Claim {
                hosting: Some(descriptor.hosting),
                legal_seat: None,
                parent_seat: None,
            };
            let about = if u.ratio(7, 8)? { relay } else { identity(0) };
            let until = UnixSeconds(now.0 + u.int_in_range(0..=90_000)?);
            descriptor.attestations = vec![Attestation::sign(identity(12), about.relay_id(), claim, until)];
        }
        let sequence = descriptor.sequence;
        let Ok(signed) = SignedDescriptor::sign(descriptor, relay) else {
            continue;
        };
        if let Ok(verified) = signed.verify(now) {
            judge_at_least_never_panics(&verified, now);
            let inserted = book.insert(verified.clone(), now);
            let at = usize::from(number);
            if inserted.is_ok() {
                assert!(sequence >= newest[at], "the book went back");
                newest[at] = sequence;
            }
        }
        if let Some(known) = book.get(relay.relay_id(), now) {
            assert!(now < known.valid_until && known.sequence == newest[usize::from(number)]);
        }
        assert!(book.iter(now).count() <= 3);
        // All within 24 hours of the earliest beginning: nothing may be forgotten.
        now = UnixSeconds(now.0 + u.int_in_range(0..=1_000)?);
    }
    Ok(())
}

fn judge_at_least_never_panics(verified: &VerifiedDescriptor, now: UnixSeconds) {
    let policy = SignedPolicy::sign(MEETING, 0, RoutePolicy::from(Preset::Eu), identity(0));
    let policy = policy
        .verify(MEETING, identity(0).member_id())
        .expect("just signed");
    let _ = RouteJudge::new(policy).permit(verified, &Evidence::default(), now);
}
