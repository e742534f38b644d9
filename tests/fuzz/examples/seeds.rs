//! Writes small valid inputs for the targets that read whole messages: `seeds/TARGET/NAME`. Run in tests/fuzz:
//! `cargo run --example seeds`. The files are committed; run it again when a format changes.

use std::{collections::BTreeSet, fs, path::Path};

use subrosa_fuzz::{MEETING, UNIX, identity, member, values};
use subrosa_proto::{
    channel::envelope::EnvelopeContent,
    ids::{Alias, MemberId, OperationHash, PolicyHash, RoomId, StreamId, TrackAlias},
    media::{
        payload::{AudioHeader, AudioPayload, FrameDuration, SpeechLevel},
        reception_report::{ReceptionReport, ReceptionReportValues},
    },
    meeting::{
        admission::{AdmissionMode, Knock, RefusalReason},
        keys::{KeyMessage, Publisher},
        name::Name,
        operation::{Op, RemoveReason, SignedOperation},
        role::Role,
        room_secret::RoomSecretCommitment,
    },
    noise::binding::{IdentityBinding, ResponderPayload},
    policy::{
        Preset, RoutePolicy, SignedDescriptor, SignedPolicy,
        attestation::{self, Attestation, Claim},
        family::Membership,
    },
    random::Random,
    relay::RelayLimits,
    sframe::{MediaContext, source_authenticator::SourceAuthenticator},
    time::{Timestamp, UnixSeconds},
    wire::{
        codec,
        control_message::{
            ControlMessage, FormerSecret, Hello, PeerHint, RoomSecretGrant, Welcome, WireAddress,
        },
        forwarding_message::ForwardingMessage,
        media_packet::{MediaHeader, MediaKind},
        relay_message::{Refusable, RefusalCode, RelayNotice, RelayRequest},
        stream_object::StreamHeader,
        ticket::{Ticket, TicketTerms},
    },
};

#[path = "seeds/doors.rs"]
mod doors;
#[path = "seeds/spoken.rs"]
mod spoken;

pub fn main() -> std::io::Result<()> {
    control_messages()?;
    spoken::write_all(operations())?;
    doors::write_all(&operations())?;
    relay_messages()?;
    signed_objects()?;
    headers()?;
    tickets()?;
    descriptors()?;
    policies()?;
    audio()?;
    machines()
}

