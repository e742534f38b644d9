//! The forwarder's side: what this node carries for others.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{Output, Participant, conduits::Conduit},
    planning::{HEADER_BYTES, TrackRate},
};
use crate::{
    ids::{LinkId, MemberId, TrackAlias},
    mesh::{route::Path, route_planner::DEPTH_MAX},
    time::{Now, Timestamp},
    wire::{
        forwarding_message::{ForwardRefusal, ForwardingMessage},
        media_packet::{MediaHeader, MediaKind},
    },
};

/// Subscriptions that this node serves at a time. Reason: more do not fit any budget that a home network has.
const CHILDREN_MAX: usize = 256;
/// What a budget may give at once, in time at its rate. Reason: frames of many tracks come within one moment.
const BURST: Duration = Duration::from_millis(250);
/// The least that a budget gives at once, in bytes: some frames.
const BURST_BYTES_MIN: f64 = 3_000.0;

/// Somebody who takes a track from this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// Where it asked.
    pub(super) link: LinkId,
    alias: TrackAlias,
    /// What it was told of how deep this node is.
    depth: u8,
}

/// What this node carried for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardCounters {
    /// Datagrams.
    pub frames: u64,
    /// Their bytes, without headers of lower layers.
    pub bytes: u64,
    /// Datagrams that the budget did not cover.
    pub dropped: u64,
    /// Subscriptions that were refused.
    pub refused: u64,
    /// Envelopes between members who share no link.
    pub envelopes: u64,
}

/// What may still be sent within a budget.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    bytes: f64,
    at: Option<Timestamp>,
}

impl Bucket {
    /// Takes `bytes`, at a rate of `kbps`; `false` if so much is not there.
    pub(super) fn take(&mut self, now: Timestamp, kbps: u32, bytes: usize) -> bool {
        let rate = f64::from(kbps) * 125.0;
        let full = (rate * BURST.as_secs_f64()).max(BURST_BYTES_MIN);
        let before = self.at.replace(now);
        let gained = before.map_or(full, |at| rate * (now - at).as_secs_f64());
        self.bytes = (self.bytes + gained).min(full);
        let enough = kbps > 0 && self.bytes >= bytes as f64;
        if enough {
            self.bytes -= bytes as f64;
        }
        enough
    }
}

impl Participant {
    /// What this node carried for others.
    #[must_use]
    pub fn forwarded(&self) -> ForwardCounters {
        self.forwarding.counters
    }

    /// What this node offers to carry, in kbit/s, as members were last told.
    #[must_use]
    pub fn offered_kbps(&self) -> u32 {
        self.forwarding.told.as_ref().map_or(0, |told| told.budget_kbps)
    }

