//! A tree in which nobody feeds more than a few others: the textbook's application-layer multicast.

use super::{Draft, Parent, Plan, RoutePlanner, Situation};
use crate::ids::MemberId;

/// Children of one node. Reason: a tree of depth three then reaches 84 listeners.
pub(super) const CHILDREN_MAX: usize = 4;

/// See the module. One parent for each listener, no memory of the plan before, no second path.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoundedTree;

impl RoutePlanner for BoundedTree {
    fn name(&self) -> &'static str {
        "tree"
    }

    fn plan(&self, situation: &Situation) -> Plan {
        let mut draft = Draft::new(situation);
        // Those who can feed most others come first, and nearest the publisher.
        let mut order: Vec<MemberId> = situation.subscribers.keys().copied().collect();
        order.sort_by_key(|member| {
            let one = &situation.subscribers[member];
            let feeds = situation.copies(one.forwards_kbps).min(CHILDREN_MAX);
            (
                std::cmp::Reverse(feeds),
                one.direct.is_none(),
                one.direct,
                *member,
            )
        });
        let mut children = std::collections::BTreeMap::<Option<MemberId>, usize>::new();
        // Whoever is left over in one round may find a parent that another round placed.
        for _ in 0..super::DEPTH_MAX {
            for member in &order {
                if draft.is_placed(*member) {
                    continue;
                }
                let mut options = draft.options(*member);
                options.retain(|parent| match parent {
                    Parent::Direct => children.get(&None).is_none_or(|count| *count < CHILDREN_MAX),
                    Parent::Member(id) => children.get(&Some(*id)).is_none_or(|count| *count < CHILDREN_MAX),
                    Parent::Relay(_) => true,
                });
                // A relay is the last resort of whoever has no other way.
                let best = options.into_iter().min_by_key(|parent| {
                    let depth = match parent {
                        Parent::Direct => 0,
                        Parent::Member(id) => draft.depth(*id).unwrap_or_default(),
                        Parent::Relay(_) => u8::MAX,
                    };
                    (depth, draft.delay_of(*member, *parent), *parent)
                });
                if let Some(parent) = best
                    && draft.add(*member, parent)
                {
                    match parent {
                        Parent::Direct => *children.entry(None).or_default() += 1,
                        Parent::Member(id) => *children.entry(Some(id)).or_default() += 1,
                        Parent::Relay(_) => {}
                    }
                }
            }
        }
        draft.into_plan()
    }
}
