//! One connection to a PulseAudio or PipeWire server over its native socket.
//!
//! The crate's own client hides that the server killed a stream, which is how an unplugged device shows; so the
//! messages are exchanged here, with the crate's encoding.

use std::{
    ffi::CString,
    io::{self, Cursor, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, CommandReply, DESCRIPTOR_SIZE, Prop, Props, ProtocolError,
    SetClientNameReply, TagStructReader,
};

use crate::audio::AudioError;

/// A server that says nothing for this long has hung: requests come every 10 ms, though a null sink begins with a pause
/// of 2 s.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How often a waiting thread looks whether it is to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Largest message taken from a server. It sends sound in pieces of 64 KiB at most.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Length of the secret that a server shares with its user's programs.
const COOKIE_BYTES: usize = 256;
/// Channel number of commands, as opposed to sound.
const COMMAND_CHANNEL: u32 = u32::MAX;

/// What the server sent.
pub(super) enum Message {
    /// A command or event.
    Command(Box<Command>),
    /// Sound of a recording stream.
    Sound { channel: u32, bytes: Vec<u8> },
    /// Nothing more comes, because the engine is to stop.
    Stopped,
}

/// A connection whose reads can be interrupted.
pub(super) struct Connection {
    socket: UnixStream,
    version: u16,
    sequence: u32,
    /// Bytes read and not yet taken as messages.
    pending: Vec<u8>,
    stop: Arc<AtomicBool>,
}

impl Connection {
    /// Connects to `server`, or to the first of the usual ones that answers, and introduces us.
    pub(super) fn open(server: Option<&Path>, stop: &Arc<AtomicBool>) -> Result<Self, AudioError> {
        let mut reasons = Vec::new();
        for path in server.map_or_else(sockets, |path| vec![path.to_owned()]) {
            match Self::open_at(&path, stop.clone()) {
                Ok(connection) => return Ok(connection),
                Err(error) => reasons.push(format!("{}: {error}", path.display())),
            }
        }
        if reasons.is_empty() {
            reasons.push("neither PULSE_SERVER nor XDG_RUNTIME_DIR names a socket".to_owned());
        }
        Err(AudioError::NoServer {
            reason: reasons.join("; "),
        })
    }

    fn open_at(path: &Path, stop: Arc<AtomicBool>) -> Result<Self, ProtocolError> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(POLL_INTERVAL))?;
        socket.set_write_timeout(Some(SILENCE_MAX))?;
        let version = protocol::MAX_VERSION;
        let mut connection = Self {
            socket,
            version,
            sequence: 0,
            pending: Vec::new(),
            stop,
        };
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        // A server that lets everybody in wants the field at its full length, too.
        let mut cookie = cookie.unwrap_or_default();
        cookie.resize(COOKIE_BYTES, 0);
        let auth: AuthReply = connection.request(&Command::Auth(AuthParams {
            version,
            supports_shm: false,
            supports_memfd: false,
            cookie,
        }))?;
        connection.version = version.min(auth.version);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"Subrosa");
        props.set(Prop::MediaRole, c"phone");
        let _: SetClientNameReply = connection.request(&Command::SetClientName(props))?;
        Ok(connection)
    }

    /// Sends `command` and waits for its reply.
    pub(super) fn request<R: CommandReply>(&mut self, command: &Command) -> Result<R, ProtocolError> {
        let sequence = self.sequence;
        self.sequence += 1;
        protocol::write_command_message(&mut self.socket, sequence, command, self.version)?;
        loop {
            let Some((channel, bytes)) = self.receive()? else {
                return Err(io::Error::from(io::ErrorKind::Interrupted).into());
            };
            if channel != COMMAND_CHANNEL {
                continue;
            }
            let mut cursor = Cursor::new(bytes.as_slice());
            match Command::read_tag_prefixed(&mut cursor, self.version) {
                Ok((answered, Command::Reply)) if answered == sequence => {
                    return TagStructReader::new(&mut cursor, self.version).read();
                }
                Ok((answered, Command::Error(error))) if answered == sequence => {
                    return Err(ProtocolError::ServerError(error));
                }
                // Events of no interest yet, or unknown to the crate.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Waits for the next message; one that the crate cannot read is skipped, as newer servers may send new events.
    pub(super) fn next(&mut self) -> Result<Message, ProtocolError> {
        loop {
            let Some((channel, bytes)) = self.receive()? else {
                return Ok(Message::Stopped);
            };
            if channel != COMMAND_CHANNEL {
                return Ok(Message::Sound { channel, bytes });
            }
            if let Ok((_, command)) =
                Command::read_tag_prefixed(&mut Cursor::new(bytes.as_slice()), self.version)
            {
                return Ok(Message::Command(Box::new(command)));
            }
        }
    }

    /// Sends sound of a playback stream.
    pub(super) fn send_sound(&mut self, channel: u32, bytes: &[u8]) -> Result<(), ProtocolError> {
        protocol::write_memblock(&mut self.socket, channel, bytes, 0)
    }

    /// The next whole message as channel and content; `None` when the engine is to stop.
    fn receive(&mut self) -> Result<Option<(u32, Vec<u8>)>, ProtocolError> {
        let begin = Instant::now();
        loop {
            if let Some(message) = self.take_pending()? {
                return Ok(Some(message));
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut chunk = [0; 16_384];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if begin.elapsed() < SILENCE_MAX => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        return Err(ProtocolError::Timeout);
                    }
                    _ => return Err(error.into()),
                },
            }
        }
    }

    fn take_pending(&mut self) -> Result<Option<(u32, Vec<u8>)>, ProtocolError> {
        if self.pending.len() < DESCRIPTOR_SIZE {
            return Ok(None);
        }
        let descriptor = protocol::read_descriptor(&mut Cursor::new(&self.pending))?;
        let length = usize::try_from(descriptor.length).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(ProtocolError::Invalid(format!("a message of {length} bytes")));
        }
        let end = DESCRIPTOR_SIZE + length;
        if self.pending.len() < end {
            return Ok(None);
        }
        let bytes = self.pending[DESCRIPTOR_SIZE..end].to_vec();
        self.pending.drain(..end);
        Ok(Some((descriptor.channel, bytes)))
    }
}