    /// To whom this node forwards, by publisher.
    pub fn children(&self) -> impl Iterator<Item = (MemberId, usize)> + '_ {
        let children = self.forwarding.children.iter();
        children.map(|(publisher, children)| (*publisher, children.len()))
    }

    /// How many members frames of `publisher` have passed when they come here, this one counted; `None` if they do not come.
    fn depth_of(&self, publisher: MemberId) -> Option<u8> {
        let peer = self.peers.get(&publisher)?;
        match peer.paths.first()? {
            Path::Direct(_) | Path::Relay(_) => Some(1),
            Path::Member(forwarder) => {
                let above = peer.feeds.get(forwarder)?.depth?;
                above.checked_add(1).filter(|depth| *depth <= DEPTH_MAX)
            }
        }
    }

    /// What is carried of each track, in kbit/s.
    pub(super) fn taken_kbps(&self) -> BTreeMap<MemberId, u32> {
        let children = self.forwarding.children.iter();
        let taken = children.map(|(publisher, children)| {
            let copies = u32::try_from(children.len()).unwrap_or(u32::MAX);
            (*publisher, self.carried_kbps(*publisher).saturating_mul(copies))
        });
        taken.collect()
    }

    fn carried_kbps(&self, publisher: MemberId) -> u32 {
        let rate = self
            .forwarding
            .carried
            .get(&publisher)
            .copied()
            .unwrap_or_default();
        rate.kbps()
    }

    /// Somebody wants `publisher`'s track from this node.
    pub(super) fn handle_track_wanted(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        publisher: MemberId,
    ) {
        // Frames go over links; a channel carries none.
        let Conduit::Link(link) = conduit else { return };
        match self.may_carry(now, from, publisher) {
            Ok((depth, alias)) => {
                let child = Child { link, alias, depth };
                self.forwarding
                    .children
                    .entry(publisher)
                    .or_default()
                    .insert(from, child);
                self.say_forwarding(conduit, ForwardingMessage::Serving(publisher, depth));
            }
            Err(reason) => {
                self.forwarding.counters.refused += 1;
                self.end_child(publisher, from);
                self.say_forwarding(conduit, ForwardingMessage::Refused(publisher, reason));
            }
        }
    }

    fn may_carry(
        &self,
        now: Now,
        child: MemberId,
        publisher: MemberId,
    ) -> Result<(u8, TrackAlias), ForwardRefusal> {
        if !self.members_may_forward(now) {
            return Err(ForwardRefusal::Policy);
        }
        let budget = self.forwarding_budget(now);
        if budget == 0 {
            return Err(ForwardRefusal::NotOffered);
        }
        let is_other = publisher != self.me && publisher != child && self.speaks(publisher);
        let comes_from_it = self
            .peers
            .get(&publisher)
            .is_some_and(|peer| peer.paths.first() == Some(&Path::Member(child)));
        let depth = self.depth_of(publisher).filter(|_| is_other && !comes_from_it);
        let depth = depth.ok_or(ForwardRefusal::NotHeld)?;
        if depth >= DEPTH_MAX {
            return Err(ForwardRefusal::TooDeep);
        }
        let alias = *self
            .forwarded_tracks(self.me, child, publisher)
            .first()
            .ok_or(ForwardRefusal::NotHeld)?;
        let children = self.forwarding.children.get(&publisher);
        let is_new = children.is_none_or(|children| !children.contains_key(&child));
        let count: usize = self.forwarding.children.values().map(BTreeMap::len).sum();
        let taken = self.taken_kbps().into_values().fold(0, u32::saturating_add);
        let needed = taken.saturating_add(self.carried_kbps(publisher));
        if is_new && (count >= CHILDREN_MAX || needed > budget) {
            return Err(ForwardRefusal::Full);
        }
        Ok((depth, alias))
    }

    pub(super) fn end_child(&mut self, publisher: MemberId, child: MemberId) {
        if let Some(children) = self.forwarding.children.get_mut(&publisher) {
            children.remove(&child);
            if children.is_empty() {
                self.forwarding.children.remove(&publisher);
                self.forwarding.carried.remove(&publisher);
            }
        }
    }

    /// Tells children what became of what they take: this node is deeper or less deep than it was, lost the track, or may
    /// not or will not carry it any more.
    pub(super) fn check_children(&mut self, now: Now) {
        let all: Vec<(MemberId, MemberId, Child)> = self
            .forwarding
            .children
            .iter()
            .flat_map(|(publisher, children)| children.iter().map(|(id, child)| (*publisher, *id, *child)))
            .collect();
        for (publisher, id, child) in all {
            let verdict = self.may_carry(now, id, publisher);
            let conduit = Conduit::Link(child.link);
            match verdict {
                Ok((depth, alias)) => {
                    let children = self.forwarding.children.entry(publisher).or_default();
                    children.insert(
                        id,
                        Child {
                            depth,
                            alias,
                            ..child
                        },
                    );
                    if depth != child.depth {
                        self.say_forwarding(conduit, ForwardingMessage::Serving(publisher, depth));
                    }
                }
                Err(reason) => {
                    self.end_child(publisher, id);
                    self.say_forwarding(conduit, ForwardingMessage::Refused(publisher, reason));
                }
            }
        }
        self.shed_children(now);
    }

    /// A budget that shrank: whoever is last in each track's list has to look elsewhere.
    fn shed_children(&mut self, now: Now) {
        let budget = self.forwarding_budget(now);
        loop {
            let taken = self.taken_kbps();
            let sum = taken.values().copied().fold(0, u32::saturating_add);
            let most = taken.into_iter().max_by_key(|(_, kbps)| *kbps);
            // A track's rate trembles: a tenth above is no reason to send somebody away.
            let Some((publisher, _)) = most.filter(|_| sum > budget.saturating_add(budget / 10)) else {
                return;
            };
            let children = self.forwarding.children.get(&publisher);
            let last = children.and_then(|children| children.last_key_value());
            let Some((id, link)) = last.map(|(id, child)| (*id, child.link)) else {
                return;
            };
            self.end_child(publisher, id);
            let refused = ForwardingMessage::Refused(publisher, ForwardRefusal::Full);
            self.say_forwarding(Conduit::Link(link), refused);
        }
    }

    /// A frame of `publisher` came over `path`, for the first time, and is what its key says: on to those who take it here.
    /// What nobody authenticated is never multiplied, and each frame goes to each child once, so that it cannot go round.
    pub(in super::super) fn forward(
        &mut self,
        now: Now,
        publisher: MemberId,
        path: Path,
        (kind, layer): (MediaKind, u8),
        sframe: &[u8],
    ) {
        let Some(children) = self.forwarding.children.get(&publisher) else {
            return;
        };
        let budget = self.forwarding_budget(now);
        let mut children: Vec<(MemberId, Child)> = children.iter().map(|(id, child)| (*id, *child)).collect();
        if kind == MediaKind::Audio {
            let rate: &mut TrackRate = self.forwarding.carried.entry(publisher).or_default();
            rate.note(now.monotonic, sframe.len());
        }
        // Where the budget ends, it ends for another one each time.
        let turn = self.forwarding.counters.frames % children.len().max(1) as u64;
        children.rotate_left(usize::try_from(turn).unwrap_or(0));
        for (id, child) in children {
            if path == Path::Member(id) || !self.links.contains_key(&child.link) {
                continue;
            }
            let mut bytes = Vec::with_capacity(sframe.len() + 10);
            let header = MediaHeader {
                kind,
                layer,
                track: child.alias,
            };
            header.write(&mut bytes);
            bytes.extend_from_slice(sframe);
            let cost = bytes.len() + HEADER_BYTES as usize;
            if !self.forwarding.bucket.take(now.monotonic, budget, cost) {
                self.forwarding.counters.dropped += 1;
                continue;
            }
            self.forwarding.counters.frames += 1;
            self.forwarding.counters.bytes += bytes.len() as u64;
            self.outputs.push_back(Output::Datagram {
                link: child.link,
                bytes,
            });
        }
    }
}
