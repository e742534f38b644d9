//! The ticket: who issues it anew, and what it says then.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Event, Participant, founding::TICKET_LIFE};
use crate::{
    ids::{MemberId, RelayId},
    policy::SignedDescriptor,
    time::Now,
    wire::ticket::{RELAYS_MAX, Ticket, TicketTerms},
};

impl Participant {
    /// Whether the ticket leads to `member`: the host that founded the meeting, or who issued the ticket. Members look for
    /// these at their own door, too: whoever comes back there without its log knows no other.
    pub(super) fn is_named_by_ticket(&self, member: MemberId) -> bool {
        member == self.host || member == self.ticket.issuer()
    }

    /// Who issues the ticket: the present host; if it left, the co-host with the least id.
    fn ticket_issuer(&self) -> Option<MemberId> {
        let roster = self.log.view();
        let mut in_charge = roster
            .members
            .iter()
            .filter(|(_, member)| member.role.is_in_charge());
        roster.host().or_else(|| in_charge.next().map(|(id, _)| *id))
    }

    /// After the roster, the room secret or the relays changed: issues the ticket anew if that is for this node to do and
    /// something in it changed, or half of its life is over. Returns whether it did.
    pub(super) fn renew_ticket(&mut self, now: Now) -> bool {
        if !self.is_member() || self.ticket_issuer() != Some(self.me) {
            return false;
        }
        let old = self.ticket.terms();
        let relays = self.relays_for_ticket();
        let gained = relays.len() > old.relays.len();
        let moved = self.direct && self.addresses != old.addresses;
        let others = self.ticket.issuer() != self.me;
        let aged = old.expires < now.unix.after(TICKET_LIFE / 2);
        let due = others || moved || gained || aged || old.epoch != self.secrets.ticket_epoch;
        due && self.issue_ticket(now, relays)
    }

    fn issue_ticket(&mut self, now: Now, relays: Vec<SignedDescriptor>) -> bool {
        let old = self.ticket.terms();
        let same_epoch = old.epoch == self.secrets.ticket_epoch;
        let terms = TicketTerms {
            secret: Zeroizing::new(*self.secrets.ticket.expose()),
            epoch: self.secrets.ticket_epoch,
            renewal: if same_epoch {
                old.renewal.saturating_add(1)
            } else {
                0
            },
            addresses: self.addresses.clone(),
            relays,
            expires: now.unix.after(TICKET_LIFE),
            ..old.clone()
        };
        let renewed = match self.log.charge_of(self.me) {
            Some(charge) => {
                Ticket::renew(terms, self.host, charge, &self.identity).map_err(|e| e.to_string())
            }
            None => Err("the meeting was handed on too often to prove it in a ticket".to_owned()),
        };
        match renewed {
            Ok(ticket) => {
                self.ticket = ticket;
                self.doorway.ticket_fault = false;
                self.emit(Event::Ticket(self.ticket.to_text()));
                if let Some(epoch) = self.secrets.current_epoch() {
                    self.tell_room_secret(&epoch);
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.doorway.ticket_fault, true) {
                    self.fault(
                        "ticket",
                        format!("the ticket cannot be renewed: {error}"),
                        "those who hold the old one may still find another member in charge",
                    );
                }
                false
            }
        }
    }

    /// The relays in use, those of the ticket before first: people may know them already.
    fn relays_for_ticket(&self) -> Vec<SignedDescriptor> {
        let mut in_use: BTreeMap<RelayId, SignedDescriptor> = self
            .relays
            .iter()
            .map(|(id, session)| (*id, session.descriptor().signed().clone()))
            .collect();
        let mut chosen: Vec<SignedDescriptor> = Vec::new();
        for known in &self.ticket.terms().relays {
            chosen.extend(in_use.remove(&known.unverified().relay));
        }
        chosen.extend(in_use.into_values());
        chosen.truncate(RELAYS_MAX);
        chosen
    }

    /// Takes a newer ticket, unless it is by somebody who was put out.
    pub(super) fn adopt_ticket(&mut self, now: Now, text: &str) {
        if let Ok(ticket) = Ticket::parse(text, now.unix)
            && ticket.supersedes(&self.ticket)
            && !self.log.view().removed.contains_key(&ticket.issuer())
        {
            self.ticket = ticket;
            self.emit(Event::TicketRenewed);
        }
    }
}
