//! What is said reaches everybody for whom it was meant, once, and nobody else; hands are in one order.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_proto::{
    ids::MemberId,
    meeting::{
        conversation::{ConversationEvent, Said, item::OrderKey},
        participant::{Event, MemberState, Participant},
    },
    time::Timestamp,
};

use super::Violations;

/// A way is open, and lost messages have come again, after so long.
const SETTLE_MICROS: u64 = 12_000_000;

/// A line that was said to everybody.
struct Line {
    by: usize,
    at: Timestamp,
    audience: BTreeSet<usize>,
}

/// One process's view.
#[derive(Default)]
struct View {
    since: Timestamp,
    roster: BTreeSet<usize>,
    shown: BTreeSet<OrderKey>,
    hands: Vec<MemberId>,
    out: bool,
}

/// See the module.
pub(super) struct ConversationChecker {
    views: Vec<View>,
    lines: BTreeMap<OrderKey, Line>,
    delivered: u64,
}

impl ConversationChecker {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            views: (0..nodes).map(|_| View::default()).collect(),
            lines: BTreeMap::new(),
            delivered: 0,
        }
    }

    /// A process starts.
    pub(super) fn starts(&mut self, at: Timestamp, node: usize) {
        self.views[node] = View {
            since: at,
            ..View::default()
        };
    }

    pub(super) fn told(
        &mut self,
        at: Timestamp,
        node: usize,
        event: &Event,
        index: impl Fn(MemberId) -> Option<usize>,
        violations: &mut Violations,
        names: &[String],
    ) {
        match event {
            Event::Member { member, state, .. } => {
                if let Some(who) = index(*member) {
                    match state {
                        MemberState::Joined => self.views[node].roster.insert(who),
                        MemberState::Left | MemberState::Removed => self.views[node].roster.remove(&who),
                    };
                }
            }
            Event::Left(_) => self.views[node].out = true,
            Event::Conversation(ConversationEvent::Hands(order)) => self.views[node].hands.clone_from(order),
            Event::Conversation(ConversationEvent::Said(said)) => {
                self.said(at, node, said, index(said.from), violations, names);
            }
            _ => {}
        }
    }

    fn said(
        &mut self,
        at: Timestamp,
        node: usize,
        said: &Said,
        from: Option<usize>,
        violations: &mut Violations,
        names: &[String],
    ) {
        let listener = &names[node];
        if let Some(to) = said.to {
            let _ = to;
            return;
        }
        if from == Some(node) && !self.lines.contains_key(&said.order) {
            let line = Line {
                by: node,
                at,
                audience: self.views[node].roster.clone(),
            };
            self.lines.insert(said.order, line);
        }
        let meant = self
            .lines
            .get(&said.order)
            .is_some_and(|line| line.audience.contains(&node) || line.by == node);
        if !meant {
            violations.add(
                at,
                "conversation",
                &format!("{listener} was told what was not meant for it"),
            );
        }
        if !self.views[node].shown.insert(said.order) {
            violations.add(
                at,
                "conversation",
                &format!("{listener} was told something twice"),
            );
        }
        self.delivered += 1;
    }

    pub(super) fn finish(
        &self,
        at: Timestamp,
        nodes: &[Option<&Participant>],
        violations: &mut Violations,
        names: &[String],
    ) {
        let present = |node: usize| nodes[node].is_some_and(Participant::is_member) && !self.views[node].out;
        for line in self.lines.iter().filter(|(_, line)| present(line.by)) {
            let (key, line) = line;
            let settled = at.as_micros() >= line.at.as_micros() + SETTLE_MICROS;
            // Whoever restarted right after may have taken its words with it.
            if !settled || self.views[line.by].since > line.at {
                continue;
            }
            for &node in line.audience.iter().filter(|node| present(**node)) {
                let stayed = self.views[node].since <= line.at;
                if stayed && !self.views[node].shown.contains(key) {
                    let what = format!("{} never got what {} said", names[node], names[line.by]);
                    violations.add(at, "conversation", &what);
                }
            }
        }
        let hands: BTreeSet<&Vec<MemberId>> = (0..self.views.len())
            .filter(|node| present(*node))
            .map(|node| &self.views[node].hands)
            .collect();
        if hands.len() > 1 {
            violations.add(at, "conversation", "hands are in different orders");
        }
    }

    /// Lines that reached somebody.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }
}
