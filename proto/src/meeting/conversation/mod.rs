//! What members say to each other beside their voices: chat, hands, reactions, polls, files
//! (`proto/spec/conversation.md`, `proto/spec/file-transfer.md`).
//!
//! Contract: call a `handle_*` function with what happened, then drain [`Conversation::poll_transmit`],
//! [`Conversation::poll_event`] and [`Conversation::poll_file_job`] until `None`, then wait until
//! [`Conversation::poll_timeout`]. Nothing here reads a clock, and nothing is written anywhere unless a person accepted a
//! file.
//!
//! | file | concern |
//! |---|---|
//! | `item` | what is said to everybody: signed, in its author's feed, naming what its author had seen |
//! | `taking`, `waiting` | checking items, showing them after what they answer |
//! | `store`, `ranges`, `sync` | keeping items, telling what one has, repeating what others lack |
//! | `speaking`, `rate` | this member's own words, and how many |
//! | `hands`, `polls`, `reactions` | what follows from items |
//! | `direct`, `private` | rows of messages to one person |
//! | `files` | files |

pub mod direct;
mod event;
pub mod files;
mod frontier;
pub mod hands;
pub mod item;
pub mod message;
mod peer;
pub mod polls;
mod private;
pub mod ranges;
pub mod rate;
pub mod reactions;
mod speaking;
mod standing;
pub mod store;
mod sync;
mod taking;
#[cfg(test)]
mod tests;
pub mod text;
pub mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use self::{
    event::{ConversationCommand, ConversationEvent, Refusal, Said},
    files::outcome::FileOutcome,
    standing::Standing,
    sync::GOSSIP_INTERVAL,
};
use self::{
    files::{FileJob, Files, message::FileControl},
    frontier::Frontier,
    hands::Hands,
    item::FeedId,
    message::{ConversationMessage, DirectBody},
    peer::Peer,
    polls::{PollView, Polls},
    rate::Bucket,
    speaking::OwnRates,
    store::Store,
    waiting::WaitingRoom,
};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    random::Random,
    time::{Now, Timestamp, UnixSeconds},
};

/// A number for a run of this process that is greater than those of its former runs, as far as the clock goes forward.
#[must_use]
pub fn new_instance(unix: UnixSeconds, random: &mut Random) -> u64 {
    (unix.0 << 20) | (random.next_u64() & 0xF_FFFF) | 1
}

/// What came and was not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationCounters {
    /// Items whose authors may not say that.
    pub refused: u64,
}

/// How much is held of what peers could make grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationHoldings {
    /// Items that are kept.
    pub items: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Items that wait.
    pub waiting: usize,
    /// Files.
    pub files: usize,
}

/// One member's part in the conversation; see the module.
#[derive(Debug)]
pub struct Conversation {
    identity: Identity,
    meeting: MeetingId,
    /// This member's present run.
    feed: FeedId,
    next_seq: u64,
    /// When this run's first way to a member opened.
    since: Option<Timestamp>,
    frontier: Frontier,
    store: Store,
    waiting: WaitingRoom,
    hands: Hands,
    polls: Polls,
    files: Files,
    peers: BTreeMap<MemberId, Peer>,
    /// How fast items of each author are taken.
    intake: BTreeMap<MemberId, Bucket>,
    /// How fast messages in each member's row are taken.
    direct_intake: BTreeMap<MemberId, Bucket>,
    /// Those who signed two items with one number.
    faulty: BTreeSet<MemberId>,
    rates: OwnRates,
    gossip_at: Option<Timestamp>,
    last_news: Option<Timestamp>,
    counters: ConversationCounters,
    random: Random,
    transmit: VecDeque<(MemberId, ConversationMessage)>,
    events: VecDeque<ConversationEvent>,
}

