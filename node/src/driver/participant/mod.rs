//! Drives `subrosa_proto`'s `Participant` with quinn, files and an audio engine: one task that owns the machine, feeds it
//! what happens, and does what it says.

mod acquaintance;
mod conversation;
mod dialling;
mod discovery;
mod files;
mod links;
mod over_tcp;
mod probing;
mod return_to_udp;
mod setup;
mod translate;
mod transports;
mod user;

use std::{sync::Arc, time::Duration};

use subrosa_proto::{
    ids::MeetingId,
    meeting::participant::{Output, Participant},
    noise::{Psk, Unadmitted},
    random::Random,
};
use tokio::sync::mpsc;

use self::{
    dialling::{DialResult, Dialler},
    discovery::{DiscoverySide, News},
    files::{Answer, FileThread},
    links::Links,
    transports::Transports,
    user::UserSide,
};
use super::{addresses::dialable, clock::Clock, link::LinkEvent};
use crate::{
    audio::{AudioEvent, AudioHandle},
    command::Command,
    config::NodeConfig,
    error::NodeError,
    event::Event,
    geoip::GeoIp,
    node::{COMMAND_QUEUE_MAX, EVENT_QUEUE_MAX, Node},
    quic::{
        endpoint::{Authenticated, DialError, Endpoint},
        search_sockets::{Found, SearchSockets},
        socket::HeardProbe,
    },
    store::{DataDir, contacts::Contacts, meetings::MeetingFile},
};

/// Events of links that may wait for the loop: 100 peers' datagrams of a fifth of a second. Control frames wait for a
/// place, datagrams do not.
const LINK_EVENT_QUEUE_MAX: usize = 1_024;
/// How long the last messages may take when the node ends.
const GOODBYE_PATIENCE: Duration = Duration::from_millis(700);

/// Starts a participant; see [`Node::start`].
///
/// # Errors
/// See [`Node::start`].
pub(crate) async fn start(config: NodeConfig) -> Result<Node, NodeError> {
    let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE_MAX);
    let (event_sender, events) = mpsc::channel(EVENT_QUEUE_MAX);
    let driver = setup::prepare(&config, commands, event_sender)?;
    tokio::spawn(driver.run());
    Ok(Node::from_channels(command_sender, events))
}

/// How often the addresses of this computer's interfaces are looked at. Reason: whoever changes its network is silent until
/// the others are told; a look takes some 50 µs.
const ADDRESSES_INTERVAL: Duration = Duration::from_millis(500);

/// The loop's state.
struct Driver {
    clock: Clock,
    participant: Participant,
    endpoint: Arc<Endpoint>,
    meeting: MeetingId,
    links: Links,
    transports: Transports,
    link_events: mpsc::Receiver<LinkEvent>,
    dialler: Dialler,
    dialled: mpsc::Receiver<DialResult>,
    /// Sockets of a search for a way between NATs.
    search: SearchSockets,
    /// The socket of which the participant is being told.
    heard: Option<Found>,
    audio: AudioHandle,
    audio_events: mpsc::Receiver<AudioEvent>,
    discovery: DiscoverySide,
    /// Where relays are, as far as the user supplied sources.
    geoip: GeoIp,
    commands: mpsc::Receiver<Command>,
    files: FileThread,
    user: UserSide,
    /// Whom the endpoint turns away from the next `Accept` on.
    unadmitted: Unadmitted,
    contacts: Contacts,
    /// Opens the port to whoever has a code of words.
    code_key: Option<(MeetingId, Psk)>,
    /// Where the founder's node keeps the meeting.
    meeting_file: Option<MeetingFile>,
    /// Held while the node runs: one process at a time.
    store: Option<DataDir>,
    leave_after: Option<Duration>,
    leave_at: Option<tokio::time::Instant>,
    /// Whether relays may lead to the host where its addresses do not.
    other_ways: bool,
    /// Why the last dial failed, for the message if nothing succeeds.
    last_dial_error: Option<DialError>,
    /// The end was announced; its reason.
    left: Option<String>,
}

/// What woke the loop.
enum Wake {
    Link(LinkEvent),
    Dialled(DialResult),
    Accepted(Option<Authenticated>),
    Probe(HeardProbe),
    SearchProbe(Found),
    Audio(AudioEvent),
    Discovery(News),
    Command(Option<Command>),
    File(Answer),
    Timer,
    Stats,
    Addresses,
    LeaveAfter,
}

