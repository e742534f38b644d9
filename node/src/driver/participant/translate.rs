//! The participant's events in the words of the node's interface.

use subrosa_proto::{
    ids::MemberId,
    media::reception_stats::ReceptionStats,
    meeting::{
        keys::KeyReason,
        participant::{self, LeftReason, PeerCounters, RoutePath},
        role::Role,
    },
};

use super::Driver;
use crate::{
    command::RoleName,
    error::ErrorKind,
    event::{ErrorEvent, Event, MemberState, PathKind, PeerStats, Route},
    store::tickets,
};

impl Driver {
    pub(super) fn handle_participant_event(&mut self, event: participant::Event) {
        match event {
            participant::Event::Ticket(ticket) => {
                self.keep_ticket();
                self.user.tell(Event::Ticket { ticket });
            }
            participant::Event::TicketRenewed => self.keep_ticket(),
            participant::Event::Joined { policy } => {
                self.leave_at = self.leave_after.map(|after| tokio::time::Instant::now() + after);
                self.user.tell(Event::Joined {
                    meeting: self.meeting.to_string(),
                    me: self.participant.id(),
                    policy,
                });
            }
            participant::Event::Route { peer, paths, rtt } => {
                if !paths.is_empty() {
                    // A clip that was held back begins when somebody can hear it.
                    self.audio.release_clip();
                }
                let rtt_ms = rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0);
                self.user.tell(Event::Route(to_route(peer, &paths, rtt_ms)));
            }
            participant::Event::Left(reason) => self.handle_left(&reason),
            other => {
                if let Some(event) = to_event(other) {
                    self.user.tell(event);
                }
            }
        }
    }

    fn keep_ticket(&mut self) {
        if let Some(store) = &self.store
            && let Err(error) = tickets::keep(store.path(), self.participant.ticket())
        {
            self.user.tell(Event::Error(error.to_event()));
        }
    }

    fn handle_left(&mut self, reason: &LeftReason) {
        let (word, error) = match reason {
            LeftReason::Left => (self.user.own_leave_reason(), None),
            LeftReason::Removed => (
                "removed",
                Some((
                    ErrorKind::Removed,
                    "you were removed from the meeting",
                    "ask the host",
                )),
            ),
            LeftReason::Refused => (
                "refused",
                Some((ErrorKind::Refused, "the host did not let you in", "ask the host")),
            ),
            LeftReason::Locked => (
                "locked",
                Some((
                    ErrorKind::Locked,
                    "the meeting is locked",
                    "ask the host to unlock it",
                )),
            ),
            LeftReason::Unreachable { .. } => (
                "unreachable",
                Some((
                    ErrorKind::Unreachable,
                    "the host does not answer",
                    "check that the host's node runs and that UDP is open; after a removal tickets are renewed, so ask for a new one",
                )),
            ),
            LeftReason::NoPermittedPath { .. } => (
                "no_permitted_path",
                Some((
                    ErrorKind::NoPermittedPath,
                    "no path is allowed",
                    "ask the host for a policy or a relay that both sides can use, or allow direct links",
                )),
            ),
            _ => ("error", None),
        };
        if let Some((kind, message, hint)) = error {
            let message = match reason {
                LeftReason::Unreachable { detail } => match &self.last_dial_error {
                    Some(error) => format!("{message}: {error}; {detail}"),
                    None => format!("{message}; {detail}"),
                },
                LeftReason::NoPermittedPath { detail } => detail.clone(),
                _ => message.to_owned(),
            };
            let event = ErrorEvent {
                code: kind.code().to_owned(),
                message,
                hint: hint.to_owned(),
            };
            self.user.tell(Event::Error(event));
        }
        self.left = Some(word.to_owned());
    }
}

