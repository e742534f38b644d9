//! What a person is shown of a meeting: a pure reducer from the node's events to a state and lines of text. Every
//! interface (lines now; later a terminal UI and a web page) keeps one and draws it in its own way.

mod conversation;
mod people;
mod sanitise;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use people::{Lookup, Target};
pub(crate) use sanitise::{sanitise, sanitise_lines};

use std::collections::BTreeMap;

use subrosa_node::{
    command::RoleName,
    event::{Event, ForwardStats, MemberState, PeerStats, Route, StandingName},
};
use subrosa_proto::{ids::MemberId, time::UnixSeconds, wire::ticket::Ticket};

/// Knocks that are shown at once. The node bounds its lobby itself; beyond this the oldest knock loses its number here
/// and can still be admitted by name when it knocks again.
pub(crate) const KNOCKS_MAX: usize = 64;
/// Members that are shown at once: more than the largest meeting that the node allows.
pub(crate) const PEOPLE_MAX: usize = 1_024;

/// How far this node has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The socket is not open yet, or the host is being looked for.
    #[default]
    Connecting,
    /// The host has to decide.
    Waiting,
    /// In the meeting.
    Joined,
    /// Out again.
    Left,
}

/// Somebody in the meeting.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The name they gave, made safe for a terminal.
    pub(crate) name: String,
    pub(crate) role: RoleName,
    pub(crate) speaking: bool,
    /// The way to them; `None` before it is known, and for oneself.
    pub(crate) route: Option<Route>,
    /// The latest reception statistics.
    pub(crate) stats: Option<PeerStats>,
}

/// Somebody who waits to be let in.
#[derive(Clone, Debug)]
pub(crate) struct Knock {
    /// What a person types to name them; never used twice.
    pub(crate) number: usize,
    pub(crate) member: MemberId,
    /// The name they gave, made safe for a terminal.
    pub(crate) name: String,
    pub(crate) fingerprint: String,
}

/// A line to show now, and how much it wants to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) weight: Weight,
    pub(crate) text: String,
}

/// How much a line wants to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Background: routes, keys.
    Quiet,
    /// What happens in the meeting.
    Plain,
    /// Wants a decision, or is to be handed on.
    Strong,
    /// Something failed.
    Alarm,
}

/// The state that interfaces draw. Feed it every [`Event`] in order.
#[derive(Debug, Default)]
pub(crate) struct ViewModel {
    pub(crate) phase: Phase,
    pub(crate) me: Option<MemberId>,
    pub(crate) ticket: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) safety_code: Option<String>,
    /// The same as words.
    pub(crate) safety_words: String,
    pub(crate) locked: bool,
    pub(crate) muted: bool,
    pub(crate) people: BTreeMap<MemberId, Person>,
    pub(crate) knocks: Vec<Knock>,
    /// What organisations say about people, in words.
    pub(crate) certified: BTreeMap<MemberId, String>,
    /// What is known of people.
    pub(crate) standing: BTreeMap<MemberId, StandingName>,
    last_knock: usize,
    pub(crate) talk: conversation::Talk,
    /// What this node forwards for others: what it offers in kbit/s, members, subscriptions.
    forward: (u32, usize, usize),
    /// The route line as last shown, e.g. `Ada: direct · Ben: relay X, hosted DE, law FR, declared`.
    route_line: String,
}

impl ViewModel {
    /// Whoever offered to forward sees what comes of it.
    fn on_forward(&mut self, stats: &ForwardStats) -> Vec<Notice> {
        let now = (stats.offered_kbps, stats.tracks, stats.listeners);
        if std::mem::replace(&mut self.forward, now) == now {
            return Vec::new();
        }
        vec![quiet(text::forward(stats))]
    }

    /// A model of a node that starts muted or not.
    pub(crate) fn new(muted: bool) -> Self {
        Self {
            muted,
            ..Self::default()
        }
    }