/// What is done now and then.
struct Ticks {
    stats: tokio::time::Interval,
    addresses: tokio::time::Interval,
}

impl Driver {
    async fn run(mut self) {
        self.drain();
        let mut ticks = Ticks {
            stats: tokio::time::interval(user::STATS_INTERVAL),
            addresses: tokio::time::interval(ADDRESSES_INTERVAL),
        };
        while self.left.is_none() {
            match self.wait(&mut ticks).await {
                Wake::Link(event) => self.handle_link_event(event),
                Wake::Dialled(result) => self.handle_dialled(result),
                Wake::Accepted(Some(connection)) => self.handle_accepted(connection),
                // The endpoint's socket is gone: nothing can be sent or received any more.
                Wake::Accepted(None) => {
                    self.left = Some("error".to_owned());
                }
                Wake::Probe((remote, sender)) => self.handle_probe(remote, sender),
                Wake::SearchProbe(found) => self.handle_search_probe(found),
                Wake::Audio(event) => self.handle_audio_event(event),
                Wake::Discovery(news) => self.handle_discovery_news(news),
                Wake::Command(Some(command)) => self.handle_command(command),
                // The interface is gone without a word: leave politely.
                Wake::Command(None) => self.handle_command(Command::Leave),
                Wake::File(answer) => self.handle_file_answer(answer),
                Wake::Timer => self.participant.handle_timeout(self.clock.now()),
                Wake::Stats => {
                    self.user.tell_stats(self.participant.counters());
                    self.user
                        .tell_forward(translate::forward_stats(&self.participant));
                }
                Wake::Addresses => self.watch_addresses(),
                Wake::LeaveAfter => {
                    self.leave_at = None;
                    self.user.leaving_because("leave_after");
                    self.handle_command(Command::Leave);
                }
            }
            self.drain();
        }
        self.end().await;
    }

    /// Another network, or an interface that came or went: others are told where this node is now.
    fn watch_addresses(&mut self) {
        if let Ok(local) = self.endpoint.local_addr() {
            self.participant.set_addresses(self.clock.now(), dialable(local));
        }
    }

    async fn wait(&mut self, ticks: &mut Ticks) -> Wake {
        let timer = self
            .participant
            .poll_timeout()
            .map(|at| self.clock.instant_of(at));
        let leave_at = self.leave_at;
        tokio::select! {
            Some(event) = self.link_events.recv() => Wake::Link(event),
            Some(result) = self.dialled.recv() => Wake::Dialled(result),
            accepted = self.endpoint.accept() => Wake::Accepted(accepted),
            Some(probe) = self.endpoint.probe() => Wake::Probe(probe),
            found = self.search.found() => Wake::SearchProbe(found),
            Some(event) = self.audio_events.recv() => Wake::Audio(event),
            news = self.discovery.news() => Wake::Discovery(news),
            Some(answer) = self.files.answers.recv() => Wake::File(answer),
            command = self.commands.recv() => Wake::Command(command),
            () = sleep_until(timer) => Wake::Timer,
            () = sleep_until(leave_at) => Wake::LeaveAfter,
            _ = ticks.stats.tick() => Wake::Stats,
            _ = ticks.addresses.tick() => Wake::Addresses,
        }
    }

