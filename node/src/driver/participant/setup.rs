//! From a configuration to a running driver: every way in which the user's input can be wrong is answered here.

use std::{
    fs, io,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
};

use subrosa_proto::{
    ids::MemberId,
    media::payload::FrameDuration,
    meeting::{
        admission::AdmissionMode,
        credential::{SignedCredential, TrustedOrganisations},
        name::Name,
        participant::{ForwardingTerms, FoundingTerms, Participant, ParticipantConfig, RELAY_TOKENS_MAX},
        passphrase::Record,
    },
    noise::Unadmitted,
    policy::{
        DescriptorBook, DiscoveryRule,
        route_policy::{Preset, RoutePolicy},
        signed_descriptor::{DescriptorError, SignedDescriptor, VerifiedDescriptor},
    },
    relay::token::{AccessToken, TEXT_PREFIX},
    time::Now,
    wire::ticket::{Ticket, TicketError},
};
use tokio::sync::mpsc;

use super::{
    Driver, LINK_EVENT_QUEUE_MAX, dialling::Dialler, discovery::DiscoverySide, files::FileThread,
    fresh_random, links::Links, transports::Transports, user::UserSide,
};
use crate::{
    audio::{AudioConfig, AudioEngine, AudioError, DeviceSpec},
    command::Command,
    config::{AdmitMode, NodeConfig, Start},
    driver::{addresses::dialable, clock::Clock},
    error::{ErrorKind, NodeError},
    event::Event,
    geoip::GeoIp,
    quic::{
        endpoint::{Endpoint, EndpointOptions},
        search_sockets::SearchSockets,
    },
    store::{self, contacts::Contacts, organisations::credential_error},
};

/// Dials under way or finished that the loop has not looked at.
const DIAL_QUEUE_MAX: usize = 64;

