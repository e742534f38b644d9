//! What people were told, in lines that scenarios can expect.

use subrosa_proto::{
    ids::MemberId,
    meeting::{
        conversation::ConversationEvent,
        participant::{Event, MemberState, RoutePath},
    },
    time::Timestamp,
};

use super::seconds;

/// Lines that are kept. Reason: a long run with churn tells some thousands.
const LINES_MAX: usize = 20_000;

/// See the module.
#[derive(Default)]
pub(super) struct Timeline {
    pub(super) lines: Vec<String>,
    told: Vec<(String, String)>,
}

impl Timeline {
    pub(super) fn note(&mut self, at: Timestamp, who: &str, what: &str) {
        if self.lines.len() < LINES_MAX {
            self.lines
                .push(format!("{:>9.3} s  {who:<8} {what}", seconds(at)));
            self.told.push((who.to_owned(), what.to_owned()));
        }
    }

    pub(super) fn has(&self, who: &str, beginning: &str) -> bool {
        self.told
            .iter()
            .any(|(name, what)| name == who && what.starts_with(beginning))
    }
}

/// One line for an event.
pub(super) fn describe(event: &Event, name: impl Fn(MemberId) -> String) -> String {
    match event {
        Event::Ticket(_) => "ticket".to_owned(),
        Event::TicketRenewed => "ticket renewed".to_owned(),
        Event::Waiting => "waiting".to_owned(),
        Event::Joined { policy } => format!("joined ({policy})"),
        Event::SafetyCode { code, members } => format!("safety code {code} over {members}"),
        Event::Knock { member, returns, .. } => {
            let again = if *returns { " again" } else { "" };
            format!("knock {}{again}", name(*member))
        }
        Event::KnockEnded { member } => format!("knock ended {}", name(*member)),
        Event::HostAbsent(_) => "host absent".to_owned(),
        Event::PassphraseWanted { wrong } => format!("passphrase wanted, wrong {wrong}"),
        Event::SentBack => "sent back".to_owned(),
        Event::KeyCame { member } => format!("key came {}", name(*member)),
        Event::MuteRequested { by } => format!("mute requested by {}", name(*by)),
        Event::AskedToSpeak { member } => format!("asked to speak {}", name(*member)),
        Event::Sharing(in_charge_only) => format!("sharing in charge only {in_charge_only}"),
        Event::Reactions { member, allowed } => format!("reactions {} {allowed}", name(*member)),
        Event::Member {
            member, role, state, ..
        } => {
            let state = match state {
                MemberState::Joined => "joined",
                MemberState::Left => "left",
                MemberState::Removed => "removed",
            };
            format!("member {} {state} ({role})", name(*member))
        }
        Event::Locked(locked) => format!("locked {locked}"),
        Event::Route { peer, paths, rtt } => {
            let paths: Vec<String> = paths.iter().map(describe_path).collect();
            let rtt = rtt.map_or(String::new(), |rtt| format!(" {:.1} ms", rtt.as_secs_f64() * 1e3));
            format!("route {} [{}]{rtt}", name(*peer), paths.join(", "))
        }
        Event::Refused { what, clause, reason } => format!("refused {what} {clause}: {reason}"),
        Event::Keys {
            generation,
            step,
            reason,
            members,
        } => format!("keys {generation}.{step} {reason:?} for {members}"),
        Event::Fault { code, message, .. } => format!("fault {code}: {message}"),
        Event::Conversation(event) => describe_conversation(event, name),
        Event::Left(reason) => format!("end {reason:?}"),
        _ => format!("{event:?}"),
    }
}

fn describe_conversation(event: &ConversationEvent, name: impl Fn(MemberId) -> String) -> String {
    let names = |ids: &[MemberId]| ids.iter().map(|id| name(*id)).collect::<Vec<_>>().join(", ");
    match event {
        ConversationEvent::Said(said) => {
            let to = said.to.map_or(String::new(), |to| format!(" to {}", name(to)));
            format!("said {}{to}: {}", name(said.from), said.text)
        }
        ConversationEvent::Hands(order) => format!("hands {}", names(order)),
        ConversationEvent::Reacted { member, reaction } => {
            format!("reaction {} {}", name(*member), reaction.as_str())
        }
        ConversationEvent::Poll(view) => {
            let state = if view.closed.is_some() { "closed" } else { "open" };
            format!("poll {state} {:?}", view.votes)
        }
        other => format!("{other:?}"),
    }
}

fn describe_path(path: &RoutePath) -> String {
    match path {
        RoutePath::Direct => "direct".to_owned(),
        RoutePath::Member { name, .. } => format!("over {name}"),
        RoutePath::Relay {
            operator,
            hosting,
            through,
            beyond,
            ..
        } => {
            let hop = |word: &str, path: &Option<Box<RoutePath>>| {
                let path = path.as_deref().map(describe_path);
                path.map(|path| format!(" {word} {path}")).unwrap_or_default()
            };
            let (by, then) = (hop("by", through), hop("then", beyond));
            format!("relay {operator} {hosting}{by}{then}")
        }
    }
}
