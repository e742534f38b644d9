//! What is under way in the tables, and what came of it: bounded, so that answers made up by hostile nodes cost little.

use std::collections::{BTreeSet, HashMap, VecDeque};

use libp2p::kad::QueryId;
use subrosa_proto::{
    discovery::{
        DhtKey,
        store_rule::{PROVIDERS_PER_KEY_MAX, VALUE_BYTES_MAX},
    },
    ids::RelayId,
};

/// Searches under way. Reason: a meeting asks for sixteen members at up to four places, in two tables.
const QUERIES_MAX: usize = 256;
/// Different values that one search gives out. Reason: twenty nodes answer, honest ones with one value.
const VALUES_PER_QUERY_MAX: usize = 32;
/// Descriptors that are asked for at one time.
const DESCRIPTORS_AT_ONCE: usize = 16;
/// Relays whose descriptors wait to be asked for: a country's worth for each country of a search.
const WAITING_MAX: usize = PROVIDERS_PER_KEY_MAX * 16;

/// Which of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Wide,
    Lan,
}

#[derive(Debug)]
struct Query {
    key: DhtKey,
    values: BTreeSet<Vec<u8>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queries {
    running: HashMap<(Table, QueryId), Query>,
    waiting: VecDeque<RelayId>,
    asked: BTreeSet<RelayId>,
}

impl Queries {
    /// Whether another search may start.
    pub(super) fn has_room(&self) -> bool {
        self.running.len() < QUERIES_MAX
    }

    /// Whether `key` is being looked for there.
    pub(super) fn is_running(&self, table: Table, key: DhtKey) -> bool {
        self.running
            .iter()
            .any(|((at, _), query)| *at == table && query.key == key)
    }

    pub(super) fn started(&mut self, table: Table, id: QueryId, key: DhtKey) {
        let values = BTreeSet::new();
        self.running.insert((table, id), Query { key, values });
    }

    /// A value that a node gave. The key that was asked for, if the value is one to look at.
    pub(super) fn value(&mut self, table: Table, id: QueryId, key: &[u8], value: &[u8]) -> Option<DhtKey> {
        let query = self.running.get_mut(&(table, id))?;
        let fits = DhtKey::from_bytes(key) == Some(query.key)
            && value.len() <= VALUE_BYTES_MAX
            && query.values.len() < VALUES_PER_QUERY_MAX;
        (fits && query.values.insert(value.to_vec())).then_some(query.key)
    }

    /// Relays that announced themselves; their descriptors are to be asked for.
    pub(super) fn announced(&mut self, relays: impl Iterator<Item = RelayId>) {
        for relay in relays {
            if self.waiting.len() < WAITING_MAX && self.asked.len() < WAITING_MAX && self.asked.insert(relay)
            {
                self.waiting.push_back(relay);
            }
        }
    }

    /// A new search for relays begins: descriptors may have changed.
    pub(super) fn forget_announced(&mut self) {
        self.asked.clear();
        self.waiting.clear();
    }

    /// The next relay whose descriptor is to be asked for.
    pub(super) fn next_descriptor(&mut self) -> Option<RelayId> {
        let under_way = self
            .running
            .values()
            .filter(|query| matches!(query.key, DhtKey::Descriptor(_)));
        if under_way.count() >= DESCRIPTORS_AT_ONCE || !self.has_room() {
            return None;
        }
        self.waiting.pop_front()
    }

    pub(super) fn ended(&mut self, table: Table, id: QueryId) {
        self.running.remove(&(table, id));
    }
}
