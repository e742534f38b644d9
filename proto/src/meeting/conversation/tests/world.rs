//! Members on a network in virtual time. Roster versions are numbered; each member knows them up to one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::super::{
    Conversation, ConversationCommand, ConversationEvent, Said, Standing,
    files::FileJob,
    item::{ItemHash, OrderKey},
    message::ConversationMessage,
    polls::PollView,
};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash},
    meeting::{
        name::Name,
        operation::RemoveReason,
        role::Role,
        roster::{Member, Removal, Roster},
    },
    random::Random,
    time::{Now, Timestamp, UnixSeconds},
};

pub(super) const MEETING: MeetingId = MeetingId([7; 16]);
const UNIX: u64 = 1_795_293_120;

/// The rosters of all versions; a member's standing is its version.
#[derive(Clone, Default)]
pub(super) struct Rosters(pub(super) Vec<Arc<Roster>>);

pub(super) struct View<'a> {
    rosters: &'a Rosters,
    known: usize,
    forgotten: usize,
}

fn head(version: usize) -> OperationHash {
    let mut hash = [0xAA; 32];
    hash[0] = version as u8;
    OperationHash(hash)
}

impl Standing for View<'_> {
    fn roster(&self) -> &Roster {
        &self.rosters.0[self.known]
    }
    fn roster_at(&self, heads: &[OperationHash]) -> Option<Arc<Roster>> {
        let version = usize::from(heads.first()?.0[0]);
        (self.forgotten..=self.known)
            .contains(&version)
            .then(|| Arc::clone(&self.rosters.0[version]))
    }
    fn heads(&self) -> Vec<OperationHash> {
        vec![head(self.known)]
    }
    fn forgets(&self) -> bool {
        self.forgotten > 0
    }
}

pub(super) struct Node {
    pub(super) id: MemberId,
    identity: Identity,
    pub(super) conversation: Conversation,
    pub(super) known: usize,
    pub(super) events: Vec<(Timestamp, ConversationEvent)>,
    pub(super) jobs: Vec<FileJob>,
    /// When its present run began.
    pub(super) since: Timestamp,
}

impl Node {
    pub(super) fn said(&self) -> Vec<Said> {
        let said = self.events.iter().filter_map(|(_, event)| match event {
            ConversationEvent::Said(said) => Some(said.clone()),
            _ => None,
        });
        said.collect()
    }

    /// What was said to everybody, sorted as a screen does.
    pub(super) fn screen(&self) -> Vec<(OrderKey, MemberId, String)> {
        let public = self.said().into_iter().filter(|said| said.to.is_none());
        let mut lines: Vec<_> = public.map(|said| (said.order, said.from, said.text)).collect();
        lines.sort();
        lines
    }
}

enum Arrival {
    Message(MemberId, ConversationMessage),
    Roster(usize),
    /// A way to somebody opened.
    Way(MemberId),
}

/// How bad the network is.
#[derive(Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) lost_percent: u64,
    pub(super) doubled_percent: u64,
    pub(super) delay_ms_max: u64,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) nodes: Vec<Node>,
    pub(super) rosters: Rosters,
    /// Versions below are no longer known to anybody, as after a checkpoint.
    pub(super) forgotten: usize,
    pub(super) random: Random,
    pub(super) weather: Weather,
    /// Which side of a split each is on.
    pub(super) sides: Vec<bool>,
    /// Those whose processes ended, although they never left.
    pub(super) gone: BTreeSet<MemberId>,
    air: BTreeMap<(Timestamp, u64), (usize, Arrival)>,
    sent: u64,
}

impl World {
    /// Some members, the first of them the host, on a good network.
    pub(super) fn new(seed: u64, members: usize) -> Self {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = Self {
            now: Timestamp::from_micros(1_000_000),
            nodes: Vec::new(),
            rosters: Rosters::default(),
            forgotten: 0,
            random: Random::from_seed(root),
            weather: Weather {
                delay_ms_max: 40,
                ..Weather::default()
            },
            sides: Vec::new(),
            gone: BTreeSet::new(),
            air: BTreeMap::new(),
            sent: 0,
        };
        world.rosters.0.push(Arc::default());
        for _ in 0..members {
            world.join(Role::Speaker);
        }
        let host = world.nodes[0].id;
        world.change_roster(|roster| {
            if let Some(member) = roster.members.get_mut(&host) {
                member.role = Role::Host;
            }
        });
        world.run(Duration::from_secs(2));
        world
    }

