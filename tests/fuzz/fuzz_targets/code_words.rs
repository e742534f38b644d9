//! Codes of words: what people type, the frames of a code link, and a host's desk with an honest guest and strangers who
//! know the first word. The ticket goes to whoever proves the words and to nobody else, and one answer is given.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{at, canonical, damage, identity, member, node::Node, random, some_bytes};
use subrosa_proto::{
    ids::{LinkId, MemberId},
    meeting::{
        admission::AdmissionMode,
        code_words::{CodeMessage, CodeWords, OFFER_LIFE, Redemption, WORDS},
        participant::{Command, Event, LinkPeer, Output, Participant},
    },
    noise::PskId,
    random::Random,
    wire::{control_message::TICKET_BYTES_MAX, door_message::PASSPHRASE_MESSAGE_BYTES_MAX},
};

/// Outputs that one input may cause: a handful.
const OUTPUTS_MAX: usize = 64;
/// What both ends of each link export.
const BINDING: [u8; 32] = [5; 32];

fuzz_target!(|data: &[u8]| {
    let Some((selector, rest)) = data.split_first() else {
        return;
    };
    match selector % 3 {
        0 => frame(rest),
        1 => typed(&String::from_utf8_lossy(rest)),
        _ => drop(desk(&mut Unstructured::new(rest), random(data))),
    }
});

fn frame(data: &[u8]) {
    let Some(message) = canonical::<CodeMessage>(data) else {
        return;
    };
    assert_eq!(message.encode(), data);
    let _ = format!("{message:?}");
    match message {
        CodeMessage::Start(bytes) | CodeMessage::Answer(bytes) | CodeMessage::Proof(bytes) => {
            assert!(bytes.len() <= PASSPHRASE_MESSAGE_BYTES_MAX);
        }
        CodeMessage::Ticket(text) => {
            assert!(text.len() <= TICKET_BYTES_MAX && !text.chars().any(char::is_control));
        }
        CodeMessage::Gone => {}
    }
}

