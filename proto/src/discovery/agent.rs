//! When to publish this node's record and when to look for others: decisions only; `Participant` composes them.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Bucket, DhtKey, MemberRecord, PeerBook, RendezvousPoint, RendezvousSecret};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    policy::{Country, VerifiedDescriptor, descriptor::DescriptorHash},
    random::Random,
    time::{Now, Timestamp, UnixSeconds},
};

/// How long the ticket's addresses are tried alone before anything else is asked.
pub const FIND_DELAY: Duration = Duration::from_secs(1);
/// First pause between two searches for one member; doubled up to [`FIND_PAUSE_MAX`].
pub const FIND_PAUSE_FIRST: Duration = Duration::from_secs(2);
/// Longest pause. Reason: whoever is gone for good must not keep the network busy.
pub const FIND_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Members that are looked for at one time. Reason: each search asks some twenty nodes in up to four places.
pub const SEARCHES_MAX: usize = 16;
/// A record is published again after so long: those who stored it may be gone.
pub const PUBLISH_INTERVAL: Duration = Duration::from_secs(300);
/// A changed record waits so long after the one before; changes that come together share one.
pub const PUBLISH_PAUSE: Duration = Duration::from_secs(2);
/// First pause between two searches for relays; doubled up to [`RELAYS_PAUSE_MAX`].
pub const RELAYS_PAUSE_FIRST: Duration = Duration::from_secs(4);
/// Longest pause between them.
pub const RELAYS_PAUSE_MAX: Duration = Duration::from_secs(300);

/// What the network is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Store this until then, and answer those on the local network who ask for it.
    Publish {
        /// Under what.
        key: DhtKey,
        /// The sealed record.
        value: Vec<u8>,
        /// Until when.
        expires: UnixSeconds,
    },
    /// Look what lies there; answer with every value that is found, true or not.
    Find {
        /// Under what.
        key: DhtKey,
    },
    /// Look for relays in these countries; `None` stands for all.
    Relays {
        /// Where.
        countries: Vec<Option<Country>>,
    },
}

/// What the agent decides upon.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The meeting.
    pub meeting: MeetingId,
    /// Who publishes.
    pub identity: &'a Identity,
    /// Under which secrets this node's record belongs; empty if it is not to be found.
    pub publish: &'a [RendezvousSecret],
    /// Where this node can be dialled.
    pub addresses: &'a [SocketAddr],
    /// The relays that it uses.
    pub relays: &'a [VerifiedDescriptor],
    /// Who is missing, and where their records may lie.
    pub wanted: &'a [(MemberId, RendezvousSecret)],
    /// Countries in which a relay is wanted; empty if none is.
    pub countries: &'a [Option<Country>],
}

/// What was published last.
#[derive(Debug, PartialEq, Eq)]
struct Published {
    keys: Vec<DhtKey>,
    addresses: Vec<SocketAddr>,
    relays: Vec<DescriptorHash>,
}

/// A search for one member.
#[derive(Debug)]
struct Search {
    next: Timestamp,
    pause: Duration,
    points: Vec<RendezvousPoint>,
}

/// See the module. Call [`Agent::update`] when something changed and when [`Agent::poll_timeout`] is due.
#[derive(Debug, Default)]
pub struct Agent {
    published: Option<(Published, Timestamp)>,
    sequence: u64,
    searches: BTreeMap<MemberId, Search>,
    relays: Option<(Timestamp, Duration)>,
    book: PeerBook,
    refused: u64,
}

impl Agent {
    /// What is to be asked now.
    pub fn update(&mut self, now: Now, situation: &Situation<'_>, random: &mut Random) -> Vec<Request> {
        let mut requests = Vec::new();
        self.publish(now, situation, random, &mut requests);
        self.search(now, situation, &mut requests);
        self.look_for_relays(now, situation, &mut requests);
        requests
    }

    /// Nothing may be asked any more: forgets what was under way.
    pub fn stop(&mut self) {
        self.searches.clear();
        self.published = None;
        self.relays = None;
    }