    pub(super) fn clock(&self) -> Now {
        Now {
            monotonic: self.now,
            unix: UnixSeconds(UNIX + self.now.as_micros() / 1_000_000),
        }
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.random.next_u64() % 100 < percent
    }

    pub(super) fn pick(&mut self, below: usize) -> usize {
        (self.random.next_u64() % below.max(1) as u64) as usize
    }

    /// Somebody new; its index.
    pub(super) fn join(&mut self, role: Role) -> usize {
        let index = self.nodes.len();
        let identity = Identity::from_seed(&[index as u8 + 1; 32]);
        let id = identity.member_id();
        let random = self.random.fork("node");
        self.nodes.push(Node {
            id,
            conversation: Conversation::new(self.clock(), identity.clone(), MEETING, random),
            identity,
            known: 0,
            events: Vec::new(),
            jobs: Vec::new(),
            since: self.now,
        });
        self.sides.push(false);
        let newest = self.rosters.0.len();
        self.change_roster(|roster| {
            let member = Member {
                name: Name::new("x").unwrap(),
                role,
                since: head(newest),
                role_since: head(newest),
            };
            roster.members.insert(id, member);
        });
        // It comes in with the log.
        self.learn(index, newest);
        index
    }

    pub(super) fn remove(&mut self, index: usize) {
        let id = self.nodes[index].id;
        let operation = head(self.rosters.0.len());
        self.change_roster(|roster| {
            roster.members.remove(&id);
            let removal = Removal {
                operation,
                by: None,
                reason: RemoveReason::Disruption,
            };
            roster.removed.insert(id, removal);
        });
    }

    /// A new version, which everybody learns after a while.
    pub(super) fn change_roster(&mut self, change: impl FnOnce(&mut Roster)) {
        let mut roster = self
            .rosters
            .0
            .last()
            .map_or_else(Roster::default, |last| (**last).clone());
        change(&mut roster);
        self.rosters.0.push(Arc::new(roster));
        let version = self.rosters.0.len() - 1;
        for index in 0..self.nodes.len() {
            let at = self.now + Duration::from_millis(self.random.next_u64() % 300);
            self.put(at, index, Arrival::Roster(version));
        }
    }

    pub(super) fn is_in(&self, index: usize) -> bool {
        let roster = self.rosters.0.last().unwrap();
        roster.members.contains_key(&self.nodes[index].id)
    }

    fn is_up(&self, index: usize) -> bool {
        self.is_in(index) && !self.gone.contains(&self.nodes[index].id)
    }

    /// Its process starts again and knows nothing but the roster.
    pub(super) fn restart(&mut self, index: usize) {
        let random = self.random.fork("again");
        let now = self.clock();
        let node = &mut self.nodes[index];
        node.conversation = Conversation::new(now, node.identity.clone(), MEETING, random);
        node.since = now.monotonic;
        node.events.clear();
        self.reopen(index);
    }

    /// All ways to and from it open anew.
    pub(super) fn reopen(&mut self, index: usize) {
        for other in 0..self.nodes.len() {
            if other != index && self.reaches(other, index) && self.reaches(index, other) {
                let (a, b) = (self.nodes[index].id, self.nodes[other].id);
                let at = self.now + Duration::from_millis(50);
                self.put(at, index, Arrival::Way(b));
                self.put(at, other, Arrival::Way(a));
            }
        }
    }

    pub(super) fn split(&mut self, sides: Vec<bool>) {
        self.sides = sides;
    }

    pub(super) fn heal(&mut self) {
        self.sides = vec![false; self.nodes.len()];
        for index in 0..self.nodes.len() {
            self.reopen(index);
        }
    }

    fn put(&mut self, at: Timestamp, to: usize, arrival: Arrival) {
        self.sent += 1;
        self.air.insert((at, self.sent), (to, arrival));
    }

    fn learn(&mut self, index: usize, version: usize) {
        let before = self.nodes[index].known;
        if version <= before {
            return;
        }
        let old = Arc::clone(&self.rosters.0[before]);
        let new = Arc::clone(&self.rosters.0[version]);
        self.nodes[index].known = version;
        let now = self.clock();
        self.with(index, |conversation, view| {
            conversation.roster_changed(now, view);
            for member in new.members.keys().filter(|id| !old.members.contains_key(id)) {
                conversation.conduit_opened(now, view, *member);
            }
        });
    }

    pub(super) fn command(&mut self, index: usize, command: ConversationCommand) {
        let now = self.clock();
        self.with(index, |conversation, view| {
            conversation.handle_command(now, view, command);
        });
    }

