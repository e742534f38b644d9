//! Access tokens, as a relay reads them from anybody: what decodes is canonical, and nothing that an accepted issuer did not
//! sign lets anybody in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_proto::{
    identity::Identity,
    ids::{Alias, RelayId, RoomId},
    policy::attestation::IssuerId,
    relay::{Access, AddressBlock, Relay, RelayConfig, SessionId, token::AccessToken},
    time::{Now, Timestamp, UnixSeconds},
    wire::relay_message::{RelayRequest, TokenBytes},
};

fuzz_target!(|data: &[u8]| {
    if let Ok(token) = AccessToken::from_bytes(data) {
        assert_eq!(&token.to_bytes()[..], data);
        let _ = token.verify(None, UnixSeconds(1_800_000_000));
        assert_eq!(AccessToken::from_text(&token.to_text()), Ok(token));
    }
    let Ok(token) = TokenBytes::try_from(data.to_vec()) else {
        return;
    };
    let now = Now {
        monotonic: Timestamp::from_micros(1),
        unix: UnixSeconds(1_800_000_000),
    };
    let issuer = Identity::from_seed(&[7; 32]);
    let mut relay = Relay::new(RelayConfig {
        access: Access {
            open: false,
            relay: RelayId([9; 32]),
            issuers: [IssuerId(issuer.public())].into(),
            revoked: [].into(),
        },
        ..RelayConfig::default()
    });
    relay.handle_session_up(now, SessionId(0), AddressBlock(0));
    let join = RelayRequest::Join {
        room: RoomId([1; 16]),
        alias: Alias([2; 8]),
        token: Some(token),
    };
    relay.handle_request(now, SessionId(0), &join.encode());
    assert_eq!(relay.stats().rooms, 0, "a token that its issuer did not sign");
});