impl Conversation {
    /// Nothing said yet.
    #[must_use]
    pub fn new(now: Now, identity: Identity, meeting: MeetingId, mut random: Random) -> Self {
        let feed = FeedId {
            author: identity.member_id(),
            instance: new_instance(now.unix, &mut random),
        };
        Self {
            identity,
            meeting,
            feed,
            next_seq: 1,
            since: None,
            frontier: Frontier::default(),
            store: Store::default(),
            waiting: WaitingRoom::default(),
            hands: Hands::default(),
            polls: Polls::default(),
            files: Files::new(now.monotonic, random.fork("files")),
            peers: BTreeMap::new(),
            intake: BTreeMap::new(),
            direct_intake: BTreeMap::new(),
            faulty: BTreeSet::new(),
            rates: OwnRates::new(now.monotonic),
            gossip_at: None,
            last_news: None,
            counters: ConversationCounters::default(),
            random,
            transmit: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A message from a member of the meeting.
    pub fn handle_message(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        from: MemberId,
        message: ConversationMessage,
    ) {
        match message {
            ConversationMessage::Items(items) => self.handle_items(now, standing, from, items.into_inner()),
            ConversationMessage::Digest(digest) => self.handle_digest(now, standing, from, &digest),
            ConversationMessage::Direct(message) => self.handle_direct(now, standing, from, message),
            ConversationMessage::DirectAck { instance, upto } => {
                self.handle_direct_ack(now.monotonic, from, instance, upto);
            }
            ConversationMessage::Chunk(chunk) => self.files.handle_chunk(from, chunk),
            ConversationMessage::ChunkAck(ack) => self.files.handle_ack(now.monotonic, from, ack),
        }
    }

    /// The roster changed: whoever is out is sent nothing more, items may be judged, hands go with their owners.
    pub fn roster_changed(&mut self, now: Now, standing: &dyn Standing) {
        let members = &standing.roster().members;
        let gone = self.peers.keys().filter(|member| !members.contains_key(member));
        for member in gone.copied().collect::<Vec<_>>() {
            if let Some(peer) = self.peers.remove(&member) {
                let private = |body: &&DirectBody| matches!(body, DirectBody::Private { .. });
                let messages = peer.outbox.bodies().filter(private).count();
                if messages > 0 {
                    let to = member;
                    self.events
                        .push_back(ConversationEvent::Undelivered { to, messages });
                }
            }
            self.files.forget(&member);
            self.direct_intake.remove(&member);
        }
        let store = &self.store;
        self.intake
            .retain(|author, _| members.contains_key(author) || store.runs(*author).next().is_some());
        self.judge_waiting(now.monotonic, standing);
        self.polls.roster_changed();
        self.tell_changes(standing);
    }

    /// When [`Conversation::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let peers = self.peers.values().filter_map(Peer::poll_timeout);
        let own = [self.waiting.next(), self.gossip_at, self.files.poll_timeout()];
        peers.chain(own.into_iter().flatten()).min()
    }

    /// Does what is due; `reaches` says to whom there is a way.
    pub fn handle_timeout(&mut self, now: Now, standing: &dyn Standing, reaches: &dyn Fn(&MemberId) -> bool) {
        self.release_overdue(now.monotonic, standing);
        self.resend(now.monotonic, standing);
        self.resend_direct(now.monotonic);
        self.gossip(now.monotonic, standing, reaches);
        self.files.handle_timeout(now.monotonic);
    }

    /// Lets files go on; `is_direct` says to whom there is a link of one's own. Before draining.
    pub fn pump_files(&mut self, now: Now, is_direct: &dyn Fn(&MemberId) -> bool) {
        self.files.pump(now.monotonic, is_direct);
        while let Some((to, control)) = self.files.controls.pop_front() {
            // A row that is full belongs to somebody who cannot be reached: the offer is made again by its person.
            let body = DirectBody::File(control);
            let _ = self.peer_mut(now.monotonic, to).outbox.push(body, None);
            self.pump_outbox(now.monotonic, to);
        }
        self.transmit.append(&mut self.files.transmit);
    }

    /// The next message, and to whom.
    pub fn poll_transmit(&mut self) -> Option<(MemberId, ConversationMessage)> {
        self.transmit.pop_front()
    }

    /// The next thing to tell people.
    pub fn poll_event(&mut self) -> Option<ConversationEvent> {
        let event = self.events.pop_front();
        event.or_else(|| self.files.events.pop_front().map(ConversationEvent::File))
    }

    /// The next thing for the driver to do with a file.
    pub fn poll_file_job(&mut self) -> Option<FileJob> {
        self.files.jobs.pop_front()
    }

    /// What the driver did with files.
    pub fn handle_file_outcome(&mut self, now: Now, outcome: FileOutcome) {
        match outcome {
            FileOutcome::Read { id, to, offset, read } => {
                self.files.handle_read(now.monotonic, (id, to, offset), read);
            }
            FileOutcome::Opened { id, have } => self.files.handle_opened(id, have),
            FileOutcome::Written { id, upto } => self.files.handle_written(now.monotonic, id, upto),
            FileOutcome::Hashed { id, hash } => self.files.handle_hashed(id, hash),
            FileOutcome::Kept { id, path } => self.files.handle_kept(id, path),
        }
    }

    fn handle_file_control(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        from: MemberId,
        control: FileControl,
    ) {
        let _ = standing;
        self.files.handle_control(now.monotonic, from, control);
    }

    fn handle_file_command(
        &mut self,
        now: Now,
        standing: &dyn Standing,
        command: ConversationCommand,
    ) -> Result<(), Refusal> {
        match command {
            ConversationCommand::OfferFile {
                to,
                source,
                name,
                size,
                hash,
            } => {
                let receivers = match to {
                    Some(to) => self
                        .check_receiver(now, standing, &to)
                        .map(|()| BTreeSet::from([to])),
                    None => {
                        let others = standing.roster().members.keys().copied();
                        Ok(others.filter(|id| *id != self.feed.author).collect())
                    }
                };
                let allowed = receivers.and_then(|receivers| {
                    self.rates.poll.take(now.monotonic).map_err(Refusal::Rate)?;
                    Ok(receivers)
                });
                match allowed {
                    Ok(receivers) => self.files.offer((source, &name, size, hash), &receivers, to),
                    Err(refusal) => {
                        self.files.jobs.push_back(FileJob::Release { source });
                        Err(refusal)
                    }
                }
            }
            ConversationCommand::AcceptFile(id) => self.files.accept(id),
            ConversationCommand::DeclineFile(id) => self.files.decline(id),
            ConversationCommand::CancelFile(id) => {
                if self.files.cancel(id) {
                    Ok(())
                } else {
                    Err(Refusal::NoFile)
                }
            }
            _ => Err(Refusal::NoFile),
        }
    }

    /// Whose hands are up, in order.
    #[must_use]
    pub fn hands(&self, standing: &dyn Standing) -> Vec<MemberId> {
        self.hands.order(standing.roster())
    }

    /// A poll as this member sees it.
    #[must_use]
    pub fn poll(&self, standing: &dyn Standing, id: &item::ItemHash) -> Option<PollView> {
        self.polls.view(id, &self.feed.author, standing.roster())
    }

    /// See [`ConversationCounters`].
    #[must_use]
    pub fn counters(&self) -> ConversationCounters {
        self.counters
    }

    /// See [`ConversationHoldings`].
    #[must_use]
    pub fn holdings(&self) -> ConversationHoldings {
        ConversationHoldings {
            items: self.store.len(),
            bytes: self.store.bytes(),
            waiting: self.waiting.len(),
            files: self.files.len(),
        }
    }
}
