//! Frozen answers of our own handshake. A change of any of them is a change of protocol: raise the version, then write the
//! file again with `SUBROSA_FREEZE=1 cargo test -p subrosa-proto own_vectors`.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use quinn_proto::ConnectionId;

use super::Vector;
use crate::{
    identity::Identity,
    ids::MeetingId,
    noise::{
        Leg, Psk, QUIC_VERSION,
        binding::Context,
        exchange::{Accept, Dial, InitiatorExchange, ResponderExchange},
        initial,
        key_schedule::{Exporter, Level, Role, UpdateSecret, expand},
        resolver::x25519_public,
        token,
    },
    random::Random,
    time::UnixSeconds,
};

const NOW: UnixSeconds = UnixSeconds(1_795_293_120);
const FILE: &str = "../tests/vectors/noise/handshake.txt";

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, key: &str, value: &[u8]) {
        writeln!(self.0, "{key} = {}", HEXLOWER.encode(value)).unwrap();
    }
}

fn handshake(leg: Leg, lines: &mut Lines) {
    let (initiator, responder) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let keys = [(MeetingId([3; 16]), Psk([4; 32]))];
    let relay_secret = zeroize::Zeroizing::new([5; 32]);
    let relay_public = x25519_public(&relay_secret);
    let (accept, context) = if leg == Leg::Relay {
        (
            Accept::Anybody(&relay_secret),
            Context::new(leg, &responder.public()),
        )
    } else {
        (Accept::Members(leg, &keys), Context::new(leg, &keys[0].0.0))
    };
    let dial = Dial {
        identity: &initiator,
        context,
        version: QUIC_VERSION,
        psk: (leg != Leg::Relay).then_some(&keys[0].1),
        remote_static: (leg == Leg::Relay).then_some(&relay_public),
        expected: Some(responder.public()),
    };
    let (mut a, mut b) = (Random::from_seed([6; 32]), Random::from_seed([7; 32]));
    let (first, m1) = InitiatorExchange::start(&dial, b"parameters 1", &mut a).unwrap();
    let mut second = ResponderExchange::read(&accept, &responder, QUIC_VERSION, &m1, &mut b).unwrap();
    let (m2, responder_prk) = second.answer(&responder, b"parameters 2".to_vec(), NOW).unwrap();
    let answered = first.answer(&m2, NOW).unwrap();
    let (_, final_prk) = second.finish(&answered.m3, NOW).unwrap();

    lines.add("leg", &[leg as u8]);
    lines.add("m1", &m1);
    lines.add("m2", &m2);
    lines.add("m3", &answered.m3);
    for (name, prk, level) in [
        ("hs", &responder_prk, Level::Handshake),
        ("data", &final_prk, Level::Data),
        ("envelope", &final_prk, Level::Envelope),
    ] {
        for (side, role) in [("initiator", Role::Initiator), ("responder", Role::Responder)] {
            lines.add(
                &format!("{name}_{side}_key"),
                &expand::<32>(prk, level, role, b"key")[..],
            );
            lines.add(
                &format!("{name}_{side}_iv"),
                &expand::<12>(prk, level, role, b"iv")[..],
            );
            lines.add(
                &format!("{name}_{side}_hp"),
                &expand::<32>(prk, level, role, b"hp")[..],
            );
        }
    }
    let mut updates = UpdateSecret::first(&final_prk, Role::Initiator);
    for n in 1..=2 {
        let (key, iv) = updates.advance();
        lines.add(&format!("update_{n}_initiator_key"), &key[..]);
        lines.add(&format!("update_{n}_initiator_iv"), &iv[..]);
    }
    let mut exported = [0; 48];
    assert!(Exporter::new(&answered.final_prk).export(b"label", b"context", &mut exported));
    lines.add("exported", &exported);
}

/// What belongs to no leg.
fn port(lines: &mut Lines) {
    let cid = token::initial_dst_cid(&Psk([4; 32]), NOW, &mut Random::from_seed([8; 32]));
    lines.add("psk_id", &Psk([4; 32]).id().0);
    lines.add("tagged_cid", &cid);
    let cid = ConnectionId::new(&[9; 16]);
    lines.add("retry_tag", &initial::retry_tag(&cid, &[b"header", b"token"]));
    let mut packet = b"headerpayload".to_vec();
    packet.resize(packet.len() + 16, 0);
    let keys = initial::keys(&cid, Role::Initiator);
    keys.packet.local.encrypt(3, &mut packet, 6);
    lines.add("initial_packet", &packet);
}

#[test]
fn own_vectors_are_frozen() {
    let mut lines = Lines(
        "# Frozen answers of the handshake; the inputs are in proto/src/noise/tests/own_vectors.rs.\n\n"
            .into(),
    );
    for leg in [Leg::Member, Leg::Relay, Leg::Envelope] {
        handshake(leg, &mut lines);
        lines.0.push('\n');
    }
    port(&mut lines);
    if std::env::var_os("SUBROSA_FREEZE").is_some() {
        std::fs::write(FILE, &lines.0).unwrap();
    }
    let frozen = std::fs::read_to_string(FILE).unwrap();
    assert_eq!(Vector::read(&frozen).len(), 4);
    for (frozen, computed) in frozen.lines().zip(lines.0.lines()) {
        assert_eq!(frozen, computed);
    }
    assert_eq!(frozen.len(), lines.0.len());
}
