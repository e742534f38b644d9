//! Which paths carry a peer's media to this member: a pure function with hysteresis.
//!
//! A direct link is preferred. Without one, two relays carry each frame, so that the loss of one is inaudible (mesh.md,
//! "Audio by two disjoint paths"). A direct link that has fallen silent is backed by relays until it is heard again.
//! Where the publisher names parents ([`super::route_planner`]), these are used as long as one of them is heard; without
//! them no member forwards.

use std::time::Duration;

use super::route_planner::{Carrier, Parent};
use crate::ids::{LinkId, MemberId, RelayId};

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
    /// Over a member who forwards.
    Member(MemberId),
}

impl Path {
    /// Who carries on it, if it is not the publisher's own link.
    #[must_use]
    pub const fn carrier(self) -> Option<Carrier> {
        match self {
            Self::Direct(_) => None,
            Self::Relay(relay) => Some(Carrier::Relay(relay)),
            Self::Member(member) => Some(Carrier::Member(member)),
        }
    }

    /// The parent that it leads to.
    #[must_use]
    pub const fn parent(self) -> Parent {
        match self {
            Self::Direct(_) => Parent::Direct,
            Self::Relay(relay) => Parent::Relay(relay),
            Self::Member(member) => Parent::Member(member),
        }
    }
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
            Path::Direct(_) | Path::Member(_) => None,
            Path::Relay(relay) => Some(self.through.unwrap_or(relay)),
        }
    }
}

/// The paths to subscribe on, best first; empty if there is none. `current` is what is in use now, `named` the parents that
/// the publisher named.
#[must_use]
pub fn plan(candidates: &[Candidate], current: &[Path], named: &[Parent]) -> Vec<Path> {
    let mut usable: Vec<&Candidate> = Vec::new();
    for parent in named {
        let those = candidates.iter().filter(|c| c.path.parent() == *parent);
        usable.extend(those.min_by_key(|c| (c.silent, std::cmp::Reverse(c.path))));
    }
    usable.sort_by_key(|c| c.silent);
    let is_heard = usable.iter().any(|c| !c.silent);
    let mut plan: Vec<Path> = usable.into_iter().map(|c| c.path).collect();
    if !is_heard {
        let own = plan_alone(candidates, current);
        plan.extend(own.into_iter().filter(|path| !named.contains(&path.parent())));
    }
    plan
}

/// The paths that a subscriber chooses alone.
fn plan_alone(candidates: &[Candidate], current: &[Path]) -> Vec<Path> {
    let mut direct: Vec<&Candidate> = Vec::new();
    let mut relays: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        match candidate.path {
            Path::Direct(_) => direct.push(candidate),
            Path::Relay(_) => relays.push(candidate),
            Path::Member(_) => {}
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

    fn plan(candidates: &[Candidate], current: &[Path]) -> Vec<Path> {
        super::plan(candidates, current, &[])
    }

    fn member(n: u8, silent: bool) -> Candidate {
        Candidate {
            path: Path::Member(MemberId([n; 32])),
            rtt: Some(Duration::from_millis(30)),
            silent,
            through: None,
        }
    }

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
    fn named_parents_are_used_and_nothing_beside_them() {
        let (first, second) = (member(1, false), member(2, false));
        let named = [second.path.parent(), first.path.parent()];
        let candidates = [first, direct(3, false), relay(1, 5, false), second];
        assert_eq!(super::plan(&candidates, &[], &named), [second.path, first.path]);
    }

    #[test]
    fn while_one_named_parent_is_heard_nothing_else_is_asked() {
        let (first, second) = (member(1, true), member(2, false));
        let named = [first.path.parent(), second.path.parent()];
        let candidates = [first, direct(3, false), second];
        assert_eq!(super::plan(&candidates, &[], &named), [second.path, first.path]);
    }

    #[test]
    fn when_no_named_parent_is_heard_the_old_rules_serve_beside_them() {
        let silent = member(1, true);
        let named = [silent.path.parent()];
        let candidates = [silent, direct(3, false), relay(1, 5, false)];
        assert_eq!(
            super::plan(&candidates, &[], &named),
            [silent.path, Path::Direct(LinkId(3))]
        );
        assert_eq!(
            super::plan(&candidates[1..], &[], &named),
            [Path::Direct(LinkId(3))]
        );
    }

    #[test]
    fn nobody_takes_from_a_member_whom_the_publisher_did_not_name() {
        assert!(super::plan(&[member(1, false)], &[], &[]).is_empty());
    }

    #[test]
    fn without_candidates_there_is_no_path() {
        assert!(plan(&[], &[]).is_empty());
    }
}
