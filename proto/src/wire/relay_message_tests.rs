use proptest::{collection::vec, option, prelude::*};

use super::*;

fn room() -> impl Strategy<Value = RoomId> {
    any::<[u8; 16]>().prop_map(RoomId)
}

fn alias() -> impl Strategy<Value = Alias> {
    any::<[u8; 8]>().prop_map(Alias)
}

fn track() -> impl Strategy<Value = TrackAlias> {
    any::<[u8; 8]>().prop_map(TrackAlias)
}

fn bounded<const MAX: usize>(upto: usize) -> impl Strategy<Value = BoundedBytes<MAX>> {
    vec(any::<u8>(), 0..=upto.min(MAX)).prop_map(|bytes| bytes.try_into().unwrap())
}

fn request() -> impl Strategy<Value = RelayRequest> {
    prop_oneof![
        (room(), alias(), option::of(bounded(40))).prop_map(|(room, alias, token)| RelayRequest::Join {
            room,
            alias,
            token
        }),
        room().prop_map(|room| RelayRequest::Leave { room }),
        (room(), track()).prop_map(|(room, track)| RelayRequest::Announce { room, track }),
        (room(), track()).prop_map(|(room, track)| RelayRequest::Withdraw { room, track }),
        (room(), track()).prop_map(|(room, track)| RelayRequest::Subscribe { room, track }),
        (room(), track()).prop_map(|(room, track)| RelayRequest::Unsubscribe { room, track }),
        (room(), alias(), bounded(600)).prop_map(|(room, to, bytes)| RelayRequest::Envelope {
            room,
            to,
            bytes
        }),
        any::<u64>().prop_map(|nonce| RelayRequest::Ping { nonce }),
        (bounded(300), room(), alias(), option::of(bounded(40))).prop_map(|(relay, room, alias, token)| {
            RelayRequest::JoinThrough {
                relay,
                room,
                alias,
                token,
            }
        }),
        (room(), alias(), option::of(bounded(40))).prop_map(|(room, alias, token)| RelayRequest::JoinAs {
            room,
            alias,
            token
        }),
        (room(), alias(), alias(), bounded(600)).prop_map(|(room, from, to, bytes)| {
            RelayRequest::EnvelopeFrom {
                room,
                from,
                to,
                bytes,
            }
        }),
        (room(), alias()).prop_map(|(room, alias)| RelayRequest::LeaveAs { room, alias }),
        Just(RelayRequest::State),
    ]
}

fn notice() -> impl Strategy<Value = RelayNotice> {
    let limits =
        (any::<[u16; 4]>(), any::<u64>(), any::<u32>()).prop_map(|(n, bits_per_second, burst_bytes)| {
            SessionLimits {
                rooms: n[0],
                tracks: n[1],
                subscriptions: n[2],
                bits_per_second,
                burst_bytes,
                envelopes_per_second: n[3],
            }
        });
    let refusable = (room(), track(), alias(), 0..5).prop_map(|(room, track, alias, pick)| match pick {
        0 => Refusable::Session,
        1 => Refusable::Subscribe(room, track),
        2 => Refusable::Envelope(room, alias),
        3 => Refusable::EnvelopeFrom(room, alias, alias),
        _ => Refusable::Media(track),
    });
    prop_oneof![
        (bounded(300), limits).prop_map(|(descriptor, limits)| RelayNotice::Welcome { descriptor, limits }),
        (room(), vec(alias(), 0..20)).prop_map(|(room, present)| RelayNotice::Joined {
            room,
            present: present.try_into().unwrap()
        }),
        (room(), alias()).prop_map(|(room, alias)| RelayNotice::Gone { room, alias }),
        (room(), alias(), bounded(600)).prop_map(|(room, from, bytes)| RelayNotice::Envelope {
            room,
            from,
            bytes
        }),
        (refusable, "\\PC{0,60}").prop_map(|(what, detail)| RelayNotice::Refused {
            what,
            code: RefusalCode::RoomBitrate,
            detail: BoundedText::cut(&detail),
        }),
        (room(), vec(bounded(90), 0..=REDIRECT_MAX)).prop_map(|(room, relays)| RelayNotice::Redirect {
            room,
            relays: relays.try_into().unwrap()
        }),
        any::<u32>().prop_map(|deadline_s| RelayNotice::Draining { deadline_s }),
        (room(), alias(), alias(), bounded(600)).prop_map(|(room, to, from, bytes)| {
            RelayNotice::EnvelopeTo {
                room,
                to,
                from,
                bytes,
            }
        }),
        (bounded(300), option::of(any::<u32>()), any::<bool>()).prop_map(|(descriptor, rtt_us, draining)| {
            RelayNotice::Through {
                descriptor,
                rtt_us,
                draining,
            }
        }),
        (0..1_200_u64, any::<u64>()).prop_map(|(permille, time)| RelayNotice::State {
            load: Load::from_permille(permille),
            time: UnixSeconds(time),
        }),
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| RelayNotice::Observed {
            address: WireAddress::V4(ip, port)
        }),
        any::<([u8; 16], u16)>().prop_map(|(ip, port)| RelayNotice::Observed {
            address: WireAddress::V6(ip, port)
        }),
    ]
}

