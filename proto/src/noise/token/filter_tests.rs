use super::*;
use crate::{
    noise::token::{ProbeKey, initial_dst_cid},
    random::Random,
    time::{Timestamp, UnixSeconds},
};

const OTHER_VERSION: u32 = 0x5372_0002;

fn now() -> Now {
    Now {
        monotonic: Timestamp::from_micros(1_000_000),
        unix: UnixSeconds(1_795_293_120),
    }
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn packet(first: u8, version: u32, dst_cid: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend_from_slice(&version.to_be_bytes());
    packet.push(u8::try_from(dst_cid.len()).unwrap());
    packet.extend_from_slice(dst_cid);
    packet.extend_from_slice(&[8, 1, 2, 3, 4, 5, 6, 7, 8]);
    packet.resize(INITIAL_BYTES_MIN, 0);
    packet
}

fn tagged(psk: &Psk, seed: u8) -> Vec<u8> {
    let cid = initial_dst_cid(psk, now().unix, &mut Random::from_seed([seed; 32]));
    packet(0xc0, QUIC_VERSION, &cid)
}

#[test]
fn only_holders_of_a_key_get_in_and_each_initial_once() {
    let (ours, theirs) = (Psk([1; 32]), Psk([2; 32]));
    let mut filter = InitialFilter::member(std::slice::from_ref(&ours));
    let good = tagged(&ours, 1);
    assert_eq!(filter.admits(now(), peer(1), &good), Verdict::Admit);
    assert_eq!(filter.admits(now(), peer(1), &good), Verdict::Admit);
    assert_eq!(
        filter.admits(now(), peer(2), &good),
        Verdict::Drop(DropReason::Replay)
    );
    assert_eq!(
        filter.admits(now(), peer(1), &tagged(&theirs, 1)),
        Verdict::Drop(DropReason::Stranger)
    );
    filter.set_keys(std::slice::from_ref(&theirs));
    assert_eq!(
        filter.admits(now(), peer(1), &tagged(&ours, 2)),
        Verdict::Drop(DropReason::Stranger)
    );
    assert_eq!(filter.admits(now(), peer(1), &tagged(&theirs, 2)), Verdict::Admit);
}

#[test]
fn ids_that_we_gave_out_pass_from_those_in_a_handshake() {
    let mut filter = InitialFilter::member(&[]);
    let answer = packet(0xc0, QUIC_VERSION, &[7; CONNECTION_ID_LEN]);
    assert_eq!(
        filter.admits(now(), peer(1), &answer),
        Verdict::Drop(DropReason::Stranger)
    );
    filter.sent(now(), peer(1), &[0x40; 1_200]);
    assert_eq!(
        filter.admits(now(), peer(1), &answer),
        Verdict::Drop(DropReason::Stranger)
    );
    filter.sent(now(), peer(1), &packet(0xc0, QUIC_VERSION, &[9; 16]));
    assert_eq!(filter.admits(now(), peer(1), &answer), Verdict::Admit);
    assert_eq!(
        filter.admits(now(), peer(2), &answer),
        Verdict::Drop(DropReason::Stranger)
    );
}

#[test]
fn short_headers_and_later_packets_of_our_version_pass() {
    let mut filter = InitialFilter::member(&[]);
    assert_eq!(filter.admits(now(), peer(1), &[]), Verdict::Admit);
    assert_eq!(filter.admits(now(), peer(1), &[0x40, 1, 2]), Verdict::Admit);
    for kind in [0xd0, 0xe0, 0xf0] {
        let packet = packet(kind, QUIC_VERSION, &[7; 8]);
        assert_eq!(filter.admits(now(), peer(1), &packet), Verdict::Admit);
    }
}

#[test]
fn a_holder_of_a_key_learns_of_the_version_and_believes_it() {
    let psk = Psk([1; 32]);
    let mut filter = InitialFilter::member(std::slice::from_ref(&psk));
    let cid = initial_dst_cid(&psk, now().unix, &mut Random::from_seed([1; 32]));
    let foreign = packet(0xc0, OTHER_VERSION, &cid);
    let Verdict::OtherVersion(notice) = filter.admits(now(), peer(1), &foreign) else {
        panic!("no notice");
    };
    assert!(notice.len() * 20 < foreign.len());
    assert_eq!(
        filter.admits(now(), peer(2), &foreign),
        Verdict::Drop(DropReason::Replay)
    );

    let mut dialler = InitialFilter::member(&[]);
    dialler.dials(&psk);
    assert_eq!(
        dialler.admits(now(), peer(5), &notice),
        Verdict::Drop(DropReason::Version)
    );
    dialler.sent(now(), peer(5), &foreign);
    assert_eq!(dialler.admits(now(), peer(5), &notice), Verdict::Admit);
    for byte in 5..notice.len() {
        let mut forged = notice.clone();
        forged[byte] ^= 1;
        assert_ne!(dialler.admits(now(), peer(5), &forged), Verdict::Admit);
    }
}

#[test]
fn strangers_learn_of_no_version_on_any_port() {
    for mut filter in [InitialFilter::member(&[Psk([1; 32])]), InitialFilter::relay()] {
        for version in [1, OTHER_VERSION, 0x1a2a_3a4a, 0] {
            for cid in [&[7_u8; 8][..], &[7; 16], &[7; 20], &[]] {
                let packet = packet(0xc0, version, cid);
                assert_eq!(
                    filter.admits(now(), peer(1), &packet),
                    Verdict::Drop(DropReason::Version)
                );
            }
        }
    }
    let mut relay = InitialFilter::relay();
    let initial = packet(0xc0, QUIC_VERSION, &[7; 16]);
    assert_eq!(relay.admits(now(), peer(1), &initial), Verdict::Admit);
}

#[test]
fn small_packets_of_other_versions_get_no_notice() {
    let psk = Psk([1; 32]);
    let mut filter = InitialFilter::member(std::slice::from_ref(&psk));
    let cid = initial_dst_cid(&psk, now().unix, &mut Random::from_seed([1; 32]));
    let foreign = packet(0xc0, OTHER_VERSION, &cid);
    assert_eq!(
        filter.admits(now(), peer(1), &foreign[..INITIAL_BYTES_MIN - 1]),
        Verdict::Drop(DropReason::Version)
    );
}

#[test]
fn any_prefix_of_a_long_header_is_handled() {
    let mut filter = InitialFilter::member(&[Psk([1; 32])]);
    let whole = tagged(&Psk([1; 32]), 1);
    for len in 1..40 {
        let _ = filter.admits(now(), peer(1), &whole[..len]);
    }
    let mut long = whole;
    long[5] = 21;
    assert_eq!(
        filter.admits(now(), peer(1), &long),
        Verdict::Drop(DropReason::Malformed)
    );
}

#[test]
fn probes_of_holders_of_a_key_are_told_once_and_others_forgotten() {
    let (ours, theirs) = (Psk([1; 32]), Psk([2; 32]));
    let mut random = Random::from_seed([5; 32]);
    let sender = ProbeSender::from(crate::ids::MemberId([7; 32]));
    let mut filter = InitialFilter::member(std::slice::from_ref(&ours));
    let probe = ProbeKey::new(&ours).seal(now().unix, sender, &mut random);
    assert_eq!(filter.admits(now(), peer(1), &probe), Verdict::Probe(sender));
    assert_eq!(
        filter.admits(now(), peer(2), &probe),
        Verdict::Drop(DropReason::Replay)
    );
    let strange = ProbeKey::new(&theirs).seal(now().unix, sender, &mut random);
    let stranger = Verdict::Drop(DropReason::Stranger);
    assert_eq!(filter.admits(now(), peer(1), &strange), stranger);
    assert_eq!(InitialFilter::relay().admits(now(), peer(1), &probe), stranger);
    assert_eq!(
        InitialFilter::member(&[]).admits(now(), peer(1), &probe),
        stranger
    );
}
