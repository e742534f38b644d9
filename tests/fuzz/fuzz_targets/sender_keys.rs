//! A publisher's sender keys and one receiver: messages lost, damaged, repeated and forged, by outsiders and by the
//! publisher itself. A frame opens at most once and only as it was sealed; what fails leaves nothing behind.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, at, canonical, damage, identity, member, random, some_bytes};
use subrosa_proto::{
    ids::{MeetingId, MemberId, OperationHash, PolicyHash, StreamId},
    meeting::keys::{
        KeyAck, KeyFault, KeyMessage, KeyStatement, Publisher, Receiver, RecipientList, RecipientsRoot,
        RosterAtHeads,
        key_message::{ChainSecret, Heads},
    },
    sframe::{
        KeyId, MediaContext, OVERHEAD_BYTES_MAX,
        key_schedule::Secret,
        source_authentication::SourceAuthentication,
        source_authenticator::SourceAuthenticator,
        source_verifier::{PathId, SourceVerifier},
    },
    time::Timestamp,
    wire::{codec, media_packet::MediaKind},
};

const PUBLISHER: u8 = 1;
const RECEIVER: u8 = 2;
const POLICY: PolicyHash = PolicyHash([5; 32]);
const HEAD: OperationHash = OperationHash([6; 32]);

struct Roster;

impl RosterAtHeads for Roster {
    fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>> {
        (heads == [HEAD]).then(|| (1..=4).map(member).collect())
    }
    fn policy_hash(&self) -> PolicyHash {
        POLICY
    }
}

struct Frame {
    context: MediaContext,
    plaintext: Vec<u8>,
    sealed: Vec<u8>,
    opened: bool,
}

struct World {
    now: u64,
    publisher: Publisher,
    receiver: Receiver,
    authenticator: SourceAuthenticator,
    verifier: SourceVerifier,
    frames: Vec<Frame>,
    messages: Vec<KeyMessage>,
    /// Statements that the receiver took, by run and key: there is one for each.
    taken: BTreeMap<(u64, KeyId), KeyStatement>,
}

fuzz_target!(|data: &[u8]| {
    let publisher = Publisher::new(identity(PUBLISHER).clone(), MEETING, POLICY, random(data));
    let stream = StreamId::AUDIO;
    let mut world = World {
        now: 0,
        authenticator: SourceAuthenticator::new(
            identity(PUBLISHER).clone(),
            MEETING,
            stream,
            publisher.instance(),
        ),
        publisher,
        receiver: Receiver::new(MEETING, member(PUBLISHER), member(RECEIVER)),
        verifier: SourceVerifier::new(MEETING, member(PUBLISHER), stream),
        frames: Vec::new(),
        messages: Vec::new(),
        taken: BTreeMap::new(),
    };
    let mut u = Unstructured::new(data);
    for _ in 0..64 {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
    }
});