proptest! {
    #[test]
    fn requests_round_trip(request in request()) {
        prop_assert_eq!(RelayRequest::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn notices_round_trip(notice in notice()) {
        prop_assert_eq!(RelayNotice::decode(&notice.encode()), Ok(notice));
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in vec(any::<u8>(), 0..120)) {
        if let Ok(request) = RelayRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(notice) = RelayNotice::decode(&bytes) {
            prop_assert_eq!(notice.encode(), bytes);
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_or_another_message(request in request(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = request.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(other) = RelayRequest::decode(&bytes) {
            prop_assert_ne!(other, request);
        }
    }
}

#[test]
fn the_largest_of_each_list_fits_a_control_frame() {
    let joined = RelayNotice::Joined {
        room: RoomId([0; 16]),
        present: vec![Alias([0xff; 8]); PRESENT_MAX].try_into().unwrap(),
    };
    assert!(joined.encode().len() <= codec::CONTROL_BYTES_MAX);
    let descriptor: DescriptorBytes = vec![0; DESCRIPTOR_BYTES_MAX].try_into().unwrap();
    let redirect = RelayNotice::Redirect {
        room: RoomId([0; 16]),
        relays: vec![descriptor; REDIRECT_MAX].try_into().unwrap(),
    };
    assert!(redirect.encode().len() <= codec::CONTROL_BYTES_MAX);
}

#[test]
fn an_envelope_beyond_its_bound_is_refused() {
    let bytes: EnvelopeBytes = vec![7; ENVELOPE_BYTES_MAX].try_into().unwrap();
    let whole = RelayRequest::Envelope {
        room: RoomId([1; 16]),
        to: Alias([2; 8]),
        bytes,
    };
    assert!(RelayRequest::decode(&whole.encode()).is_ok());
    let mut longer = whole.encode();
    // The length field of the bytes: a varint of marker 251 and a little-endian u16, after tag, room and alias.
    assert_eq!(longer[25], 251);
    longer[26..28].copy_from_slice(&(ENVELOPE_BYTES_MAX as u16 + 1).to_le_bytes());
    longer.push(7);
    assert_eq!(RelayRequest::decode(&longer), Err(DecodeError::Malformed));
}

#[test]
fn the_encoding_is_frozen() {
    let hex = |bytes: Vec<u8>| data_encoding::HEXLOWER.encode(&bytes);
    let (room, alias, track) = (RoomId([0x11; 16]), Alias([0x22; 8]), TrackAlias([0x33; 8]));
    let (room_hex, alias_hex, track_hex) = ("11".repeat(16), "22".repeat(8), "33".repeat(8));
    let join = RelayRequest::Join {
        room,
        alias,
        token: Some(vec![9].try_into().unwrap()),
    };
    assert_eq!(hex(join.encode()), format!("00{room_hex}{alias_hex}010109"));
    let subscribe = RelayRequest::Subscribe { room, track };
    assert_eq!(hex(subscribe.encode()), format!("04{room_hex}{track_hex}"));
    let ping = RelayRequest::Ping { nonce: 0x1234 };
    assert_eq!(hex(ping.encode()), "07fb3412");
    let refused = RelayNotice::Refused {
        what: Refusable::Envelope(room, alias),
        code: RefusalCode::NobodyThere,
        detail: BoundedText::cut("no"),
    };
    assert_eq!(
        hex(refused.encode()),
        format!("0804{room_hex}{alias_hex}0c026e6f")
    );
    let draining = RelayNotice::Draining { deadline_s: 60 };
    assert_eq!(hex(draining.encode()), "0a3c");
}