    /// Does everything that the participant asks for.
    fn drain(&mut self) {
        while let Some(output) = self.participant.poll_output() {
            match output {
                Output::Dial { dial, target } => {
                    tracing::debug!(node = %self.participant.id(), "dialling");
                    self.dial(dial, target);
                }
                Output::DialAlso { dial, address } => self.dialler.dial_also(dial, address),
                Output::Probe { psk, to } => self.endpoint.send_probes(&psk, &to),
                Output::OpenSockets { psk, sockets, to } => {
                    self.search.open(&self.endpoint, &psk, sockets, &to);
                }
                Output::CloseSockets => self.search.close(),
                Output::Control { link, bytes } => self.links.send_control(link, bytes),
                Output::Datagram { link, bytes } => self.links.send_datagram(link, bytes),
                Output::Close { link } => self.links.close(link),
                Output::TurnAway(unadmitted) => self.unadmitted = unadmitted,
                Output::Accept { keys } => {
                    let keys = keys.into_iter().map(|key| (self.meeting, key));
                    let keys: Vec<_> = keys.chain(self.code_key.clone()).collect();
                    self.endpoint.set_doors(&keys, &self.unadmitted);
                }
                Output::AcceptCode(key) => self.code_key = key,
                Output::Keep(record) => self.keep(|file| file.append(&record)),
                Output::KeepAnew(records) => self.keep(|file| file.replace(&records)),
                Output::Media(frame) => {
                    if self.user.hears_first(frame.member) {
                        tracing::debug!(node = %self.participant.id(), member = %frame.member, "first sound");
                    }
                    self.audio.push(crate::audio::MediaFrame {
                        member: frame.member,
                        stream: frame.stream,
                        arrival: frame.arrival,
                        payload: frame.payload,
                    });
                }
                Output::MediaEnded { member } => {
                    self.audio.remove(member);
                    self.transports.forget(member);
                    self.user.forget(member);
                }
                Output::Reported {
                    member,
                    report,
                    congested,
                } => {
                    let now = self.clock.timestamp();
                    self.audio.handle_report(now, member, &report, congested);
                }
                Output::Locate { relay, addresses } => {
                    let answers = addresses
                        .into_iter()
                        .map(|address| (address, self.geoip.ask(address)));
                    let answers = answers.collect();
                    self.participant.handle_located(self.clock.now(), relay, answers);
                }
                Output::Discovery(order) => self.handle_discovery_order(order),
                Output::File(job) => self.files.job(job),
                Output::Event(event) => self.handle_participant_event(event),
                other => tracing::warn!(?other, "an output that this driver does not know"),
            }
        }
    }

    /// Writes down what the founder needs to come back.
    fn keep(&mut self, write: impl FnOnce(&mut MeetingFile) -> Result<(), NodeError>) {
        let Some(store) = &self.store else { return };
        if self.meeting_file.is_none() {
            match MeetingFile::open(store.path(), self.meeting) {
                Ok((file, _)) => self.meeting_file = Some(file),
                Err(error) => self.user.tell(Event::Error(error.to_event())),
            }
        }
        let kept = self.meeting_file.as_mut().map(write);
        if let Some(Err(error)) = kept {
            // The meeting goes on; it is only the way back that is lost.
            self.user.tell(Event::Error(error.to_event()));
        }
    }

    fn handle_audio_event(&mut self, event: AudioEvent) {
        match event {
            AudioEvent::Captured(frame) => self.participant.handle_audio(self.clock.now(), &frame.payload),
            AudioEvent::Stats {
                member,
                stats,
                report,
                ..
            } => {
                self.user.note_stats(member, &stats);
                if let Some(report) = report {
                    self.participant
                        .handle_reception_report(self.clock.now(), member, report);
                }
            }
            other => self.user.tell_audio(self.participant.id(), other),
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Mute => self.audio.set_muted(true),
            Command::Unmute => self.audio.set_muted(false),
            Command::Who => self.user.tell_who(),
            Command::Verify => self.verify_present(),
            Command::AdmitContacts => self.admit_contacts(),
            Command::Send { path, to } => self.offer_file(path, to),
            other => match user::command(&other) {
                Ok(Some(command)) => self.participant.handle_command(self.clock.now(), command),
                Ok(None) => {}
                Err(reason) => self.user.tell(Event::Refused {
                    what: "command".to_owned(),
                    clause: "usage".to_owned(),
                    reason,
                }),
            },
        }
    }

    /// Lets the last messages out, closes the sockets, completes the recording, and says that this was all.
    async fn end(mut self) {
        self.links.close_all();
        let _ = tokio::time::timeout(GOODBYE_PATIENCE, self.links.ended(&mut self.link_events)).await;
        self.endpoint.close(0, "left");
        let _ = tokio::time::timeout(GOODBYE_PATIENCE, self.endpoint.wait_idle()).await;
        // Dropping the handle joins its threads, which completes the output file; not on the runtime's threads.
        let audio = self.audio;
        let _ = tokio::task::spawn_blocking(move || drop(audio)).await;
        let reason = self.left.unwrap_or_else(|| "error".to_owned());
        self.user.finish(Event::Left { reason }).await;
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A fresh generator, seeded by the operating system.
fn fresh_random() -> Result<Random, NodeError> {
    Ok(Random::from_seed(*crate::entropy::seed()?))
}