    /// Takes in one event; returns what to tell a person about it, in order.
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<Notice> {
        let mut notices = self.reduce(event);
        let route_line = self.current_route_line();
        if route_line != self.route_line {
            self.route_line = route_line;
            if self.phase == Phase::Joined && !self.route_line.is_empty() {
                notices.push(quiet(format!("routes  {}", self.route_line)));
            }
        }
        notices
    }

    /// Takes note that somebody in the lobby was refused from here.
    pub(crate) fn forget_knock(&mut self, member: &MemberId) {
        self.knocks.retain(|knock| knock.member != *member);
    }

    fn reduce(&mut self, event: &Event) -> Vec<Notice> {
        match event {
            Event::Ready { node, .. } => {
                self.me = Some(*node);
                vec![quiet(format!("you are {}", node.fingerprint()))]
            }
            Event::Ticket { ticket } => self.on_ticket(ticket),
            Event::Waiting {} => {
                self.phase = Phase::Waiting;
                vec![plain("you are in the lobby: the host decides …".to_owned())]
            }
            Event::Joined { me, policy, .. } => self.on_joined(*me, policy),
            Event::SafetyCode {
                safety_code,
                words,
                members,
            } => {
                self.safety_words = sanitise(words);
                self.on_safety_code(safety_code, *members)
            }
            Event::Knock {
                member,
                name,
                fingerprint,
                via,
                returns,
            } => self.on_knock(*member, name, fingerprint, (via, *returns)),
            Event::KnockEnded { member } => {
                self.knocks.retain(|knock| knock.member != *member);
                Vec::new()
            }
            Event::HostAbsent { for_s } => vec![plain(format!(
                "nobody in charge is there yet: knocking for another {for_s} s"
            ))],
            Event::PassphraseWanted { wrong } => self.on_passphrase_wanted(*wrong),
            Event::KeyCame { member } => vec![plain(format!("{} can be heard again", self.label(member)))],
            Event::SentBack {} => {
                self.phase = Phase::Waiting;
                self.people.clear();
                self.standing.clear();
                self.certified.clear();
                vec![strong("you were sent back to the lobby".to_owned())]
            }
            Event::MuteRequested { by } => {
                self.muted = true;
                vec![strong(format!(
                    "{} asked for silence: you are muted (/unmute to speak)",
                    self.label(by)
                ))]
            }
            Event::Standing {
                member,
                standing,
                contact,
                ..
            } => self.on_standing(*member, *standing, contact.as_deref()),
            Event::Certified {
                member,
                organisation,
                root,
                name,
                trusted,
                problem,
                ..
            } => {
                let words = match problem {
                    Some(problem) => format!("credential of no worth: {}", sanitise(problem)),
                    None => text::certified(&sanitise(organisation), root, &sanitise(name), *trusted),
                };
                self.certified.insert(*member, words.clone());
                vec![plain(format!("{}: {words}", self.label(member)))]
            }
            Event::Code {
                words,
                addresses,
                for_s,
            } => {
                let at = addresses.first().map_or("ADDRESS", String::as_str);
                vec![
                    plain(format!(
                        "read this out; it is good once, for {} minutes:",
                        for_s / 60
                    )),
                    strong(format!("subrosa join {words} --at {at}")),
                ]
            }
            Event::CodeUsed { right: true } => {
                vec![plain("the code was used: somebody has the ticket now".to_owned())]
            }
            Event::CodeUsed { right: false } => vec![alarm(
                "somebody tried the code with wrong words: it is spent; /offer-code makes a new one"
                    .to_owned(),
            )],
            Event::AskedToSpeak { member } => {
                vec![strong(format!("{} asks for the word", self.label(member)))]
            }
            Event::Sharing { in_charge_only } => vec![plain(text::sharing(*in_charge_only).to_owned())],
            Event::Reactions { member, allowed } => {
                let are = if *allowed {
                    "are shown again"
                } else {
                    "are not shown any more"
                };
                vec![plain(format!("reactions of {} {are}", self.label(member)))]
            }
            Event::Member {
                id,
                name,
                role,
                state,
            } => self.on_member(*id, name, *role, *state),
            Event::Locked { locked } => self.on_locked(*locked),
            Event::Route(route) => {
                if let Some(person) = self.people.get_mut(&route.peer) {
                    person.route = Some(route.clone());
                }
                Vec::new()
            }
            Event::Speaking { member, on } => self.on_speaking(*member, *on),
            Event::Stats { peers } => {
                for stats in peers {
                    if let Some(person) = self.people.get_mut(&stats.member) {
                        person.stats = Some(stats.clone());
                    }
                }
                Vec::new()
            }
            Event::Forward(stats) => self.on_forward(stats),
            Event::Chat(chat) => self.on_chat(chat),
            Event::Undelivered { to, messages } => self.on_undelivered(to, *messages),
            Event::Hands { members } => self.on_hands(members.iter().map(|id| id.0).collect()),
            Event::Reaction { member, emoji, .. } => self.on_reaction(member, emoji),
            Event::Poll(poll) => self.on_poll(poll),
            Event::File(event) => self.on_file(event),
            Event::Refused { reason, clause, .. } => {
                vec![alarm(format!(
                    "refused ({}): {}",
                    sanitise(clause),
                    sanitise(reason)
                ))]
            }
            Event::Keys {
                generation, members, ..
            } => {
                vec![quiet(format!(
                    "keys    generation {generation}: {members} can hear you"
                ))]
            }
            Event::Error(error) => {
                let mut notices = vec![alarm(format!("error: {}", sanitise(&error.message)))];
                if !error.hint.is_empty() {
                    notices.push(plain(format!("hint: {}", sanitise(&error.hint))));
                }
                notices
            }
            Event::Left { reason } => {
                self.phase = Phase::Left;
                vec![plain(text::left(reason))]
            }
            _ => Vec::new(),
        }
    }