    pub(super) fn say(&mut self, index: usize, text: &str) {
        let text = text.to_owned();
        self.command(index, ConversationCommand::Say { to: None, text });
    }

    /// What was refused last.
    pub(super) fn last_refusal(&self, index: usize) -> Option<&'static str> {
        self.nodes[index]
            .events
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                ConversationEvent::Refused { why, .. } => Some(why.clause()),
                _ => None,
            })
    }

    /// A poll as a member sees it.
    pub(super) fn poll(&self, index: usize, id: &ItemHash) -> Option<PollView> {
        let node = &self.nodes[index];
        let view = View {
            rosters: &self.rosters,
            known: node.known,
            forgotten: self.forgotten,
        };
        node.conversation.poll(&view, id)
    }

    /// Puts a message on the network as if `from` had sent it.
    pub(super) fn forge(&mut self, from: usize, to: usize, message: ConversationMessage) {
        let from = self.nodes[from].id;
        let at = self.now + Duration::from_millis(1);
        self.put(at, to, Arrival::Message(from, message));
    }

    /// Something happens to a member; what it sends goes out.
    pub(super) fn with<T>(
        &mut self,
        index: usize,
        happens: impl FnOnce(&mut Conversation, &View<'_>) -> T,
    ) -> T {
        let now = self.clock();
        let rosters = self.rosters.clone();
        let node = &mut self.nodes[index];
        let view = View {
            rosters: &rosters,
            known: node.known,
            forgotten: self.forgotten,
        };
        let result = happens(&mut node.conversation, &view);
        node.conversation.pump_files(now, &|_| true);
        while let Some(event) = node.conversation.poll_event() {
            node.events.push((now.monotonic, event));
        }
        while let Some(job) = node.conversation.poll_file_job() {
            node.jobs.push(job);
        }
        let mut messages = Vec::new();
        while let Some(message) = node.conversation.poll_transmit() {
            messages.push(message);
        }
        for (to, message) in messages {
            let known = view.roster().members.contains_key(&to);
            assert!(known, "a message to somebody who is out");
            self.transmit(index, to, &message);
        }
        result
    }

    fn transmit(&mut self, from: usize, to: MemberId, message: &ConversationMessage) {
        let Some(to) = self.nodes.iter().position(|node| node.id == to) else {
            return;
        };
        let copies = 1 + u64::from(self.chance(self.weather.doubled_percent));
        for _ in 0..copies {
            let lost = self.chance(self.weather.lost_percent) || !self.reaches(from, to);
            let delay = 5 + self.random.next_u64() % self.weather.delay_ms_max.max(1);
            if !lost {
                let id = self.nodes[from].id;
                let at = self.now + Duration::from_millis(delay);
                self.put(at, to, Arrival::Message(id, message.clone()));
            }
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.sides[from] == self.sides[to] && !self.gone.contains(&self.nodes[to].id)
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to, arrival) = entry.remove();
                self.arrive(to, arrival);
            }
            for index in 0..self.nodes.len() {
                let due = self.nodes[index].conversation.poll_timeout();
                if self.is_up(index) && due.is_some_and(|due| due <= self.now) {
                    let now = self.clock();
                    let ways = (0..self.nodes.len()).filter(|other| self.reaches(index, *other));
                    let ways: BTreeSet<MemberId> = ways.map(|other| self.nodes[other].id).collect();
                    self.with(index, |conversation, view| {
                        conversation.handle_timeout(now, view, &|member| ways.contains(member));
                    });
                    let due = self.nodes[index].conversation.poll_timeout();
                    assert!(due.is_none_or(|due| due > self.now), "a timer that never ends");
                }
            }
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Timestamp> {
        let timers = (0..self.nodes.len())
            .filter(|index| self.is_up(*index))
            .filter_map(|index| self.nodes[index].conversation.poll_timeout());
        timers.chain(self.air.keys().next().map(|(at, _)| *at)).min()
    }

    fn arrive(&mut self, to: usize, arrival: Arrival) {
        let now = self.clock();
        if self.gone.contains(&self.nodes[to].id) {
            return;
        }
        match arrival {
            Arrival::Roster(version) => self.learn(to, version),
            Arrival::Way(member) => self.with(to, |conversation, view| {
                conversation.conduit_opened(now, view, member);
            }),
            Arrival::Message(from, message) => self.with(to, |conversation, view| {
                if view.roster().members.contains_key(&from) {
                    conversation.handle_message(now, view, from, message);
                }
            }),
        }
    }
}
