//! The roster log under signed operations of people who keep to no rule: any parents, any number, any role, two
//! operations with one number. Replicas that hold the same operations hold the same roster, however they got them.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, canonical, identity, member, values};
use subrosa_proto::{
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    meeting::{
        admission::AdmissionMode,
        operation::{Op, PARENTS_MAX, RemoveReason, SignedOperation},
        role::Role,
        room_secret::RoomSecretCommitment,
        roster::Roster,
        roster_log::{
            BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX, InsertError, Inserted, MISSING_MAX, OPERATIONS_MAX,
            PENDING_MAX, RosterLog,
        },
    },
    wire::codec,
};

/// Who takes part; 0 is the host.
const PEOPLE: u8 = 6;
/// Operations in one input. Reason: beyond it an execution takes too long, and merges differ by shape, not by size.
const OPERATIONS: usize = 28;

struct World {
    log: RosterLog,
    /// Everything that was ever signed.
    signed: Vec<SignedOperation>,
    /// What each author signed last, for numbers that fit.
    next: BTreeMap<u8, u32>,
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut world = World {
        log: RosterLog::new(MEETING, member(0)),
        signed: Vec::new(),
        next: BTreeMap::new(),
    };
    let _ = world.play(&mut u);
    world.check();
    let _ = world.replicate(&mut u);
});

impl World {
    fn play(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        // Nearly always a founding first: without one nothing else happens.
        if u.ratio(15, 16)? {
            let op = found(u)?;
            self.sign(0, 0, Vec::new(), op, MEETING);
        }
        while self.signed.len() < OPERATIONS && !u.is_empty() {
            match u.int_in_range(0..=7_u8)? {
                0 => self.rule_breaker(u)?,
                1 => self.twin(u)?,
                2 => {
                    let op = found(u)?;
                    self.sign(u.int_in_range(0..=PEOPLE - 1)?, 0, Vec::new(), op, MEETING);
                }
                3 => self.repeat(u)?,
                _ => self.author(u)?,
            }
        }
        Ok(())
    }

    /// As a well-behaved node writes; the log judges.
    fn author(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let author = u.int_in_range(0..=PEOPLE - 1)?;
        let op = op(u)?;
        if let Ok(signed) = self.log.author(identity(author), op) {
            self.next.insert(author, signed.operation().seq + 1);
            assert!(self.log.contains(&signed.hash()));
            self.signed.push(signed);
        }
        Ok(())
    }

    /// Parents that are not the heads: concurrent with what was written since, or not here at all.
    fn rule_breaker(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let author = u.int_in_range(0..=PEOPLE - 1)?;
        let mut parents = Vec::new();
        for _ in 0..u.int_in_range(0..=3_u8)? {
            if let Some(last) = self.signed.len().checked_sub(1) {
                parents.push(self.signed[u.int_in_range(0..=last)?].hash());
            }
        }
        if u.ratio(1, 16)? {
            parents.push(OperationHash([u.arbitrary()?; 32]));
        }
        parents.sort_unstable();
        parents.dedup();
        let next = self.next.get(&author).copied().unwrap_or(0);
        let seq = if u.ratio(3, 4)? {
            next
        } else {
            u.int_in_range(0..=8)?
        };
        let meeting = if u.ratio(31, 32)? {
            MEETING
        } else {
            MeetingId([8; 16])
        };
        let op = op(u)?;
        self.sign(author, seq, parents, op, meeting);
        Ok(())
    }

    /// Another operation in the place of one that was signed before.
    fn twin(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.signed.is_empty() {
            return Ok(());
        }
        let of = &self.signed[u.choose_index(self.signed.len())?];
        let author = (0..PEOPLE)
            .find(|n| member(*n) == of.author())
            .expect("one of the people");
        let (seq, parents) = (of.operation().seq, of.operation().parents.clone());
        let op = if parents.is_empty() { found(u)? } else { op(u)? };
        self.sign(author, seq, parents, op, MEETING);
        Ok(())
    }

    fn repeat(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if !self.signed.is_empty() {
            let again = self.signed[u.choose_index(self.signed.len())?].clone();
            let known = self.log.contains(&again.hash());
            let answer = self.log.insert(again);
            assert!(!known || answer == Ok(Inserted::Known));
        }
        Ok(())
    }

    fn sign(&mut self, author: u8, seq: u32, parents: Vec<OperationHash>, op: Op, meeting: MeetingId) {
        let Ok(signed) = SignedOperation::sign(identity(author), meeting, seq, parents, op) else {
            return;
        };
        assert!(canonical::<SignedOperation>(&codec::encode(&signed)) == Some(signed.clone()));
        let before = self.log.len();
        match self.log.insert(signed.clone()) {
            Ok(Inserted::Added(n)) => {
                assert_eq!(self.log.len(), before + n);
                let next = self.next.entry(author).or_default();
                *next = (*next).max(seq + 1);
            }
            Ok(_) => assert_eq!(self.log.len(), before),
            Err(error) => {
                assert_eq!(self.log.len(), before);
                assert!(error != InsertError::Signature, "a good signature was refused");
                assert!((error == InsertError::OtherMeeting) == (meeting != MEETING));
            }
        }
        self.signed.push(signed);
    }