/// Opens everything. Nothing runs yet but the audio threads.
pub(super) fn prepare(
    config: &NodeConfig,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
) -> Result<Driver, NodeError> {
    let clock = Clock::start();
    let now = clock.now();
    let mut random = fresh_random()?;
    let name = Name::from_input(&config.name).map_err(|error| {
        NodeError::new(
            ErrorKind::Usage,
            format!("{:?} is no name: {error}", config.name),
            "choose another with --name",
        )
    })?;
    let store = config.data_dir.as_deref().map(store::DataDir::open).transpose()?;
    let data_dir = config.data_dir.as_deref();
    let start = prepare_start(&config.start, data_dir, now)?;
    let relays = configured_relays(&config.relays, data_dir, now)?;
    let relay_tokens = relay_tokens(&config.relay_tokens)?;
    let geoip = GeoIp::open(&config.geoip)?;
    let of_ticket: Vec<VerifiedDescriptor> = ticket_of(&start)
        .into_iter()
        .flat_map(|ticket| ticket.relays(now.unix).flatten())
        .collect();
    let evidence = geoip.evidence(relays.iter().chain(&of_ticket));
    let identity = match &store {
        Some(store) => store::identity_file::load_or_create(store.path())?,
        None => store::identity_file::fresh()?,
    };
    let (audio, audio_events) = start_audio(config, clock, &mut random)?;
    let socket = bind(config.listen)?;
    let endpoint =
        Endpoint::member(socket, identity.clone(), &[], &EndpointOptions::default()).map_err(|error| {
            NodeError::new(
                ErrorKind::Bind,
                format!("cannot open an endpoint: {error}"),
                "try another --listen",
            )
        })?;
    let local = endpoint
        .local_addr()
        .map_err(|error| bind_error(config.listen, &error))?;
    let participant_config = ParticipantConfig {
        identity: identity.clone(),
        name,
        addresses: dialable(local),
        direct: !config.no_direct,
        relays,
        discovery: DiscoveryRule::Off,
        evidence,
    };
    let discovery = DiscoverySide::new(config, local, &participant_config, ticket_of(&start))?;
    let participant_config = ParticipantConfig {
        discovery: discovery.offered(),
        ..participant_config
    };
    let other_ways = discovery.offered() > DiscoveryRule::Off
        || !participant_config.relays.is_empty()
        || matches!(&start, Begin::Join(ticket) if !ticket.terms().relays.is_empty());
    let mut random = random.fork("participant");
    let (mut meeting_file, door) = (None, &config.door);
    let participant = match start {
        Begin::Found(terms) => {
            let record = door
                .passphrase
                .as_ref()
                .map(|passphrase| Record::create(passphrase, &mut random.fork("passphrase")));
            let founded = Participant::found(now, participant_config, terms, random).map_err(|error| {
                NodeError::new(
                    ErrorKind::Config,
                    format!("the meeting cannot be founded: {error}"),
                    "check --policy and --relay",
                )
            })?;
            match record {
                Some(record) => founded.asking_for(record),
                None => founded,
            }
        }
        Begin::Join(ticket) => {
            let kept = match &store {
                Some(store) if identity.member_id() == ticket.host() => {
                    let meeting = ticket.terms().meeting;
                    let (file, kept) = store::meetings::MeetingFile::open(store.path(), meeting)?;
                    meeting_file = Some(file);
                    kept
                }
                _ => Vec::new(),
            };
            let mut joined = if kept.is_empty() {
                Participant::join(now, participant_config, *ticket, random)
            } else {
                Participant::resume(now, participant_config, *ticket, kept, random)
            }
            .with_patience(door.wait);
            if let Some(passphrase) = &door.passphrase {
                joined = joined.with_passphrase(passphrase.clone());
            }
            joined
        }
    };
    let mut participant = participant;
    participant.set_relay_tokens(relay_tokens);
    participant = participant.with_forwarding(ForwardingTerms {
        forwards_kbps: config.forward_kbps,
        uplink_kbps: config.uplink_kbps,
    });
    if let Some(text) = &door.credential {
        let credential = own_credential(text, identity.member_id(), now)?;
        participant = participant.with_credential(credential);
    }
    let mut contacts = Contacts::default();
    if let Some(store) = &store {
        contacts = Contacts::load(store.path())?;
        let (_, trusted) = store::organisations::trusted(store.path())?;
        participant = participant.with_organisations(trusted);
    }
    let mut user = UserSide::new(events);
    user.tell(Event::Ready {
        node: participant.id(),
        listen: local.to_string(),
    });
    let endpoint = Arc::new(endpoint);
    let (link_sender, link_events) = mpsc::channel(LINK_EVENT_QUEUE_MAX);
    let (dial_sender, dialled) = mpsc::channel(DIAL_QUEUE_MAX);
    Ok(Driver {
        clock,
        meeting: participant.meeting(),
        participant,
        dialler: Dialler::new(endpoint.clone(), dial_sender),
        endpoint,
        links: Links::new(link_sender, clock),
        transports: Transports::default(),
        link_events,
        dialled,
        search: SearchSockets::default(),
        heard: None,
        audio,
        audio_events,
        discovery,
        geoip,
        commands,
        files: FileThread::start(config.downloads.clone()),
        user,
        unadmitted: Unadmitted::default(),
        code_key: None,
        contacts,
        meeting_file,
        store,
        leave_after: config.leave_after,
        leave_at: None,
        other_ways,
        last_dial_error: None,
        left: None,
    })
}

/// The credential to show, if it is ours and holds now.
fn own_credential(text: &str, me: MemberId, now: Now) -> Result<SignedCredential, NodeError> {
    let credential = SignedCredential::from_text(text.trim())
        .map_err(|error| credential_error("this is no credential", &error))?;
    TrustedOrganisations::default()
        .check(&credential, me, now.unix)
        .map_err(|error| credential_error("the credential cannot be shown", &error))?;
    Ok(credential)
}

/// What the node begins with, checked.
enum Begin {
    Found(FoundingTerms),
    Join(Box<Ticket>),
}

/// The ticket to join by.
fn ticket_of(start: &Begin) -> Option<&Ticket> {
    match start {
        Begin::Join(ticket) => Some(ticket),
        Begin::Found(_) => None,
    }
}

fn prepare_start(start: &Start, data_dir: Option<&Path>, now: Now) -> Result<Begin, NodeError> {
    match start {
        Start::New { policy: text, admit } => Ok(Begin::Found(FoundingTerms {
            policy: policy(text)?,
            admission: match admit {
                AdmitMode::Ask => AdmissionMode::Ask,
                AdmitMode::Ticket => AdmissionMode::Ticket,
            },
        })),
        Start::Join {
            ticket: text,
            policy: wanted,
        } => {
            let ticket = Ticket::parse(text, now.unix).map_err(|error| ticket_error(&error))?;
            let ticket = match data_dir {
                Some(folder) => store::tickets::newest(folder, ticket, now.unix),
                None => ticket,
            };
            if let Some(text) = wanted {
                check_policy(&ticket, &policy(text)?)?;
            }
            Ok(Begin::Join(Box::new(ticket)))
        }
    }
}

