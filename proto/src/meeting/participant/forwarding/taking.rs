//! The subscriber's side: tracks that this node takes from members who forward, and what it makes of those who do not deliver.

use std::time::Duration;

use super::super::{Participant, conduits::Conduit, peer::TAMPERING_PENALTY};
use crate::{
    ids::{LinkId, MemberId},
    mesh::{
        link::SILENT_AFTER,
        route::{Candidate, Path},
        route_planner::{Carrier, PARENTS_MAX, Parent},
    },
    time::{Now, Timestamp},
    wire::forwarding_message::ForwardingMessage,
};

/// Whoever refused is not asked again for so long.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// A publisher is told of one parent no more often.
const TOLD_AGAIN: Duration = Duration::from_secs(2);
/// A forwarder that says it serves, whose link works, and that delivered nothing for so long while another path delivered, is
/// found to withhold. Reason: an honest one that has lost the track says so within the time in which it notices
/// ([`SILENT_AFTER`]) and one look (200 ms).
const WITHHELD_AFTER: Duration = Duration::from_secs(2);

/// A track that this node takes from one forwarder.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Feed {
    /// On which link it was asked for, and when.
    pub(super) asked: Option<(LinkId, Timestamp)>,
    /// How many members the track has passed when it comes to the forwarder, as that says; `None` until it serves.
    pub(super) depth: Option<u8>,
    /// When the last frame came, copies counted.
    heard_at: Option<Timestamp>,
    refused_until: Option<Timestamp>,
    /// When the publisher was last told that this parent fails.
    told_at: Option<Timestamp>,
    /// Since when it delivers nothing while another path does.
    withheld_since: Option<Timestamp>,
}

impl Feed {
    fn is_silent(&self, now: Timestamp) -> bool {
        let since = self.heard_at.max(self.asked.map(|(_, at)| at));
        since.is_some_and(|since| now - since > SILENT_AFTER)
    }
}

impl Participant {
    /// A publisher names the parents from which this node should take its track.
    pub(super) fn handle_named_parents(&mut self, now: Now, publisher: MemberId, parents: Vec<Parent>) {
        let (me, may) = (self.me, self.members_may_forward(now));
        let peer = self.peer_mut(now, publisher);
        let mut named: Vec<Parent> = Vec::with_capacity(PARENTS_MAX);
        for parent in parents {
            let sense = match parent {
                Parent::Member(member) => may && member != me && member != publisher,
                Parent::Direct | Parent::Relay(_) => true,
            };
            if sense && !named.contains(&parent) {
                named.push(parent);
            }
        }
        peer.named = named;
        let named = peer.named.clone();
        peer.feeds
            .retain(|member, feed| named.contains(&Parent::Member(*member)) || feed.asked.is_some());
        self.dirty.routes();
    }

    /// The ways over forwarders that exist to `member`'s track: named by it, willing, permitted, linked, and not found out.
    pub(in super::super) fn forwarded_candidates(&self, now: Now, publisher: MemberId) -> Vec<Candidate> {
        let Some(peer) = self.peers.get(&publisher) else {
            return Vec::new();
        };
        if peer.named.is_empty() || !self.members_may_forward(now) {
            return Vec::new();
        }
        let members = peer.named.iter().filter_map(|parent| match parent {
            Parent::Member(member) => Some(*member),
            Parent::Direct | Parent::Relay(_) => None,
        });
        let candidate = |member: MemberId| {
            let link = self.newest_link(member)?;
            let feed = peer.feeds.get(&member).copied().unwrap_or_default();
            let refused = feed.refused_until.is_some_and(|until| until > now.monotonic);
            let offers = self.forwarding.offers.contains_key(&member);
            if refused || !offers || peer.blocked.contains_key(&Carrier::Member(member)) {
                return None;
            }
            let monitor = &self.links.get(&link)?.monitor;
            Some(Candidate {
                path: Path::Member(member),
                rtt: monitor.rtt(),
                silent: monitor.is_silent(now.monotonic) || feed.is_silent(now.monotonic),
                through: None,
            })
        };
        members.filter_map(candidate).collect()
    }

