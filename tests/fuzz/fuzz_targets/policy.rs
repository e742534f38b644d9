//! Route policies: from the wire, from a file, signed by a hostile host. What is accepted is canonical, can be shown, and
//! judges without a panic; what is refused says why.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, UNIX, canonical, identity, values};
use subrosa_proto::{
    policy::{DiscoveryRule, Evidence, RouteJudge, RoutePolicy, SignedPolicy, VerifiedDescriptor},
    wire::codec,
};

fuzz_target!(|data: &[u8]| {
    let Some((selector, bytes)) = data.split_first() else {
        return;
    };
    match selector % 4 {
        0 => {
            if let Some(signed) = canonical::<SignedPolicy>(bytes) {
                let _ = signed.clone().verify(MEETING, identity(0).member_id());
            }
        }
        1 => {
            if let Some(policy) = canonical::<RoutePolicy>(bytes) {
                judge(policy);
            }
        }
        _ => {
            let text = String::from_utf8_lossy(bytes);
            match RoutePolicy::from_toml(&text) {
                Ok(policy) => {
                    let again = canonical::<RoutePolicy>(&codec::encode(&policy));
                    assert_eq!(
                        again.as_ref(),
                        Some(&policy),
                        "a policy from a file does not travel"
                    );
                    judge(policy);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
});

fn relays() -> &'static [VerifiedDescriptor] {
    static RELAYS: std::sync::OnceLock<Vec<VerifiedDescriptor>> = std::sync::OnceLock::new();
    RELAYS.get_or_init(|| vec![values::verified(8, "DE"), values::verified(9, "US")])
}

fn judge(policy: RoutePolicy) {
    assert!(!policy.summary().is_empty());
    let signed = SignedPolicy::sign(MEETING, 0, policy.clone(), identity(0));
    assert!(canonical::<SignedPolicy>(&codec::encode(&signed)).as_ref() == Some(&signed));
    let verified = signed
        .verify(MEETING, identity(0).member_id())
        .expect("just signed");
    let judge = RouteJudge::new(verified);
    let expired = policy.expires.is_some_and(|expires| expires <= UNIX);
    for relay in relays() {
        match judge.permit(relay, &Evidence::default(), UNIX) {
            Ok(permit) => {
                assert!(!policy.direct_only && !expired);
                assert!(policy.expires.is_none_or(|expires| permit.until() <= expires));
            }
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
    }
    assert_eq!(judge.direct(UNIX).is_ok(), !expired);
    let forwards = judge.member_forwarding(UNIX);
    assert_eq!(forwards.is_ok(), policy.members_may_forward && !expired);
    let _ = judge.discovery(DiscoveryRule::Any, UNIX);
}