fn check_policy(ticket: &Ticket, wanted: &RoutePolicy) -> Result<(), NodeError> {
    let offered = ticket.policy().policy();
    if offered == wanted {
        return Ok(());
    }
    Err(NodeError::new(
        ErrorKind::TicketPolicy,
        format!(
            "the meeting's policy is \"{}\", and you asked for \"{}\"",
            offered.summary(),
            wanted.summary()
        ),
        "ask the host for a meeting with your policy, or join without --policy to accept theirs",
    ))
}

/// A policy: a preset's name, or a file.
pub(crate) fn policy(text: &str) -> Result<RoutePolicy, NodeError> {
    let preset = match text {
        "any" => Some(Preset::Any),
        "eu" => Some(Preset::Eu),
        "eea" => Some(Preset::Eea),
        "direct" => Some(Preset::Direct),
        _ => None,
    };
    if let Some(preset) = preset {
        return Ok(preset.into());
    }
    let content = fs::read_to_string(text).map_err(|error| {
        NodeError::new(
            ErrorKind::Config,
            format!("cannot read the policy file {text}: {error}"),
            "give any, eu, eea, direct, or the path of a policy file",
        )
    })?;
    RoutePolicy::from_toml(&content).map_err(|error| {
        NodeError::new(
            ErrorKind::Config,
            format!("{text}: {error}"),
            "docs/policy.md lists every key",
        )
    })
}

fn ticket_error(error: &TicketError) -> NodeError {
    let kind = match error {
        TicketError::Expired { .. } => ErrorKind::TicketExpired,
        TicketError::OtherVersion { .. } => ErrorKind::TicketVersion,
        _ => ErrorKind::TicketDamaged,
    };
    NodeError::new(kind, format!("the ticket cannot be used: {error}"), error.hint())
}

/// The tokens that the user names, as lines or files.
fn relay_tokens(given: &[String]) -> Result<Vec<AccessToken>, NodeError> {
    let wrong = |message: String| {
        NodeError::new(
            ErrorKind::Config,
            message,
            "give the line that you got from whoever may use the relay (subrosa-token:…), or a file that holds it",
        )
    };
    if given.len() > RELAY_TOKENS_MAX {
        return Err(wrong(format!("at most {RELAY_TOKENS_MAX} relay tokens are used")));
    }
    let read = |given: &String| {
        let text = if given.contains(TEXT_PREFIX) {
            given.clone()
        } else {
            fs::read_to_string(given)
                .map_err(|e| wrong(format!("cannot read the relay token {given}: {e}")))?
        };
        AccessToken::from_text(&text).map_err(|e| wrong(e.to_string()))
    };
    given.iter().map(read).collect()
}

/// The relays that the user names. One that is known to have said something newer is refused: somebody may want it to
/// look as it was.
fn configured_relays(
    texts: &[String],
    data_dir: Option<&Path>,
    now: Now,
) -> Result<Vec<VerifiedDescriptor>, NodeError> {
    let mut book = DescriptorBook::new();
    for descriptor in kept_relays(data_dir, now) {
        // Files of one relay in any order: the newest counts.
        let _ = book.insert(descriptor, now.unix);
    }
    let mut relays = Vec::new();
    for text in texts {
        let descriptor = relay(text, data_dir, now)?;
        book.insert(descriptor.clone(), now.unix)
            .map_err(|error| descriptor_error(text, &error))?;
        relays.push(descriptor);
    }
    Ok(relays)
}

/// A relay as the user names it: a descriptor's line, a file that holds one, or an address whose descriptor is at hand.
pub(crate) fn relay(text: &str, data_dir: Option<&Path>, now: Now) -> Result<VerifiedDescriptor, NodeError> {
    let line = if text.starts_with("subrosa-relay:") {
        text.to_owned()
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        return known_relay(address, data_dir, now);
    } else {
        fs::read_to_string(text).map_err(|error| {
            NodeError::new(
                ErrorKind::Descriptor,
                format!("cannot read a relay's descriptor from {text}: {error}"),
                "give the line that the relay printed on start (subrosa-relay:…), or a file that holds it",
            )
        })?
    };
    verify_descriptor(line.trim(), now).map_err(|error| descriptor_error(text, &error))
}