/// Inputs of some length for the targets that read a sequence of steps: libFuzzer begins with a few bytes and takes long
/// to make them longer.
fn machines() -> std::io::Result<()> {
    let targets = [
        "checkpoint",
        "conversation",
        "kept_records",
        "noise_pairwise",
        "packet_stream",
        "pairwise_channel",
        "participant_peers",
        "participant_relay",
        "playout",
        "relay",
        "roster_log",
        "sender_keys",
        "silent_port",
    ];
    for target in targets {
        let mut random = Random::from_seed([1; 32]).fork(target);
        for number in 0..12_usize {
            let mut bytes = vec![0; 60 + 30 * number];
            random.fill(&mut bytes);
            write(target, &format!("random{number:02}"), &bytes)?;
        }
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new("seeds").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// With the byte in front by which a target chooses the parser.
fn write_for(target: &str, selector: u8, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    write(target, name, &[&[selector], bytes].concat())
}

fn ana() -> Name {
    Name::new("Ana").expect("a name")
}

fn address() -> WireAddress {
    WireAddress::V4([203, 0, 113, 7], 4433)
}

fn operations() -> Vec<SignedOperation> {
    let commitment = RoomSecretCommitment([1; 32]);
    let found = Op::Found {
        policy: PolicyHash([5; 32]),
        name: ana(),
        admission: AdmissionMode::Ask,
        room_secret: commitment,
    };
    let mut signed = vec![SignedOperation::sign(identity(0), MEETING, 0, Vec::new(), found).expect("valid")];
    let ops = [
        Op::Admit {
            member: member(1),
            name: ana(),
            role: Role::Speaker,
        },
        Op::Role {
            member: member(1),
            role: Role::CoHost,
        },
        Op::Lock { locked: true },
        Op::Policy {
            policy: PolicyHash([6; 32]),
        },
        Op::Remove {
            member: member(1),
            reason: RemoveReason::Disruption,
            room_secret: commitment,
        },
        Op::Leave,
    ];
    for (seq, op) in (1..).zip(ops) {
        let parents = signed.last().map(SignedOperation::hash).into_iter().collect();
        signed.push(SignedOperation::sign(identity(0), MEETING, seq, parents, op).expect("valid"));
    }
    signed
}

fn publisher() -> Publisher {
    let mut publisher = Publisher::new(
        identity(1).clone(),
        MEETING,
        PolicyHash([5; 32]),
        Random::from_seed([9; 32]),
    );
    let recipients: BTreeSet<MemberId> = [member(2), member(3)].into();
    publisher
        .set_recipients(Timestamp::ZERO, &recipients, &[OperationHash([6; 32])], false)
        .expect("two recipients");
    publisher
}

fn key_message() -> KeyMessage {
    publisher()
        .poll_transmit(Timestamp::ZERO)
        .expect("a key is due")
        .1
}

fn report() -> ReceptionReport {
    ReceptionReportValues {
        highest_sequence: 1_000,
        expected: 100,
        lost: 5,
        bursts: 2,
        longest_burst: 3,
        concealed: 4,
        late: 1,
        jitter_us: 900,
        delay_ms: 20,
    }
    .try_into()
    .expect("consistent")
}

fn control_messages() -> std::io::Result<()> {
    let grant = RoomSecretGrant {
        operation: OperationHash([6; 32]),
        secret: [3; 32],
        ticket: None,
    };
    let key = key_message();
    let ack = subrosa_proto::meeting::keys::KeyAck {
        instance: key.statement.instance,
        key: key.statement.key,
    };
    let descriptor = values::verified(8, "DE").signed().to_bytes();
    let messages = [
        (
            "hello",
            ControlMessage::Hello(Hello {
                name: ana(),
                addresses: vec![address()].try_into().expect("one"),
                relays: vec![descriptor.try_into().expect("fits")]
                    .try_into()
                    .expect("one"),
                ways: vec![(
                    subrosa_proto::ids::RelayId([6; 32]),
                    subrosa_proto::ids::RelayId([7; 32]),
                )]
                .try_into()
                .expect("one"),
            }),
        ),
        ("waiting", ControlMessage::Waiting),
        ("refused", ControlMessage::Refused(RefusalReason::ByHost)),
        (
            "welcome",
            ControlMessage::Welcome(Box::new(Welcome {
                grant: grant.clone(),
                former: vec![FormerSecret {
                    operation: OperationHash([5; 32]),
                    secret: [4; 32],
                }]
                .try_into()
                .expect("one"),
            })),
        ),
        (
            "operations",
            ControlMessage::Operations(operations().try_into().expect("few")),
        ),
        (
            "heads",
            ControlMessage::Heads(vec![OperationHash([6; 32])].try_into().expect("one")),
        ),
        (
            "want",
            ControlMessage::WantOperations(vec![OperationHash([6; 32])].try_into().expect("one")),
        ),
        ("secret", ControlMessage::RoomSecret(grant)),
        (
            "want_secret",
            ControlMessage::WantRoomSecret(OperationHash([6; 32])),
        ),
        (
            "peers",
            ControlMessage::Peers(
                vec![PeerHint {
                    member: member(1),
                    addresses: vec![address()].try_into().expect("one"),
                }]
                .try_into()
                .expect("one"),
            ),
        ),
        ("key", ControlMessage::Key(Box::new(key))),
        ("key_ack", ControlMessage::KeyAck(ack)),
        ("subscribe", ControlMessage::Subscribe(StreamId::AUDIO)),
        ("report", ControlMessage::Report(report())),
        ("ping", ControlMessage::Ping(7)),
        (
            "forwarding",
            ControlMessage::Forwarding(Box::new(ForwardingMessage::Subscribe(member(1)))),
        ),
    ];
    for (name, message) in messages {
        write("control_message", name, &message.encode())?;
    }
    Ok(())
}

fn relay_messages() -> std::io::Result<()> {
    let (room, track, alias) = (RoomId([1; 16]), TrackAlias([2; 8]), Alias([3; 8]));
    let requests = [
        RelayRequest::Join {
            room,
            alias,
            token: None,
        },
        RelayRequest::Leave { room },
        RelayRequest::Announce { room, track },
        RelayRequest::Subscribe { room, track },
        RelayRequest::Envelope {
            room,
            to: alias,
            bytes: vec![1, 2, 3].try_into().expect("fits"),
        },
        RelayRequest::Ping { nonce: 7 },
    ];
    for (number, request) in requests.iter().enumerate() {
        write_for("relay_message", 0, &format!("request{number}"), &request.encode())?;
    }
    let descriptor = values::verified(8, "DE").signed().to_bytes();
    let notices = [
        RelayNotice::Welcome {
            descriptor: descriptor.clone().try_into().expect("fits"),
            limits: RelayLimits::default().session(),
        },
        RelayNotice::Joined {
            room,
            present: vec![alias].try_into().expect("one"),
        },
        RelayNotice::Present { room, alias },
        RelayNotice::Subscribe { room, track },
        RelayNotice::Envelope {
            room,
            from: alias,
            bytes: vec![1, 2, 3].try_into().expect("fits"),
        },
        RelayNotice::Refused {
            what: Refusable::Join(room),
            code: RefusalCode::RoomFull,
            detail: subrosa_proto::wire::bounded::BoundedText::cut("full"),
        },
        RelayNotice::Redirect {
            room,
            relays: vec![descriptor.try_into().expect("fits")]
                .try_into()
                .expect("one"),
        },
        RelayNotice::Draining { deadline_s: 30 },
        RelayNotice::EnvelopeTo {
            room,
            to: alias,
            from: alias,
            bytes: vec![1, 2, 3].try_into().expect("fits"),
        },
        RelayNotice::Through {
            descriptor: values::verified(8, "DE")
                .signed()
                .to_bytes()
                .try_into()
                .expect("fits"),
            rtt_us: Some(20_000),
            draining: false,
        },
    ];
    for (number, notice) in notices.iter().enumerate() {
        write_for("relay_message", 1, &format!("notice{number}"), &notice.encode())?;
    }
    Ok(())
}

fn signed_objects() -> std::io::Result<()> {
    let target = "signed_objects";
    let key = key_message();
    write_for(target, 0, "key_message", &codec::encode(&key))?;
    let ack = subrosa_proto::meeting::keys::KeyAck {
        instance: key.statement.instance,
        key: key.statement.key,
    };
    write_for(target, 1, "key_ack", &codec::encode(&ack))?;
    let mut publisher = publisher();
    let mut authenticator = SourceAuthenticator::new(
        identity(1).clone(),
        MEETING,
        StreamId::AUDIO,
        publisher.instance(),
    );
    let context = MediaContext {
        kind: MediaKind::Audio,
        layer: 0,
        meeting: MEETING,
        sender: member(1),
        stream: StreamId::AUDIO,
    };
    for _ in 0..3 {
        let mut out = Vec::new();
        let sealed = publisher
            .seal(Timestamp::ZERO, &context, b"sound", &mut out)
            .expect("a key");
        authenticator.handle_sealed(Timestamp::ZERO, &context, sealed, &out);
    }
    let object = authenticator
        .poll_object(Timestamp::from_micros(1_000_000))
        .expect("due");
    write_for(target, 2, "source_authentication", &codec::encode(&object))?;
    for (number, operation) in operations().iter().enumerate() {
        write_for(
            target,
            3,
            &format!("operation{number}"),
            &codec::encode(operation),
        )?;
    }
    write_for(target, 4, "name", &codec::encode(&ana()))?;
    let knock = Knock::new(ana(), vec![([203, 0, 113, 7], 4433).into()], true).expect("valid");
    write_for(target, 5, "knock", &codec::encode(&knock))?;
    let binding = IdentityBinding {
        identity: identity(1).public(),
        not_before: UnixSeconds(UNIX.0 - 43_200),
        not_after: UnixSeconds(UNIX.0 + 43_200),
        signature: identity(1).sign("subrosa-nq-static-v1", b"seed"),
    };
    write_for(target, 6, "binding", &codec::encode(&binding))?;
    let payload = ResponderPayload {
        binding,
        transport_parameters: vec![1, 2, 3],
    };
    write_for(target, 7, "responder_payload", &codec::encode(&payload))?;
    let envelope = EnvelopeContent::Sealed([4; 8], vec![1; 40].try_into().expect("fits"));
    write_for(target, 8, "envelope", &codec::encode(&envelope))?;
    write_for(target, 9, "report", &codec::encode(&report()))
}

fn headers() -> std::io::Result<()> {
    let header = MediaHeader {
        kind: MediaKind::Audio,
        layer: 0,
        track: TrackAlias([2; 8]),
    };
    let mut packet = Vec::new();
    header.write(&mut packet);
    packet.extend_from_slice(&[0x99, 1, 2, 3, 4, 5]);
    write_for("clear_headers", 0, "media", &packet)?;
    write_for("clear_headers", 3, "media_sframe", &packet)?;
    let stream = StreamHeader {
        room: RoomId([1; 16]),
        track: TrackAlias([2; 8]),
        group: 7,
        priority: 9,
    };
    write_for("clear_headers", 1, "stream", &stream.encode())
}

fn tickets() -> std::io::Result<()> {
    for preset in [Preset::Any, Preset::Eea] {
        let relay = SignedDescriptor::sign(values::descriptor(8, "DE"), identity(8)).expect("valid");
        let terms = TicketTerms {
            meeting: MEETING,
            secret: [3; 32].into(),
            epoch: 0,
            renewal: 0,
            admission: AdmissionMode::Ask,
            policy: SignedPolicy::sign(MEETING, 0, RoutePolicy::from(preset), identity(0)),
            addresses: vec![([203, 0, 113, 7], 4433).into()],
            relays: vec![relay],
            expires: UnixSeconds(UNIX.0 + 3_600),
        };
        let text = Ticket::issue(terms, identity(0)).expect("valid").to_text();
        let name = preset.keyword();
        write_for("ticket", 0, &format!("text_{name}"), text.as_bytes())?;
        let payload = subrosa_proto::wire::armor::read("subrosa:", &text)
            .expect("just written")
            .1;
        let (body, _) = payload.split_last_chunk::<64>().expect("a signature");
        write_for("ticket", 2, &format!("body_{name}"), body)?;
    }
    Ok(())
}

fn descriptors() -> std::io::Result<()> {
    let target = "descriptor";
    let relay = identity(8);
    let mut descriptor = values::descriptor(8, "DE");
    let claim = Claim {
        hosting: Some(descriptor.hosting),
        legal_seat: None,
        parent_seat: None,
    };
    let attestation = Attestation::sign(identity(12), relay.relay_id(), claim, UnixSeconds(UNIX.0 + 3_600));
    descriptor.attestations.push(attestation.clone());
    let family = Membership::sign(identity(13), relay.relay_id(), UnixSeconds(UNIX.0 + 100_000));
    descriptor.family = Some(family);
    write_for(target, 4, "unsigned", &codec::encode(&descriptor))?;
    let signed = SignedDescriptor::sign(descriptor, relay).expect("valid");
    write_for(target, 0, "signed", &signed.to_bytes())?;
    write_for(target, 1, "text", signed.to_text().as_bytes())?;
    write_for(target, 2, "payload", &codec::encode(&signed))?;
    write_for(target, 3, "attestation", &codec::encode(&attestation))?;
    write_for(target, 1, "attestation_text", attestation.to_text().as_bytes())?;
    debug_assert!(attestation.to_text().starts_with(attestation::LINE.prefix));
    Ok(())
}

fn policies() -> std::io::Result<()> {
    for preset in Preset::ALL {
        let policy = RoutePolicy::from(preset);
        let name = preset.keyword();
        write_for("policy", 1, &format!("policy_{name}"), &codec::encode(&policy))?;
        let signed = SignedPolicy::sign(MEETING, 0, policy, identity(0));
        write_for("policy", 0, &format!("signed_{name}"), &codec::encode(&signed))?;
        write_for(
            "policy",
            2,
            &format!("file_{name}"),
            format!("preset = \"{name}\"\n").as_bytes(),
        )?;
    }
    Ok(())
}

fn audio() -> std::io::Result<()> {
    for redundancy in 0..=2_u8 {
        let header = AudioHeader {
            sequence: 1_000,
            duration: FrameDuration::Ms20,
            level: SpeechLevel::SILENCE,
            in_band_fec: true,
            pause_follows: false,
            redundancy,
            spacing: 1,
        };
        let frames: Vec<&[u8]> = (0..=redundancy).map(|_| &b"opus"[..]).collect();
        let payload = AudioPayload::new(header, 20, &frames).expect("valid");
        let mut out = Vec::new();
        payload.write(&mut out);
        write("audio_payload", &format!("payload{redundancy}"), &out)?;
    }
    Ok(())
}
