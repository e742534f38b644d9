//! Files over a bad network, with interruptions, restarts, and senders and disks that cannot be trusted.

use std::{collections::BTreeMap, time::Duration};

use super::super::{
    ConversationCommand, ConversationEvent, FileOutcome,
    files::{
        FileEnd, FileEvent, FileId, FileJob,
        message::{CHUNK_BYTES, FileAck, FileChunk, UNKNOWN},
    },
    message::ConversationMessage,
};
use super::world::{Weather, World};
use crate::ids::MemberId;

/// Disks in memory: files that are offered, unfinished ones by hash, finished ones by name.
#[derive(Default)]
struct Disks {
    sources: BTreeMap<u64, Vec<u8>>,
    parts: BTreeMap<[u8; 32], Vec<u8>>,
    open: BTreeMap<FileId, ([u8; 32], String, u64)>,
    kept: BTreeMap<String, Vec<u8>>,
    /// The most that was ever written of one file.
    written_max: usize,
}

impl Disks {
    fn work(&mut self, job: FileJob) -> Option<FileOutcome> {
        Some(match job {
            FileJob::Read {
                id,
                to,
                source,
                offset,
                len,
            } => {
                let start = usize::try_from(offset).unwrap();
                let bytes = self
                    .sources
                    .get(&source)
                    .and_then(|file| file.get(start..start + len));
                let read = bytes.map(<[u8]>::to_vec).ok_or_else(|| "gone".to_owned());
                FileOutcome::Read { id, to, offset, read }
            }
            FileJob::Release { .. } => return None,
            FileJob::Open { id, name, size, hash } => {
                let part = self.parts.entry(hash).or_default();
                assert!(part.len() as u64 <= size);
                self.open.insert(id, (hash, name, size));
                FileOutcome::Opened {
                    id,
                    have: Ok(part.len() as u64),
                }
            }
            FileJob::Write { id, offset, bytes } => {
                let (hash, _, size) = &self.open[&id];
                let part = self.parts.get_mut(hash).unwrap();
                assert_eq!(part.len() as u64, offset);
                part.extend(bytes);
                assert!(part.len() as u64 <= *size, "more than what was accepted");
                self.written_max = self.written_max.max(part.len());
                FileOutcome::Written {
                    id,
                    upto: Ok(part.len() as u64),
                }
            }
            FileJob::Hash { id } => {
                let part = &self.parts[&self.open[&id].0];
                FileOutcome::Hashed {
                    id,
                    hash: Ok(*blake3::hash(part).as_bytes()),
                }
            }
            FileJob::Keep { id } => {
                let (hash, name, _) = self.open.remove(&id).unwrap();
                self.kept.insert(name.clone(), self.parts.remove(&hash).unwrap());
                FileOutcome::Kept { id, path: Ok(name) }
            }
            FileJob::Close { id, delete } => {
                let open = self.open.remove(&id);
                if let Some((hash, ..)) = open.filter(|_| delete) {
                    self.parts.remove(&hash);
                }
                return None;
            }
        })
    }
}

struct Transfer {
    world: World,
    disks: Vec<Disks>,
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

impl Transfer {
    fn new(seed: u64, members: usize) -> Self {
        let world = World::new(seed, members);
        let disks = (0..members).map(|_| Disks::default()).collect();
        Self { world, disks }
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.world.run(Duration::from_millis(5));
            for index in 0..self.disks.len() {
                for job in std::mem::take(&mut self.world.nodes[index].jobs) {
                    if let Some(outcome) = self.disks[index].work(job) {
                        let now = self.world.clock();
                        self.world.with(index, |c, _| c.handle_file_outcome(now, outcome));
                    }
                }
            }
        }
    }

    fn offer(&mut self, from: usize, to: Option<usize>, name: &str, bytes: &[u8]) {
        self.disks[from].sources.insert(1, bytes.to_vec());
        let command = ConversationCommand::OfferFile {
            to: to.map(|to| self.world.nodes[to].id),
            source: 1,
            name: name.to_owned(),
            size: bytes.len() as u64,
            hash: *blake3::hash(bytes).as_bytes(),
        };
        self.world.command(from, command);
        self.run(Duration::from_secs(2));
    }