fn descriptor_error(text: &str, error: &DescriptorError) -> NodeError {
    let shown: String = text.chars().take(40).collect();
    NodeError::new(
        ErrorKind::Descriptor,
        format!("the relay's descriptor {shown}… cannot be used: {error}"),
        "ask the operator for the present one; relays print it on start and renew it daily",
    )
}

fn verify_descriptor(line: &str, now: Now) -> Result<VerifiedDescriptor, DescriptorError> {
    SignedDescriptor::from_text(line)?.verify(now.unix)
}

/// Looks for the descriptor of the relay at `address` in the data directory: without it neither its key nor its
/// jurisdiction is known, and asking the address itself would already send it a packet.
fn known_relay(
    address: SocketAddr,
    data_dir: Option<&Path>,
    now: Now,
) -> Result<VerifiedDescriptor, NodeError> {
    kept_relays(data_dir, now)
        .find(|descriptor| descriptor.addresses.contains(&address))
        .ok_or_else(|| {
            NodeError::new(
                ErrorKind::Descriptor,
                format!("nothing is known of a relay at {address}: its key and its jurisdiction are in its descriptor"),
                "give the line that the relay printed on start (subrosa-relay:…), or put it into a file in DATA-DIR/relays",
            )
        })
}

/// The descriptors in the data directory that still hold.
fn kept_relays(data_dir: Option<&Path>, now: Now) -> impl Iterator<Item = VerifiedDescriptor> {
    let folder = data_dir.map(|folder| folder.join("relays"));
    let entries = folder
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(move |line| verify_descriptor(line.trim(), now).ok())
}

fn start_audio(
    config: &NodeConfig,
    clock: Clock,
    random: &mut subrosa_proto::random::Random,
) -> Result<
    (
        crate::audio::AudioHandle,
        mpsc::Receiver<crate::audio::AudioEvent>,
    ),
    NodeError,
> {
    let device: DeviceSpec = config.audio.parse().map_err(|error| audio_error(&error))?;
    let frame_duration = match config.frame_ms {
        20 => FrameDuration::Ms20,
        10 => FrameDuration::Ms10,
        other => {
            return Err(NodeError::new(
                ErrorKind::Usage,
                format!("{other} ms is no frame duration"),
                "use --frame-ms 20 or --frame-ms 10",
            ));
        }
    };
    let audio_config = AudioConfig {
        device,
        frame_duration,
        muted: config.muted,
        hold_clip: true,
        ..AudioConfig::default()
    };
    AudioEngine::start(&audio_config, Arc::new(move || clock.timestamp()), random)
        .map_err(|error| audio_error(&error))
}

fn audio_error(error: &AudioError) -> NodeError {
    let kind = match error {
        AudioError::FileOpen { .. }
        | AudioError::NotAudio { .. }
        | AudioError::SameFile { .. }
        | AudioError::FileWrite { .. } => ErrorKind::AudioFile,
        AudioError::UnknownDevice { .. } | AudioError::Setting { .. } => ErrorKind::Usage,
        AudioError::NoServer { .. } | AudioError::NoDevice { .. } | AudioError::Lost { .. } => {
            ErrorKind::AudioDevice
        }
        _ => ErrorKind::Internal,
    };
    NodeError::new(kind, error.to_string(), error.hint())
}

fn bind(address: SocketAddr) -> Result<UdpSocket, NodeError> {
    UdpSocket::bind(address).map_err(|error| bind_error(address, &error))
}

fn bind_error(address: SocketAddr, error: &io::Error) -> NodeError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses that port: choose another with --listen, or port 0 for any"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privileges: choose a higher one with --listen"
        }
        io::ErrorKind::AddrNotAvailable => "no interface has that address: choose another with --listen",
        _ => "choose another address with --listen",
    };
    NodeError::new(
        ErrorKind::Bind,
        format!("cannot listen on {address}: {error}"),
        hint,
    )
}
