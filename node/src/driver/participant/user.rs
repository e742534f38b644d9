//! The loop's side towards the user interface: events out, and what they are made of.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use subrosa_proto::{
    ids::MemberId,
    media::reception_stats::ReceptionStats,
    meeting::{
        participant::{self, PeerCounters},
        passphrase::Passphrase,
    },
    wire::door_message::RefusalWords,
};
use tokio::sync::mpsc;

use super::translate::{role_of, to_peer_stats};
use crate::{
    audio::AudioEvent,
    command::Command,
    error::ErrorKind,
    event::{ErrorEvent, Event, ForwardStats},
};

/// How often `stats` is told.
pub(super) const STATS_INTERVAL: Duration = Duration::from_secs(2);
/// Events kept for an interface that does not read. Beyond it the oldest go.
const BACKLOG_MAX: usize = 4_096;

/// See the module.
pub(super) struct UserSide {
    events: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    stats: BTreeMap<MemberId, ReceptionStats>,
    /// As last told.
    forward: ForwardStats,
    /// The last event on each member and on each route, for `who`.
    members: BTreeMap<MemberId, Event>,
    routes: BTreeMap<MemberId, Event>,
    input_started: Option<SystemTime>,
    output_started: Option<SystemTime>,
    leave_reason: Option<&'static str>,
    /// Members of whom at least one frame was decrypted.
    heard: BTreeSet<MemberId>,
}

impl UserSide {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            events,
            backlog: VecDeque::new(),
            stats: BTreeMap::new(),
            forward: ForwardStats::default(),
            members: BTreeMap::new(),
            routes: BTreeMap::new(),
            input_started: None,
            output_started: None,
            leave_reason: None,
            heard: BTreeSet::new(),
        }
    }

    /// Tells one event. The loop waits for nobody: what the interface does not take is kept, and the oldest dropped.
    pub(super) fn tell(&mut self, event: Event) {
        match &event {
            Event::Member { id, .. } => {
                self.members.insert(*id, event.clone());
            }
            Event::Route(route) => {
                self.routes.insert(route.peer, event.clone());
            }
            _ => {}
        }
        self.flush();
        let droppable = matches!(
            event,
            Event::Stats { .. } | Event::Forward(_) | Event::Speaking { .. }
        );
        if self.backlog.is_empty() {
            match self.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(event)) if !droppable => self.backlog.push_back(event),
                Err(mpsc::error::TrySendError::Full(_)) => {}
            }
        } else if !droppable {
            self.backlog.push_back(event);
        }
        if self.backlog.len() > BACKLOG_MAX {
            self.backlog.pop_front();
        }
    }

    fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                self.backlog.push_front(event);
                return;
            }
        }
    }

    /// The last event, after whatever waits.
    pub(super) async fn finish(mut self, last: Event) {
        while let Some(event) = self.backlog.pop_front() {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
        let _ = self.events.send(last).await;
    }

    /// Everybody who is in, and the way to each.
    pub(super) fn tell_who(&mut self) {
        let events: Vec<Event> = self
            .members
            .values()
            .chain(self.routes.values())
            .cloned()
            .collect();
        for event in events {
            self.tell(event);
        }
    }

    /// Somebody is out of the meeting.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.stats.remove(&member);
        self.members.remove(&member);
        self.routes.remove(&member);
        self.heard.remove(&member);
    }

    /// Notes a frame of `member`; whether it is the first.
    pub(super) fn hears_first(&mut self, member: MemberId) -> bool {
        !self.heard.contains(&member) && self.heard.insert(member)
    }

    pub(super) fn note_stats(&mut self, member: MemberId, stats: &ReceptionStats) {
        self.stats.insert(member, *stats);
    }

    pub(super) fn tell_stats(&mut self, counters: impl Iterator<Item = (MemberId, PeerCounters)>) {
        let counters: BTreeMap<MemberId, PeerCounters> = counters.collect();
        let peers = self.stats.iter().map(|(member, stats)| {
            to_peer_stats(*member, stats, counters.get(member).copied().unwrap_or_default())
        });
        let peers: Vec<_> = peers.collect();
        if !peers.is_empty() {
            self.tell(Event::Stats { peers });
        }
    }

    /// Tells what this node forwards, if that changed.
    pub(super) fn tell_forward(&mut self, stats: ForwardStats) {
        if stats != self.forward {
            self.forward = stats;
            self.tell(Event::Forward(stats));
        }
    }

    pub(super) fn tell_audio(&mut self, me: MemberId, event: AudioEvent) {
        match event {
            AudioEvent::Speaking { member, on } => self.tell(Event::Speaking {
                member: member.unwrap_or(me),
                on,
            }),
            AudioEvent::DeviceLost { code, message, hint } | AudioEvent::Error { code, message, hint } => {
                self.tell(Event::Error(ErrorEvent {
                    code: audio_error_kind(code).code().to_owned(),
                    message,
                    hint: hint.to_owned(),
                }));
            }
            AudioEvent::ClipBegan(at) => {
                self.input_started = Some(at);
                self.tell_time_base();
            }
            AudioEvent::RecordingBegan(at) => {
                self.output_started = Some(at);
                self.tell_time_base();
            }
            AudioEvent::DeviceBack => tracing::info!("the audio device is back"),
            _ => {}
        }
    }

    fn tell_time_base(&mut self) {
        let micros = |at: Option<SystemTime>| {
            at.and_then(|at| at.duration_since(UNIX_EPOCH).ok())
                .and_then(|d| u64::try_from(d.as_micros()).ok())
        };
        let event = Event::Audio {
            input_started_unix_us: micros(self.input_started),
            output_started_unix_us: micros(self.output_started),
        };
        self.tell(event);
    }

    /// Why a leave that follows happens.
    pub(super) fn leaving_because(&mut self, reason: &'static str) {
        self.leave_reason = Some(reason);
    }

    /// The reason to give for a leave by one's own wish.
    pub(super) fn own_leave_reason(&self) -> &'static str {
        self.leave_reason.unwrap_or("left")
    }
}