/// Events whose translation needs nothing else.
fn to_event(event: participant::Event) -> Option<Event> {
    Some(match event {
        participant::Event::Waiting => Event::Waiting {},
        participant::Event::SafetyCode { code, members } => Event::SafetyCode {
            safety_code: code.to_string(),
            members,
        },
        participant::Event::Knock { member, name } => Event::Knock {
            member,
            name,
            fingerprint: member.fingerprint(),
        },
        participant::Event::Member {
            member,
            name,
            role,
            state,
        } => Event::Member {
            id: member,
            name,
            role: name_of(role),
            state: match state {
                participant::MemberState::Joined => MemberState::Joined,
                participant::MemberState::Left => MemberState::Left,
                participant::MemberState::Removed => MemberState::Removed,
            },
        },
        participant::Event::Locked(locked) => Event::Locked { locked },
        participant::Event::Refused { what, clause, reason } => Event::Refused {
            what: what.to_owned(),
            clause,
            reason,
        },
        participant::Event::Keys {
            generation,
            reason,
            members,
            ..
        } => Event::Keys {
            generation,
            reason: key_reason(reason).to_owned(),
            members,
        },
        participant::Event::Fault { code, message, hint } => Event::Error(ErrorEvent {
            code: code.to_owned(),
            message,
            hint,
        }),
        other => {
            tracing::warn!(?other, "an event that this driver does not know");
            return None;
        }
    })
}

fn to_route(peer: MemberId, paths: &[RoutePath], rtt_ms: Option<f64>) -> Route {
    let relays = || {
        paths.iter().filter_map(|path| match path {
            RoutePath::Relay {
                operator,
                hosting,
                legal_seat,
                evidence,
                ..
            } => Some((operator, hosting, legal_seat, evidence)),
            RoutePath::Direct => None,
        })
    };
    let join = |words: Vec<String>| (!words.is_empty()).then(|| words.join("+"));
    Route {
        peer,
        path: match paths.first() {
            None => PathKind::None,
            Some(RoutePath::Direct) => PathKind::Direct,
            Some(RoutePath::Relay { .. }) => PathKind::Relay,
        },
        via: relays()
            .map(|(operator, ..)| operator.clone())
            .collect::<Vec<_>>()
            .join("+"),
        hosting: join(relays().map(|(_, hosting, ..)| hosting.clone()).collect()),
        legal_seat: join(relays().map(|(_, _, seat, _)| seat.clone()).collect()),
        evidence: join(relays().map(|(.., evidence)| evidence.to_string()).collect()),
        rtt_ms,
    }
}

pub(super) fn to_peer_stats(member: MemberId, stats: &ReceptionStats, counters: PeerCounters) -> PeerStats {
    PeerStats {
        member,
        received: stats.received,
        lost: stats.lost,
        recovered: stats.recovered(),
        concealed: stats.concealed,
        jitter_ms: stats.jitter.as_secs_f64() * 1_000.0,
        delay_ms: stats.delay.as_secs_f64() * 1_000.0,
        bitrate: stats.bitrate_bps.into(),
        undecryptable: counters.unknown_key + counters.tampered,
    }
}

const fn key_reason(reason: KeyReason) -> &'static str {
    match reason {
        KeyReason::Start => "start",
        KeyReason::Join => "join",
        KeyReason::Removal => "remove",
        KeyReason::Age => "timer",
        KeyReason::Frames => "frames",
        KeyReason::Policy => "policy",
        _ => "other",
    }
}

pub(super) const fn role_of(role: RoleName) -> Role {
    match role {
        RoleName::Host => Role::Host,
        RoleName::CoHost => Role::CoHost,
        RoleName::Speaker => Role::Speaker,
        RoleName::Listener => Role::Listener,
    }
}

const fn name_of(role: Role) -> RoleName {
    match role {
        Role::Host => RoleName::Host,
        Role::CoHost => RoleName::CoHost,
        Role::Speaker | Role::Interpreter => RoleName::Speaker,
        Role::Listener => RoleName::Listener,
    }
}
