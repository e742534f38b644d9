//! One member's conversation against a member that signs and sends whatever it likes, and a driver that reports whatever
//! it likes about files. What is held stays bounded, nobody outside is sent anything, nothing that was not accepted is
//! written, and timers go on.
#![no_main]

use std::{collections::BTreeMap, sync::Arc};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, at, canonical, damage, identity, member, random, some_bytes};
use subrosa_proto::{
    ids::{MemberId, OperationHash},
    meeting::{
        conversation::{
            Conversation, ConversationCommand, ConversationEvent, FileOutcome, Standing,
            files::{
                FILE_BYTES_MAX, FileId, FileJob, INCOMING_MAX, OUTGOING_MAX,
                message::{CHUNK_BYTES, FileAck, FileChunk, FileControl, FileOffer},
                name::safe_file_name,
            },
            item::{FeedId, Item, ItemBody, ItemHash, Poll, SignedItem},
            message::{ConversationMessage, Digest, Direct, DirectBody, Mark},
            ranges::Range,
            reactions::Reaction,
            store::{KEPT_BYTES_MAX, KEPT_MAX},
            text::{ChatText, OptionText, Question},
            waiting::WAITING_MAX,
        },
        name::Name,
        role::Role,
        roster::{Member, Roster},
    },
    time::UnixSeconds,
    wire::{bounded::BoundedText, codec},
};

const ME: u8 = 1;
/// Members; the identities after them are strangers.
const MEMBERS: u8 = 4;
const HEAD: OperationHash = OperationHash([1; 32]);
/// Messages that one input may cause.
const MESSAGES_MAX: usize = 600;

struct Room(Arc<Roster>);

impl Standing for Room {
    fn roster(&self) -> &Roster {
        &self.0
    }
    fn roster_at(&self, heads: &[OperationHash]) -> Option<Arc<Roster>> {
        (heads == [HEAD]).then(|| Arc::clone(&self.0))
    }
    fn heads(&self) -> Vec<OperationHash> {
        vec![HEAD]
    }
}

struct World {
    now: u64,
    room: Room,
    conversation: Conversation,
    items: Vec<SignedItem>,
    sent: Vec<ConversationMessage>,
    jobs: Vec<FileJob>,
    offered: Vec<FileId>,
    /// Accepted files: their size, and how much was written.
    open: BTreeMap<FileId, (u64, u64)>,
}

fuzz_target!(|data: &[u8]| {
    let members = (0..MEMBERS).map(|n| {
        let role = if n == ME { Role::Host } else { Role::Speaker };
        let name = Name::new("x").expect("a name");
        (
            member(n),
            Member {
                name,
                role,
                since: HEAD,
                role_since: HEAD,
            },
        )
    });
    let roster = Roster {
        members: members.collect(),
        ..Roster::default()
    };
    let mut world = World {
        now: 1_000_000,
        room: Room(Arc::new(roster)),
        conversation: Conversation::new(at(1_000_000), identity(ME).clone(), MEETING, random(data)),
        items: Vec::new(),
        sent: Vec::new(),
        jobs: Vec::new(),
        offered: Vec::new(),
        open: BTreeMap::new(),
    };
    let mut u = Unstructured::new(data);
    for _ in 0..96 {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
        world.drain();
    }
    world.now += 3_600_000_000;
    world.tick();
    world.drain();
});