/// The audio engine's finer codes in the words of docs/exit-codes.md.
fn audio_error_kind(code: &str) -> ErrorKind {
    if code.starts_with("audio-file") {
        ErrorKind::AudioFile
    } else if code.starts_with("audio-device") || code.starts_with("audio-no-") {
        ErrorKind::AudioDevice
    } else {
        ErrorKind::Internal
    }
}

/// An interface's command as the participant knows it; none if the loop itself obeys it.
///
/// # Errors
/// A sentence, if the command cannot be meant.
pub(super) fn command(command: &Command) -> Result<Option<participant::Command>, String> {
    use participant::Command as Wish;
    Ok(Some(match command {
        Command::Admit { member } => Wish::Admit(*member),
        Command::Refuse { member, reason: None } => Wish::Refuse(*member),
        Command::Refuse {
            member,
            reason: Some(reason),
        } => Wish::RefuseBecause(*member, RefusalWords::cut(reason)),
        Command::Remove { member } => Wish::Remove(*member),
        Command::SendBack { member } => Wish::SendBack(*member),
        Command::Lock => Wish::Lock(true),
        Command::Unlock => Wish::Lock(false),
        Command::Role { member, role } => Wish::Role(*member, role_of(*role)),
        Command::Passphrase { passphrase } => {
            let passphrase = Passphrase::new(passphrase.expose()).map_err(|error| error.to_string())?;
            Wish::Passphrase(passphrase)
        }
        Command::RequestMute { member } => Wish::RequestMute(*member),
        Command::RequestMuteAll => Wish::RequestMuteOfAll,
        Command::OfferCode => Wish::OfferCode,
        Command::AskToSpeak => Wish::AskToSpeak,
        Command::Sharing { in_charge_only } => Wish::Sharing(*in_charge_only),
        Command::Reactions { member, allowed } => Wish::Reactions(*member, *allowed),
        Command::Leave => Wish::Leave,
        other => match super::conversation::command(other) {
            Some(command) => Wish::Conversation(command),
            None => return Ok(None),
        },
    }))
}