    /// The newest link to `member`.
    pub(super) fn newest_link(&self, member: MemberId) -> Option<LinkId> {
        let peer = self.peers.get(&member)?;
        peer.links
            .iter()
            .rev()
            .find(|link| self.links.contains_key(*link))
            .copied()
    }

    /// Asks a forwarder for a track.
    pub(in super::super) fn take_from(&mut self, now: Now, publisher: MemberId, forwarder: MemberId) {
        let Some(link) = self.newest_link(forwarder) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(&publisher) {
            let feed = peer.feeds.entry(forwarder).or_default();
            *feed = Feed {
                asked: Some((link, now.monotonic)),
                depth: None,
                heard_at: None,
                withheld_since: None,
                ..*feed
            };
            self.say_forwarding(Conduit::Link(link), ForwardingMessage::Subscribe(publisher));
        }
        self.derive_incoming();
    }

    /// Takes a track from a forwarder no more.
    pub(in super::super) fn leave_forwarder(&mut self, publisher: MemberId, forwarder: MemberId) {
        if let Some(peer) = self.peers.get_mut(&publisher)
            && let Some(feed) = peer.feeds.get_mut(&forwarder)
        {
            feed.asked = None;
            feed.depth = None;
        }
        if let Some(link) = self.newest_link(forwarder) {
            self.say_forwarding(Conduit::Link(link), ForwardingMessage::Unsubscribe(publisher));
        }
        self.derive_incoming();
    }

    /// The aliases under which tracks come from forwarders. After a subscription, and when secrets change.
    pub(in super::super) fn derive_incoming(&mut self) {
        let mut incoming = std::collections::BTreeMap::new();
        for (publisher, peer) in &self.peers {
            for (forwarder, _) in peer.feeds.iter().filter(|(_, feed)| feed.asked.is_some()) {
                for alias in self.forwarded_tracks(*forwarder, self.me, *publisher) {
                    incoming.insert((*forwarder, alias), *publisher);
                }
            }
        }
        self.forwarding.incoming = incoming;
    }

    /// Whose track comes under an alias on `forwarder`'s link, if this node takes one from it.
    pub(in super::super) fn forwarded_by(
        &self,
        now: Now,
        forwarder: MemberId,
        alias: crate::ids::TrackAlias,
    ) -> Option<MemberId> {
        let publisher = self.forwarding.incoming.get(&(forwarder, alias))?;
        self.members_may_forward(now).then_some(*publisher)
    }

    /// A frame, or a copy of one, came from a forwarder.
    pub(in super::super) fn note_feed(&mut self, now: Timestamp, publisher: MemberId, forwarder: MemberId) {
        if let Some(peer) = self.peers.get_mut(&publisher)
            && let Some(feed) = peer.feeds.get_mut(&forwarder)
        {
            feed.heard_at = Some(now);
            feed.withheld_since = None;
        }
    }

    pub(super) fn handle_serving(&mut self, from: MemberId, publisher: MemberId, depth: u8) {
        if let Some(peer) = self.peers.get_mut(&publisher)
            && let Some(feed) = peer.feeds.get_mut(&from)
            && feed.asked.is_some()
        {
            feed.depth = Some(depth);
        }
    }

    pub(super) fn handle_feed_refused(&mut self, now: Now, from: MemberId, publisher: MemberId) {
        if let Some(peer) = self.peers.get_mut(&publisher)
            && let Some(feed) = peer.feeds.get_mut(&from)
        {
            feed.refused_until = Some(now.monotonic + REFUSED_FOR);
            feed.depth = None;
            self.dirty.routes();
        }
    }

