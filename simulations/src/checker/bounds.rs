//! Nothing grows beyond its bound.

use subrosa_proto::{meeting::participant::Participant, time::Timestamp};

use super::Violations;
use crate::report::{Figures, MachineFigures};

/// The largest control frame (wire::codec).
const CONTROL_BYTES_MAX: usize = 64 * 1_024;
/// Control frames that one node sends in one second for each node of the world, at most.
const CONTROL_RATE_MAX: u64 = 60;
/// What each admission of that second and the one before may add to it: everybody is told of it, where the newcomer is, and a new key,
/// acknowledges the others' keys, and has questions answered. Reason: after a partition a dozen may come in within a second.
const CONTROL_PER_ADMISSION_MAX: u64 = 5;

/// Control bytes that wait for a place in an access link's queue. Reason: a few times what a relay holds for one session
/// (`CONTROL_BACKLOG_MAX`).
const HELD_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// Links to one member at a moment. Reason: when a way is there again, each side's dial with each of two keys may be under way
/// (the room's, and the ticket's for whom that names); what is too much is closed at once.
const LINKS_PER_MEMBER_MAX: usize = 4;
/// Dials to one node at a time: two rounds with each key that may open its port, and relays.
const DIALS_PER_NODE_MAX: usize = 8 + 4;

/// See the module.
pub(super) struct Bounds {
    nodes: usize,
    /// Control frames in the present second: which, how many.
    rate: Vec<(u64, u64)>,
    /// Admissions that each node heard of: the present second, how many in it and in the one before.
    admissions: Vec<(u64, [u64; 2])>,
    control_frames: u64,
    control_bytes: u64,
    control_rate_max: u64,
    channels_max: usize,
    links_max: usize,
}

impl Bounds {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            rate: vec![(0, 0); nodes],
            admissions: vec![(0, [0; 2]); nodes],
            control_frames: 0,
            control_bytes: 0,
            control_rate_max: 0,
            channels_max: 0,
            links_max: 0,
        }
    }

    /// A node heard that somebody was admitted.
    pub(super) fn admitted(&mut self, at: Timestamp, node: usize) {
        self.recent_admissions(at, node);
        self.admissions[node].1[0] += 1;
    }

    fn recent_admissions(&mut self, at: Timestamp, node: usize) -> u64 {
        let second = at.as_micros() / 1_000_000;
        let (of, counts) = &mut self.admissions[node];
        if *of != second {
            *counts = [0, if *of + 1 == second { counts[0] } else { 0 }];
            *of = second;
        }
        counts.iter().sum()
    }

    pub(super) fn control(
        &mut self,
        at: Timestamp,
        node: usize,
        bytes: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        self.control_frames += 1;
        self.control_bytes += bytes as u64;
        let second = at.as_micros() / 1_000_000;
        let each = CONTROL_RATE_MAX + CONTROL_PER_ADMISSION_MAX * self.recent_admissions(at, node);
        let rate = &mut self.rate[node];
        if rate.0 != second {
            *rate = (second, 0);
        }
        rate.1 += 1;
        self.control_rate_max = self.control_rate_max.max(rate.1);
        if rate.1 > each * (self.nodes as u64 + 2) {
            let what = format!("{} sends {} control frames in a second", names[node], rate.1);
            violations.add(at, "bounds", &what);
        }
        if bytes > CONTROL_BYTES_MAX {
            let what = format!("{} sends a control frame of {bytes} bytes", names[node]);
            violations.add(at, "bounds", &what);
        }
    }

    pub(super) fn look(
        &mut self,
        at: Timestamp,
        node: usize,
        participant: &Participant,
        links: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        let holds = participant.holdings();
        self.channels_max = self.channels_max.max(holds.channels);
        self.links_max = self.links_max.max(holds.links);
        let others = self.nodes.saturating_sub(1);
        let limits = [
            ("people", holds.peers, others),
            ("links", holds.links, others * LINKS_PER_MEMBER_MAX),
            ("links without end", holds.links, links.max(1)),
            ("channels", holds.channels, holds.rooms * others.max(1)),
            ("dials", holds.dials, self.nodes * DIALS_PER_NODE_MAX),
            ("states under way", holds.assemblies, 4),
        ];
        for (what, held, max) in limits {
            if held > max {
                let what = format!("{} holds {held} {what}, {max} at most make sense", names[node]);
                violations.add(at, "bounds", &what);
            }
        }
    }

    /// Judges the queues of access links.
    pub(super) fn machines(&self, at: Timestamp, machines: &[MachineFigures], violations: &mut Violations) {
        let queues = machines.iter().flat_map(|machine| {
            let queues = machine.queues.iter().flatten();
            queues.map(|queue| (&machine.name, queue))
        });
        for (name, queue) in queues {
            if queue.held_bytes_max > HELD_BYTES_MAX {
                let what = format!(
                    "{} control bytes wait for the access link of {name}",
                    queue.held_bytes_max
                );
                violations.add(at, "bounds", &what);
            }
        }
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            control_frames: self.control_frames,
            control_bytes: self.control_bytes,
            control_frames_per_second_max: self.control_rate_max,
            channels_max: self.channels_max,
            links_max: self.links_max,
            ..Figures::default()
        }
    }
}