    fn check(&mut self) {
        assert!(self.log.len() <= OPERATIONS_MAX && self.log.pending_len() <= PENDING_MAX);
        assert!(self.log.missing().len() <= MISSING_MAX);
        let heads = self.log.heads();
        assert!(heads.len() <= PARENTS_MAX && heads.is_sorted_by(|a, b| a < b));
        check_roster(self.log.view(), self.log.is_empty());
        for proof in self.log.equivocations() {
            let (a, b) = (proof.first.operation(), proof.second.operation());
            assert!(a.author == proof.author && b.author == proof.author && a.seq == b.seq);
            assert!(proof.first.hash() < proof.second.hash());
            assert!(proof.first.verify().is_ok() && proof.second.verify().is_ok());
        }
        let now = self.log.view().clone();
        let changes = self.log.take_changes();
        assert_eq!(now.changes_since(&Roster::default()), changes);
        assert!(self.log.take_changes().is_empty());
    }

    /// A replica that gets everything in batches, and one that gets what was signed in any order.
    fn replicate(&self, u: &mut Unstructured<'_>) -> Result<()> {
        let mut follower = RosterLog::new(MEETING, member(0));
        let mut cursor = 0;
        loop {
            let batch = self.log.operations_since(&[], cursor);
            assert!(batch.operations.len() <= BATCH_OPERATIONS_MAX);
            let bytes: usize = batch
                .operations
                .iter()
                .map(|signed| signed.body().len() + 64)
                .sum();
            assert!(bytes <= BATCH_BYTES_MAX);
            for signed in batch.operations {
                // A third twin was taken only because somebody in charge rests on it, and that one comes later.
                let _ = follower.insert(signed);
            }
            let Some(next) = batch.next else { break };
            assert!(next > cursor, "batches that do not go on");
            cursor = next;
        }
        self.compare(&follower);

        let mut other = RosterLog::new(MEETING, member(0));
        let mut left = self.signed.clone();
        while !left.is_empty() {
            let signed = left.swap_remove(u.choose_index(left.len()).unwrap_or(0));
            let _ = other.insert(signed);
        }
        // What was pushed out or refused for now comes again.
        for signed in &self.signed {
            let _ = other.insert(signed.clone());
        }
        check_roster(other.view(), other.is_empty());
        self.compare(&other);
        Ok(())
    }

    fn compare(&self, other: &RosterLog) {
        let held = |log: &RosterLog| -> BTreeSet<OperationHash> {
            let hashes = self.signed.iter().map(SignedOperation::hash);
            hashes.filter(|hash| log.contains(hash)).collect()
        };
        let same = held(&self.log) == held(other);
        let twins = self.log.equivocations().next().is_some() || other.equivocations().next().is_some();
        assert!(
            same || twins,
            "without twins every order gives the same operations"
        );
        if same {
            assert_eq!(
                self.log.view(),
                other.view(),
                "one set of operations, two rosters"
            );
            assert_eq!(self.log.heads(), other.heads());
            let heads = self.log.heads();
            if heads.len() < PARENTS_MAX && !heads.is_empty() {
                assert_eq!(other.view_at(&heads).as_deref(), Some(self.log.view()));
            }
        }
    }
}

fn check_roster(roster: &Roster, empty: bool) {
    let members: BTreeSet<MemberId> = roster.member_ids();
    assert!(
        members
            .iter()
            .all(|id| !roster.removed.contains_key(id) && !roster.left.contains(id))
    );
    assert!(
        roster
            .equivocators
            .iter()
            .all(|id| roster.removed.contains_key(id))
    );
    assert!(roster.left.iter().all(|id| !roster.removed.contains_key(id)));
    let hosts = roster
        .members
        .values()
        .filter(|member| member.role == Role::Host)
        .count();
    assert!(hosts <= 1, "two hosts");
    // Two foundings by the host undo each other, and with them the meeting.
    let founded = !empty && !roster.equivocators.contains(&member(0));
    assert!(!founded || !(roster.room_epochs.is_empty() || roster.policy_hash.is_none()));
    assert!(!empty || *roster == Roster::default());
}

fn commitment(u: &mut Unstructured<'_>) -> Result<RoomSecretCommitment> {
    Ok(RoomSecretCommitment([u.int_in_range(0..=3)?; 32]))
}

fn found(u: &mut Unstructured<'_>) -> Result<Op> {
    Ok(Op::Found {
        policy: PolicyHash([5; 32]),
        name: values::name(u)?,
        admission: if u.arbitrary()? {
            AdmissionMode::Ask
        } else {
            AdmissionMode::Ticket
        },
        room_secret: commitment(u)?,
    })
}

fn op(u: &mut Unstructured<'_>) -> Result<Op> {
    let target = member(u.int_in_range(0..=PEOPLE - 1)?);
    Ok(match u.int_in_range(0..=9_u8)? {
        0..=3 => Op::Admit {
            member: target,
            name: values::name(u)?,
            role: values::role(u)?,
        },
        4 | 5 => Op::Remove {
            member: target,
            reason: RemoveReason::Unstated,
            room_secret: commitment(u)?,
        },
        6 => Op::Leave,
        7 => Op::Role {
            member: target,
            role: values::role(u)?,
        },
        8 => Op::Lock {
            locked: u.arbitrary()?,
        },
        _ => Op::Policy {
            policy: PolicyHash([u.int_in_range(0..=3)?; 32]),
        },
    })
}
