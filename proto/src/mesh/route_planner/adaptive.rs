//! Our own planner: a full mesh while it fits; else members with spare uplink and permitted relays forward, over two
//! disjoint paths where there are two.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{DEPTH_MAX, Draft, PARENTS_MAX, Parent, Plan, RoutePlanner, Situation};
use crate::ids::{MemberId, RelayId};

/// A publisher goes back to sending everybody a copy if these take no more than this share of its uplink, in percent.
/// Reason: whoever joins next must not make it change its mind again.
const RETURN_PERCENT: usize = 85;
/// A plan is kept unless another has less than this share of its delay, in percent. Reason: each change costs everybody
/// concerned a second subscription for a second.
pub(super) const DELAY_HYSTERESIS_PERCENT: u128 = 60;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adaptive;

impl RoutePlanner for Adaptive {
    fn name(&self) -> &'static str {
        "own"
    }

    fn plan(&self, situation: &Situation) -> Plan {
        let is_crowded = is_crowded(situation);
        let mut kept = Draft::new(situation);
        keep(&mut kept, is_crowded);
        fill(&mut kept, is_crowded);
        let mut fresh = Draft::new(situation);
        fill(&mut fresh, is_crowded);
        if is_much_better(&fresh, &kept) {
            return fresh.into_plan();
        }
        kept.into_plan()
    }

    fn has_a_say(&self, situation: &Situation) -> bool {
        let lost = |one: &super::Subscriber| one.direct.is_none() && one.relays.is_empty();
        is_crowded(situation) || situation.subscribers.values().any(lost)
    }
}

/// Whether copies for everybody who is linked are more than the uplink carries.
fn is_crowded(situation: &Situation) -> bool {
    let forwards = |(member, parents): (&MemberId, &Vec<Parent>)| {
        let linked = situation
            .subscribers
            .get(member)
            .is_some_and(|one| one.direct.is_some());
        linked && !parents.contains(&Parent::Direct)
    };
    let copies = situation.uplink_copies();
    let limit = if situation.current.iter().any(forwards) {
        copies / 100 * RETURN_PERCENT + copies % 100 * RETURN_PERCENT / 100
    } else {
        copies
    };
    situation.linked() > limit
}

/// Takes over what still holds of the plan in force: everybody's first parents, then the second ones, then a second one in the
/// place of a first that is gone.
fn keep(draft: &mut Draft<'_>, is_crowded: bool) {
    let current = &draft.situation().current;
    for round in 0..=PARENTS_MAX {
        // Parents before their children: each pass places what the one before made possible.
        for _ in 0..=DEPTH_MAX {
            for (member, parents) in current {
                let present = draft.parents(*member).len();
                let next = match round {
                    PARENTS_MAX if present == 0 => parents.as_slice(),
                    PARENTS_MAX => &[],
                    _ if present == round => parents.get(round).map_or(&[][..], std::slice::from_ref),
                    _ => &[],
                };
                let linked = draft.is_possible(*member, Parent::Direct);
                let fits = |parent: &&Parent| is_crowded || !linked || **parent == Parent::Direct;
                let kept = next
                    .iter()
                    .filter(fits)
                    .find(|parent| draft.can_add(*member, **parent));
                if let Some(parent) = kept {
                    draft.add(*member, *parent);
                }
            }
        }
    }
}

/// Places whoever can be placed, then gives second paths.
fn fill(draft: &mut Draft<'_>, is_crowded: bool) {
    if is_crowded {
        place_roots(draft);
    } else {
        for member in draft.unplaced() {
            draft.add(member, Parent::Direct);
        }
    }
    place_rest(draft);
    add_second_paths(draft);
}

/// Chooses who gets a copy from the publisher: first those who have no other way, then the relays and members through which
/// most others are reached.
fn place_roots(draft: &mut Draft<'_>) {
    for member in draft.unplaced() {
        if !has_other_way(draft, member) {
            draft.add(member, Parent::Direct);
        }
    }
    // Whom those that are placed can serve.
    let mut covered = BTreeSet::new();
    let placed: Vec<MemberId> = draft.situation().subscribers.keys().copied().collect();
    for member in placed.into_iter().filter(|member| draft.is_placed(*member)) {
        cover(draft, &mut covered, member);
    }
    // Each step uses a copy or ends.
    while draft.uplink_left() > 0 {
        let open: Vec<MemberId> = draft.unplaced();
        let uncovered: Vec<MemberId> = open.iter().filter(|id| !covered.contains(*id)).copied().collect();
        let relay = best_relay(draft, &uncovered);
        let member = best_member(draft, &open, &uncovered);
        match (relay, member) {
            (Some((gain, relay)), member) if gain > 1 && member.is_none_or(|(other, _)| gain > other) => {
                let there: Vec<MemberId> = uncovered
                    .into_iter()
                    .filter(|id| draft.is_possible(*id, Parent::Relay(relay)))
                    .collect();
                for member in there {
                    draft.add(member, Parent::Relay(relay));
                }
            }
            (_, Some((_, member))) if draft.add(member, Parent::Direct) => {
                covered.insert(member);
                cover(draft, &mut covered, member);
            }
            _ => break,
        }
    }
}

