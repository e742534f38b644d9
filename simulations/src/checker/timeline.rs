//! What people were told, in lines that scenarios can expect.

use subrosa_proto::{
    ids::MemberId,
    meeting::participant::{Event, MemberState, RoutePath},
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
        Event::Knock { member, .. } => format!("knock {}", name(*member)),
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
        Event::Left(reason) => format!("end {reason:?}"),
        _ => format!("{event:?}"),
    }
}

fn describe_path(path: &RoutePath) -> String {
    match path {
        RoutePath::Direct => "direct".to_owned(),
        RoutePath::Relay {
            operator, hosting, ..
        } => format!("relay {operator} {hosting}"),
    }
}
