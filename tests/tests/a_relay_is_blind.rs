//! A relay process carries a call and holds nothing of it: neither its memory nor anything that it received contains a
//! name, an identity, a secret or sound.

use std::time::Duration;

use subrosa_proto::{
    ids::MemberId,
    meeting::room_secret::{Day, RoomSecret, TicketSecret},
    wire::ticket::Ticket,
};

use crate::support::{
    Scratch,
    hearing::{babble, pieces, share_heard, silence, write_clip},
    markers::Markers,
    member::{Member, Options},
    peer::{Peer, PeerOptions},
    proxy::Proxy,
    relay::Relay,
};

const HOST: &str = "Hortensia-Quillfeather-of-Zanzibar";
const GUEST: &str = "Ignatius-Waxflower-of-Samarkand";
const OBSERVER: &str = "Philippa-Thistledown-of-Cuzco";
const OPERATOR: &str = "Blindworm-Relays";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_holds_neither_sound_nor_any_secret_of_the_meeting() {
    let home = Scratch::new();
    let proxy = Proxy::start(None);
    let relay = Relay::start_behind(&home, OPERATOR, "DE", Some(proxy.address()));
    proxy.set_target(relay.listen);
    let clip_sound = [silence(2.0), babble("alice", 12.0)].concat();
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &clip_sound);

    // The host may be dialled directly, so that the observer's direct link tells it the room secret; the guest is
    // reached over the relay only.
    let host = Member::found(&home, HOST, &Options::says(&clip).relay(&relay.descriptor));
    let ticket = host.ticket();
    let guest = Member::join(&home, GUEST, &ticket, &Options::default().with(&["--no-direct"]));
    guest.wait_connected(1);
    let route = guest.wait("route", |e| e["event"] == "route").event;
    assert_eq!(
        (&route["path"], &route["via"]),
        (&"relay".into(), &OPERATOR.into()),
        "{route}"
    );
    let mut observer = Peer::join(OBSERVER, &ticket, PeerOptions::default());
    observer.run_until("sound", |peer| peer.media.len() > 300).await;

    let (markers, controls) = markers(&ticket, &host, &guest, &observer);
    observer.run_for(Duration::from_secs(2)).await;
    let captured: Vec<u8> = proxy
        .passed()
        .into_iter()
        .flat_map(|passed| passed.bytes)
        .collect();
    assert!(captured.len() > 50_000, "{} bytes were captured", captured.len());
    assert_eq!(markers.found_in(&captured), [""; 0], "on the wire");
    let (found, searched) = markers.found_in_memory(relay.pid());
    println!(
        "{} markers, {searched} bytes of memory, {} bytes on the wire",
        markers.len(),
        captured.len()
    );
    assert_eq!(found, [""; 0], "in the relay's memory");
    assert!(relay.counter("frames_forwarded") > 100, "{}", relay.story());
    let clip_pieces = pieces(&host, &clip_sound, &guest);
    let heard = share_heard(&clip_pieces, 3.0, 5.0);
    assert!(
        heard > 0.5,
        "the relay carried {heard} of the sound\n{}",
        guest.story()
    );

    // The search finds what is there: what the relay must know in its memory, the host's secrets in the host's.
    let (found, _) = controls.found_in_memory(relay.pid());
    assert_eq!(found, ["lobby room", "operator"], "the search itself");
    let (found, _) = markers.found_in_memory(host.pid());
    for expected in [
        "name of the host",
        "ticket secret",
        "identity of the guest",
        "meeting",
        "room secret",
    ] {
        assert!(
            found.contains(&expected),
            "the search misses {expected}: {found:?}"
        );
    }
}

/// What must not be found, and what must.
fn markers(ticket: &str, host: &Member, guest: &Member, observer: &Peer) -> (Markers, Markers) {
    let mut markers = Markers::default();
    markers.add("name of the host", HOST.as_bytes());
    markers.add("name of the guest", GUEST.as_bytes());
    markers.add("name of the observer", OBSERVER.as_bytes());
    for (name, id) in [
        ("identity of the host", host.id()),
        ("identity of the guest", guest.id()),
        ("identity of the observer", observer.id()),
    ] {
        let id: MemberId = id.parse().expect("an identity");
        markers.add_with_hex(name, &id.0);
    }
    let now = subrosa_node::driver::clock::unix_now();
    let parsed = Ticket::parse(ticket, now).expect("a ticket");
    let terms = parsed.terms();
    let meeting = terms.meeting;
    markers.add_with_hex("meeting", &meeting.0);
    markers.add("ticket", &ticket.as_bytes()[..40]);
    markers.add_with_hex("ticket secret", &*terms.secret);
    let secret = TicketSecret::from_bytes(*terms.secret);
    markers.add_with_hex("lobby key", &*secret.lobby_psk(&meeting, terms.epoch));
    let grant = observer
        .grants
        .first()
        .expect("the direct link told the room secret");
    let room_secret = RoomSecret::from_bytes(grant.secret);
    markers.add_with_hex("room secret", &grant.secret);
    markers.add_with_hex("members' key", &*room_secret.member_psk(&meeting));
    // Sound as it was encoded, and as it was spoken.
    for (index, (_, frame)) in observer.media.iter().enumerate().step_by(10) {
        let payload = &frame.payload;
        if let Some(middle) = payload
            .get(8..40)
            .filter(|part| part.iter().any(|b| *b != part[0]))
        {
            markers.add(format!("encoded frame {index}"), middle);
        }
    }
    for (index, second) in babble("alice", 5.0).chunks(24_000).enumerate() {
        let loud = &second[2_000..2_016];
        let samples: Vec<u8> = loud
            .iter()
            .flat_map(|s| ((s * 32_767.0) as i16).to_le_bytes())
            .collect();
        markers.add(format!("samples {index}"), &samples);
        let floats: Vec<u8> = loud.iter().flat_map(|s| s.to_le_bytes()).collect();
        markers.add(format!("floating-point samples {index}"), &floats);
    }
    let mut controls = Markers::default();
    controls.add("operator", OPERATOR.as_bytes());
    let descriptor = terms.relays[0].unverified();
    let room = secret.lobby_room(&meeting, &descriptor.relay, Day::of(now));
    controls.add("lobby room", &room.0);
    (markers, controls)
}
