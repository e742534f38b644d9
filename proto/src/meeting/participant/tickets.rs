//! The ticket: who issues it anew, and what it says then.

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
        let relays = self.relays_for_ticket(now);
        let named = |relay: &SignedDescriptor| {
            let relay = relay.unverified().relay;
            old.relays.iter().any(|known| known.unverified().relay == relay)
        };
        let gained = !relays.iter().all(named);
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

    /// The relays in use: those that serve before those that do not, and among them those of the ticket before first, as people may
    /// know them already.
    fn relays_for_ticket(&self, now: Now) -> Vec<SignedDescriptor> {
        let known = &self.ticket.terms().relays;
        let place = |relay: &RelayId| {
            let at = known.iter().position(|known| known.unverified().relay == *relay);
            at.unwrap_or(known.len())
        };
        let mut in_use: Vec<_> = self.relays.iter().collect();
        in_use.sort_by_key(|(relay, session)| (!session.serves(now.monotonic), place(relay), **relay));
        let descriptors = in_use
            .into_iter()
            .map(|(_, session)| session.descriptor().signed().clone());
        descriptors.take(RELAYS_MAX).collect()
    }

    /// Somebody gave us a ticket: takes it, now or when its room secret is in use. Nobody else's word counts for who issues
    /// it.
    pub(super) fn handle_ticket(&mut self, now: Now, text: &str) {
        let parsed = Ticket::parse(text, now.unix).ok();
        if let Some(ticket) = parsed.filter(|ticket| ticket.supersedes(&self.ticket)) {
            self.secrets.newer_ticket = Some(ticket);
            self.adopt_ticket();
        }
    }

    /// Takes a newer ticket if it opens the present door, unless it is by somebody who was put out. Reason: a member in charge
    /// could otherwise sign one of an epoch that never comes, and nobody would ever take another.
    pub(super) fn adopt_ticket(&mut self) {
        let (secret, epoch) = (&self.secrets.ticket, self.secrets.ticket_epoch);
        let fits =
            |ticket: &Ticket| ticket.terms().epoch == epoch && *ticket.terms().secret == *secret.expose();
        let ours = self.is_member() && self.ticket_issuer() == Some(self.me);
        let Some(ticket) = self.secrets.newer_ticket.as_ref().filter(|ticket| fits(ticket)) else {
            return;
        };
        let put_out = self.log.view().removed.contains_key(&ticket.issuer());
        if !ours && !put_out && ticket.supersedes(&self.ticket) {
            self.ticket = ticket.clone();
            self.emit(Event::TicketRenewed);
        }
        self.secrets.newer_ticket = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        meeting::{
            operation::Op,
            participant::fixture::{NOW, admit, host, identity},
            role::Role,
        },
    };

    /// A founder that has handed its meeting to `heir`.
    fn handed_to(heir: &Identity) -> Participant {
        let mut founder = host();
        admit(&mut founder, heir);
        let hand_over = Op::Role {
            member: heir.member_id(),
            role: Role::Host,
        };
        founder.author(NOW, hand_over).unwrap();
        founder.settle(NOW);
        founder
    }

    #[test]
    fn a_ticket_of_another_door_is_not_taken_whoever_signed_it() {
        let heir = identity(4);
        let mut founder = handed_to(&heir);
        let charge = founder.log.charge_of(heir.member_id()).unwrap();
        let good = TicketTerms {
            renewal: 1,
            ..founder.ticket.terms().clone()
        };
        let later = TicketTerms {
            epoch: u32::MAX,
            ..good.clone()
        };
        let other_secret = TicketTerms {
            secret: Zeroizing::new([9; 32]),
            ..good.clone()
        };
        let mut give = |terms: &TicketTerms| {
            let ticket = Ticket::renew(terms.clone(), founder.me, charge.clone(), &heir).unwrap();
            founder.handle_ticket(NOW, &ticket.to_text());
            founder.ticket.issuer() == heir.member_id()
        };
        assert!(!give(&later) && !give(&other_secret));
        assert!(give(&good), "the one that fits is taken after those that do not");
    }

    #[test]
    fn whoever_issues_the_ticket_takes_nobody_else_s() {
        let heir = identity(4);
        let mut founder = handed_to(&heir);
        let charge = founder.log.charge_of(heir.member_id()).unwrap();
        // Back again: the founder hosts.
        let back = Op::Role {
            member: founder.me,
            role: Role::Host,
        };
        let handed_back = {
            let mut log = crate::meeting::roster_log::RosterLog::new(founder.meeting, founder.me);
            for operation in founder.log.operations_since(&[], 0).operations {
                log.insert(operation).unwrap();
            }
            log.author(&heir, back).unwrap()
        };
        founder.log.insert(handed_back).unwrap();
        founder.dirty.roster();
        founder.settle(NOW);
        let terms = TicketTerms {
            renewal: 7,
            ..founder.ticket.terms().clone()
        };
        let ticket = Ticket::renew(terms, founder.me, charge, &heir).unwrap();
        founder.handle_ticket(NOW, &ticket.to_text());
        assert_eq!(founder.ticket.issuer(), founder.me);
    }
}
