//! Polls: anybody who may speak opens one, each member has one vote, whoever opened it or is in charge closes it.
//!
//! The state follows from the set of items, whatever order they came in. The closing names the votes that count, so the
//! result is the same on every screen that has them.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{ItemHash, Poll};
use crate::{ids::MemberId, meeting::roster::Roster};

/// Options of a poll, at least.
pub const OPTIONS_MIN: usize = 2;
/// Options of a poll, at most. Reason: more do not fit a screen.
pub const OPTIONS_MAX: usize = 10;
/// The highest bits that a vote can have.
pub const CHOICES_MAX: u16 = (1 << OPTIONS_MAX) - 1;
/// Polls that are kept of one author; the oldest goes.
pub const POLLS_PER_AUTHOR_MAX: usize = 8;
/// Votes of one member in one poll that are kept, the first ones. Reason: everybody then keeps the same.
pub const VOTES_PER_MEMBER_MAX: usize = 8;
/// Votes and closings whose poll is not here yet.
const ORPHANS_MAX: usize = 512;

/// A place in a member's feeds: run and number.
pub type Place = (u64, u64);

#[derive(Clone, Debug)]
struct Vote {
    at: Place,
    hash: ItemHash,
    choices: u16,
}

#[derive(Clone, Debug)]
struct Closing {
    by: MemberId,
    hash: ItemHash,
    lamport: u64,
    counted: Vec<ItemHash>,
}

#[derive(Clone, Debug)]
struct State {
    author: MemberId,
    at: Place,
    poll: Poll,
    /// Of each member the first [`VOTES_PER_MEMBER_MAX`], by place.
    votes: BTreeMap<MemberId, Vec<Vote>>,
    closing: Option<Closing>,
    /// As people were last told.
    told: Option<PollView>,
}

/// A vote or a closing that came before its poll.
#[derive(Clone, Debug)]
enum Orphan {
    Vote(MemberId, Vote),
    /// And whether its author is in charge.
    Closing(Closing, bool),
}

/// A poll as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollView {
    /// Its name.
    pub id: ItemHash,
    /// Who opened it.
    pub by: MemberId,
    /// The question and the options.
    pub poll: Poll,
    /// Votes for each option.
    pub votes: Vec<u32>,
    /// Members who voted.
    pub voters: usize,
    /// This member's own choices as bits, if it voted.
    pub mine: Option<u16>,
    /// Once it is over.
    pub closed: Option<Closed>,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Who closed it.
    pub by: MemberId,
    /// Counted votes that have not come yet; once 0, the result is final.
    pub missing: usize,
    /// Members whose votes came too late for whoever closed it.
    pub uncounted: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Polls {
    polls: BTreeMap<ItemHash, State>,
    orphans: Vec<(ItemHash, Orphan)>,
    changed: BTreeSet<ItemHash>,
}

impl Polls {
    /// A poll that `author` opened.
    pub fn open(&mut self, id: ItemHash, author: MemberId, at: Place, poll: Poll) {
        self.polls.entry(id).or_insert(State {
            author,
            at,
            poll,
            votes: BTreeMap::new(),
            closing: None,
            told: None,
        });
        self.changed.insert(id);
        self.drop_oldest_of(author);
        let mut waiting = Vec::new();
        self.orphans.retain(|(poll, orphan)| {
            if *poll == id {
                waiting.push(orphan.clone());
            }
            *poll != id
        });
        for orphan in waiting {
            match orphan {
                Orphan::Vote(member, vote) => self.add_vote(id, member, vote),
                Orphan::Closing(closing, in_charge) => self.add_closing(id, closing, in_charge),
            }
        }
    }

    fn drop_oldest_of(&mut self, author: MemberId) {
        let mut own: Vec<(Place, ItemHash)> = self
            .polls
            .iter()
            .filter(|(_, state)| state.author == author)
            .map(|(id, state)| (state.at, *id))
            .collect();
        own.sort_unstable();
        for (_, id) in own.iter().rev().skip(POLLS_PER_AUTHOR_MAX) {
            self.polls.remove(id);
            self.changed.remove(id);
        }
    }

    /// A vote.
    pub fn vote(&mut self, poll: ItemHash, member: MemberId, at: Place, hash: ItemHash, choices: u16) {
        self.add_vote(poll, member, Vote { at, hash, choices });
    }

    fn add_vote(&mut self, poll: ItemHash, member: MemberId, vote: Vote) {
        let Some(state) = self.polls.get_mut(&poll) else {
            self.keep_orphan(poll, Orphan::Vote(member, vote));
            return;
        };
        if !state.poll.takes(vote.choices) {
            return;
        }
        let votes = state.votes.entry(member).or_default();
        let place = votes.partition_point(|other| other.at < vote.at);
        if votes.get(place).is_none_or(|other| other.hash != vote.hash) {
            votes.insert(place, vote);
            votes.truncate(VOTES_PER_MEMBER_MAX);
            self.changed.insert(poll);
        }
    }

    /// A closing by `by`, who is in charge or not.
    pub fn close(
        &mut self,
        poll: ItemHash,
        (by, in_charge): (MemberId, bool),
        (lamport, hash): (u64, ItemHash),
        counted: Vec<ItemHash>,
    ) {
        let closing = Closing {
            by,
            hash,
            lamport,
            counted,
        };
        self.add_closing(poll, closing, in_charge);
    }