    fn events(&self, index: usize) -> Vec<FileEvent> {
        let events = self.world.nodes[index].events.iter();
        events
            .filter_map(|(_, event)| match event {
                ConversationEvent::File(event) => Some(event.clone()),
                _ => None,
            })
            .collect()
    }

    /// The latest offer that a member got.
    fn offered(&self, index: usize) -> FileId {
        let offers = self.events(index).into_iter().rev();
        let id = |event| match event {
            FileEvent::Offered { id, .. } => Some(id),
            _ => None,
        };
        { offers }.find_map(id).expect("an offer")
    }

    fn accept(&mut self, index: usize) {
        let id = self.offered(index);
        self.world.command(index, ConversationCommand::AcceptFile(id));
    }

    fn member(&self, index: usize) -> MemberId {
        self.world.nodes[index].id
    }
}

#[test]
fn a_file_arrives_whole_over_a_bad_network_and_through_interruptions() {
    for seed in 0..24 {
        let mut transfer = Transfer::new(seed, 3);
        transfer.world.weather = Weather {
            lost_percent: (seed % 4) * 7,
            doubled_percent: 10,
            delay_ms_max: 20 + 40 * (seed % 3),
        };
        let bytes = content(300_000 + 1_234 * seed as usize);
        transfer.offer(0, None, "../minutes.pdf", &bytes);
        transfer.run(Duration::from_secs(6));
        transfer.accept(1);
        transfer.accept(2);
        transfer.run(Duration::from_millis(700));
        transfer.world.split(vec![false, true, false]);
        transfer.run(Duration::from_secs(3));
        transfer.world.heal();
        transfer.run(Duration::from_secs(240));
        for index in [1, 2] {
            let kept = &transfer.disks[index].kept;
            assert!(
                kept.get("minutes.pdf") == Some(&bytes),
                "seed {seed}: {:?}",
                transfer.events(index)
            );
        }
        let delivered = |event: &FileEvent| matches!(event, FileEvent::Delivered { .. });
        assert_eq!(
            transfer.events(0).into_iter().filter(delivered).count(),
            2,
            "seed {seed}"
        );
        assert!(transfer.world.nodes[0].conversation.files.is_empty());
    }
}

#[test]
fn a_sender_that_restarts_and_offers_again_goes_on_where_it_was() {
    let mut transfer = Transfer::new(1, 2);
    let bytes = content(2_000_000);
    transfer.offer(0, Some(1), "big", &bytes);
    transfer.accept(1);
    transfer.run(Duration::from_millis(400));
    let hash = *blake3::hash(&bytes).as_bytes();
    let before = transfer.disks[1].parts[&hash].len();
    assert!(before > 0 && before < bytes.len(), "{before}");
    transfer.world.restart(0);
    transfer.run(Duration::from_secs(1));
    transfer.offer(0, Some(1), "big", &bytes);
    transfer.run(Duration::from_secs(30));
    assert!(transfer.disks[1].kept.get("big") == Some(&bytes));
    // Nothing that was there was sent again: the row of writes never began anew.
    assert_eq!(transfer.disks[1].written_max, bytes.len());
}

#[test]
fn a_receiver_that_restarts_is_offered_the_file_again_and_keeps_what_it_has() {
    let mut transfer = Transfer::new(2, 2);
    let bytes = content(2_000_000);
    transfer.offer(0, Some(1), "big", &bytes);
    transfer.accept(1);
    transfer.run(Duration::from_millis(400));
    transfer.world.restart(1);
    transfer.disks[1].open.clear();
    transfer.run(Duration::from_secs(8));
    transfer.accept(1);
    transfer.run(Duration::from_secs(30));
    assert!(transfer.disks[1].kept.get("big") == Some(&bytes));
}