impl World {
    fn time(&self) -> Timestamp {
        at(self.now).monotonic
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=10_u8)? {
            0 => {
                let recipients: BTreeSet<_> = (2..=5)
                    .filter(|_| u.arbitrary().unwrap_or(false))
                    .map(member)
                    .collect();
                let set = self
                    .publisher
                    .set_recipients(self.time(), &recipients, &[HEAD], false);
                assert!(set.is_ok());
            }
            1 => self.advance(u.int_in_range(0..=6_000_000)?),
            2 => self.seal(u)?,
            3 => self.transmit(u)?,
            4 => self.open_one(u)?,
            5 => self.open_damaged(u)?,
            6 => {
                let bytes = some_bytes(u, 200)?;
                self.refuse(&context(u)?, bytes);
            }
            7 => self.hostile_publisher(u)?,
            8 => self.repeat_message(u)?,
            9 => self.damaged_message(u)?,
            _ => self.authenticate(u)?,
        }
        Ok(())
    }

    fn advance(&mut self, micros: u64) {
        self.now += micros;
        self.publisher.handle_timeout(self.time());
        self.receiver.handle_timeout(self.time());
        self.verifier.handle_timeout(self.time());
        for due in [self.receiver.poll_timeout(), self.verifier.poll_timeout()] {
            assert!(due.is_none_or(|due| due > self.time()), "a timer that never ends");
        }
        while self.verifier.poll_verdict().is_some() {}
        let mut events = 0;
        while self.publisher.poll_event().is_some() {
            events += 1;
            assert!(events <= 1_024);
        }
    }

    fn seal(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let context = context(u)?;
        let plaintext = some_bytes(u, 64)?.to_vec();
        let mut sealed = Vec::new();
        match self
            .publisher
            .seal(self.time(), &context, &plaintext, &mut sealed)
        {
            Ok(name) => {
                assert!(sealed.len() <= plaintext.len() + OVERHEAD_BYTES_MAX);
                assert!(
                    !self.frames.iter().any(|frame| frame.sealed == sealed),
                    "a nonce twice"
                );
                self.authenticator
                    .handle_sealed(self.time(), &context, name, &sealed);
                self.frames.push(Frame {
                    context,
                    plaintext,
                    sealed,
                    opened: false,
                });
            }
            Err(_) => assert!(sealed.is_empty()),
        }
        Ok(())
    }

    /// Hands over what is due, except what gets lost.
    fn transmit(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..16 {
            let Some((to, message)) = self.publisher.poll_transmit(self.time()) else {
                break;
            };
            let bytes = codec::encode(&message);
            let message = canonical::<KeyMessage>(&bytes).expect("a publisher's message decodes");
            if to == member(RECEIVER) && !u.ratio(1, 8)? {
                self.take(&message);
            }
            self.messages.push(message);
        }
        Ok(())
    }

    fn take(&mut self, message: &KeyMessage) -> bool {
        match self.receiver.handle_key_message(self.time(), message, &Roster) {
            Ok(ack) => {
                let statement = &message.statement;
                let expected = KeyAck {
                    instance: statement.instance,
                    key: statement.key,
                };
                assert_eq!(ack, expected);
                assert_eq!(self.receiver.instance(), Some(statement.instance));
                assert!(self.receiver.newest_key() >= Some(statement.key));
                assert!(statement.verify(&message.signature).is_ok() && statement.policy == POLICY);
                let before = self.taken.insert((ack.instance, ack.key), statement.clone());
                assert!(
                    before.is_none_or(|before| before == *statement),
                    "equivocation was taken"
                );
                self.publisher.handle_ack(self.time(), member(RECEIVER), &ack);
                true
            }
            Err(KeyFault::Ghost(ghosts)) => {
                assert!(
                    !ghosts.is_empty() && ghosts.iter().all(|ghost| !(1..=4).any(|n| member(n) == *ghost))
                );
                false
            }
            Err(_) => false,
        }
    }

    fn open_one(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let now = self.time();
        let index = u.choose_index(self.frames.len())?;
        let frame = &mut self.frames[index];
        let mut out = b"kept".to_vec();
        match self.receiver.open(now, &frame.context, &frame.sealed, &mut out) {
            Ok(_) => {
                assert!(!frame.opened, "a frame was opened twice");
                assert_eq!(out[4..], frame.plaintext);
                frame.opened = true;
                let instance = self.receiver.instance().expect("it opened a frame");
                let path = PathId(u.int_in_range(0..=9)?);
                self.verifier
                    .handle_packet(now, path, instance, &frame.context, &frame.sealed);
            }
            Err(_) => assert_eq!(out, b"kept"),
        }
        Ok(())
    }

    fn open_damaged(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let index = u.choose_index(self.frames.len())?;
        let mut sealed = self.frames[index].sealed.clone();
        let mut context = self.frames[index].context;
        let changed = match u.int_in_range(0..=3_u8)? {
            0 => {
                context.layer ^= 1;
                true
            }
            1 => {
                context.stream.0 ^= u.int_in_range(1..=255)?;
                true
            }
            2 => {
                context.meeting = MeetingId([8; 16]);
                true
            }
            _ => damage(u, &mut sealed)?,
        };
        if changed
            && !self
                .frames
                .iter()
                .any(|frame| frame.sealed == sealed && frame.context == context)
        {
            self.refuse(&context, &sealed);
        }
        Ok(())
    }

    fn refuse(&mut self, context: &MediaContext, bytes: &[u8]) {
        let mut out = b"kept".to_vec();
        let opened = self.receiver.open(self.time(), context, bytes, &mut out);
        assert!(opened.is_err(), "what nobody sealed was opened");
        assert_eq!(out, b"kept");
    }

    /// A statement of the publisher's own making, well signed.
    fn hostile_publisher(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let secret = Secret::from_bytes([u.int_in_range(0..=2)?; 64]);
        let recipients: BTreeSet<_> = (1..=6)
            .filter(|_| u.arbitrary().unwrap_or(true))
            .map(member)
            .collect();
        let root = |set: &BTreeSet<MemberId>| RecipientsRoot::of(&MEETING, set);
        let heads: &[OperationHash] = if u.ratio(7, 8)? { &[HEAD] } else { &[] };
        let kid = u64::from(u.int_in_range(0..=40_u8)?);
        let statement = KeyStatement {
            meeting: MEETING,
            publisher: member(PUBLISHER),
            instance: match u.int_in_range(0..=3_u64)? {
                0 => self.publisher.instance(),
                instance => instance,
            },
            key: KeyId::try_from(kid).expect("a small number"),
            commitment: if u.ratio(15, 16)? {
                KeyStatement::commit(&secret)
            } else {
                [0; 32]
            },
            first_recipients: root(&recipients),
            recipients: if u.ratio(15, 16)? {
                root(&recipients)
            } else {
                root(&BTreeSet::new())
            },
            policy: if u.ratio(15, 16)? {
                POLICY
            } else {
                PolicyHash([0; 32])
            },
            heads: Heads::new(heads).expect("one head"),
        };
        let signature = statement.sign(identity(PUBLISHER));
        let message = KeyMessage {
            statement,
            signature,
            secret: ChainSecret(secret),
            recipients: if u.arbitrary()? {
                RecipientList::new(recipients)
            } else {
                None
            },
        };
        self.take(&message);
        self.messages.push(message);
        Ok(())
    }

    fn repeat_message(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if !self.messages.is_empty() {
            let message = self.messages[u.choose_index(self.messages.len())?].clone();
            self.take(&message);
        }
        Ok(())
    }

    fn damaged_message(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let original = self.messages[u.choose_index(self.messages.len())?].clone();
        let mut bytes = codec::encode(&original);
        damage(u, &mut bytes)?;
        if let Some(message) = canonical::<KeyMessage>(&bytes) {
            let forged = message.statement != original.statement
                || message.signature != original.signature
                || message.secret != original.secret;
            assert!(
                !(self.take(&message) && forged),
                "a damaged key message was taken"
            );
        }
        Ok(())
    }

    fn authenticate(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        self.advance(200_000);
        let now = self.time();
        if let Some(object) = self.authenticator.poll_object(now) {
            let mut bytes = codec::encode(&object);
            if u.ratio(1, 4)? && damage(u, &mut bytes)? {
                if let Some(forged) = canonical::<SourceAuthentication>(&bytes) {
                    let taken = self.verifier.handle_authentication(now, &forged).is_ok();
                    assert!(!taken || forged == object, "a forged signature was taken");
                }
            } else {
                let _ = self.verifier.handle_authentication(now, &object);
            }
        }
        Ok(())
    }
}

fn context(u: &mut Unstructured<'_>) -> Result<MediaContext> {
    Ok(MediaContext {
        kind: MediaKind::Audio,
        layer: u.int_in_range(0..=7)?,
        meeting: MEETING,
        sender: member(PUBLISHER),
        stream: StreamId(if u.ratio(3, 4)? {
            0
        } else {
            u.int_in_range(0..=19)?
        }),
    })
}
