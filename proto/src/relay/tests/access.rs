//! Who may use the relay, and how much of it.

use super::*;
use crate::{
    identity::Identity,
    ids::RelayId,
    policy::attestation::IssuerId,
    relay::token::{AccessToken, TokenQuota, TokenTerms},
    wire::bounded::BoundedVec,
};

const RELAY: RelayId = RelayId([9; 32]);

fn issuer() -> Identity {
    Identity::from_seed(&[7; 32])
}

fn access() -> Access {
    Access {
        open: false,
        relay: RELAY,
        issuers: [IssuerId(issuer().public())].into(),
        revoked: [].into(),
    }
}

fn token_for(bench: &Bench, serial: u8, quota: TokenQuota) -> AccessToken {
    let terms = TokenTerms {
        serial: [serial; 16],
        relays: BoundedVec::default(),
        quota,
        valid_from: bench.now.unix,
        valid_until: bench.now.unix.after(Duration::from_secs(100)),
    };
    AccessToken::sign(&issuer(), terms).unwrap()
}

/// A relay for holders of tokens.
fn guarded(limits: RelayLimits) -> Bench {
    let mut bench = Bench::new(limits);
    bench.relay.set_access(access());
    bench
}

fn join_with(bench: &mut Bench, id: SessionId, token: Option<&AccessToken>) -> Vec<RefusalCode> {
    let join = RelayRequest::Join {
        room: ROOM,
        alias: alias(id.0 as u8),
        token: token.map(AccessToken::to_bytes),
    };
    bench.ask(id, &join);
    bench.refusals(id)
}

fn publish(bench: &mut Bench, id: SessionId) {
    let announce = RelayRequest::Announce {
        room: ROOM,
        track: track(id.0 as u8),
    };
    bench.ask(id, &announce);
}

#[test]
fn without_a_token_nobody_enters_and_with_one_they_do() {
    let mut bench = guarded(limits());
    let guest = bench.up(1);
    assert_eq!(join_with(&mut bench, guest, None), [RefusalCode::TokenRequired]);
    let token = token_for(&bench, 1, TokenQuota::default());
    assert!(join_with(&mut bench, guest, Some(&token)).is_empty());
    let listed = SessionId(2);
    let origin = Origin {
        block: AddressBlock(0),
        listed: true,
        identity: None,
    };
    bench.relay.handle_session_up(bench.now, listed, origin);
    bench.readers.insert(listed, FrameReader::new());
    assert!(
        join_with(&mut bench, listed, None).is_empty(),
        "listed addresses need none"
    );
    assert_eq!(bench.relay.stats().tokens, 1);
}

#[test]
fn forged_foreign_expired_and_revoked_tokens_are_told_apart() {
    let mut bench = guarded(limits());
    let guest = bench.up(1);
    let good = token_for(&bench, 1, TokenQuota::default());
    let foreign = AccessToken::sign(&Identity::from_seed(&[8; 32]), good.terms().clone()).unwrap();
    assert_eq!(
        join_with(&mut bench, guest, Some(&foreign)),
        [RefusalCode::TokenInvalid]
    );
    let mut bytes = good.to_bytes().into_inner();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = AccessToken::from_bytes(&bytes).unwrap();
    assert_eq!(
        join_with(&mut bench, guest, Some(&forged)),
        [RefusalCode::TokenInvalid]
    );
    let elsewhere = TokenTerms {
        relays: vec![RelayId([1; 32])].try_into().unwrap(),
        ..good.terms().clone()
    };
    let elsewhere = AccessToken::sign(&issuer(), elsewhere).unwrap();
    assert_eq!(
        join_with(&mut bench, guest, Some(&elsewhere)),
        [RefusalCode::TokenInvalid]
    );
    bench.now.unix = bench.now.unix.after(Duration::from_secs(100));
    assert_eq!(
        join_with(&mut bench, guest, Some(&good)),
        [RefusalCode::TokenExpired]
    );
    let fresh = token_for(&bench, 2, TokenQuota::default());
    let mut revoking = access();
    revoking.revoked.insert(fresh.id());
    bench.relay.set_access(revoking);
    assert_eq!(
        join_with(&mut bench, guest, Some(&fresh)),
        [RefusalCode::TokenInvalid]
    );
}

