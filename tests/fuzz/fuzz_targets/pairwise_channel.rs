//! Two members' pairwise channel over a relay that loses, repeats, reorders, damages and invents envelopes. Whoever is
//! told as the peer is the peer, and each message arrives as it was sent, at most once.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, at, canonical, damage, identity, member, random, some_bytes};
use subrosa_proto::{
    channel::{
        envelope::EnvelopeContent,
        pairwise::{ChannelContext, ChannelEvent, MESSAGE_BYTES_MAX, PairwiseChannel},
    },
    noise::Psk,
    random::Random,
    wire::{codec, relay_message::ENVELOPE_BYTES_MAX},
};

struct Side {
    number: u8,
    psk: Psk,
    random: Random,
    channel: PairwiseChannel,
    /// What this side sent: the message, and whether it arrived.
    sent: Vec<(Vec<u8>, bool)>,
}

impl Side {
    fn new(number: u8, psk: u8, random: Random) -> Self {
        Self {
            number,
            psk: Psk([psk; 32]),
            random,
            channel: PairwiseChannel::default(),
            sent: Vec::new(),
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut PairwiseChannel, &mut ChannelContext<'_>) -> T) -> T {
        let mut context = ChannelContext {
            identity: identity(self.number),
            meeting: MEETING,
            psk: &self.psk,
            random: &mut self.random,
        };
        act(&mut self.channel, &mut context)
    }
}

struct World {
    now: u64,
    /// Two members, and a stranger who holds another key.
    sides: [Side; 3],
    /// Everything that the relay ever saw, and from whom.
    envelopes: Vec<(usize, Vec<u8>)>,
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut random = random(data);
    let mut side = |number, psk| Side::new(number, psk, random.fork("side"));
    let mut world = World {
        now: 0,
        sides: [side(1, 1), side(2, 1), side(3, 3)],
        envelopes: Vec::new(),
    };
    // Handshakes cost about a millisecond each.
    for _ in 0..40 {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
    }
});

impl World {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let side = usize::from(!u.ratio(1, 2)?);
        match u.int_in_range(0..=9_u8)? {
            0 => self.start(u, side)?,
            1 | 2 => self.send(u, side)?,
            // The newest envelope of the other side, as a relay that does its work.
            3..=5 => {
                if let Some((_, bytes)) = self.envelopes.iter().rev().find(|(from, _)| *from != side) {
                    let bytes = bytes.clone();
                    self.deliver(side, &bytes, false);
                }
            }
            6 => {
                if !self.envelopes.is_empty() {
                    let (_, bytes) = self.envelopes[u.choose_index(self.envelopes.len())?].clone();
                    self.deliver(side, &bytes, false);
                }
            }
            7 => {
                if !self.envelopes.is_empty() {
                    let (_, mut bytes) = self.envelopes[u.choose_index(self.envelopes.len())?].clone();
                    let damaged = damage(u, &mut bytes)?;
                    self.deliver(side, &bytes, damaged);
                }
            }
            8 => self.invent(u, side)?,
            _ => match u.int_in_range(0..=3_u8)? {
                0 => self.sides[side].channel.reset(),
                1 => self.start(u, 2)?,
                _ => self.now += u.int_in_range(0..=3_000_000)?,
            },
        }
        self.drain();
        Ok(())
    }

    fn start(&mut self, u: &mut Unstructured<'_>, side: usize) -> Result<()> {
        let expected = if u.arbitrary()? {
            Some(member(2 - side as u8 % 2))
        } else {
            None
        };
        let now = at(self.now);
        self.sides[side].with(|channel, context| channel.start(now, expected, context));
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured<'_>, side: usize) -> Result<()> {
        let mut message = some_bytes(u, 40)?.to_vec();
        if u.ratio(1, 16)? {
            message.resize(MESSAGE_BYTES_MAX, 7);
        }
        // Numbered, so that no two are alike.
        let number = self.sides[side].sent.len() as u8;
        match message.first_mut() {
            Some(first) => *first = number,
            None => message.push(number),
        }
        let open = self.sides[side].channel.peer().is_some();
        assert_eq!(self.sides[side].channel.send(&message), open);
        if open {
            self.sides[side].sent.push((message, false));
        }
        Ok(())
    }

    fn deliver(&mut self, side: usize, bytes: &[u8], damaged: bool) {
        let now = at(self.now);
        let content = canonical::<EnvelopeContent>(bytes);
        let sealed = matches!(content, Some(EnvelopeContent::Sealed(..)));
        let before = self.sides[side].channel.peer();
        let outcome = self.sides[side].with(|channel, context| channel.handle_envelope(now, bytes, context));
        assert!(
            content.is_some() || outcome.is_err(),
            "what does not decode had an effect"
        );
        let other = 1 - side;
        match outcome {
            Ok(Some(ChannelEvent::Opened(peer))) => {
                // Its own message 1 comes back to a member by a hostile relay: then it is its own peer.
                assert!(peer == member(other as u8 + 1) || peer == member(side as u8 + 1));
                assert_eq!(self.sides[side].channel.peer(), Some(peer));
                assert!(!damaged, "a damaged handshake opened a channel");
            }
            Ok(Some(ChannelEvent::Message(peer, message))) => {
                assert!(sealed && !damaged && before == Some(peer));
                let from = usize::from(peer == member(2));
                let sent = self.sides[from]
                    .sent
                    .iter_mut()
                    .find(|(sent, got)| *sent == message && !got);
                sent.expect("a message that nobody sent, or that came twice").1 = true;
            }
            Ok(None) | Err(_) => assert_eq!(self.sides[side].channel.peer(), before, "an open channel fell"),
        }
    }

    /// An envelope of the relay's own making: of a known attempt, or of none.
    fn invent(&mut self, u: &mut Unstructured<'_>, side: usize) -> Result<()> {
        let id = match self
            .envelopes
            .last()
            .and_then(|(_, bytes)| canonical::<EnvelopeContent>(bytes))
        {
            Some(
                EnvelopeContent::Message1(id, _)
                | EnvelopeContent::Message2(id, _)
                | EnvelopeContent::Message3(id, _)
                | EnvelopeContent::Sealed(id, _),
            ) if u.ratio(3, 4)? => id,
            _ => u.arbitrary()?,
        };
        let kind = u.int_in_range(0..=4_u8)?;
        let bytes = some_bytes(u, 1_500)?.to_vec();
        if kind == 4 {
            self.deliver(side, &bytes, true);
            return Ok(());
        }
        let content = bytes.try_into().expect("fits");
        let envelope = match kind {
            0 => EnvelopeContent::Message1(id, content),
            1 => EnvelopeContent::Message2(id, content),
            2 => EnvelopeContent::Message3(id, content),
            _ => EnvelopeContent::Sealed(id, content),
        };
        self.deliver(side, &codec::encode(&envelope), true);
        Ok(())
    }

    fn drain(&mut self) {
        for (number, side) in self.sides.iter_mut().enumerate() {
            let mut count = 0;
            while let Some(bytes) = side.channel.poll_envelope() {
                count += 1;
                assert!(count <= 2, "more answers than questions");
                assert!(bytes.len() <= ENVELOPE_BYTES_MAX);
                self.envelopes.push((number, bytes));
            }
        }
    }
}