impl World {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=8_u8)? {
            0 => {
                self.now += u.int_in_range(0..=10_000_000_u64)?;
                self.tick();
            }
            1 => {
                let from = member(u.int_in_range(0..=MEMBERS)?);
                let bytes = some_bytes(u, 400)?;
                if let Some(message) = canonical::<ConversationMessage>(bytes) {
                    self.take(from, message);
                }
            }
            2 => self.hostile_item(u)?,
            3 => self.repeat(u)?,
            4 => self.hostile_digest(u)?,
            5 => self.hostile_direct(u)?,
            6 => self.command(u)?,
            7 => self.disk(u)?,
            _ => {
                let who = member(u.int_in_range(0..=MEMBERS)?);
                self.conversation.conduit_opened(at(self.now), &self.room, who);
            }
        }
        Ok(())
    }

    fn tick(&mut self) {
        for _ in 0..16 {
            let due = self.conversation.poll_timeout();
            if due.is_none_or(|due| due > at(self.now).monotonic) {
                return;
            }
            self.conversation
                .handle_timeout(at(self.now), &self.room, &|_| true);
            self.conversation.pump_files(at(self.now), &|_| true);
        }
        panic!("a timer that never ends");
    }

    /// The participant hands on what comes from members only.
    fn take(&mut self, from: MemberId, message: ConversationMessage) {
        if from != member(ME) && self.room.0.members.contains_key(&from) {
            self.conversation
                .handle_message(at(self.now), &self.room, from, message);
        }
    }

    fn drain(&mut self) {
        self.conversation.pump_files(at(self.now), &|_| true);
        let mut messages = 0;
        while let Some((to, message)) = self.conversation.poll_transmit() {
            messages += 1;
            assert!(messages <= MESSAGES_MAX, "an input with too many messages");
            assert!(
                to != member(ME) && self.room.0.members.contains_key(&to),
                "to somebody outside"
            );
            assert!(canonical::<ConversationMessage>(&codec::encode(&message)).is_some());
            if self.sent.len() < 32 {
                self.sent.push(message);
            }
        }
        while let Some(event) = self.conversation.poll_event() {
            if let ConversationEvent::Said(said) = event {
                assert!(ChatText::new(&said.text).is_ok());
                assert!(
                    said.to
                        .is_none_or(|to| to == member(ME) || said.from == member(ME))
                );
            }
        }
        while let Some(job) = self.conversation.poll_file_job() {
            self.check_job(&job);
            if self.jobs.len() < 256 {
                self.jobs.push(job);
            }
        }
        let holds = self.conversation.holdings();
        assert!(holds.items <= KEPT_MAX && holds.bytes <= KEPT_BYTES_MAX && holds.waiting <= WAITING_MAX);
        assert!(holds.files <= INCOMING_MAX + OUTGOING_MAX);
    }

    fn check_job(&mut self, job: &FileJob) {
        match job {
            FileJob::Open { id, name, size, .. } => {
                assert!(*size > 0 && *size <= FILE_BYTES_MAX && safe_file_name(name) == *name);
                assert!(self.open.insert(*id, (*size, 0)).is_none(), "opened twice");
            }
            FileJob::Write { id, offset, bytes } => {
                let (size, written) = self.open.get_mut(id).expect("written without being accepted");
                assert!(*offset >= *written && offset + bytes.len() as u64 <= *size);
                *written = offset + bytes.len() as u64;
            }
            FileJob::Close { id, .. } | FileJob::Keep { id } => {
                self.open.remove(id);
            }
            FileJob::Read { len, .. } => assert!(*len > 0 && *len <= CHUNK_BYTES),
            FileJob::Hash { .. } | FileJob::Release { .. } => {}
        }
    }

    fn hash(&self, u: &mut Unstructured<'_>) -> Result<ItemHash> {
        if self.items.is_empty() || u.ratio(1, 8)? {
            return Ok(ItemHash([u.arbitrary()?; 32]));
        }
        Ok(self.items[u.choose_index(self.items.len())?].hash())
    }

    fn hostile_item(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let author = u.int_in_range(0..=MEMBERS)?;
        let option = |n: u8| OptionText::new(&n.to_string()).expect("a text");
        let body = match u.int_in_range(0..=6_u8)? {
            0 | 1 => ItemBody::Say(ChatText::new("hm").expect("a text")),
            2 => ItemBody::Hand(u.arbitrary()?),
            3 => ItemBody::LowerHand(self.hash(u)?),
            4 => ItemBody::OpenPoll(Poll {
                question: Question::new("?").expect("a text"),
                options: (0..u.int_in_range(0..=10_u8)?)
                    .map(option)
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap_or_default(),
                multiple: u.arbitrary()?,
            }),
            5 => ItemBody::Vote {
                poll: self.hash(u)?,
                choices: u.arbitrary()?,
            },
            _ => {
                let mut counted = vec![self.hash(u)?, self.hash(u)?];
                counted.sort_unstable();
                ItemBody::ClosePoll {
                    poll: self.hash(u)?,
                    counted: counted.try_into().unwrap_or_default(),
                }
            }
        };
        let mut parents: Vec<ItemHash> = (0..u.int_in_range(0..=3_u8)?)
            .map(|_| self.hash(u))
            .collect::<Result<_>>()?;
        parents.sort_unstable();
        let heads = if u.ratio(7, 8)? {
            vec![HEAD]
        } else {
            vec![OperationHash([2; 32])]
        };
        let item = Item {
            meeting: MEETING,
            feed: FeedId {
                author: member(author),
                instance: u.int_in_range(0..=6)?,
            },
            seq: if u.ratio(7, 8)? {
                u.int_in_range(0..=40)?
            } else {
                u.arbitrary()?
            },
            lamport: if u.ratio(7, 8)? {
                u.int_in_range(0..=90)?
            } else {
                u.arbitrary()?
            },
            sent: UnixSeconds(u.arbitrary()?),
            parents: parents.try_into().unwrap_or_default(),
            heads: heads.try_into().unwrap_or_default(),
            body,
        };
        let signed = SignedItem::sign(identity(author), item);
        self.items.push(signed.clone());
        self.give_items(u, vec![signed])
    }

    fn give_items(&mut self, u: &mut Unstructured<'_>, items: Vec<SignedItem>) -> Result<()> {
        let from = member(u.int_in_range(0..=MEMBERS)?);
        self.take(
            from,
            ConversationMessage::Items(items.try_into().unwrap_or_default()),
        );
        Ok(())
    }

    /// Old items and messages again, some damaged.
    fn repeat(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if !self.items.is_empty() && u.arbitrary()? {
            let original = &self.items[u.choose_index(self.items.len())?];
            let mut bytes = codec::encode(original);
            if u.arbitrary()? {
                damage(u, &mut bytes)?;
            }
            if let Some(signed) = canonical::<SignedItem>(&bytes) {
                self.give_items(u, vec![signed])?;
            }
        } else if !self.sent.is_empty() {
            let message = self.sent[u.choose_index(self.sent.len())?].clone();
            self.take(member(u.int_in_range(0..=MEMBERS)?), message);
        }
        Ok(())
    }

    fn hostile_digest(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let feed = |u: &mut Unstructured<'_>| -> Result<FeedId> {
            let author = if u.ratio(1, 8)? {
                MemberId([u.arbitrary()?; 32])
            } else {
                member(u.int_in_range(0..=MEMBERS)?)
            };
            Ok(FeedId {
                author,
                instance: if u.arbitrary()? { 0 } else { u64::MAX },
            })
        };
        let range = Range {
            first: u.int_in_range(0..=9)?,
            last: u.int_in_range(0..=40)?,
        };
        let mark = Mark {
            feed: feed(u)?,
            has: vec![range].try_into().unwrap_or_default(),
        };
        let digest = Digest {
            first: feed(u)?,
            last: feed(u)?,
            marks: vec![mark].try_into().unwrap_or_default(),
        };
        self.take(
            member(u.int_in_range(0..=MEMBERS)?),
            ConversationMessage::Digest(digest),
        );
        Ok(())
    }

    fn file(&self, u: &mut Unstructured<'_>) -> Result<FileId> {
        if self.offered.is_empty() || u.ratio(1, 6)? {
            return Ok(FileId([u.int_in_range(0..=3)?; 16]));
        }
        Ok(self.offered[u.choose_index(self.offered.len())?])
    }

    fn hostile_direct(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let id = self.file(u)?;
        let message = match u.int_in_range(0..=3_u8)? {
            0 => ConversationMessage::Chunk(FileChunk {
                id,
                offset: if u.ratio(3, 4)? {
                    u.int_in_range(0..=5_u64)? * 4
                } else {
                    u.arbitrary()?
                },
                bytes: some_bytes(u, 8)?.to_vec().try_into().unwrap_or_default(),
            }),
            1 => ConversationMessage::ChunkAck(FileAck {
                id,
                upto: u.arbitrary()?,
            }),
            _ => {
                let body = match u.int_in_range(0..=6_u8)? {
                    0 => DirectBody::Nothing,
                    1 => DirectBody::Reaction(*u.choose(&Reaction::ALL)?),
                    2 | 3 => {
                        let name = String::from_utf8_lossy(some_bytes(u, 30)?).into_owned();
                        self.offered.push(id);
                        DirectBody::File(FileControl::Offer(FileOffer {
                            id,
                            name: BoundedText::cut(&name),
                            size: if u.ratio(7, 8)? {
                                u.int_in_range(0..=24)?
                            } else {
                                u.arbitrary()?
                            },
                            hash: [u.int_in_range(0..=2)?; 32],
                        }))
                    }
                    4 => DirectBody::File(FileControl::Accept {
                        id,
                        from: u.int_in_range(0..=30)?,
                    }),
                    5 => DirectBody::File(FileControl::Cancel(id)),
                    _ => DirectBody::File(FileControl::Done {
                        id,
                        good: u.arbitrary()?,
                    }),
                };
                let seq = u.int_in_range(0..=40_u64)?;
                let base = seq.saturating_sub(u.int_in_range(0..=4)?);
                ConversationMessage::Direct(Direct {
                    instance: u.int_in_range(1..=2)?,
                    base,
                    seq,
                    body,
                })
            }
        };
        self.take(member(u.int_in_range(0..=MEMBERS)?), message);
        Ok(())
    }

    fn command(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let who = member(u.int_in_range(0..=MEMBERS)?);
        let command = match u.int_in_range(0..=8_u8)? {
            0 => ConversationCommand::Say {
                to: u.arbitrary::<bool>()?.then_some(who),
                text: "hello".to_owned(),
            },
            1 => ConversationCommand::Hand(u.arbitrary()?),
            2 => ConversationCommand::LowerHand(who),
            3 => ConversationCommand::React(Reaction::Clap),
            4 => ConversationCommand::Vote {
                poll: self.hash(u)?,
                choices: vec![u.arbitrary()?],
            },
            5 => ConversationCommand::ClosePoll(self.hash(u)?),
            6 => ConversationCommand::OfferFile {
                to: u.arbitrary::<bool>()?.then_some(who),
                source: 1,
                name: "f".to_owned(),
                size: u.int_in_range(0..=60_000)?,
                hash: [3; 32],
            },
            7 => ConversationCommand::AcceptFile(self.file(u)?),
            _ => ConversationCommand::CancelFile(self.file(u)?),
        };
        self.conversation
            .handle_command(at(self.now), &self.room, command);
        Ok(())
    }

    /// The disk does what it was asked for, wrongly at times.
    fn disk(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.jobs.is_empty() {
            return Ok(());
        }
        let job = self.jobs.swap_remove(u.choose_index(self.jobs.len())?);
        let fails = u.ratio(1, 10)?;
        let or = |value| if fails { Err("full".to_owned()) } else { Ok(value) };
        let outcome = match job {
            FileJob::Read {
                id, to, offset, len, ..
            } => {
                let read = if fails {
                    Err("gone".to_owned())
                } else {
                    Ok(vec![0; len])
                };
                FileOutcome::Read { id, to, offset, read }
            }
            FileJob::Open { id, .. } => FileOutcome::Opened {
                id,
                have: or(u.int_in_range(0..=30)?),
            },
            FileJob::Write { id, offset, bytes } => FileOutcome::Written {
                id,
                upto: or(offset + bytes.len() as u64),
            },
            FileJob::Hash { id } => {
                let hash = [u.int_in_range(0..=2)?; 32];
                FileOutcome::Hashed {
                    id,
                    hash: if fails { Err("gone".to_owned()) } else { Ok(hash) },
                }
            }
            FileJob::Keep { id } => FileOutcome::Kept {
                id,
                path: Ok("there".to_owned()),
            },
            FileJob::Close { .. } | FileJob::Release { .. } => return Ok(()),
        };
        self.conversation.handle_file_outcome(at(self.now), outcome);
        Ok(())
    }
}