#[test]
fn what_is_not_accepted_is_not_written_and_what_comes_unasked_is_ignored() {
    let mut transfer = Transfer::new(3, 2);
    transfer.offer(0, Some(1), "x", &content(50_000));
    let id = transfer.offered(1);
    let chunk = |offset: u64, len: usize| {
        ConversationMessage::Chunk(FileChunk {
            id,
            offset,
            bytes: vec![0; len].try_into().unwrap(),
        })
    };
    transfer.world.forge(0, 1, chunk(0, 1_000));
    transfer.run(Duration::from_secs(1));
    assert!(transfer.disks[1].parts.is_empty());
    // Accepted: beyond the end, out of order, and empty pieces are not written (`Disks` asserts it).
    transfer.disks[0].sources.clear();
    transfer.accept(1);
    transfer.run(Duration::from_millis(20));
    for (offset, len) in [
        (1, 1),
        (u64::MAX, 1),
        (40_000, CHUNK_BYTES),
        (0, 0),
        (0, CHUNK_BYTES),
    ] {
        transfer.world.forge(0, 1, chunk(offset, len));
    }
    for n in 0..200 {
        transfer
            .world
            .forge(0, 1, chunk(n * CHUNK_BYTES as u64, CHUNK_BYTES));
    }
    transfer.run(Duration::from_secs(1));
    assert!(transfer.disks[1].written_max <= 50_000);
    assert!(transfer.disks[1].kept.is_empty());
}

#[test]
fn what_is_not_what_was_offered_is_deleted_and_told() {
    let mut transfer = Transfer::new(4, 2);
    let bytes = content(100_000);
    transfer.offer(0, Some(1), "x", &bytes);
    transfer.disks[0].sources.insert(1, vec![9; 100_000]);
    transfer.accept(1);
    transfer.run(Duration::from_secs(10));
    assert!(transfer.disks[1].kept.is_empty() && transfer.disks[1].parts.is_empty());
    for index in [0, 1] {
        let ended = |event: &FileEvent| {
            matches!(
                event,
                FileEvent::Ended {
                    why: FileEnd::Mismatch,
                    ..
                }
            )
        };
        assert!(transfer.events(index).iter().any(ended), "{index}");
    }
}

#[test]
fn offers_are_bounded_and_files_are_cancelled_declined_and_end_with_their_people() {
    let mut transfer = Transfer::new(5, 3);
    for n in 0..12 {
        transfer.offer(0, Some(1), &format!("{n}"), &content(1_000 + n));
        transfer.run(Duration::from_secs(9));
    }
    let offers = transfer
        .events(1)
        .iter()
        .filter(|e| matches!(e, FileEvent::Offered { .. }))
        .count();
    assert_eq!(offers, 8, "more offers than one member may have open");
    let id = transfer.offered(1);
    transfer.world.command(1, ConversationCommand::DeclineFile(id));
    transfer.world.command(1, ConversationCommand::AcceptFile(id));
    assert_eq!(transfer.world.last_refusal(1), Some("file"));
    transfer.offer(2, Some(1), "other", &content(900_000));
    transfer.accept(1);
    transfer.run(Duration::from_millis(100));
    let id = transfer.offered(1);
    transfer.world.command(2, ConversationCommand::CancelFile(id));
    transfer.run(Duration::from_secs(1));
    let cancelled = |event: &FileEvent| {
        matches!(
            event,
            FileEvent::Ended {
                why: FileEnd::CancelledByPeer,
                ..
            }
        )
    };
    assert!(transfer.events(1).iter().any(cancelled));
    transfer.world.remove(0);
    transfer.run(Duration::from_secs(1));
    assert!(transfer.world.nodes[1].conversation.files.is_empty());
}

#[test]
fn acknowledgements_that_lie_send_nothing_twice_and_nothing_beyond() {
    let mut transfer = Transfer::new(6, 2);
    let bytes = content(400_000);
    transfer.offer(0, Some(1), "x", &bytes);
    let id = transfer.offered(1);
    for upto in [1, 399_999, 400_001, UNKNOWN - 1] {
        transfer
            .world
            .forge(1, 0, ConversationMessage::ChunkAck(FileAck { id, upto }));
    }
    transfer.accept(1);
    transfer.run(Duration::from_millis(60));
    let me = transfer.member(1);
    transfer
        .world
        .forge(1, 0, ConversationMessage::ChunkAck(FileAck { id, upto: 400_000 }));
    transfer.run(Duration::from_secs(30));
    assert!(
        transfer.disks[1].kept.get("x") == Some(&bytes),
        "{me:?} {:?}",
        transfer.events(1)
    );
}