/// Sockets to try, in the order of PulseAudio's client library: `PULSE_SERVER` alone if it is set.
fn sockets() -> Vec<PathBuf> {
    if let Ok(server) = std::env::var("PULSE_SERVER") {
        // An optional `{host}` in braces, then space-separated addresses, of which we speak only local ones.
        return server
            .split_whitespace()
            .map(|address| address.rsplit('}').next().unwrap_or(address))
            .map(|address| address.strip_prefix("unix:").unwrap_or(address))
            .filter(|path| path.starts_with('/'))
            .map(PathBuf::from)
            .collect();
    }
    let folder = |name: &str, rest: &str| std::env::var_os(name).map(|path| PathBuf::from(path).join(rest));
    let mut paths: Vec<PathBuf> = folder("PULSE_RUNTIME_PATH", "native")
        .into_iter()
        .chain(folder("XDG_RUNTIME_DIR", "pulse/native"))
        .collect();
    // The system-wide server's socket.
    paths.push(PathBuf::from("/run/pulse/native"));
    paths
}

/// The name to send for `name`, or the server's default.
pub(super) fn device_name(name: Option<&str>, default: &std::ffi::CStr) -> CString {
    name.and_then(|name| CString::new(name).ok())
        .unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let version = protocol::MAX_VERSION;
        (
            Connection {
                socket: ours,
                version,
                sequence: 0,
                pending: Vec::new(),
                stop,
            },
            theirs,
        )
    }

    #[test]
    fn messages_in_pieces_are_put_together() {
        let (mut connection, mut server) = pair();
        let mut bytes = Vec::new();
        protocol::write_memblock(&mut bytes, 3, &[7; 100], 0).unwrap();
        protocol::write_memblock(&mut bytes, 4, &[8; 10], 0).unwrap();
        let writer = std::thread::spawn(move || {
            for piece in bytes.chunks(33) {
                server.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(25));
            }
            server
        });
        for (expected, count) in [(3, 100), (4, 10)] {
            match connection.next().unwrap() {
                Message::Sound { channel, bytes } => assert_eq!((channel, bytes.len()), (expected, count)),
                _ => panic!("expected sound"),
            }
        }
        drop(writer.join().unwrap());
        assert!(connection.next().is_err(), "a closed socket is a loss");
    }

    #[test]
    fn a_huge_message_is_refused() {
        let (mut connection, mut server) = pair();
        let mut descriptor = [0; DESCRIPTOR_SIZE];
        descriptor[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        server.write_all(&descriptor).unwrap();
        assert!(connection.next().is_err());
    }
}