    fn on_ticket(&mut self, ticket: &str) -> Vec<Notice> {
        let head = match self.ticket.replace(sanitise(ticket)) {
            None => "hand this ticket to those you invite:",
            Some(old) if opens_the_same_door(&old, ticket) => {
                "hand out this ticket from now on; the old one may still lead here:"
            }
            Some(_) => "the ticket was renewed; the old one opens nothing any more:",
        };
        vec![plain(head.to_owned()), strong(sanitise(ticket))]
    }

    fn on_joined(&mut self, me: MemberId, policy: &str) -> Vec<Notice> {
        self.phase = Phase::Joined;
        self.me = Some(me);
        self.policy = Some(sanitise(policy));
        vec![plain(format!("you are in. Policy: {}", sanitise(policy)))]
    }

    fn on_safety_code(&mut self, safety_code: &str, members: usize) -> Vec<Notice> {
        let safety_code = sanitise(safety_code);
        if self.safety_code.as_deref() == Some(&safety_code) {
            return Vec::new();
        }
        let notice = if self.safety_code.is_none() {
            plain(format!(
                "safety  {safety_code} (the same on every screen, or somebody listens in)"
            ))
        } else {
            quiet(format!("safety  {safety_code} ({members} identities)"))
        };
        self.safety_code = Some(safety_code);
        vec![notice]
    }

    fn on_standing(
        &mut self,
        member: MemberId,
        standing: StandingName,
        contact: Option<&str>,
    ) -> Vec<Notice> {
        if self.standing.len() < PEOPLE_MAX {
            self.standing.insert(member, standing);
        }
        let contact = sanitise(contact.unwrap_or_default());
        let who = member.fingerprint();
        match standing {
            StandingName::Contact => vec![plain(format!("{who} is your contact \"{contact}\""))],
            StandingName::ChangedKey => vec![alarm(format!(
                "WARNING: {who} calls itself \"{contact}\", and is NOT the \"{contact}\" whom you verified: another key"
            ))],
            StandingName::SameName => vec![alarm(format!(
                "WARNING: {who} uses the name of somebody else who is here"
            ))],
        }
    }

