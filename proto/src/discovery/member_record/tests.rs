use proptest::prelude::*;

use super::*;
use crate::{
    discovery::{Bucket, RendezvousSecret},
    ids::MeetingId,
    meeting::room_secret::RoomSecret,
    policy::fixture::{NOW, descriptor_in, verified},
};

fn member() -> Identity {
    Identity::from_seed(&[40; 32])
}

fn secret(byte: u8) -> RendezvousSecret {
    RendezvousSecret::Members(RoomSecret::from_bytes([byte; 32]))
}

fn point_of(byte: u8, member: MemberId, bucket: Bucket) -> RendezvousPoint {
    secret(byte)
        .points(MeetingId([1; 16]), member, bucket)
        .next()
        .unwrap()
}

fn point() -> RendezvousPoint {
    point_of(7, member().member_id(), Bucket::of(NOW))
}

fn random() -> Random {
    Random::from_seed([5; 32])
}

fn record() -> MemberRecord {
    let relays = [verified(descriptor_in("DE"))];
    let addresses: Vec<SocketAddr> = vec![
        "192.0.2.1:4000".parse().unwrap(),
        "[2001:db8::1]:4000".parse().unwrap(),
    ];
    MemberRecord::new(member().member_id(), 9, &addresses, &relays)
}

#[test]
fn a_record_comes_back_from_its_place_and_from_nowhere_else() {
    let sealed = record().seal(&point(), &member(), &mut random());
    assert_eq!(sealed.len(), SEALED_BYTES);
    let opened = MemberRecord::open(NOW, &point(), &sealed).unwrap();
    assert_eq!(opened.addresses().count(), 2);
    assert_eq!(opened.relays(NOW).count(), 1);
    assert_eq!(opened.sequence, 9);

    let other_secret = point_of(8, member().member_id(), Bucket::of(NOW));
    assert_eq!(
        MemberRecord::open(NOW, &other_secret, &sealed),
        Err(RecordError::Seal)
    );
    let other_bucket = point_of(7, member().member_id(), Bucket(Bucket::of(NOW).0 + 1));
    assert_eq!(
        MemberRecord::open(NOW, &other_bucket, &sealed),
        Err(RecordError::Seal)
    );
    let same_secret = secret(7);
    let mut other_place = same_secret.points(MeetingId([1; 16]), member().member_id(), Bucket::of(NOW));
    assert_eq!(
        MemberRecord::open(NOW, &other_place.nth(1).unwrap(), &sealed),
        Err(RecordError::Seal)
    );
}

#[test]
fn another_holder_of_the_secret_cannot_speak_for_a_member() {
    let thief = Identity::from_seed(&[41; 32]);
    let victim = point();
    // The thief can seal for the victim's place, but not sign.
    let mut posing = victim.clone();
    posing.member = thief.member_id();
    let forged = MemberRecord::new(thief.member_id(), 99, &["203.0.113.66:1".parse().unwrap()], &[]);
    let sealed = forged.seal(&posing, &thief, &mut random());
    assert_eq!(
        MemberRecord::open(NOW, &victim, &sealed),
        Err(RecordError::Forged)
    );
}

#[test]
fn a_record_ends_with_its_bucket() {
    let sealed = record().seal(&point(), &member(), &mut random());
    let end = Bucket::of(NOW).end();
    assert!(MemberRecord::open(UnixSeconds(end.0 - 1), &point(), &sealed).is_ok());
    assert_eq!(
        MemberRecord::open(end, &point(), &sealed),
        Err(RecordError::Expired(end))
    );
    // Of a bucket far ahead, by somebody with a wrong clock.
    let ahead = point_of(7, member().member_id(), Bucket(Bucket::of(NOW).0 + 3));
    let sealed = record().seal(&ahead, &member(), &mut random());
    assert!(matches!(
        MemberRecord::open(NOW, &ahead, &sealed),
        Err(RecordError::TooLong(_))
    ));
    let late = UnixSeconds(ahead.bucket.end().0 - 1);
    assert!(MemberRecord::open(late, &ahead, &sealed).is_ok());
}

#[test]
fn too_much_is_left_out_and_every_record_has_one_size() {
    let addresses: Vec<SocketAddr> = (0..20_u16)
        .map(|port| SocketAddr::from(([2001, 0xdb8, 0, 0, 0, 0, 0, 1], 4_000 + port)))
        .chain(["0.0.0.0:1".parse().unwrap()])
        .collect();
    let relays: Vec<_> = (0..4).map(|_| verified(descriptor_in("DE"))).collect();
    let full = MemberRecord::new(member().member_id(), u64::MAX, &addresses, &relays);
    assert_eq!(full.addresses().count(), ADDRESSES_MAX);
    assert!(full.relays(NOW).count() >= 1);
    let bare = MemberRecord::new(member().member_id(), 0, &[], &[]);
    for record in [full, bare] {
        let sealed = record.seal(&point(), &member(), &mut random());
        assert_eq!(sealed.len(), SEALED_BYTES);
        assert!(MemberRecord::open(NOW, &point(), &sealed).is_ok());
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(at in 0..SEALED_BYTES, bit in 0..8_u8) {
        let mut sealed = record().seal(&point(), &member(), &mut random());
        sealed[at] ^= 1 << bit;
        prop_assert!(MemberRecord::open(NOW, &point(), &sealed).is_err());
    }

    #[test]
    fn records_round_trip_in_one_form(sequence: u64, ips in proptest::collection::btree_set((1_u8..=223, any::<u8>(), 1_u16..), 0..8)) {
        let addresses: Vec<SocketAddr> = ips.iter().map(|(a, b, port)| SocketAddr::from(([*a, *b, 0, 1], *port))).collect();
        let record = MemberRecord::new(member().member_id(), sequence, &addresses, &[]);
        let opened = MemberRecord::open(NOW, &point(), &record.seal(&point(), &member(), &mut random())).unwrap();
        prop_assert_eq!(opened.sequence, sequence);
        prop_assert_eq!(opened.addresses().collect::<Vec<_>>(), record.addresses().collect::<Vec<_>>());
        let bytes = codec::encode(&opened);
        prop_assert_eq!(codec::decode::<MemberRecord>(&bytes), Ok(opened));
    }

    #[test]
    fn garbage_never_opens(garbage in proptest::collection::vec(any::<u8>(), 0..SEALED_BYTES + 10)) {
        prop_assert!(MemberRecord::open(NOW, &point(), &garbage).is_err());
    }
}