fn typed(text: &str) {
    match CodeWords::parse(text) {
        Ok(words) => {
            let shown = words.to_string();
            assert_eq!(shown.split('-').count(), WORDS);
            assert_eq!(CodeWords::parse(&shown).as_ref(), Ok(&words));
            let _ = (words.psk(), words.meeting());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

struct Desk {
    host: Participant,
    ticket: String,
    now: u64,
    /// The words of the newest offer, and when it was made.
    offer: Option<(CodeWords, u64)>,
    /// Links that are up: who is at the other end.
    links: BTreeMap<LinkId, MemberId>,
    /// Somebody with the right words: its link, and what it waits for.
    honest: Option<(LinkId, Redemption)>,
    /// Its proof is on its way, unchanged.
    proven: Option<LinkId>,
    /// Answers given since the last offer.
    answers: usize,
    next_link: u64,
}

fn desk(u: &mut Unstructured<'_>, mut random: Random) -> Result<()> {
    let host = Node::found(
        at(0),
        identity(0),
        AdmissionMode::Ask,
        true,
        Vec::new(),
        random.fork("host"),
    );
    let mut desk = Desk {
        ticket: host.participant.ticket().to_text(),
        host: host.participant,
        now: 0,
        offer: None,
        links: BTreeMap::new(),
        honest: None,
        proven: None,
        answers: 0,
        next_link: 1,
    };
    desk.offer();
    for _ in 0..30 {
        if u.is_empty() {
            break;
        }
        match u.int_in_range(0..=7_u8)? {
            0 => desk.comes(u, &mut random)?,
            1..=4 => desk.says(u)?,
            5 => {
                if let Some(link) = desk.some_link(u)? {
                    desk.links.remove(&link);
                    desk.host.handle_link_down(at(desk.now), link);
                    desk.drain(&mut random);
                }
            }
            6 => {
                desk.now += u.int_in_range(0..=700_000_000)?;
                for _ in 0..16 {
                    let due = desk.host.poll_timeout();
                    if due.is_none_or(|due| due > at(desk.now).monotonic) {
                        break;
                    }
                    desk.host.handle_timeout(at(desk.now));
                    desk.drain(&mut random);
                }
            }
            // One offer costs as much as everything else together.
            _ if u.ratio(1, 4)? => desk.offer(),
            _ => {}
        }
        desk.drain(&mut random);
    }
    Ok(())
}

impl Desk {
    fn offer(&mut self) {
        self.host.handle_command(at(self.now), Command::OfferCode);
        self.answers = 0;
        while let Some(output) = self.host.poll_output() {
            if let Output::Event(Event::Code { words, .. }) = output {
                let words = CodeWords::parse(&words).expect("words of a code");
                self.offer = Some((words, self.now));
            }
        }
        assert!(self.offer.is_some(), "a host that offers no code");
    }

    fn key(&self) -> Option<PskId> {
        self.offer.as_ref().map(|(words, _)| words.psk().id())
    }

    fn some_link(&self, u: &mut Unstructured<'_>) -> Result<Option<LinkId>> {
        let all: Vec<LinkId> = self.links.keys().copied().collect();
        if all.is_empty() {
            return Ok(None);
        }
        u.choose(&all).map(|link| Some(*link))
    }

    /// Somebody comes with the first word; perhaps with all of them.
    fn comes(&mut self, u: &mut Unstructured<'_>, random: &mut Random) -> Result<()> {
        let guest = member(u.int_in_range(1..=9)?);
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(link, guest);
        if u.ratio(7, 8)? {
            self.host.set_link_binding(link, BINDING);
        }
        let remote = ([192, 0, 2, 9], 4433).into();
        let peer = LinkPeer::Member(guest);
        self.host
            .handle_link_up(at(self.now), None, link, peer, self.key(), remote);
        self.drain(random);
        if self.honest.is_none() && self.links.contains_key(&link) && u.ratio(1, 3)? {
            let words = self.offer.as_ref().expect("an offer").0.clone();
            let (redemption, start) = Redemption::start(words, random);
            self.honest = Some((link, redemption));
            self.host.handle_control(at(self.now), link, &start.encode());
        }
        Ok(())
    }

    fn says(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(link) = self.some_link(u)? else {
            return Ok(());
        };
        let mut bytes = some_bytes(u, 200)?.to_vec();
        if u.ratio(3, 4)? {
            let content = bytes.try_into().expect("fits");
            bytes = match u.int_in_range(0..=3_u8)? {
                0 | 1 => {
                    let words = CodeWords::parse("abandon above absent absorb").expect("words");
                    Redemption::start(words, &mut random(&[u.arbitrary()?]))
                        .1
                        .encode()
                }
                2 => CodeMessage::Proof(content).encode(),
                _ => CodeMessage::Answer(content).encode(),
            };
            if u.ratio(1, 4)? {
                damage(u, &mut bytes)?;
            }
        }
        self.host.handle_control(at(self.now), link, &bytes);
        Ok(())
    }

    fn drain(&mut self, random: &mut Random) {
        let mut count = 0;
        while let Some(output) = self.host.poll_output() {
            count += 1;
            assert!(count <= OUTPUTS_MAX, "an input with too many outputs");
            match output {
                Output::Close { link } => {
                    self.links.remove(&link);
                    self.honest.take_if(|(it, _)| *it == link);
                }
                Output::Control { link, bytes } if self.links.contains_key(&link) => {
                    self.heard(link, &bytes, random);
                }
                _ => {}
            }
        }
    }

    fn heard(&mut self, link: LinkId, bytes: &[u8], random: &mut Random) {
        let Some(message) = canonical::<CodeMessage>(bytes) else {
            // A link that was opened after the offer was spent is one at the door.
            return;
        };
        match message {
            CodeMessage::Answer(answer) => {
                self.answers += 1;
                assert_eq!(self.answers, 1, "two answers to one offer");
                let made = self.offer.as_ref().expect("an offer").1;
                let age = std::time::Duration::from_micros(self.now - made);
                assert!(age <= OFFER_LIFE, "an answer for an offer that ran out");
                let guest = self.links[&link];
                if let Some((_, redemption)) = self.honest.take_if(|(it, _)| *it == link) {
                    let finished = redemption.finish(&answer, (guest, member(0)), &BINDING, random);
                    if let Ok(proof) = finished {
                        self.proven = Some(link);
                        self.host.handle_control(at(self.now), link, &proof.encode());
                    }
                }
            }
            CodeMessage::Ticket(text) => {
                assert_eq!(
                    self.proven.take(),
                    Some(link),
                    "the ticket for somebody without the words"
                );
                assert_eq!(*text, *self.ticket);
            }
            CodeMessage::Gone => {}
            CodeMessage::Start(_) | CodeMessage::Proof(_) => panic!("the guest's part, said by the host"),
        }
    }
}