    fn add_closing(&mut self, poll: ItemHash, closing: Closing, in_charge: bool) {
        let Some(state) = self.polls.get_mut(&poll) else {
            self.keep_orphan(poll, Orphan::Closing(closing, in_charge));
            return;
        };
        if !in_charge && closing.by != state.author {
            return;
        }
        // Two who close at once: the one that comes first in the order of items.
        let first = state
            .closing
            .as_ref()
            .is_none_or(|other| (closing.lamport, closing.hash) < (other.lamport, other.hash));
        if first {
            state.closing = Some(closing);
            self.changed.insert(poll);
        }
    }

    fn keep_orphan(&mut self, poll: ItemHash, orphan: Orphan) {
        if self.orphans.len() == ORPHANS_MAX {
            self.orphans.remove(0);
        }
        self.orphans.push((poll, orphan));
    }

    /// Whether a poll is open, and takes these choices.
    #[must_use]
    pub fn takes(&self, poll: &ItemHash, choices: u16) -> Option<bool> {
        let state = self.polls.get(poll).filter(|state| state.closing.is_none())?;
        Some(state.poll.takes(choices))
    }

    /// Who opened a poll that is open.
    #[must_use]
    pub fn author(&self, poll: &ItemHash) -> Option<MemberId> {
        let state = self.polls.get(poll).filter(|state| state.closing.is_none())?;
        Some(state.author)
    }

    /// How often `member` voted.
    #[must_use]
    pub fn votes_of(&self, poll: &ItemHash, member: &MemberId) -> usize {
        let state = self.polls.get(poll);
        state
            .and_then(|state| state.votes.get(member))
            .map_or(0, Vec::len)
    }

    /// The votes that a closing made now counts, ascending: those of members.
    #[must_use]
    pub fn countable(&self, poll: &ItemHash, roster: &Roster) -> Vec<ItemHash> {
        let Some(state) = self.polls.get(poll) else {
            return Vec::new();
        };
        let present = state
            .votes
            .iter()
            .filter(|(member, _)| roster.members.contains_key(member));
        let latest = present.filter_map(|(_, votes)| votes.last());
        let mut counted: Vec<ItemHash> = latest.map(|vote| vote.hash).collect();
        counted.sort_unstable();
        counted
    }

    /// Whether an open poll rests on this item: the poll itself, or a vote that counts at present.
    #[must_use]
    pub fn rests_on(&self, poll: &ItemHash, author: &MemberId, item: &ItemHash) -> bool {
        let Some(state) = self.polls.get(poll).filter(|state| state.closing.is_none()) else {
            return false;
        };
        let latest = state.votes.get(author).and_then(|votes| votes.last());
        poll == item || latest.is_some_and(|vote| vote.hash == *item)
    }

    /// The roster changed: votes of those who are out no longer count in open polls.
    pub fn roster_changed(&mut self) {
        let open = self.polls.iter().filter(|(_, state)| state.closing.is_none());
        self.changed.extend(open.map(|(id, _)| *id));
    }

    /// Polls that look different from what was last told, as `me` sees them.
    pub fn take_changed(&mut self, me: &MemberId, roster: &Roster) -> Vec<PollView> {
        let changed = std::mem::take(&mut self.changed);
        let mut views = Vec::new();
        for id in changed {
            let view = self.view(&id, me, roster);
            if let Some(state) = self.polls.get_mut(&id)
                && state.told != view
            {
                state.told.clone_from(&view);
                views.extend(view);
            }
        }
        views
    }

    /// One poll as `me` sees it.
    #[must_use]
    pub fn view(&self, id: &ItemHash, me: &MemberId, roster: &Roster) -> Option<PollView> {
        let state = self.polls.get(id)?;
        let (counted, closed) = match &state.closing {
            None => (state.latest_votes(roster), None),
            Some(closing) => {
                let (counted, missing) = state.counted_votes(&closing.counted);
                let uncounted = state
                    .votes
                    .keys()
                    .filter(|member| !counted.contains_key(member))
                    .count();
                let closed = Closed {
                    by: closing.by,
                    missing,
                    uncounted,
                };
                (counted, Some(closed))
            }
        };
        let cast = || counted.values().filter(|choices| **choices != 0);
        let options = 0..state.poll.options.len();
        Some(PollView {
            id: *id,
            by: state.author,
            poll: state.poll.clone(),
            votes: options
                .map(|option| cast().filter(|choices| **choices & (1 << option) != 0).count() as u32)
                .collect(),
            voters: cast().count(),
            mine: counted.get(me).copied().filter(|choices| *choices != 0),
            closed,
        })
    }
}

impl State {
    fn latest_votes(&self, roster: &Roster) -> BTreeMap<MemberId, u16> {
        let present = self
            .votes
            .iter()
            .filter(|(member, _)| roster.members.contains_key(member));
        let latest = present.filter_map(|(member, votes)| Some((*member, votes.last()?)));
        latest.map(|(member, vote)| (member, vote.choices)).collect()
    }

    /// The choices of each member whose vote a closing names, the last one if it names several; and how many of the
    /// named votes are not here.
    fn counted_votes(&self, named: &[ItemHash]) -> (BTreeMap<MemberId, u16>, usize) {
        let named: BTreeSet<&ItemHash> = named.iter().collect();
        let (mut counted, mut found) = (BTreeMap::new(), 0);
        for (member, votes) in &self.votes {
            for vote in votes.iter().filter(|vote| named.contains(&vote.hash)) {
                found += 1;
                counted.insert(*member, vote.choices);
            }
        }
        (counted, named.len() - found)
    }
}
