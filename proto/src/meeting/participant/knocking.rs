//! At the door: knocking, waiting, being refused.

use std::time::Duration;

use super::{
    Event, LeftReason, Participant,
    conduits::Conduit,
    lobby::Phase,
    timers::{DISCOVERY_PATIENCE, JOIN_PATIENCE, KNOCK_RETRY, RETURN_PATIENCE, Timer, WAITING_PATIENCE},
};
use crate::{
    ids::MemberId,
    meeting::admission::{KNOCK_INTERVAL, RefusalReason},
    policy::DiscoveryRule,
    time::Now,
};

impl Participant {
    /// Looks for ways to whoever issued the ticket. If the policy allows none, says so at once.
    pub(super) fn begin_joining(&mut self, now: Now) {
        let direct = self.direct && self.judge.direct(now.unix).is_ok();
        let addresses = self.ticket.terms().addresses.clone();
        let issuer = self.ticket.issuer();
        if issuer != self.host && issuer != self.me {
            // The ticket proves that it may answer.
            self.doorkeepers.insert(issuer);
        }
        if self.me == issuer {
            // It comes back: members look for it, at its address and in the lobby.
        } else if direct && !addresses.is_empty() {
            self.peer_mut(now, issuer).addresses = addresses;
        } else if self.relays.is_empty() && self.discovery_rule(now) == DiscoveryRule::Off {
            let refusals: Vec<String> = self.refused_relays.values().cloned().collect();
            let why_not_direct = if !self.direct {
                "direct links are switched off on this node"
            } else if direct {
                "the ticket states no address"
            } else {
                "the policy has expired"
            };
            let relays = if refusals.is_empty() {
                "no relay is known".to_owned()
            } else {
                refusals.join("; ")
            };
            self.leave_with(LeftReason::NoPermittedPath {
                detail: format!(
                    "cannot reach the host: no path is allowed. Direct: {why_not_direct}. Relays: {relays}."
                ),
            });
        }
    }

    /// How long to look for somebody in charge.
    pub(super) fn join_patience(&self, now: Now) -> Duration {
        if self.is_named_by_ticket(self.me) {
            RETURN_PATIENCE
        } else if self.discovery_rule(now) > DiscoveryRule::Off {
            DISCOVERY_PATIENCE
        } else {
            JOIN_PATIENCE
        }
    }

    /// Whether somebody is told our name while we are at the door, and may answer: the host and proven co-hosts. Somebody
    /// from the ticket who comes back is known to everybody anyway.
    pub(super) fn is_doorkeeper(&self, member: MemberId) -> bool {
        member == self.host || self.is_named_by_ticket(self.me) || self.doorkeepers.contains(&member)
    }

    /// Knocks: a greeting from somebody who is not in.
    pub(super) fn knock_on(&mut self, now: Now, conduit: Conduit) {
        self.show_credential(conduit);
        let hello = self.hello();
        self.send_on(conduit, &hello);
        let waiting = self.phase == Phase::Lobby { waiting: true };
        let interval = if waiting { KNOCK_INTERVAL } else { KNOCK_RETRY };
        self.timers.set(Timer::Knock, now.monotonic + interval);
    }

    /// Knocks again: the greeting may be lost, and whoever ceases to knock is taken to have gone.
    pub(super) fn knock_again(&mut self, now: Now) {
        let Phase::Lobby { waiting } = self.phase else {
            return;
        };
        let interval = if waiting { KNOCK_INTERVAL } else { KNOCK_RETRY };
        self.timers.set(Timer::Knock, now.monotonic + interval);
        let hello = self.hello();
        let people: Vec<MemberId> = self.peers.keys().copied().collect();
        let mut reached = false;
        for member in people {
            if self.is_doorkeeper(member) {
                reached |= self.send_to(Some(now), member, &hello);
            }
        }
        if waiting && !reached {
            self.look_again(now);
        }
    }

    /// Those in charge are gone while we wait for their decision: begin again, with patience.
    fn look_again(&mut self, now: Now) {
        self.phase = Phase::Lobby { waiting: false };
        self.timers.set(Timer::Knock, now.monotonic + KNOCK_RETRY);
        let patience = self.doorway.patience.max(WAITING_PATIENCE);
        self.timers.set(Timer::JoinDeadline, now.monotonic + patience);
        // All of it has been said when the time is over.
        self.doorway.since = now.monotonic;
        self.doorway.patience = patience;
        self.fault(
            "host_gone",
            "nobody in charge of the meeting can be reached any more".to_owned(),
            &format!("this node goes on trying for {} s", patience.as_secs()),
        );
    }

    /// The host was not reached in time.
    pub(super) fn give_up_joining(&mut self, now: Now) {
        if self.phase != (Phase::Lobby { waiting: false }) {
            return;
        }
        let so_far = now.monotonic - self.doorway.since;
        if let Some(left) = self.doorway.patience.checked_sub(so_far)
            && !left.is_zero()
        {
            self.timers.set(Timer::JoinDeadline, now.monotonic + left);
            self.emit(Event::HostAbsent(left));
            return;
        }
        let mut tried = Vec::new();
        if self.direct {
            tried.extend(
                self.ticket
                    .terms()
                    .addresses
                    .iter()
                    .map(|address| format!("direct {address}")),
            );
        }
        tried.extend(self.relays.values().map(|session| {
            format!(
                "relay {} ({})",
                session.descriptor().operator.name,
                session.relay().fingerprint()
            )
        }));
        let discovery = self.discovery_used();
        if discovery > DiscoveryRule::Off {
            tried.push(format!("discovery ({discovery})"));
        }
        tried.extend(self.refused_relays.values().cloned());
        self.leave_with(LeftReason::Unreachable {
            detail: format!("tried: {}", tried.join("; ")),
        });
    }

    /// The host's node said that the host has to decide.
    pub(super) fn handle_waiting(&mut self, now: Now) {
        if self.phase == (Phase::Lobby { waiting: false }) {
            self.phase = Phase::Lobby { waiting: true };
            self.timers.clear(Timer::JoinDeadline);
            self.timers.set(Timer::Knock, now.monotonic + KNOCK_INTERVAL);
            self.emit(Event::Waiting);
        }
    }

    /// The host said no.
    pub(super) fn handle_refusal(&mut self, reason: RefusalReason, words: &str) {
        if matches!(self.phase, Phase::Lobby { .. }) {
            let mut sentence = reason.to_string();
            if !words.is_empty() {
                sentence = format!("{sentence}: {words}");
            }
            self.emit(Event::Refused {
                what: "join",
                clause: clause(reason).to_owned(),
                reason: sentence,
            });
            if reason == RefusalReason::WrongPassphrase {
                return;
            }
            self.leave_with(match reason {
                RefusalReason::Locked => LeftReason::Locked,
                RefusalReason::TooManyGuesses | RefusalReason::PassphraseLocked => LeftReason::Passphrase,
                _ => LeftReason::Refused,
            });
        }
    }
}

/// The refusal's stable name.
fn clause(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::ByHost => "host",
        RefusalReason::Blocked => "blocked",
        RefusalReason::Locked => "locked",
        RefusalReason::TooManyWaiting => "lobby_full",
        RefusalReason::Excluded => "excluded",
        RefusalReason::WrongPassphrase => "passphrase",
        RefusalReason::TooManyGuesses => "too_many_guesses",
        RefusalReason::PassphraseLocked => "passphrase_locked",
    }
}
