//! Valid values made from fuzz input, to reach what lies behind signatures and long encodings.

use arbitrary::{Result, Unstructured};
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    meeting::{name::Name, role::Role},
    policy::{
        Country, Descriptor, Preset, RoutePolicy, SignedDescriptor, VerifiedDescriptor,
        descriptor::{Limits, LogPolicy, Operator, RELAY_PROTOCOL_VERSION},
    },
    time::UnixSeconds,
};

use crate::{UNIX, identity};

/// One of three rooms.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn room(u: &mut Unstructured<'_>) -> Result<RoomId> {
    Ok(RoomId([u.int_in_range(0..=2)?; 16]))
}

/// One of four tracks.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn track(u: &mut Unstructured<'_>) -> Result<TrackAlias> {
    Ok(TrackAlias([u.int_in_range(0..=3)?; 8]))
}

/// One of four aliases.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn alias(u: &mut Unstructured<'_>) -> Result<Alias> {
    Ok(Alias([u.int_in_range(0..=3)?; 8]))
}

/// A short name.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn name(u: &mut Unstructured<'_>) -> Result<Name> {
    let letter = char::from(u.int_in_range(b'a'..=b'z')?);
    Ok(Name::new(&letter.to_string()).expect("a letter is a name"))
}

/// Any role.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn role(u: &mut Unstructured<'_>) -> Result<Role> {
    u.choose(&Role::ALL).copied()
}

/// A preset's policy.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn policy(u: &mut Unstructured<'_>) -> Result<RoutePolicy> {
    Ok(RoutePolicy::from(*u.choose(&Preset::ALL)?))
}

/// A relay in `country` run by identity `number`, valid for a day from the beginning.
#[must_use]
pub fn descriptor(number: u8, country: &str) -> Descriptor {
    let country: Country = country.parse().expect("an assigned code");
    Descriptor {
        relay: identity(number).relay_id(),
        static_key: [9; 32],
        addresses: vec![([203, 0, 113, number], 4433).into()],
        tcp_addresses: vec![([203, 0, 113, number], 443).into()],
        asn: Some(64_500),
        hosting: country,
        operator: Operator {
            name: "Example".parse().expect("a label"),
            contact: "noc@example.org".parse().expect("a label"),
            legal_seat: country,
            parent_seat: country,
        },
        family: None,
        log_policy: LogPolicy::CountersOnly,
        limits: Limits::default(),
        attestations: Vec::new(),
        protocol_version: RELAY_PROTOCOL_VERSION,
        sequence: 1,
        previous: None,
        valid_from: UNIX,
        valid_until: UnixSeconds(UNIX.0 + 24 * 3_600),
    }
}

/// The same, signed and verified.
#[must_use]
pub fn verified(number: u8, country: &str) -> VerifiedDescriptor {
    SignedDescriptor::sign(descriptor(number, country), identity(number))
        .and_then(|signed| signed.verify(UNIX))
        .expect("a valid descriptor")
}
