//! What a hostile network gives to whoever looks: values under any key, damaged records, records of other places, well
//! signed ones of liars. Nothing is believed that its member did not sign for that place and hour; nothing is stored that
//! the rules do not know.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, UNIX, canonical, identity};
use subrosa_proto::{
    discovery::{
        Bucket, DhtKey, Directory, MemberRecord, PeerBook, RendezvousPoint, RendezvousSecret,
        member_record::SEALED_BYTES, store_rule,
    },
    ids::MemberId,
    meeting::room_secret::RoomSecret,
    policy::SignedDescriptor,
    random::Random,
    time::UnixSeconds,
};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u);
});

fn point(member: MemberId, place: usize) -> RendezvousPoint {
    let secret = RendezvousSecret::Members(RoomSecret::from_bytes([7; 32]));
    let bucket = Bucket::of(UNIX);
    let mut points = secret.points(MEETING, member, bucket);
    points.nth(place % 2).expect("two places")
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let author = identity(1);
    let here = point(author.member_id(), 0);
    match u.int_in_range(0..=4_u8)? {
        0 => {
            let bytes = u.bytes(u.len())?;
            assert!(
                MemberRecord::open(UNIX, &here, bytes).is_err(),
                "nobody signed that"
            );
            let _ = canonical::<MemberRecord>(bytes);
        }
        1 => {
            // A member says what it likes about itself, and somebody damages it.
            let Some(mut record) = canonical::<MemberRecord>(u.bytes(u.len().min(1_500))?) else {
                return Ok(());
            };
            record.member = author.member_id();
            let record = MemberRecord::new(
                record.member,
                record.sequence,
                &record.addresses().collect::<Vec<_>>(),
                &record.relays(UNIX).collect::<Vec<_>>(),
            );
            let mut random = Random::from_seed([3; 32]);
            let sealed = record.seal(&here, author, &mut random);
            assert_eq!(sealed.len(), SEALED_BYTES);
            let opened = MemberRecord::open(UNIX, &here, &sealed).expect("sealed a moment ago");
            assert!(MemberRecord::open(UNIX, &point(author.member_id(), 1), &sealed).is_err());
            let mut book = PeerBook::default();
            assert_eq!(book.insert(UNIX, opened.clone()), Ok(true));
            assert_eq!(book.insert(UNIX, opened), Ok(false));
        }
        2 => {
            let record = MemberRecord::new(author.member_id(), u.arbitrary()?, &[], &[]);
            let mut sealed = record.seal(&here, author, &mut Random::from_seed([3; 32]));
            let at = u.choose_index(sealed.len())?;
            let by = u.int_in_range(1..=255_u8)?;
            sealed[at] ^= by;
            assert!(
                MemberRecord::open(UNIX, &here, &sealed).is_err(),
                "damaged at {at}"
            );
        }
        3 => {
            let mut key = u.bytes(u.len().min(32))?.to_vec();
            let kinds: [&[u8]; 4] = [b"/sr-meet/", b"/sr-relay/", &[0x12, 0x20], b""];
            key.splice(0..0, u.choose(&kinds)?.iter().copied());
            let value = u.bytes(u.len())?;
            if store_rule::check(UNIX, &key, value, None).is_ok() {
                let key = DhtKey::from_bytes(&key).expect("a key of ours");
                assert!(value.len() <= store_rule::VALUE_BYTES_MAX);
                assert!(!matches!(key, DhtKey::Country(_)));
            }
        }
        _ => {
            let later: u32 = u.arbitrary()?;
            let now = UnixSeconds(UNIX.0 + u64::from(later % 200_000));
            let value = u.bytes(u.len())?;
            let key = DhtKey::Descriptor(identity(8).relay_id());
            let mut directory = Directory::default();
            if directory.insert(now, key, value).is_ok() {
                let signed = SignedDescriptor::from_bytes(value).expect("it was read");
                let verified = signed.verify(now).expect("it was verified");
                assert_eq!(verified.relay, identity(8).relay_id());
            }
        }
    }
    Ok(())
}