    fn on_passphrase_wanted(&mut self, wrong: bool) -> Vec<Notice> {
        self.phase = Phase::Waiting;
        let words = if wrong {
            "the passphrase was wrong: /passphrase WORDS"
        } else {
            "the door asks for the passphrase: /passphrase WORDS"
        };
        vec![strong(words.to_owned())]
    }

    fn on_knock(
        &mut self,
        member: MemberId,
        name: &str,
        fingerprint: &str,
        (via, returns): (&str, bool),
    ) -> Vec<Notice> {
        let name = sanitise(name);
        if let Some(known) = self.knocks.iter_mut().find(|knock| knock.member == member) {
            known.name = name;
            return Vec::new();
        }
        if self.knocks.len() == KNOCKS_MAX {
            self.knocks.remove(0);
        }
        self.last_knock += 1;
        let number = self.last_knock;
        let fingerprint = sanitise(fingerprint);
        let notice = strong(format!(
            "knock {number}: \"{name}\" {fingerprint}, {}{}  (/admit {number} or /refuse {number})",
            sanitise(via),
            if returns {
                ", was refused or removed before"
            } else {
                ""
            }
        ));
        self.knocks.push(Knock {
            number,
            member,
            name,
            fingerprint,
        });
        vec![notice]
    }

    fn on_member(&mut self, id: MemberId, name: &str, role: RoleName, state: MemberState) -> Vec<Notice> {
        self.knocks.retain(|knock| knock.member != id);
        let name = sanitise(name);
        match state {
            MemberState::Joined => self.on_present(id, name, role),
            MemberState::Left | MemberState::Removed => {
                let label = self.label(&id);
                if self.people.remove(&id).is_none() {
                    return Vec::new();
                }
                let verb = if state == MemberState::Left {
                    "left"
                } else {
                    "was removed"
                };
                vec![plain(format!("{label} {verb}"))]
            }
        }
    }

    fn on_present(&mut self, id: MemberId, name: String, role: RoleName) -> Vec<Notice> {
        if let Some(person) = self.people.get_mut(&id) {
            let changed = person.role != role;
            person.role = role;
            person.name = name;
            if !changed {
                return Vec::new();
            }
            return vec![plain(format!("{} is now {}", self.label(&id), text::role(role)))];
        }
        if self.people.len() == PEOPLE_MAX {
            return Vec::new();
        }
        self.people.insert(
            id,
            Person {
                name,
                role,
                speaking: false,
                route: None,
                stats: None,
            },
        );
        if self.me == Some(id) {
            return Vec::new();
        }
        vec![plain(format!(
            "{} is here ({}, {})",
            self.label(&id),
            text::role(role),
            id.fingerprint()
        ))]
    }

    fn on_locked(&mut self, locked: bool) -> Vec<Notice> {
        if self.locked == locked {
            return Vec::new();
        }
        self.locked = locked;
        let text = if locked {
            "the meeting is locked: nobody else comes in"
        } else {
            "the meeting is open again"
        };
        vec![plain(text.to_owned())]
    }

    fn on_speaking(&mut self, member: MemberId, on: bool) -> Vec<Notice> {
        // Shown by /who and by the terminal UI; a line per utterance would drown everything else.
        if let Some(person) = self.people.get_mut(&member) {
            person.speaking = on;
        }
        Vec::new()
    }
}

/// Whether two tickets open the same door: no room secret came between.
fn opens_the_same_door(old: &str, new: &str) -> bool {
    let epoch = |text: &str| Ticket::parse(text, UnixSeconds(0)).map(|ticket| ticket.terms().epoch);
    matches!((epoch(old), epoch(new)), (Ok(old), Ok(new)) if old == new)
}

fn quiet(text: String) -> Notice {
    Notice {
        weight: Weight::Quiet,
        text,
    }
}

fn plain(text: String) -> Notice {
    Notice {
        weight: Weight::Plain,
        text,
    }
}

fn strong(text: String) -> Notice {
    Notice {
        weight: Weight::Strong,
        text,
    }
}

fn alarm(text: String) -> Notice {
    Notice {
        weight: Weight::Alarm,
        text,
    }
}
