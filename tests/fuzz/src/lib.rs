//! What the fuzz targets share: fixed identities, time, and the checks that every wire type passes.

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use bincode::{Decode, Encode};
use subrosa_proto::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    random::Random,
    time::{Now, Timestamp, UnixSeconds},
    wire::codec,
};

pub mod values;

/// 2026-11-21T20:32:00Z, the wall-clock time at which every target begins.
pub const UNIX: UnixSeconds = UnixSeconds(1_795_293_120);
/// The meeting of every target that does not found its own.
pub const MEETING: MeetingId = MeetingId([7; 16]);
/// How many identities there are.
pub const IDENTITIES: usize = 16;

/// One of a few fixed identities, so that an input says "who" in four bits.
#[must_use]
pub fn identity(number: u8) -> &'static Identity {
    static ALL: OnceLock<Vec<Identity>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        (0..IDENTITIES)
            .map(|n| Identity::from_seed(&[n as u8 + 1; 32]))
            .collect()
    });
    &all[usize::from(number) % IDENTITIES]
}

/// The same as a member.
#[must_use]
pub fn member(number: u8) -> MemberId {
    static ALL: OnceLock<Vec<MemberId>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..IDENTITIES).map(|n| identity(n as u8).member_id()).collect());
    all[usize::from(number) % IDENTITIES]
}

/// Randomness that depends on every byte of the input: what one input sealed, another cannot have learnt (libFuzzer
/// collects what it saw compared, tags included).
#[must_use]
pub fn random(data: &[u8]) -> Random {
    let label: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    Random::from_seed([9; 32]).fork(&label)
}

/// Both clocks, so many microseconds after the beginning.
#[must_use]
pub fn at(micros: u64) -> Now {
    Now {
        monotonic: Timestamp::from_micros(micros),
        unix: UnixSeconds(UNIX.0 + micros / 1_000_000),
    }
}

/// Decodes `bytes`; what decodes must encode to the same bytes, and decode again to the same value.
pub fn canonical<T: Encode + Decode<()> + PartialEq>(bytes: &[u8]) -> Option<T> {
    let value = codec::decode::<T>(bytes).ok()?;
    assert!(bytes.len() <= codec::CONTROL_BYTES_MAX, "longer than the bound");
    let again = codec::encode(&value);
    assert_eq!(again, bytes, "not canonical");
    assert!(codec::decode::<T>(&again).is_ok_and(|twin| twin == value));
    Some(value)
}

/// Damages `bytes` as `u` says: some bits, the end, or something appended. Gives whether anything changed.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn damage(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<bool> {
    let before = bytes.clone();
    match u.int_in_range(0..=3_u8)? {
        0 => bytes.truncate(u.choose_index(bytes.len() + 1)?),
        1 => bytes.extend_from_slice(&u.arbitrary::<[u8; 4]>()?),
        _ => {
            for _ in 0..u.int_in_range(1..=4_u8)? {
                if !bytes.is_empty() {
                    let place = u.choose_index(bytes.len())?;
                    bytes[place] ^= u.arbitrary::<u8>()?;
                }
            }
        }
    }
    Ok(*bytes != before)
}

/// At most `max` bytes of what is left.
///
/// # Errors
/// If `u` has nothing more to say.
pub fn some_bytes<'a>(u: &mut Unstructured<'a>, max: usize) -> Result<&'a [u8]> {
    let len = u.int_in_range(0..=max)?.min(u.len());
    u.bytes(len)
}