#[test]
fn a_token_that_expires_in_a_meeting_ends_its_sessions_and_no_others() {
    let mut bench = guarded(limits());
    let short = token_for(&bench, 1, TokenQuota::default());
    let mut terms = short.terms().clone();
    terms.valid_until = bench.now.unix.after(Duration::from_secs(1_000));
    let long = AccessToken::sign(&issuer(), terms).unwrap();
    let (a, b) = (bench.up(1), bench.up(2));
    assert!(join_with(&mut bench, a, Some(&short)).is_empty());
    assert!(join_with(&mut bench, b, Some(&long)).is_empty());
    bench.outputs();
    bench.now.unix = bench.now.unix.after(Duration::from_secs(100));
    bench.pass(Duration::from_secs(100));
    assert_eq!(
        bench.outputs(),
        [RelayOutput::Close {
            session: a,
            reason: CloseReason::Refused
        }]
    );
    assert_eq!(bench.refusals(b), []);
    bench.relay.handle_session_down(bench.now, a);
    bench.relay.handle_session_down(bench.now, b);
    assert!(bench.relay.is_empty());
}

#[test]
fn a_token_serves_as_many_sessions_as_it_says() {
    let mut bench = guarded(limits());
    let quota = TokenQuota {
        sessions: Some(2),
        ..TokenQuota::default()
    };
    let (token, other) = (token_for(&bench, 1, quota), token_for(&bench, 2, quota));
    let [a, b, c, d] = [1, 2, 3, 4].map(|n| bench.up(n));
    assert!(join_with(&mut bench, a, Some(&token)).is_empty());
    assert!(join_with(&mut bench, b, Some(&token)).is_empty());
    assert_eq!(
        join_with(&mut bench, c, Some(&token)),
        [RefusalCode::TokenSessionsFull]
    );
    assert!(
        join_with(&mut bench, d, Some(&other)).is_empty(),
        "others are served"
    );
    bench.relay.handle_session_down(bench.now, a);
    assert!(join_with(&mut bench, c, Some(&token)).is_empty());
}

#[test]
fn a_tokens_bitrate_and_traffic_are_shared_by_its_sessions_and_survive_a_restart() {
    let mut bench = guarded(limits());
    let quota = TokenQuota {
        bits_per_second: Some(8_000),
        bytes: Some(20_000),
        ..TokenQuota::default()
    };
    let token = token_for(&bench, 1, quota);
    let rich = token_for(&bench, 2, TokenQuota::default());
    let [a, b, listener] = [1, 2, 3].map(|n| bench.up(n));
    for (id, token) in [(a, &token), (b, &token), (listener, &rich)] {
        assert!(join_with(&mut bench, id, Some(token)).is_empty());
        publish(&mut bench, id);
    }
    for t in [1, 2] {
        let subscribe = RelayRequest::Subscribe {
            room: ROOM,
            track: track(t),
        };
        bench.ask(listener, &subscribe);
    }
    let send = |bench: &mut Bench, id: SessionId| {
        let frame = packet(track(id.0 as u8), &[0; 990]);
        bench.relay.handle_datagram(bench.now, id, &frame);
    };
    for _ in 0..5 {
        send(&mut bench, a);
        send(&mut bench, b);
    }
    assert_eq!(
        bench.relay.stats().dropped(DropReason::TokenBitrate),
        3,
        "8 KiB at once, of which an eighth is for signatures"
    );
    for _ in 0..20 {
        bench.pass(Duration::from_secs(1));
        send(&mut bench, a);
    }
    assert_eq!(bench.relay.stats().dropped(DropReason::TokenTraffic), 7);
    let usage = bench.relay.token_usage();
    assert_eq!((usage[0].token, usage[0].bytes), (token.id(), 20_000));
    let config = RelayConfig {
        access: access(),
        token_usage: usage,
        month_of: bench.now.unix,
        ..RelayConfig::default()
    };
    bench.relay = Relay::new(config);
    let again = bench.up(1);
    assert_eq!(
        join_with(&mut bench, again, Some(&token)),
        [RefusalCode::TokenTraffic]
    );
    assert!(join_with(&mut bench, again, Some(&rich)).is_empty());
}

#[test]
fn whoever_tries_tokens_for_ever_is_closed() {
    let mut bench = guarded(limits());
    let guest = bench.up(1);
    let token = token_for(&bench, 1, TokenQuota::default());
    let foreign = AccessToken::sign(&Identity::from_seed(&[8; 32]), token.terms().clone()).unwrap();
    for _ in 0..BAD_TOKENS_MAX {
        join_with(&mut bench, guest, Some(&foreign));
        bench.pass(Duration::from_secs(1));
    }
    assert!(matches!(bench.outputs()[..], [RelayOutput::Close { .. }]));
}

#[test]
fn a_relay_for_listed_addresses_only_refuses_the_session_itself() {
    let mut bench = Bench::new(limits());
    bench.relay.set_access(Access {
        issuers: [].into(),
        ..access()
    });
    let stranger = bench.up(1);
    assert_eq!(bench.refusals(stranger), [RefusalCode::AddressNotAllowed]);
    assert!(matches!(bench.outputs()[..], [RelayOutput::Close { .. }]));
}
