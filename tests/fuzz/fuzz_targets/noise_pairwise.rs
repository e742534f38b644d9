//! The Noise handshake and the session that follows it, under damaged, foreign and invented messages. Only what the other
//! side made is accepted, and each sealed message once.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, UNIX, damage, identity, member, random, some_bytes};
use subrosa_proto::{
    ids::MeetingId,
    noise::{
        Psk,
        pairwise::{HANDSHAKE_BYTES_MAX, Initiator, OVERHEAD_BYTES, Responder, Session},
    },
    random::Random,
    time::UnixSeconds,
};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u, random(data));
});

fn keys() -> [(MeetingId, Psk); 2] {
    [(MeetingId([8; 16]), Psk([8; 32])), (MEETING, Psk([1; 32]))]
}

fn run(u: &mut Unstructured<'_>, mut random: Random) -> Result<()> {
    let stage = u.int_in_range(0..=4_u8)?;
    if stage == 0 {
        let m1 = u.bytes(u.len())?;
        let read = Responder::read_m1(identity(2), &keys(), UNIX, &mut random, m1);
        assert!(read.is_err(), "a message 1 out of nothing");
        return Ok(());
    }
    let expected = match u.int_in_range(0..=3_u8)? {
        0 => Some(member(3)),
        1 => None,
        _ => Some(member(2)),
    };
    let (initiator, mut m1) = Initiator::new(identity(1), MEETING, &keys()[1].1, expected, &mut random);
    assert!(m1.len() <= HANDSHAKE_BYTES_MAX);
    let damaged = stage == 1 && spoil(u, &mut m1)?;
    let read = Responder::read_m1(identity(2), &keys(), UNIX, &mut random, &m1);
    assert_eq!(read.is_err(), damaged, "message 1");
    let Ok((responder, mut m2, index)) = read else {
        return Ok(());
    };
    assert!(index == 1 && m2.len() <= HANDSHAKE_BYTES_MAX);

    let damaged = stage == 2 && spoil(u, &mut m2)?;
    let late = stage == 3 && u.ratio(1, 8)?;
    let then = if late { UnixSeconds(UNIX.0 + 100_000) } else { UNIX };
    let read = initiator.read_m2(then, &m2);
    assert_eq!(
        read.is_err(),
        damaged || late || expected == Some(member(3)),
        "message 2"
    );
    let Ok((ours, mut m3, peer)) = read else {
        return Ok(());
    };
    assert!(peer == member(2) && m3.len() <= HANDSHAKE_BYTES_MAX);

    let damaged = stage == 3 && spoil(u, &mut m3)?;
    let read = responder.read_m3(UNIX, &m3);
    assert_eq!(read.is_err(), damaged, "message 3");
    let Ok((theirs, peer)) = read else { return Ok(()) };
    assert_eq!(peer, member(1));
    talk(u, [ours, theirs])
}

/// Damages a handshake message, or puts another in its place.
fn spoil(u: &mut Unstructured<'_>, message: &mut Vec<u8>) -> Result<bool> {
    if u.ratio(1, 4)? {
        let other = some_bytes(u, 3_000)?.to_vec();
        let changed = *message != other;
        *message = other;
        return Ok(changed);
    }
    damage(u, message)
}

struct Sealed {
    from: usize,
    text: Vec<u8>,
    sealed: Vec<u8>,
    opened: bool,
}

fn talk(u: &mut Unstructured<'_>, mut sessions: [Session; 2]) -> Result<()> {
    let mut sent: Vec<Sealed> = Vec::new();
    for _ in 0..200 {
        if u.is_empty() {
            break;
        }
        let side = usize::from(u.arbitrary::<bool>()?);
        match u.int_in_range(0..=4_u8)? {
            0 | 1 => {
                let text = some_bytes(u, 48)?.to_vec();
                let sealed = sessions[side].seal(&text).expect("far from its bounds");
                assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
                assert!(
                    sent.iter().all(|other| other.sealed != sealed),
                    "one counter twice"
                );
                sent.push(Sealed {
                    from: side,
                    text,
                    sealed,
                    opened: false,
                });
            }
            2 => {
                let bytes = some_bytes(u, 200)?;
                let known = sent.iter().any(|it| it.sealed == bytes);
                assert!(known || sessions[side].open(bytes).is_err());
            }
            _ if sent.is_empty() => {}
            3 => {
                let it = &sent[u.choose_index(sent.len())?];
                let mut bytes = it.sealed.clone();
                if damage(u, &mut bytes)? && sent.iter().all(|it| it.sealed != bytes) {
                    assert!(sessions[side].open(&bytes).is_err());
                }
            }
            _ => {
                let at = u.choose_index(sent.len())?;
                let it = &mut sent[at];
                let good = it.from != side && !it.opened;
                match sessions[side].open(&it.sealed) {
                    Ok(text) => {
                        assert!(
                            good && text == it.text,
                            "opened twice, by the sender, or as something else"
                        );
                        it.opened = true;
                    }
                    // At most 200 messages: none is too old.
                    Err(_) => assert!(!good, "a good message was refused"),
                }
            }
        }
    }
    Ok(())
}
