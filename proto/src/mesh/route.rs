//! Which paths carry a peer's media to this member: a pure function with hysteresis.
//!
//! A direct link is preferred. Without one, two relays carry each frame, so that the loss of one is inaudible (mesh.md,
//! "Audio by two disjoint paths"). A direct link that has fallen silent is backed by relays until it is heard again.

use std::time::Duration;

use crate::ids::{LinkId, RelayId};

/// How many relays carry one track at once. Reason: audio is cheap, and two disjoint paths survive the loss of either.
pub const RELAY_PATHS_MAX: usize = 2;
/// A relay in use is kept unless another is better by this share of its round-trip time, in percent.
pub const RTT_HYSTERESIS_PERCENT: u32 = 20;

/// One way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// A link of its own.
    Direct(LinkId),
    /// Over a relay where both are in the room.
    Relay(RelayId),
}

/// What is known of a way that exists at this moment and that the policy permits.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Which way.
    pub path: Path,
    /// Its round-trip time to the neighbour, once measured.
    pub rtt: Option<Duration>,
    /// Nothing was heard on it lately ([`super::link::LinkMonitor::is_silent`]).
    pub silent: bool,
    /// The relay to whose link it is bound, if that is another one than the path's own.
    pub through: Option<RelayId>,
}

impl Candidate {
    /// Two paths with one first step are lost together.
    fn first_step(&self) -> Option<RelayId> {
        match self.path {
            Path::Direct(_) => None,
            Path::Relay(relay) => Some(self.through.unwrap_or(relay)),
        }
    }
}

/// The paths to subscribe on, best first; empty if there is none. `current` is what is in use now.
#[must_use]
pub fn plan(candidates: &[Candidate], current: &[Path]) -> Vec<Path> {
    let mut direct: Vec<&Candidate> = Vec::new();
    let mut relays: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        match candidate.path {
            Path::Direct(_) => direct.push(candidate),
            Path::Relay(_) => relays.push(candidate),
        }
    }
    // The newest direct link: an older one belongs to a process or an address that is going away.
    direct.sort_by_key(|c| (c.silent, std::cmp::Reverse(c.path)));
    relays.sort_by_key(|c| (c.silent, cost(c, current), c.path));
    let mut plan = Vec::new();
    if let Some(best) = direct.first() {
        plan.push(best.path);
        if !best.silent {
            return plan;
        }
    }
    let mut steps: Vec<Option<RelayId>> = Vec::new();
    for candidate in relays {
        let step = candidate.first_step();
        if steps.len() < RELAY_PATHS_MAX && !steps.contains(&step) {
            steps.push(step);
            plan.push(candidate.path);
        }
    }
    plan
}

/// Round-trip time in microseconds, with a rebate for what is in use, and another for what is first: of two equal paths
/// neither replaces the other. Unmeasured comes last.
fn cost(candidate: &Candidate, current: &[Path]) -> u128 {
    let rtt = candidate.rtt.map_or(u128::from(u32::MAX), |rtt| rtt.as_micros());
    let rebates = match current.iter().position(|path| *path == candidate.path) {
        Some(0) => 2,
        Some(_) => 1,
        None => 0,
    };
    (0..rebates).fold(rtt, |rtt, _| rtt * u128::from(100 - RTT_HYSTERESIS_PERCENT) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(n: u8, rtt_ms: u64, silent: bool) -> Candidate {
        Candidate {
            path: Path::Relay(RelayId([n; 32])),
            rtt: Some(Duration::from_millis(rtt_ms)),
            silent,
            through: None,
        }
    }

    fn direct(n: u64, silent: bool) -> Candidate {
        Candidate {
            path: Path::Direct(LinkId(n)),
            rtt: None,
            silent,
            through: None,
        }
    }

    #[test]
    fn a_healthy_direct_link_stands_alone() {
        assert_eq!(
            plan(&[relay(1, 5, false), direct(3, false)], &[]),
            [Path::Direct(LinkId(3))]
        );
    }

    #[test]
    fn a_silent_direct_link_is_backed_by_relays() {
        let paths = plan(&[relay(1, 5, false), direct(3, true)], &[Path::Direct(LinkId(3))]);
        assert_eq!(paths, [Path::Direct(LinkId(3)), Path::Relay(RelayId([1; 32]))]);
    }

    #[test]
    fn two_relays_carry_where_nothing_is_direct_and_silent_ones_come_last() {
        let paths = plan(
            &[relay(1, 5, true), relay(2, 50, false), relay(3, 40, false)],
            &[],
        );
        assert_eq!(
            paths,
            [Path::Relay(RelayId([3; 32])), Path::Relay(RelayId([2; 32]))]
        );
    }

    #[test]
    fn a_slightly_better_relay_does_not_replace_one_in_use() {
        let in_use = [Path::Relay(RelayId([1; 32])), Path::Relay(RelayId([2; 32]))];
        let candidates = [relay(1, 50, false), relay(2, 50, false), relay(3, 45, false)];
        assert_eq!(plan(&candidates, &in_use), in_use);
        let candidates = [relay(1, 50, false), relay(2, 50, false), relay(3, 30, false)];
        assert_eq!(plan(&candidates, &in_use)[0], Path::Relay(RelayId([3; 32])));
    }

    #[test]
    fn of_two_relays_in_use_the_first_stays_first() {
        let in_use = [Path::Relay(RelayId([2; 32])), Path::Relay(RelayId([1; 32]))];
        assert_eq!(plan(&[relay(1, 49, false), relay(2, 50, false)], &in_use), in_use);
    }

    #[test]
    fn two_paths_that_begin_at_one_relay_are_not_two() {
        let (near, other) = (relay(1, 20, false), relay(3, 90, false));
        let beyond = Candidate {
            through: Some(RelayId([1; 32])),
            ..relay(2, 60, false)
        };
        assert_eq!(plan(&[near, beyond], &[]), [near.path]);
        assert_eq!(plan(&[near, beyond, other], &[]), [near.path, other.path]);
        assert_eq!(plan(&[beyond], &[]), [beyond.path]);
    }

    #[test]
    fn without_candidates_there_is_no_path() {
        assert!(plan(&[], &[]).is_empty());
    }
}
