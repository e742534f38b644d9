//! Offering a code of words, and giving the ticket to whoever says it.

use super::{Event, Output, Participant};
use crate::{
    ids::{LinkId, MemberId},
    meeting::{
        code_words::{CodeMessage, CodeOffer},
        passphrase::Checking,
    },
    noise::PskId,
    time::{Now, Timestamp},
    wire::bounded::BoundedText,
};

/// Links that the first word of a code opened, at a time. Reason: one guest comes; others are guesses.
const CODE_LINKS_MAX: usize = 8;
/// How long such a link may stay: an exchange takes a second.
const CODE_LINK_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The offer and those who come for it.
#[derive(Default)]
pub(super) struct CodeDesk {
    offer: Option<CodeOffer>,
    links: std::collections::BTreeMap<LinkId, CodeLink>,
}

struct CodeLink {
    guest: MemberId,
    since: Timestamp,
    /// It got the answer.
    checking: Option<Checking>,
}

impl CodeDesk {
    fn key(&self) -> Option<PskId> {
        self.offer.as_ref().map(|offer| offer.words().psk().id())
    }
}

impl Participant {
    /// Makes a fresh code; a former one that nobody used is void.
    pub(super) fn offer_code(&mut self, now: Now) {
        if !self.direct || self.addresses.is_empty() {
            self.fault(
                "code",
                "a code leads to this node's address, and direct links are switched off".to_owned(),
                "hand out the ticket",
            );
            return;
        }
        let offer = CodeOffer::new(now.monotonic, &mut self.random);
        let words = offer.words().to_string();
        let left = offer.until() - now.monotonic;
        self.doorway.code.offer = Some(offer);
        self.accept_code();
        self.emit(Event::Code {
            words,
            addresses: self.addresses.clone(),
            left,
        });
    }

    fn accept_code(&mut self) {
        let words = self.doorway.code.offer.as_ref().map(CodeOffer::words);
        let key = words.map(|words| (words.meeting(), words.psk()));
        self.outputs.push_back(Output::AcceptCode(key));
        self.accept_keys();
    }

    /// Whether the link was opened by the first word of the code; then it is served here.
    pub(super) fn takes_code_link(
        &mut self,
        now: Now,
        link: LinkId,
        guest: MemberId,
        psk: Option<PskId>,
    ) -> bool {
        if psk.is_none() || psk != self.doorway.code.key() {
            return false;
        }
        let places = self.doorway.code.links.len() < CODE_LINKS_MAX;
        if places && self.is_member() {
            let code_link = CodeLink {
                guest,
                since: now.monotonic,
                checking: None,
            };
            self.doorway.code.links.insert(link, code_link);
        } else {
            self.outputs.push_back(Output::Close { link });
        }
        true
    }

    /// Whether the link is one of these; then its frame was handled.
    pub(super) fn handle_code_frame(&mut self, link: LinkId, bytes: &[u8]) -> bool {
        let Some(state) = self.doorway.code.links.get_mut(&link) else {
            return false;
        };
        let (guest, checking) = (state.guest, state.checking.take());
        match (CodeMessage::decode(bytes), checking) {
            (Ok(CodeMessage::Start(start)), None) => self.answer_code(link, guest, &start),
            (Ok(CodeMessage::Proof(proof)), Some(checking)) => {
                let right = checking.finish(&proof).is_ok();
                let ticket = BoundedText::exact(&self.ticket.to_text());
                let answer = match ticket.filter(|_| right) {
                    Some(ticket) => CodeMessage::Ticket(ticket),
                    None => CodeMessage::Gone,
                };
                self.emit(Event::CodeUsed { right });
                self.end_code_link(link, Some(&answer));
            }
            (_, checking) => {
                if checking.is_some() {
                    self.emit(Event::CodeUsed { right: false });
                }
                self.end_code_link(link, None);
            }
        }
        true
    }

    fn answer_code(&mut self, link: LinkId, guest: MemberId, start: &[u8]) {
        let binding = self.doorway.links.get(&link).and_then(|(binding, _)| *binding);
        let Some((offer, binding)) = self.doorway.code.offer.take().zip(binding) else {
            self.end_code_link(link, Some(&CodeMessage::Gone));
            return;
        };
        // Spent, whatever comes of it: whoever gets the answer knows whether its words were right.
        self.accept_code();
        match offer.answer(start, (guest, self.me), &binding, &mut self.random) {
            Ok((checking, answer)) => {
                if let Some(state) = self.doorway.code.links.get_mut(&link) {
                    state.checking = Some(checking);
                }
                let bytes = CodeMessage::Answer(answer.try_into().unwrap_or_default()).encode();
                self.outputs.push_back(Output::Control { link, bytes });
            }
            Err(_) => {
                self.emit(Event::CodeUsed { right: false });
                self.end_code_link(link, Some(&CodeMessage::Gone));
            }
        }
    }

    fn end_code_link(&mut self, link: LinkId, last: Option<&CodeMessage>) {
        if let Some(last) = last {
            let bytes = last.encode();
            self.outputs.push_back(Output::Control { link, bytes });
        }
        self.doorway.code.links.remove(&link);
        self.outputs.push_back(Output::Close { link });
    }

    /// The link is gone. Whoever had the answer and went without a proof had the wrong words.
    pub(super) fn code_link_down(&mut self, link: LinkId) {
        let gone = self.doorway.code.links.remove(&link);
        if gone.is_some_and(|state| state.checking.is_some()) {
            self.emit(Event::CodeUsed { right: false });
        }
    }

    /// Offers run out, links are given up.
    pub(super) fn watch_code(&mut self, now: Now) {
        let desk = &mut self.doorway.code;
        let stale: Vec<LinkId> = desk
            .links
            .iter()
            .filter(|(_, state)| now.monotonic - state.since > CODE_LINK_PATIENCE)
            .map(|(link, _)| *link)
            .collect();
        let expired = desk
            .offer
            .take_if(|offer| offer.until() <= now.monotonic)
            .is_some();
        for link in stale {
            self.code_link_down(link);
            self.outputs.push_back(Output::Close { link });
        }
        if expired {
            self.accept_code();
        }
    }

    /// Whether a link belongs here.
    pub(super) fn is_code_link(&self, link: LinkId) -> bool {
        self.doorway.code.links.contains_key(&link)
    }
}
