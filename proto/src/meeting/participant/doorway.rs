//! What a participant remembers of the door, on either side of it, and what its owner sets before it begins.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    Event, Participant,
    code::CodeDesk,
    conduits::Conduit,
    timers::{JOIN_PATIENCE, Timer},
};
use crate::{
    ids::{LinkId, MemberId},
    meeting::{
        credential::{Certified, CredentialError, SignedCredential, TrustedOrganisations},
        passphrase::{ExchangeContext, Passphrase, Proving, Record},
        passphrase_gate::PassphraseGate,
    },
    time::{Now, Timestamp},
    wire::{control_message::ControlMessage, door_message::DoorMessage},
};

/// The purpose of the passphrase's exchange, and its version.
const PURPOSE: &str = "subrosa-passphrase-v1";
/// The label under which a channel exports what the exchange is bound to.
pub const BINDING_LABEL: &[u8] = b"subrosa-channel-binding-v1";

/// An exchange that this node began as a guest.
pub(super) struct Guess {
    pub(super) door: MemberId,
    pub(super) proving: Proving,
    pub(super) context: ExchangeContext,
    pub(super) since: Timestamp,
}

/// See the module.
pub(super) struct Doorway {
    /// How long to stay at the door while nobody in charge answers.
    pub(super) patience: Duration,
    /// When this node came to the door.
    pub(super) since: Timestamp,
    /// What people are asked for, if this node answers the door.
    pub(super) gate: PassphraseGate,
    /// What this node says when it is asked.
    pub(super) passphrase: Option<Passphrase>,
    /// People were asked for it.
    pub(super) asked: bool,
    pub(super) guess: Option<Guess>,
    /// People know that the ticket cannot be renewed.
    pub(super) ticket_fault: bool,
    /// A code of words that stands for the ticket.
    pub(super) code: CodeDesk,
    /// What an organisation says about this node's owner.
    pub(super) credential: Option<SignedCredential>,
    /// Whose word about others counts.
    pub(super) organisations: TrustedOrganisations,
    /// What organisations say about people, as it was told.
    pub(super) certified: BTreeMap<MemberId, Result<Certified, CredentialError>>,
    /// The lobby to go to when the Remove comes that sends this node back.
    pub(super) back_to: Option<(u32, [u8; 32])>,
    /// What the ends of each link export alike, and where its other end was seen.
    pub(super) links: BTreeMap<LinkId, (Option<[u8; 32]>, Option<IpAddr>)>,
    /// How many operations were handed out to be kept.
    pub(super) kept: u32,
    /// The checkpoint at which the kept log begins.
    pub(super) kept_base: Option<crate::ids::OperationHash>,
    /// How many addresses were handed out to be kept.
    pub(super) kept_peers: u16,
    /// Since when nobody in charge is in reach, and whether people were told.
    pub(super) leaderless: Option<(Timestamp, bool)>,
}

impl Doorway {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            patience: JOIN_PATIENCE,
            since: now,
            gate: PassphraseGate::default(),
            passphrase: None,
            asked: false,
            ticket_fault: false,
            guess: None,
            code: CodeDesk::default(),
            credential: None,
            organisations: TrustedOrganisations::default(),
            certified: BTreeMap::new(),
            back_to: None,
            links: BTreeMap::new(),
            kept: 0,
            kept_base: None,
            kept_peers: 0,
            leaderless: None,
        }
    }
}

