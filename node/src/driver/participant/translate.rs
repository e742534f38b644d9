//! The participant's events in the words of the node's interface.

use std::{collections::BTreeSet, time::Duration};

use subrosa_proto::{
    ids::{MemberId, RelayId},
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
    event::{ErrorEvent, Event, ForwardStats, MemberState, PathKind, PeerStats, Route},
    store::tickets,
};

impl Driver {
    pub(super) fn handle_participant_event(&mut self, event: participant::Event) {
        match event {
            participant::Event::Ticket(ticket) => {
                self.keep_ticket();
                self.user.tell(Event::Ticket { ticket });
            }
            participant::Event::MuteRequested { by } => {
                self.audio.set_muted(true);
                self.user.tell(Event::MuteRequested { by });
            }
            participant::Event::Certified { member, checked } => self.tell_certified(member, checked),
            participant::Event::Knock { member, ref name, .. }
            | participant::Event::Member {
                member,
                ref name,
                state: participant::MemberState::Joined,
                ..
            } => {
                self.tell_standing(member, name);
                if let Some(event) = to_event(event) {
                    self.user.tell(event);
                }
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
                self.tell_route(peer, &paths, rtt);
            }
            participant::Event::Conversation(event) => {
                if let Some(event) = super::conversation::event(event) {
                    self.user.tell(event);
                }
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
            LeftReason::Passphrase => (
                "passphrase",
                Some((
                    ErrorKind::Passphrase,
                    "too many wrong passphrases were tried",
                    "ask the host for the passphrase, and to unlock the door",
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
            words: code.words(),
            members,
        },
        participant::Event::Knock {
            member,
            name,
            via,
            returns,
        } => Event::Knock {
            member,
            name,
            fingerprint: member.fingerprint(),
            via: way_in(via.as_ref()),
            returns,
        },
        participant::Event::KnockEnded { member } => Event::KnockEnded { member },
        participant::Event::HostAbsent(left) => Event::HostAbsent {
            for_s: left.as_secs(),
        },
        participant::Event::PassphraseWanted { wrong } => Event::PassphraseWanted { wrong },
        participant::Event::Code {
            words,
            addresses,
            left,
        } => Event::Code {
            words,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            for_s: left.as_secs(),
        },
        participant::Event::CodeUsed { right } => Event::CodeUsed { right },
        participant::Event::SentBack => Event::SentBack {},
        participant::Event::KeyCame { member } => Event::KeyCame { member },
        participant::Event::AskedToSpeak { member } => Event::AskedToSpeak { member },
        participant::Event::Sharing(in_charge_only) => Event::Sharing { in_charge_only },
        participant::Event::Reactions { member, allowed } => Event::Reactions { member, allowed },
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

/// The way that somebody at the door comes, in words.
fn way_in(path: Option<&RoutePath>) -> String {
    match path {
        Some(RoutePath::Direct) => "direct".to_owned(),
        Some(RoutePath::Member { name, .. }) => format!("over {name}"),
        Some(RoutePath::Relay {
            operator,
            hosting,
            legal_seat,
            ..
        }) => format!("relay {operator}, hosted {hosting}, law {legal_seat}"),
        None => "unknown".to_owned(),
    }
}

/// What is said of each path over relays, by `word`: of several paths with `+`, of relays one behind the other with `>`.
fn over_relays(paths: &[RoutePath], word: impl Fn(&RoutePath) -> Option<String>) -> Option<String> {
    let hops = |path: &RoutePath| {
        let RoutePath::Relay { through, beyond, .. } = path else {
            return None;
        };
        let hops = [through.as_deref(), Some(path), beyond.as_deref()];
        let words: Vec<String> = hops.into_iter().flatten().filter_map(&word).collect();
        Some(words.join(">"))
    };
    let words: Vec<String> = paths.iter().filter_map(hops).collect();
    (!words.is_empty()).then(|| words.join("+"))
}

/// The names of the members who forward, with `+` between them.
fn over_members(paths: &[RoutePath]) -> String {
    let names = paths.iter().filter_map(|path| match path {
        RoutePath::Member { name, .. } => Some(name.as_str()),
        RoutePath::Direct | RoutePath::Relay { .. } => None,
    });
    names.collect::<Vec<_>>().join("+")
}

/// What a participant forwards, as people are told.
pub(super) fn forward_stats(participant: &participant::Participant) -> ForwardStats {
    let counters = participant.forwarded();
    ForwardStats {
        offered_kbps: participant.offered_kbps(),
        tracks: participant.children().count(),
        listeners: participant.children().map(|(_, listeners)| listeners).sum(),
        frames: counters.frames,
        bytes: counters.bytes,
        dropped: counters.dropped,
        refused: counters.refused,
        envelopes: counters.envelopes,
    }
}

/// By what this node reaches the relays of each path: of several relays one behind the other, the first.
fn transports(paths: &[RoutePath], over_tcp: &BTreeSet<RelayId>) -> Option<String> {
    let word = |path: &RoutePath| {
        let RoutePath::Relay { relay, through, .. } = path else {
            return None;
        };
        let entry = match through.as_deref() {
            Some(RoutePath::Relay { relay, .. }) => relay,
            _ => relay,
        };
        Some(if over_tcp.contains(entry) { "tcp" } else { "udp" })
    };
    let words: Vec<&str> = paths.iter().filter_map(word).collect();
    (!words.is_empty()).then(|| words.join("+"))
}

impl Driver {
    /// Tells the ways to a member, and by what its relays are reached.
    pub(super) fn tell_route(&mut self, peer: MemberId, paths: &[RoutePath], rtt: Option<Duration>) {
        self.transports.note(peer, paths, rtt);
        let rtt_ms = rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0);
        let route = to_route(peer, paths, rtt_ms, &self.transports.over_tcp());
        self.user.tell(Event::Route(route));
    }
}

fn to_route(peer: MemberId, paths: &[RoutePath], rtt_ms: Option<f64>, over_tcp: &BTreeSet<RelayId>) -> Route {
    let [via, hosting, legal_seat, evidence] = [0, 1, 2, 3].map(|word| {
        over_relays(paths, |path| match path {
            RoutePath::Relay {
                operator,
                hosting,
                legal_seat,
                evidence,
                ..
            } => [operator, hosting, legal_seat, &evidence.shown().to_owned()]
                .get(word)
                .map(|word| (*word).clone()),
            RoutePath::Direct | RoutePath::Member { .. } => None,
        })
    });
    Route {
        peer,
        path: match paths.first() {
            None => PathKind::None,
            Some(RoutePath::Direct) => PathKind::Direct,
            Some(RoutePath::Member { .. }) => PathKind::Member,
            Some(RoutePath::Relay { .. }) => PathKind::Relay,
        },
        via: match paths.first() {
            Some(RoutePath::Member { .. }) => over_members(paths),
            _ => via.unwrap_or_default(),
        },
        hosting,
        legal_seat,
        evidence,
        transport: transports(paths, over_tcp),
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
        RoleName::Interpreter => Role::Interpreter,
        RoleName::Listener => Role::Listener,
    }
}

const fn name_of(role: Role) -> RoleName {
    match role {
        Role::Host => RoleName::Host,
        Role::CoHost => RoleName::CoHost,
        Role::Speaker => RoleName::Speaker,
        Role::Interpreter => RoleName::Interpreter,
        Role::Listener => RoleName::Listener,
    }
}
