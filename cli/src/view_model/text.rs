//! The state in words.

use subrosa_node::{
    command::RoleName,
    event::{ForwardStats, PathKind, Route, StandingName},
};

use super::{Person, Phase, ViewModel, sanitise};

impl ViewModel {
    /// Everybody here with role, fingerprint and route, then those who wait: `/who`.
    pub(crate) fn who_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, person) in &self.people {
            let mark = if person.speaking { '»' } else { ' ' };
            let way = if self.me == Some(*id) {
                if self.muted {
                    "you, muted".to_owned()
                } else {
                    "you".to_owned()
                }
            } else {
                person
                    .route
                    .as_ref()
                    .map_or_else(|| "connecting".to_owned(), route)
            };
            lines.push(format!(
                "{mark} {:<16} {:<8} {}  {way}{}",
                self.label(id),
                role(person.role),
                id.fingerprint(),
                self.standing_words(id),
            ));
        }
        for knock in &self.knocks {
            lines.push(format!(
                "? {}: \"{}\" {} waits",
                knock.number, knock.name, knock.fingerprint
            ));
        }
        if lines.is_empty() {
            lines.push(self.phase_line().to_owned());
        }
        if self.locked {
            lines.push("the meeting is locked".to_owned());
        }
        lines
    }

    /// Contact, credential and warnings, after a comma each.
    fn standing_words(&self, id: &subrosa_proto::ids::MemberId) -> String {
        let mut words = match self.standing.get(id) {
            Some(StandingName::Contact) => ", contact".to_owned(),
            Some(StandingName::ChangedKey) => ", NOT your contact of that name".to_owned(),
            Some(StandingName::SameName) => ", name used twice".to_owned(),
            None => String::new(),
        };
        if let Some(certified) = self.certified.get(id) {
            words.push_str(", ");
            words.push_str(certified);
        }
        words
    }

    /// The safety code and what it is for: `/code`.
    pub(crate) fn code_lines(&self) -> Vec<String> {
        match &self.safety_code {
            Some(code) => vec![
                code.clone(),
                self.safety_words.clone(),
                "read it, or the words, to the others: equal on every screen, nobody is between you; then /verify".to_owned(),
            ],
            None => vec![self.phase_line().to_owned()],
        }
    }

    /// Reception from each peer: `/stats`.
    pub(crate) fn stats_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, person) in &self.people {
            if let Some(s) = &person.stats {
                lines.push(format!(
                    "{:<16} {} received, {} lost, {} recovered, {} concealed, jitter {:.1} ms, buffer {:.0} ms, \
                     {:.0} kbit/s{}",
                    self.label(id),
                    s.received,
                    s.lost,
                    s.recovered,
                    s.concealed,
                    s.jitter_ms,
                    s.delay_ms,
                    s.bitrate as f64 / 1e3,
                    undecryptable(s.undecryptable),
                ));
            }
        }
        if lines.is_empty() {
            lines.push("nothing received yet".to_owned());
        }
        lines
    }

    pub(super) fn current_route_line(&self) -> String {
        let others = self.people.iter().filter(|(id, _)| self.me != Some(**id));
        let parts: Vec<String> = others
            .filter_map(|(id, person): (_, &Person)| Some((id, person.route.as_ref()?)))
            .map(|(id, way)| format!("{}: {}", self.label(id), route(way)))
            .collect();
        parts.join(" · ")
    }

    fn phase_line(&self) -> &'static str {
        match self.phase {
            Phase::Connecting => "connecting …",
            Phase::Waiting => "in the lobby: the host decides",
            Phase::Joined => "nobody else is here",
            Phase::Left => "out of the meeting",
        }
    }
}

fn undecryptable(count: u64) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(", {count} undecryptable")
    }
}

/// What this node forwards, in words.
pub(crate) fn forward(stats: &ForwardStats) -> String {
    let ForwardStats {
        offered_kbps,
        tracks,
        listeners,
        ..
    } = stats;
    if *offered_kbps == 0 {
        return "forwarding  nothing any more".to_owned();
    }
    let offer = format!("for others, at most {offered_kbps} kbit/s");
    match tracks {
        0 => format!("forwarding  offered {offer}"),
        _ => format!("forwarding  {tracks} voices to {listeners} listeners {offer}"),
    }
}

/// A way in words, e.g. `relay X, hosted DE, law FR, declared`.
pub(crate) fn route(route: &Route) -> String {
    let kind = match route.path {
        PathKind::Direct => return "direct".to_owned(),
        PathKind::Relay => "relay",
        PathKind::Member => "over",
        _ => return "no path".to_owned(),
    };
    let mut parts = vec![format!("{kind} {}", sanitise(&route.via)).trim_end().to_owned()];
    parts.extend(route.hosting.as_ref().map(|c| format!("hosted {}", sanitise(c))));
    parts.extend(route.legal_seat.as_ref().map(|c| format!("law {}", sanitise(c))));
    parts.extend(route.evidence.as_ref().map(|e| sanitise(e)));
    // Over UDP is what everybody expects.
    let transports = || route.transport.iter().flat_map(|all| all.split('+'));
    let over_tcp = transports().filter(|one| *one == "tcp").count();
    if over_tcp > 0 {
        let all = over_tcp == transports().count();
        parts.push(if all { "over TCP" } else { "one over TCP" }.to_owned());
    }
    parts.join(", ")
}

/// A role in words.
pub(crate) fn role(role: RoleName) -> &'static str {
    match role {
        RoleName::Host => "host",
        RoleName::CoHost => "co-host",
        RoleName::Speaker => "speaker",
        RoleName::Interpreter => "interpreter",
        RoleName::Listener => "listener",
        _ => "member",
    }
}

/// What a credential says, in words.
pub(super) fn certified(organisation: &str, root: &str, name: &str, trusted: bool) -> String {
    if trusted {
        format!("certified by {organisation} as \"{name}\"")
    } else {
        format!("says that {organisation} [{root}] certifies \"{name}\"; you do not trust that key")
    }
}

/// Who may share, in words.
pub(super) fn sharing(in_charge_only: bool) -> &'static str {
    if in_charge_only {
        "only host and co-hosts may share"
    } else {
        "everybody who may speak may share"
    }
}

/// Why this node is out, in words.
pub(crate) fn left(reason: &str) -> String {
    match reason {
        "left" | "leave_after" => "you left the meeting".to_owned(),
        "removed" => "you were removed from the meeting".to_owned(),
        "refused" => "the host did not let you in".to_owned(),
        "locked" => "the meeting is locked".to_owned(),
        "passphrase" => "too many wrong passphrases".to_owned(),
        "unreachable" => "nobody could be reached".to_owned(),
        other => format!("the meeting ended ({})", sanitise(other)),
    }
}