    fn publish(
        &mut self,
        now: Now,
        situation: &Situation<'_>,
        random: &mut Random,
        requests: &mut Vec<Request>,
    ) {
        let me = situation.identity.member_id();
        let nowhere = situation.addresses.is_empty() && situation.relays.is_empty();
        let secrets = if nowhere { &[] } else { situation.publish };
        let points: Vec<RendezvousPoint> = points(now.unix, situation.meeting, me, secrets);
        let wanted = Published {
            keys: points.iter().map(RendezvousPoint::key).collect(),
            addresses: situation.addresses.to_vec(),
            relays: situation.relays.iter().map(VerifiedDescriptor::hash).collect(),
        };
        if let Some((last, at)) = &self.published {
            let age = now.monotonic.saturating_since(*at);
            if age < PUBLISH_PAUSE || (*last == wanted && age < PUBLISH_INTERVAL) {
                return;
            }
        }
        // A node that lost its count goes on with the Unix time.
        self.sequence = now.unix.0.max(self.sequence.saturating_add(1));
        let record = MemberRecord::new(me, self.sequence, situation.addresses, situation.relays);
        for point in &points {
            requests.push(Request::Publish {
                key: point.key(),
                value: record.seal(point, situation.identity, random),
                expires: point.bucket.end(),
            });
        }
        self.published = Some((wanted, now.monotonic));
    }

    fn search(&mut self, now: Now, situation: &Situation<'_>, requests: &mut Vec<Request>) {
        let wanted = |member: &MemberId| situation.wanted.iter().any(|(other, _)| other == member);
        self.searches.retain(|member, _| wanted(member));
        for (member, _) in situation.wanted {
            if self.searches.len() < SEARCHES_MAX {
                self.searches.entry(*member).or_insert(Search {
                    next: now.monotonic + FIND_DELAY,
                    pause: FIND_PAUSE_FIRST,
                    points: Vec::new(),
                });
            }
        }
        for (member, search) in &mut self.searches {
            if now.monotonic < search.next {
                continue;
            }
            search.next = now.monotonic + search.pause;
            search.pause = (search.pause * 2).min(FIND_PAUSE_MAX);
            search.points = situation
                .wanted
                .iter()
                .filter(|(other, _)| other == member)
                .flat_map(|(_, secret)| {
                    points(now.unix, situation.meeting, *member, std::slice::from_ref(secret))
                })
                .collect();
            requests.extend(
                search
                    .points
                    .iter()
                    .map(|point| Request::Find { key: point.key() }),
            );
        }
    }

    fn look_for_relays(&mut self, now: Now, situation: &Situation<'_>, requests: &mut Vec<Request>) {
        if situation.countries.is_empty() {
            self.relays = None;
            return;
        }
        let (next, pause) = self
            .relays
            .get_or_insert((now.monotonic + FIND_DELAY, RELAYS_PAUSE_FIRST));
        if now.monotonic >= *next {
            *next = now.monotonic + *pause;
            *pause = (*pause * 2).min(RELAYS_PAUSE_MAX);
            requests.push(Request::Relays {
                countries: situation.countries.to_vec(),
            });
        }
    }

    /// When the next search is due. Publishing and the hour are looked at whenever [`Agent::update`] is called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let searches = self.searches.values().map(|search| search.next);
        searches.chain(self.relays.map(|(next, _)| next)).min()
    }

    /// A value that was found. Gives the record if it is genuine, of somebody who is looked for, and new.
    pub fn handle_record(&mut self, now: Now, key: DhtKey, value: &[u8]) -> Option<&MemberRecord> {
        let point = self
            .searches
            .values()
            .flat_map(|search| &search.points)
            .find(|point| point.key() == key)?;
        let Ok(record) = MemberRecord::open(now.unix, point, value) else {
            self.refused = self.refused.saturating_add(1);
            return None;
        };
        let member = record.member;
        match self.book.insert(now.unix, record) {
            Ok(true) => self.book.get(now.unix, member),
            Ok(false) => None,
            Err(_) => {
                self.refused = self.refused.saturating_add(1);
                None
            }
        }
    }

    /// Values that were found and not believed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// All places at which `member`'s record counts now.
fn points(
    now: UnixSeconds,
    meeting: MeetingId,
    member: MemberId,
    secrets: &[RendezvousSecret],
) -> Vec<RendezvousPoint> {
    Bucket::around(now)
        .flat_map(|bucket| {
            secrets
                .iter()
                .flat_map(move |secret| secret.points(meeting, member, bucket))
        })
        .collect()
}

#[cfg(test)]
mod tests;
