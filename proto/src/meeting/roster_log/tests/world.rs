//! People with one replica each, for the tests of the log.

use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    meeting::{
        admission::AdmissionMode,
        checkpoint::Checkpoint,
        name::Name,
        operation::{Op, RemoveReason, SignedOperation},
        role::Role,
        room_secret::RoomSecretCommitment,
        roster::Roster,
        roster_log::{AuthorError, RosterLog, ancestors::PlaceSet, merge},
    },
};

pub(super) const MEETING: MeetingId = MeetingId([7; 16]);

pub(super) struct World {
    pub(super) people: Vec<Identity>,
    pub(super) logs: Vec<RosterLog>,
}

impl World {
    /// `count` people; number 0 has founded the meeting, nobody else knows of it.
    pub(super) fn new(count: usize) -> Self {
        let people: Vec<Identity> = (0..count)
            .map(|i| {
                let mut seed = [1; 32];
                seed[..2].copy_from_slice(&u16::try_from(i).unwrap().to_le_bytes());
                Identity::from_seed(&seed)
            })
            .collect();
        let founded = RosterLog::found(&people[0], MEETING, found()).unwrap();
        let mut logs = vec![founded];
        logs.extend((1..count).map(|_| RosterLog::new(MEETING, people[0].member_id())));
        Self { people, logs }
    }

    /// Host 0, co-hosts 1 and 2, speakers 3 and 4, listener 5, and strangers up to `count`; everybody in knows.
    pub(super) fn usual(count: usize) -> Self {
        let mut world = Self::new(count);
        for person in 1..=5 {
            let role = if person == 5 {
                Role::Listener
            } else {
                Role::Speaker
            };
            world.must(0, world.admit(person, role));
        }
        world.must(0, world.role(1, Role::CoHost));
        world.must(0, world.role(2, Role::CoHost));
        world.sync(&[0, 1, 2, 3, 4, 5]);
        world
    }

    pub(super) fn id(&self, person: usize) -> MemberId {
        self.people[person].member_id()
    }

    pub(super) fn admit(&self, person: usize, role: Role) -> Op {
        let name = Name::new(&format!("Person {person}")).unwrap();
        Op::Admit {
            member: self.id(person),
            name,
            role,
        }
    }

    pub(super) fn remove(&self, person: usize) -> Op {
        let room_secret = RoomSecretCommitment([u8::try_from(person % 256).unwrap(); 32]);
        Op::Remove {
            member: self.id(person),
            reason: RemoveReason::Unstated,
            room_secret,
        }
    }

    pub(super) fn role(&self, person: usize, role: Role) -> Op {
        Op::Role {
            member: self.id(person),
            role,
        }
    }

    pub(super) fn author(&mut self, person: usize, op: Op) -> Result<SignedOperation, AuthorError> {
        self.logs[person].author(&self.people[person], op)
    }

    pub(super) fn must(&mut self, person: usize, op: Op) -> SignedOperation {
        self.author(person, op).unwrap()
    }

    /// Signs without asking the log: for those who cheat.
    pub(super) fn forge(
        &self,
        person: usize,
        seq: u32,
        parents: &[OperationHash],
        op: Op,
    ) -> SignedOperation {
        SignedOperation::sign(&self.people[person], MEETING, seq, parents.to_vec(), op).unwrap()
    }

    /// Lets these people exchange everything, and checks that they then agree.
    pub(super) fn sync(&mut self, among: &[usize]) {
        for _ in 0..2 {
            for &from in among {
                for &to in among {
                    pull(&mut self.logs, from, to);
                }
            }
        }
        for pair in among.windows(2) {
            let (a, b) = (&self.logs[pair[0]], &self.logs[pair[1]]);
            assert_eq!(a.view(), b.view());
            assert_eq!(a.heads(), b.heads());
        }
        among
            .iter()
            .for_each(|&person| assert_eq!(self.logs[person].view(), &recomputed(&self.logs[person])));
    }

    /// The person writes a checkpoint.
    pub(super) fn checkpoint(&mut self, person: usize) -> Result<SignedOperation, AuthorError> {
        self.logs[person].author_checkpoint(&self.people[person])
    }

    /// What a checkpoint left without force, its author makes again; gives what was made.
    pub(super) fn make_again(&mut self, person: usize) -> Vec<SignedOperation> {
        let voided = self.logs[person].take_voided();
        let mut made = Vec::new();
        let own = self.id(person);
        for old in voided.iter().filter(|old| old.author() == own) {
            let makes_sense = !self.logs[person].is_taken_back(old) && old.operation().op != Op::Leave;
            if makes_sense && !matches!(old.operation().op, Op::Checkpoint { .. }) {
                made.extend(self.author(person, old.operation().op.clone()));
            }
        }
        made
    }

    pub(super) fn view(&self, person: usize) -> &Roster {
        self.logs[person].view()
    }

    pub(super) fn is_in(&self, viewer: usize, person: usize) -> bool {
        self.view(viewer).members.contains_key(&self.id(person))
    }

    pub(super) fn role_of(&self, viewer: usize, person: usize) -> Option<Role> {
        self.view(viewer).role(&self.id(person))
    }
}

/// `to` asks `from` for what it lacks, and for the state if it lacks what came before a checkpoint.
pub(super) fn pull(logs: &mut [RosterLog], from: usize, to: usize) {
    if from == to {
        return;
    }
    take_checkpoint(logs, from, to);
    pull_operations(logs, from, to);
    if logs[to].wanted_checkpoint().is_some() {
        take_checkpoint(logs, from, to);
    }
}

/// Hands on the checkpoint with which a log begins, to somebody whose log is empty or waits for one.
fn take_checkpoint(logs: &mut [RosterLog], from: usize, to: usize) {
    let wanted = logs[to].is_empty() || logs[to].wanted_checkpoint().is_some();
    let Some(checkpoint) = logs[from].checkpoint().filter(|_| wanted) else {
        return;
    };
    let host = logs[to].host;
    let checkpoint = Checkpoint::decode(&checkpoint.encode(), MEETING, host).unwrap();
    let _ = logs[to].take_checkpoint(checkpoint);
}

pub(super) fn pull_operations(logs: &mut [RosterLog], from: usize, to: usize) {
    let (heads, mut cursor) = (logs[to].heads(), Some(0));
    while let Some(at) = cursor {
        let batch = logs[from].operations_since(&heads, at);
        for operation in batch.operations {
            let _ = logs[to].insert(operation);
        }
        cursor = batch.next;
    }
}

/// The roster without any short cut.
pub(super) fn recomputed(log: &RosterLog) -> Roster {
    merge::merge(&log.graph, &PlaceSet::first(log.len()))
}

pub(super) fn found() -> Op {
    Op::Found {
        policy: PolicyHash([1; 32]),
        name: Name::new("Host").unwrap(),
        admission: AdmissionMode::Ask,
        room_secret: RoomSecretCommitment([0xff; 32]),
    }
}