impl Participant {
    /// How long to go on knocking while nobody in charge answers: they may come later. Call it before anything else.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.doorway.patience = patience;
        self
    }

    /// What to say when the door asks for the passphrase. Call it before anything else.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: Passphrase) -> Self {
        self.doorway.passphrase = Some(passphrase);
        self
    }

    /// Shows this credential to those in charge and to members. Call it before anything else.
    #[must_use]
    pub fn with_credential(mut self, credential: SignedCredential) -> Self {
        self.doorway.credential = Some(credential);
        self
    }

    /// Trusts these organisations. Call it before anything else.
    #[must_use]
    pub fn with_organisations(mut self, organisations: TrustedOrganisations) -> Self {
        self.doorway.organisations = organisations;
        self
    }

    /// Shows our credential to the other end.
    pub(super) fn show_credential(&mut self, conduit: Conduit) {
        if let Some(credential) = &self.doorway.credential
            && let Ok(bytes) = credential.to_bytes().try_into()
        {
            self.send_on(conduit, &ControlMessage::Door(DoorMessage::Credential(bytes)));
        }
    }

    /// Somebody shows a credential. People are told what it says, or why it says nothing.
    fn note_credential(&mut self, now: Now, from: MemberId, bytes: &[u8]) {
        let checked = SignedCredential::from_bytes(bytes)
            .and_then(|signed| self.doorway.organisations.check(&signed, from, now.unix));
        let known = &mut self.doorway.certified;
        if known.get(&from) != Some(&checked) && self.peers.contains_key(&from) {
            known.insert(from, checked.clone());
            self.emit(Event::Certified {
                member: from,
                checked,
            });
        }
    }

    /// Asks everybody who knocks for the passphrase of `record`. Call it before anything else.
    #[must_use]
    pub fn asking_for(mut self, record: Record) -> Self {
        self.keep_passphrase(&record);
        self.doorway.gate.set(record);
        self
    }

    /// What both ends of a link export under [`BINDING_LABEL`]: tell it before the link is up. Without it no passphrase is
    /// said or checked on the link.
    pub fn set_link_binding(&mut self, link: LinkId, binding: [u8; 32]) {
        self.doorway.links.entry(link).or_default().0 = Some(binding);
    }

    /// Forgets links that are gone.
    pub(super) fn forget_bindings(&mut self) {
        let peers = &self.peers;
        self.doorway
            .certified
            .retain(|member, _| peers.contains_key(member));
        let gone: Vec<LinkId> = self.doorway.links.keys().copied().collect();
        for link in gone {
            if !self.links.contains_key(&link) && !self.is_code_link(link) {
                self.doorway.links.remove(&link);
            }
        }
    }

    /// What the passphrase's exchange between `guest` and `door` on this conduit is bound to.
    pub(super) fn exchange_context(
        &self,
        conduit: Conduit,
        guest: MemberId,
        door: MemberId,
    ) -> Option<ExchangeContext> {
        let channel = match conduit {
            Conduit::Link(link) => self.doorway.links.get(&link)?.0?,
            Conduit::Channel(key) => self.channels.get(&key)?.binding(BINDING_LABEL)?,
            // Nobody knocks through a member.
            Conduit::Through(_) => return None,
        };
        Some(ExchangeContext::new(
            PURPOSE,
            &self.meeting.0,
            &guest.0,
            &door.0,
            &channel,
        ))
    }

    /// Where the person at the other end was seen; unknown beyond a relay.
    pub(super) fn address_of(&self, conduit: Conduit) -> Option<IpAddr> {
        match conduit {
            Conduit::Link(link) => self.doorway.links.get(&link)?.1,
            Conduit::Channel(_) | Conduit::Through(_) => None,
        }
    }

    /// Whether `member` is in charge by this node's roster.
    pub(super) fn leads(&self, member: MemberId) -> bool {
        let roster = self.log.view();
        roster.role(&member).is_some_and(|role| role.is_in_charge())
    }

    /// A message about the door, from either side of it.
    pub(super) fn handle_door(&mut self, now: Now, from: MemberId, conduit: Conduit, message: DoorMessage) {
        let guest = matches!(self.phase, super::lobby::Phase::Lobby { .. });
        let answers = guest && self.is_doorkeeper(from);
        let leads = !guest && self.leads(from);
        let serves = self.is_member() && self.is_in_charge();
        match message {
            DoorMessage::Credential(bytes) => self.note_credential(now, from, &bytes),
            DoorMessage::Refused(reason, words) if answers => self.handle_refusal(reason, &words),
            DoorMessage::PassphraseWanted if answers => self.handle_passphrase_wanted(now, from, conduit),
            DoorMessage::PassphraseAnswer(bytes) if answers => {
                self.handle_passphrase_answer(now, from, conduit, &bytes);
            }
            DoorMessage::PassphraseStart(bytes) if serves => {
                self.handle_passphrase_start(now, from, conduit, &bytes);
            }
            DoorMessage::PassphraseProof(bytes) if serves => {
                self.handle_passphrase_proof(from, conduit, &bytes);
            }
            DoorMessage::BackToLobby { epoch, secret } if leads => {
                self.doorway.back_to = Some((epoch, secret));
                if self.timers.is_set(Timer::BackToLobby) {
                    self.begin_going_back(now);
                }
            }
            DoorMessage::TurnedAway(member) if leads && serves => self.admission.note_refusal(member),
            DoorMessage::PassphraseRecord(bytes) if leads && serves => {
                if self.doorway.gate.record().is_none()
                    && let Some(record) = Record::from_bytes(&bytes)
                {
                    self.doorway.gate.set(record);
                }
            }
            DoorMessage::PassphraseUnlocked if leads && serves => self.doorway.gate.unlock(),
            // From somebody at the door who may say nothing else, or from a member who may not.
            // Said by somebody who may, when it no longer matters.
            _ if leads || answers => {}
            _ => self.count_forbidden(from, "speaks as if it answered the door"),
        }
    }
}
