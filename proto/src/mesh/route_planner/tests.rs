use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    Adaptive, BoundedTree, DEPTH_MAX, FullMesh, PARENTS_MAX, Parent, Plan, PlannerKind, RelayOffer,
    RoutePlanner, Situation, Subscriber, bounded_tree::CHILDREN_MAX,
};
use crate::ids::{MemberId, RelayId};

fn member(n: usize) -> MemberId {
    MemberId([u8::try_from(n).unwrap(); 32])
}

fn relay(n: usize) -> RelayId {
    RelayId([u8::try_from(n).unwrap(); 32])
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What one subscriber is drawn from: link to the publisher, relays, offer, round-trip times by number.
type Drawn = (Option<u64>, [bool; 3], u32, Vec<Option<u64>>);

fn drawn(size: usize) -> impl Strategy<Value = Drawn> {
    (
        proptest::option::weighted(0.8, 5..200u64),
        proptest::array::uniform3(proptest::bool::weighted(0.3)),
        prop_oneof![2 => Just(0), 3 => 50..900u32],
        proptest::collection::vec(proptest::option::weighted(0.7, 5..200u64), size),
    )
}

prop_compose! {
    fn situations()(size in 1..12usize)(
        subscribers in proptest::collection::vec(drawn(size), size),
        relays in proptest::array::uniform3((any::<bool>(), 5..150u64, proptest::option::of(0..1_000u32))),
        uplink_kbps in proptest::option::weighted(0.8, 0..1_500u32),
        members_may_forward in proptest::bool::weighted(0.85),
        failed in proptest::collection::vec((0..size, 0..size), 0..3),
    ) -> Situation {
        let one = |(number, (direct, at, forwards_kbps, rtts)): (usize, Drawn)| {
            let neighbours = rtts.into_iter().enumerate().filter(|(other, _)| *other != number);
            let subscriber = Subscriber {
                direct: direct.map(ms),
                relays: (0..3).filter(|n| at[*n]).map(relay).collect(),
                forwards_kbps,
                neighbours: neighbours.filter_map(|(other, rtt)| Some((member(other), ms(rtt?)))).collect(),
            };
            (member(number), subscriber)
        };
        let offers = relays.into_iter().enumerate().map(|(n, (permitted, rtt, spare_kbps))| {
            (relay(n), RelayOffer { permitted, rtt: ms(rtt), spare_kbps })
        });
        Situation {
            publisher: MemberId([255; 32]),
            track_kbps: 80,
            uplink_kbps,
            members_may_forward,
            subscribers: subscribers.into_iter().enumerate().map(one).collect(),
            relays: offers.collect(),
            failed: failed.into_iter().map(|(a, b)| (member(a), Parent::Member(member(b)))).collect(),
            current: Plan::new(),
        }
    }
}

/// How deep each member is; fails on a loop, and on a parent that has no parent.
fn depths(plan: &Plan) -> BTreeMap<MemberId, u8> {
    let mut depths = BTreeMap::new();
    for _ in 0..=plan.len() {
        for (member, parents) in plan {
            let of = |parent: &Parent| match parent {
                Parent::Direct | Parent::Relay(_) => Some(1),
                Parent::Member(other) => depths.get(other).map(|depth: &u8| depth + 1),
            };
            let depth: Option<Vec<u8>> = parents.iter().map(of).collect();
            if let Some(depth) = depth.and_then(|all| all.into_iter().max()) {
                depths.insert(*member, depth);
            }
        }
    }
    assert_eq!(
        depths.len(),
        plan.len(),
        "a loop, or a parent without the track: {plan:?}"
    );
    depths
}

/// What no plan may do, whoever made it.
fn keeps_the_rules(situation: &Situation, plan: &Plan, bounds_uplink: bool) {
    let mut copies_from: BTreeMap<MemberId, usize> = BTreeMap::new();
    let mut at_relay: BTreeMap<RelayId, usize> = BTreeMap::new();
    let mut direct = 0;
    for (child, parents) in plan {
        let subscriber = &situation.subscribers[child];
        assert!((1..=PARENTS_MAX).contains(&parents.len()));
        assert_eq!(parents.iter().collect::<BTreeSet<_>>().len(), parents.len());
        for parent in parents {
            assert!(!situation.failed.contains(&(*child, *parent)), "failed lately");
            match parent {
                Parent::Direct => {
                    assert!(subscriber.direct.is_some());
                    direct += 1;
                }
                Parent::Relay(relay) => {
                    assert!(situation.relays[relay].permitted, "a refused relay");
                    assert!(subscriber.relays.contains(relay));
                    *at_relay.entry(*relay).or_default() += 1;
                }
                Parent::Member(forwarder) => {
                    assert!(situation.members_may_forward, "the policy forbids it");
                    let offer = &situation.subscribers[forwarder];
                    assert!(offer.forwards_kbps > 0, "an unwilling forwarder");
                    assert!(offer.neighbours.contains_key(child), "no link");
                    *copies_from.entry(*forwarder).or_default() += 1;
                }
            }
        }
    }
    for (forwarder, copies) in copies_from {
        let offer = situation.subscribers[&forwarder].forwards_kbps;
        assert!(
            copies <= situation.copies(offer),
            "more than {forwarder:?} offers"
        );
    }
    for (relay, copies) in &at_relay {
        let spare = situation.relays[relay].spare_kbps;
        assert!(
            spare.is_none_or(|kbps| *copies <= situation.copies(kbps)),
            "more than the relay has"
        );
    }
    if bounds_uplink {
        assert!(
            direct + at_relay.len() <= situation.uplink_copies(),
            "more than the uplink carries"
        );
    }
    assert!(depths(plan).values().all(|depth| *depth <= DEPTH_MAX));
}

/// Whoever could be reached if nobody's budget ended.
fn reachable(situation: &Situation) -> BTreeSet<MemberId> {
    let mut reached = BTreeMap::<MemberId, u8>::new();
    for _ in 0..DEPTH_MAX {
        for (id, one) in &situation.subscribers {
            let relayed = one.relays.iter().any(|relay| {
                let offer = situation.relays[relay];
                offer.permitted && offer.spare_kbps.is_none_or(|kbps| situation.copies(kbps) > 0)
            });
            let through = situation.subscribers.iter().filter(|(other, offer)| {
                let edge = (*id, Parent::Member(**other));
                situation.members_may_forward
                    && offer.forwards_kbps >= situation.track_kbps
                    && offer.neighbours.contains_key(id)
                    && !situation.failed.contains(&edge)
                    && *other != id
            });
            let through = through.filter_map(|(other, _)| reached.get(other)).min().copied();
            let depth = if one.direct.is_some() || relayed {
                Some(1)
            } else {
                through.map(|depth| depth + 1)
            };
            if let Some(depth) = depth.filter(|depth| *depth <= DEPTH_MAX) {
                let known = reached.entry(*id).or_insert(depth);
                *known = depth.min(*known);
            }
        }
    }
    reached.into_keys().collect()
}

fn with_ample_budgets(mut situation: Situation) -> Situation {
    situation.uplink_kbps = None;
    for one in situation
        .subscribers
        .values_mut()
        .filter(|one| one.forwards_kbps > 0)
    {
        one.forwards_kbps = 10_000;
    }
    for offer in situation.relays.values_mut() {
        offer.spare_kbps = None;
    }
    situation
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_planner_keeps_the_rules(situation in situations()) {
        for kind in PlannerKind::ALL {
            let plan = kind.planner().plan(&situation);
            keeps_the_rules(&situation, &plan, kind != PlannerKind::Mesh);
        }
    }

    #[test]
    fn whoever_can_be_reached_is(situation in situations()) {
        let situation = with_ample_budgets(situation);
        let plan = Adaptive.plan(&situation);
        prop_assert_eq!(plan.into_keys().collect::<BTreeSet<_>>(), reachable(&situation));
    }

    /// With budgets that end, nobody is left out, and nobody has one path, while there is something left that serves.
    #[test]
    fn what_is_left_could_serve_nobody_any_more(situation in situations()) {
        let plan = Adaptive.plan(&situation);
        let mut draft = super::Draft::new(&situation);
        rebuild(&mut draft, &plan);
        prop_assert_eq!(&draft.clone().into_plan(), &plan);
        for id in situation.subscribers.keys() {
            let parents = draft.parents(*id);
            let options = draft.options(*id);
            if parents.is_empty() {
                prop_assert!(options.is_empty(), "{id:?} is left out beside {options:?}");
            } else if !parents.contains(&Parent::Direct) && parents.len() < PARENTS_MAX {
                prop_assert!(options.is_empty(), "{id:?} has one path beside {options:?}");
            }
        }
    }

    #[test]
    fn a_plan_that_is_in_force_is_planned_again(situation in situations()) {
        let plan = Adaptive.plan(&situation);
        let again = Situation { current: plan.clone(), ..situation };
        prop_assert_eq!(Adaptive.plan(&again), plan);
    }

    #[test]
    fn round_trip_times_that_tremble_change_nothing(situation in situations(), tremble in proptest::collection::vec(90..=110u32, 12)) {
        let plan = Adaptive.plan(&situation);
        let mut later = Situation { current: plan.clone(), ..situation };
        for (number, one) in later.subscribers.values_mut().enumerate() {
            let percent = tremble[number % tremble.len()];
            one.direct = one.direct.map(|rtt| rtt * percent / 100);
            for rtt in one.neighbours.values_mut() {
                *rtt = *rtt * percent / 100;
            }
        }
        prop_assert_eq!(Adaptive.plan(&later), plan);
    }

    /// Who stays is not moved because somebody who carries nothing goes, unless all of them hear much sooner by it.
    #[test]
    fn a_listener_who_goes_moves_nobody(situation in situations(), who in 0..12usize) {
        let plan = Adaptive.plan(&situation);
        let gone = member(who % situation.subscribers.len());
        let carries = plan.values().flatten().any(|parent| *parent == Parent::Member(gone));
        let mut later = Situation { current: plan.clone(), ..situation.clone() };
        later.subscribers.remove(&gone);
        let still_crowded = Adaptive.has_a_say(&situation) == Adaptive.has_a_say(&later);
        prop_assume!(!carries && still_crowded && plan.len() == situation.subscribers.len());
        let then = Adaptive.plan(&later);
        let mut rest = plan.clone();
        rest.remove(&gone);
        if is_much_sooner(&later, &then, &rest) || situation.linked() != later.linked() {
            return Ok(());
        }
        for (id, parents) in &rest {
            // One more parent may have come free; those in use stay.
            prop_assert!(parents.iter().all(|parent| then[id].contains(parent)), "{parents:?} became {:?}", then[id]);
        }
    }
}

/// Whether what is heard over `plan` comes so much sooner than over `other` that a change is worth it.
fn is_much_sooner(situation: &Situation, plan: &Plan, other: &Plan) -> bool {
    let [plan, other] = [plan, other].map(|plan| {
        let mut draft = super::Draft::new(situation);
        rebuild(&mut draft, plan);
        draft.delay_sum().as_micros()
    });
    plan * 100 < other * super::adaptive::DELAY_HYSTERESIS_PERCENT
}

fn rebuild(draft: &mut super::Draft<'_>, plan: &Plan) {
    let depths = depths(plan);
    let mut edges: Vec<(u8, usize, MemberId, Parent)> = Vec::new();
    for (child, parents) in plan {
        for (place, parent) in parents.iter().enumerate() {
            let depth = match parent {
                Parent::Member(other) => depths[other],
                _ => 0,
            };
            edges.push((depth, place, *child, *parent));
        }
    }
    edges.sort();
    // The order of two parents of one child matters to nobody but this comparison.
    let mut open: Vec<_> = edges;
    while !open.is_empty() {
        let before = open.len();
        open.retain(|(_, place, child, parent)| {
            let next = draft.parents(*child).len() == *place;
            !(next && draft.add(*child, *parent))
        });
        assert!(open.len() < before, "cannot be rebuilt: {open:?}");
    }
}

/// `listeners` who all reach each other and the publisher, of whom each forwards as much.
fn full(listeners: usize, forwards_kbps: u32, uplink_kbps: u32) -> Situation {
    let neighbours = |own: usize| {
        let others = (0..listeners).filter(move |other| *other != own);
        others.map(|other| (member(other), ms(30))).collect()
    };
    let subscriber = |number: usize| Subscriber {
        direct: Some(ms(30)),
        relays: BTreeSet::new(),
        forwards_kbps,
        neighbours: neighbours(number),
    };
    Situation {
        publisher: MemberId([255; 32]),
        track_kbps: 80,
        uplink_kbps: Some(uplink_kbps),
        members_may_forward: true,
        subscribers: (0..listeners)
            .map(|number| (member(number), subscriber(number)))
            .collect(),
        relays: BTreeMap::new(),
        failed: BTreeSet::new(),
        current: Plan::new(),
    }
}

#[test]
fn a_small_meeting_is_a_full_mesh() {
    let situation = full(5, 1_000, 500);
    assert!(!Adaptive.has_a_say(&situation));
    let plan = Adaptive.plan(&situation);
    assert!(plan.values().all(|parents| *parents == [Parent::Direct]));
}

#[test]
fn a_narrow_uplink_is_widened_by_listeners_and_over_two_disjoint_paths() {
    let situation = full(12, 1_000, 400);
    assert!(Adaptive.has_a_say(&situation));
    let plan = Adaptive.plan(&situation);
    keeps_the_rules(&situation, &plan, true);
    assert_eq!(plan.len(), 12);
    let mut draft = super::Draft::new(&situation);
    rebuild(&mut draft, &plan);
    let (direct, forwarded): (Vec<_>, Vec<_>) = plan
        .values()
        .partition(|parents| parents.contains(&Parent::Direct));
    assert_eq!(direct.len(), 4);
    for parents in forwarded {
        let [first, second] = parents[..] else {
            panic!("one path only: {parents:?}")
        };
        assert!(draft.carriers(first).is_disjoint(&draft.carriers(second)));
    }
    // The full mesh sends all twelve, whatever the uplink.
    assert_eq!(FullMesh.plan(&situation).values().flatten().count(), 12);
}

#[test]
fn nobody_forwards_where_the_policy_forbids_it() {
    let mut situation = full(12, 1_000, 400);
    situation.members_may_forward = false;
    let plan = Adaptive.plan(&situation);
    assert_eq!(plan.len(), 4);
    assert!(plan.values().all(|parents| *parents == [Parent::Direct]));
}

#[test]
fn two_without_a_link_meet_through_a_third() {
    let mut situation = full(2, 200, 1_000);
    situation.subscribers.get_mut(&member(0)).unwrap().direct = None;
    assert!(Adaptive.has_a_say(&situation));
    let plan = Adaptive.plan(&situation);
    assert_eq!(plan[&member(0)], [Parent::Member(member(1))]);
}

#[test]
fn a_relay_that_reaches_all_costs_one_copy() {
    let mut situation = full(12, 0, 160);
    let offer = RelayOffer {
        permitted: true,
        rtt: ms(20),
        spare_kbps: None,
    };
    situation.relays.insert(relay(1), offer);
    for one in situation.subscribers.values_mut() {
        one.relays.insert(relay(1));
    }
    let plan = Adaptive.plan(&situation);
    assert_eq!(plan.len(), 12);
    keeps_the_rules(&situation, &plan, true);
}

#[test]
fn once_forwarding_a_little_room_does_not_bring_the_mesh_back() {
    let mut situation = full(12, 1_000, 400);
    situation.current = Adaptive.plan(&situation);
    situation.uplink_kbps = Some(1_200);
    assert!(Adaptive.has_a_say(&situation), "12 of 12 copies is no room");
    situation.uplink_kbps = Some(1_500);
    let plan = Adaptive.plan(&situation);
    assert!(plan.values().all(|parents| *parents == [Parent::Direct]));
}

#[test]
fn a_tree_bounds_the_children_of_each() {
    let situation = full(11, 10_000, 10_000);
    let plan = BoundedTree.plan(&situation);
    assert_eq!(plan.len(), 11);
    let mut children: BTreeMap<Parent, usize> = BTreeMap::new();
    for parent in plan.values().flatten() {
        *children.entry(*parent).or_default() += 1;
    }
    assert!(children.values().all(|count| *count <= CHILDREN_MAX));
}