/// Whether anybody but the publisher could ever give `member` the track.
fn has_other_way(draft: &Draft<'_>, member: MemberId) -> bool {
    let situation = draft.situation();
    let relays = situation.relays.keys().map(|relay| Parent::Relay(*relay));
    let members = situation.subscribers.keys().map(|other| Parent::Member(*other));
    relays
        .chain(members)
        .any(|parent| draft.is_possible(member, parent))
}

/// Counts those in whom `forwarder` can serve, those with the fewest links first.
fn cover(draft: &Draft<'_>, covered: &mut BTreeSet<MemberId>, forwarder: MemberId) {
    let Some(offer) = draft.situation().subscribers.get(&forwarder) else {
        return;
    };
    let mut served: Vec<MemberId> = offer
        .neighbours
        .keys()
        .filter(|id| {
            !draft.is_placed(**id)
                && !covered.contains(*id)
                && draft.is_possible(**id, Parent::Member(forwarder))
        })
        .copied()
        .collect();
    served.sort_by_key(|id| (draft.situation().subscribers[id].neighbours.len(), *id));
    covered.extend(served.into_iter().take(draft.left_at(forwarder)));
}

fn best_relay(draft: &Draft<'_>, uncovered: &[MemberId]) -> Option<(usize, RelayId)> {
    let gain = |relay: RelayId| {
        let there = uncovered
            .iter()
            .filter(|id| draft.can_add(**id, Parent::Relay(relay)))
            .count();
        there.min(draft.left_at_relay(relay))
    };
    let relays = draft.situation().relays.iter();
    let gains = relays.map(|(relay, offer)| (gain(*relay), Reverse((offer.rtt, *relay))));
    gains.max().map(|(gain, Reverse((_, relay)))| (gain, relay))
}

fn best_member(draft: &Draft<'_>, open: &[MemberId], uncovered: &[MemberId]) -> Option<(usize, MemberId)> {
    let options = open.iter().filter(|id| draft.can_add(**id, Parent::Direct));
    let gains = options.map(|id| {
        let serves = uncovered
            .iter()
            .filter(|other| draft.is_possible(**other, Parent::Member(*id)))
            .count();
        let gain = usize::from(uncovered.contains(id)) + serves.min(draft.left_at(*id));
        let one = &draft.situation().subscribers[id];
        // When all are covered, whoever can forward most makes second paths.
        (gain, draft.left_at(*id), Reverse((one.direct, *id)))
    });
    gains.max().map(|(gain, _, Reverse((_, id)))| (gain, id))
}

/// Gives everybody who is left a parent: level by level, so that whoever is reached only through them is not left too deep, and on
/// each level those with the fewest options first.
fn place_rest(draft: &mut Draft<'_>) {
    // Each pass but the last places somebody.
    loop {
        let shallowest = |member: MemberId| {
            let options = draft.options(member);
            let depth = options.iter().map(|parent| draft.depth_below(*parent)).min()?;
            Some((depth, options.len(), member))
        };
        let Some((_, _, member)) = draft.unplaced().into_iter().filter_map(shallowest).min() else {
            return;
        };
        let best = draft.options(member).into_iter().min_by_key(|parent| {
            let level = draft.depth_below(*parent);
            (
                level,
                relief(draft, *parent),
                draft.delay_of(member, *parent),
                *parent,
            )
        });
        if !best.is_some_and(|parent| draft.add(member, parent)) {
            return;
        }
    }
}

/// Load is shared: whoever has most left comes first, in steps of a quarter of its offer; relays, which are there for that,
/// before members.
fn relief(draft: &Draft<'_>, parent: Parent) -> usize {
    match parent {
        Parent::Direct | Parent::Relay(_) => 0,
        Parent::Member(member) => {
            let situation = draft.situation();
            let offer = situation
                .copies(situation.subscribers[&member].forwards_kbps)
                .max(1);
            4 - 4 * draft.left_at(member).min(offer) / offer
        }
    }
}

/// A second parent for whoever does not hear the publisher itself: as disjoint from the first as there is.
fn add_second_paths(draft: &mut Draft<'_>) {
    // Each pass but the last adds one.
    let mut added = true;
    while std::mem::take(&mut added) {
        let members: Vec<MemberId> = draft.situation().subscribers.keys().copied().collect();
        for member in members {
            let parents = draft.parents(member);
            if parents.is_empty() || parents.len() >= PARENTS_MAX || parents.contains(&Parent::Direct) {
                continue;
            }
            let best = draft.options(member).into_iter().min_by_key(|parent| {
                let shared = draft.shared(member, *parent);
                (
                    shared,
                    relief(draft, *parent),
                    draft.delay_of(member, *parent),
                    *parent,
                )
            });
            added |= best.is_some_and(|parent| draft.add(member, parent));
        }
    }
}

/// Whether a new plan is worth the change.
fn is_much_better(fresh: &Draft<'_>, kept: &Draft<'_>) -> bool {
    let placed = |draft: &Draft<'_>| draft.situation().subscribers.len() - draft.unplaced().len();
    if placed(fresh) != placed(kept) {
        return placed(fresh) > placed(kept);
    }
    let (fresh, kept) = (fresh.delay_sum().as_micros(), kept.delay_sum().as_micros());
    fresh * 100 < kept * DELAY_HYSTERESIS_PERCENT
}
