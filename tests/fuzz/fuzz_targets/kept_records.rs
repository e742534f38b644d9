//! What the founder's node reads back from its disk: single records, and a meeting that is resumed with records that were
//! lost, repeated, exchanged, damaged or written by somebody else. It resumes only with its own log and the secret that the
//! log commits to; otherwise it knocks like anybody.
#![no_main]

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{at, damage, identity, member, node::Node, random, some_bytes, values};
use subrosa_proto::{
    ids::OperationHash,
    meeting::{
        admission::AdmissionMode,
        kept::KeptRecord,
        name::Name,
        operation::{Op, SignedOperation},
        participant::{Command, Output, Participant, ParticipantConfig},
        roster_log::RosterLog,
    },
    policy::DiscoveryRule,
    random::Random,
    wire::{
        control_message::{PeerHint, WireAddress},
        ticket::Ticket,
    },
};

/// The host's identity.
const HOST: u8 = 0;

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = KeptRecord::decode(data) {
        assert_eq!(record.encode(), data, "not canonical");
        let _ = format!("{record:?}");
    }
    let mut u = Unstructured::new(data);
    let _ = run(&mut u, data);
});

/// A meeting's ticket, and what its founder's node wrote to the disk.
fn written() -> &'static (String, Vec<Vec<u8>>) {
    static WRITTEN: OnceLock<(String, Vec<Vec<u8>>)> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let (now, random) = (at(0), Random::from_seed([3; 32]));
        let mut host = Node::found(now, identity(HOST), AdmissionMode::Ask, true, Vec::new(), random);
        let mut kept = keep(&mut host);
        for locked in [true, false] {
            host.participant.handle_command(now, Command::Lock(locked));
            kept.extend(keep(&mut host));
        }
        (host.participant.ticket().to_text(), kept)
    })
}

fn keep(host: &mut Node) -> Vec<Vec<u8>> {
    let kept = host.drain().into_iter().filter_map(|output| match output {
        Output::Keep(record) => Some(record.encode()),
        _ => None,
    });
    kept.collect()
}

fn run(u: &mut Unstructured<'_>, data: &[u8]) -> Result<()> {
    let (ticket, written) = written();
    let now = at(u.int_in_range(0..=3_600_000_000)?);
    let ticket = Ticket::parse(ticket, now.unix).expect("it holds for longer than an hour");
    let mut records = Vec::new();
    for bytes in written {
        let mut bytes = bytes.clone();
        match u.int_in_range(0..=7_u8)? {
            0 => continue,
            1 => drop(damage(u, &mut bytes)?),
            2 => records.extend(KeptRecord::decode(&bytes)),
            3 => records.push(foreign(u, &ticket)?),
            _ => {}
        }
        records.extend(KeptRecord::decode(&bytes));
    }
    if records.len() > 1 && u.ratio(1, 4)? {
        let (a, b) = (u.choose_index(records.len())?, u.choose_index(records.len())?);
        records.swap(a, b);
    }
    // What must be there to resume: read with the log alone.
    let mut log = RosterLog::new(ticket.terms().meeting, ticket.host());
    for record in &records {
        if let KeptRecord::Operation(operation) = record {
            let _ = log.insert((**operation).clone());
        }
    }
    let founded = !log.is_empty();
    let config = ParticipantConfig {
        identity: identity(HOST).clone(),
        name: Name::new("host").expect("a name"),
        addresses: vec![([192, 0, 2, 1], 4433).into()],
        direct: true,
        relays: Vec::new(),
        evidence: subrosa_proto::policy::Evidence::default(),
        discovery: DiscoveryRule::Any,
    };
    let mut participant = Participant::resume(now, config, ticket, records, random(data));
    assert!(founded || !participant.is_member(), "a host without a log");
    for _ in 0..200 {
        if participant.poll_output().is_none() {
            return Ok(());
        }
    }
    panic!("a node that never comes to rest");
}

/// A record of somebody else's making.
fn foreign(u: &mut Unstructured<'_>, ticket: &Ticket) -> Result<KeptRecord> {
    Ok(match u.int_in_range(0..=4_u8)? {
        0 => KeptRecord::RoomSecret {
            operation: OperationHash([u.arbitrary()?; 32]),
            secret: u.arbitrary()?,
        },
        1 => KeptRecord::Peer(PeerHint {
            member: member(u.int_in_range(0..=3)?),
            addresses: vec![WireAddress::V4(u.arbitrary()?, u.arbitrary()?)]
                .try_into()
                .expect("one"),
        }),
        2 => KeptRecord::Passphrase(some_bytes(u, 400)?.to_vec().try_into().expect("fits")),
        _ => {
            let op = Op::Admit {
                member: member(u.int_in_range(0..=3)?),
                name: values::name(u)?,
                role: values::role(u)?,
            };
            let author = identity(u.int_in_range(0..=2)?);
            let parents = vec![OperationHash([u.int_in_range(0..=1)?; 32])];
            let seq = u.int_in_range(0..=3)?;
            match SignedOperation::sign(author, ticket.terms().meeting, seq, parents, op) {
                Ok(operation) => KeptRecord::Operation(Box::new(operation)),
                Err(_) => KeptRecord::Passphrase(Vec::new().try_into().expect("none")),
            }
        }
    })
}
