//! The items that this member keeps: to pass on to whoever missed them, and never to take twice.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    item::{FeedId, ItemHash, SignedItem},
    ranges::Ranges,
};
use crate::{ids::MemberId, meeting::roster::Roster, time::Timestamp};

/// Items that are kept of one author.
pub const KEPT_PER_AUTHOR_MAX: usize = 256;
/// Items that are kept in all.
pub const KEPT_MAX: usize = 4_096;
/// Bytes of items that are kept in all.
pub const KEPT_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Runs of one author that are told apart. Reason: who restarts more often than that has nothing old left to say.
pub const FEEDS_PER_AUTHOR_MAX: usize = 4;
/// Feeds in all: four for each member of a full meeting.
pub const FEEDS_MAX: usize = 1_028;

/// An item that was taken.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The item.
    pub signed: SignedItem,
    /// Its name.
    pub hash: ItemHash,
    /// Who was in when its author said it.
    pub audience: Arc<Roster>,
    /// When it was taken.
    pub taken: Timestamp,
    bytes: usize,
}

/// One run of one author.
#[derive(Debug, Default)]
pub struct Feed {
    /// Every number that was ever taken, whether it is still kept or not.
    pub seen: Ranges,
    items: BTreeMap<u64, Kept>,
}

impl Feed {
    /// What is kept, by number.
    pub fn items(&self) -> impl Iterator<Item = (u64, &Kept)> {
        self.items.iter().map(|(seq, kept)| (*seq, kept))
    }
}

/// Why an item is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It was taken before.
    Known,
    /// Another item with this number was.
    Equivocation,
    /// Of a run that is older than those that are remembered.
    Old,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Store {
    feeds: BTreeMap<FeedId, Feed>,
    places: BTreeMap<ItemHash, (FeedId, u64)>,
    /// In the order in which they were taken; those that are gone are skipped.
    arrivals: VecDeque<ItemHash>,
    bytes: usize,
}

impl Store {
    /// Whether an item can be taken.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self, signed: &SignedItem, hash: &ItemHash) -> Result<(), Unfit> {
        let id = signed.item.feed;
        match self.feeds.get(&id) {
            Some(feed) if feed.seen.contains(signed.item.seq) => {
                let twin = feed.items.get(&signed.item.seq);
                let differs = twin.is_some_and(|kept| kept.hash != *hash);
                Err(if differs {
                    Unfit::Equivocation
                } else {
                    Unfit::Known
                })
            }
            Some(_) => Ok(()),
            None => {
                let runs: Vec<u64> = self.runs(id.author).map(|(run, _)| run.instance).collect();
                let old = runs.len() == FEEDS_PER_AUTHOR_MAX && runs.iter().all(|run| id.instance < *run);
                if old { Err(Unfit::Old) } else { Ok(()) }
            }
        }
    }

    /// Notes that a number was used without keeping what was said: it was refused for good.
    pub fn spend(&mut self, feed: FeedId, seq: u64) {
        self.make_room_for(feed);
        self.feeds.entry(feed).or_default().seen.insert(seq);
    }

    /// Keeps an item that [`Store::check`] let pass; drops what is older and not `pinned`.
    pub fn keep(
        &mut self,
        now: Timestamp,
        signed: SignedItem,
        hash: ItemHash,
        audience: Arc<Roster>,
        pinned: impl Fn(&Kept) -> bool,
    ) {
        let (id, seq) = (signed.item.feed, signed.item.seq);
        self.make_room_for(id);
        let kept = Kept {
            bytes: crate::wire::codec::encode(&signed).len(),
            signed,
            hash,
            audience,
            taken: now,
        };
        self.bytes += kept.bytes;
        self.places.insert(hash, (id, seq));
        self.arrivals.push_back(hash);
        let feed = self.feeds.entry(id).or_default();
        feed.seen.insert(seq);
        feed.items.insert(seq, kept);
        let own: usize = self.runs(id.author).map(|(_, feed)| feed.items.len()).sum();
        if own > KEPT_PER_AUTHOR_MAX {
            self.drop_oldest(Some(id.author), &pinned);
        }
        while self.places.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            if !self.drop_oldest(None, &pinned) {
                // Everything is pinned: the bound comes before what rests on it.
                self.drop_oldest(None, &|_| false);
            }
        }
    }

    /// Drops the oldest item, of one author or of all; whether there was one.
    fn drop_oldest(&mut self, author: Option<MemberId>, pinned: &impl Fn(&Kept) -> bool) -> bool {
        let place = self.arrivals.iter().position(|hash| {
            self.get(hash).is_some_and(|kept| {
                author.is_none_or(|author| kept.signed.item.feed.author == author) && !pinned(kept)
            })
        });
        let Some(hash) = place.and_then(|place| self.arrivals.remove(place)) else {
            return false;
        };
        self.forget(&hash);
        true
    }

    fn forget(&mut self, hash: &ItemHash) {
        if let Some((id, seq)) = self.places.remove(hash)
            && let Some(kept) = self.feeds.get_mut(&id).and_then(|feed| feed.items.remove(&seq))
        {
            self.bytes -= kept.bytes;
        }
    }

    fn make_room_for(&mut self, id: FeedId) {
        if self.feeds.contains_key(&id) {
            return;
        }
        let own = self.runs(id.author).count();
        let oldest = if own >= FEEDS_PER_AUTHOR_MAX {
            self.runs(id.author).map(|(run, _)| *run).next()
        } else if self.feeds.len() >= FEEDS_MAX {
            // One of those that keep nothing, else of whoever said least lately.
            let idle = self.feeds.iter().find(|(_, feed)| feed.items.is_empty());
            idle.or_else(|| self.feeds.first_key_value()).map(|(run, _)| *run)
        } else {
            None
        };
        if let Some(run) = oldest {
            let gone: Vec<ItemHash> = self.feeds[&run].items.values().map(|kept| kept.hash).collect();
            for hash in &gone {
                self.forget(hash);
            }
            self.arrivals.retain(|hash| !gone.contains(hash));
            self.feeds.remove(&run);
        }
    }

    /// The runs of one author, oldest first.
    pub fn runs(&self, author: MemberId) -> impl Iterator<Item = (&FeedId, &Feed)> {
        let instance = u64::MAX;
        self.feeds
            .range(FeedId { author, instance: 0 }..=FeedId { author, instance })
    }

    /// The feeds between two, both included.
    pub fn feeds(&self, first: FeedId, last: FeedId) -> impl Iterator<Item = (&FeedId, &Feed)> {
        // A peer states both: an inverted range is empty.
        let range = (first <= last).then(|| self.feeds.range(first..=last));
        range.into_iter().flatten()
    }

    /// All feeds.
    pub fn all(&self) -> impl Iterator<Item = (&FeedId, &Feed)> {
        self.feeds.iter()
    }

    /// Whether an item is kept.
    #[must_use]
    pub fn contains(&self, hash: &ItemHash) -> bool {
        self.places.contains_key(hash)
    }

    /// A kept item.
    #[must_use]
    pub fn get(&self, hash: &ItemHash) -> Option<&Kept> {
        let (id, seq) = self.places.get(hash)?;
        self.feeds.get(id)?.items.get(seq)
    }

    /// How many items are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of the items that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