    /// Looks at what forwarders deliver: tells publishers which parents fail, and finds out who withholds.
    pub(super) fn watch_feeds(&mut self, now: Now) {
        let members: Vec<MemberId> = self.peers.keys().copied().collect();
        for publisher in members {
            if self.peers[&publisher].named.is_empty() && self.peers[&publisher].feeds.is_empty() {
                continue;
            }
            self.ask_again(now, publisher);
            self.find_withholders(now, publisher);
            self.report_failures(now, publisher);
        }
    }

    /// A subscription went down with its link: asks on the new one.
    fn ask_again(&mut self, now: Now, publisher: MemberId) {
        let peer = &self.peers[&publisher];
        let lost = |feed: &Feed| {
            feed.asked
                .is_some_and(|(link, _)| !self.links.contains_key(&link))
        };
        let asked = peer
            .feeds
            .iter()
            .filter(|(member, feed)| lost(feed) && peer.paths.contains(&Path::Member(**member)));
        let forwarders: Vec<MemberId> = asked.map(|(member, _)| *member).collect();
        for forwarder in forwarders {
            self.take_from(now, publisher, forwarder);
        }
    }

    fn find_withholders(&mut self, now: Now, publisher: MemberId) {
        let heard_at = self.peers[&publisher].heard_at;
        let delivers = heard_at.is_some_and(|at| now.monotonic - at < SILENT_AFTER);
        let mut found = Vec::new();
        let Some(peer) = self.peers.get_mut(&publisher) else {
            return;
        };
        for (member, feed) in &mut peer.feeds {
            let serves = feed.depth.is_some() && feed.asked.is_some();
            let works = feed.asked.is_some_and(|(link, _)| {
                let state = self.links.get(&link);
                state.is_some_and(|state| !state.monitor.is_silent(now.monotonic))
            });
            if !(delivers && serves && works && feed.is_silent(now.monotonic)) {
                feed.withheld_since = None;
                continue;
            }
            let since = *feed.withheld_since.get_or_insert(now.monotonic);
            if now.monotonic - since > WITHHELD_AFTER {
                feed.withheld_since = None;
                peer.blocked
                    .insert(Carrier::Member(*member), now.monotonic + TAMPERING_PENALTY);
                found.push(*member);
            }
        }
        for member in found {
            let (who, whose) = (self.name_of(member), self.name_of(publisher));
            self.fault(
                "withholding",
                format!(
                    "{who} ({}) says that it forwards the sound of {whose}, and does not",
                    member.fingerprint()
                ),
                "this node no longer takes their sound from there",
            );
            self.dirty.routes();
        }
    }

    /// Tells a publisher which of the parents that it named do not serve.
    fn report_failures(&mut self, now: Now, publisher: MemberId) {
        let peer = &self.peers[&publisher];
        let delivers = peer.heard_at.is_some_and(|at| now.monotonic - at < SILENT_AFTER);
        let candidates = self.forwarded_candidates(now, publisher);
        let mut failing = Vec::new();
        for parent in &peer.named {
            let Parent::Member(member) = *parent else { continue };
            let candidate = candidates.iter().find(|c| c.path == Path::Member(member));
            let link_silent = self
                .newest_link(member)
                .and_then(|link| self.links.get(&link))
                .is_none_or(|state| state.monitor.is_silent(now.monotonic));
            // If nothing comes from anywhere, the publisher is silent, for all that is known.
            let fails = candidate.is_none_or(|candidate| candidate.silent && (delivers || link_silent));
            let told_at = peer.feeds.get(&member).and_then(|feed| feed.told_at);
            if fails && told_at.is_none_or(|at| now.monotonic - at >= TOLD_AGAIN) {
                failing.push(member);
            }
        }
        for member in failing {
            let message = ForwardingMessage::Failed(Parent::Member(member));
            if self.say_forwarding_to(now, publisher, message)
                && let Some(peer) = self.peers.get_mut(&publisher)
            {
                peer.feeds.entry(member).or_default().told_at = Some(now.monotonic);
            }
        }
    }
}
