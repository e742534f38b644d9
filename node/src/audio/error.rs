//! What can go wrong with sound, in words that a person can act on.

use std::{io, path::PathBuf};

/// A fault of an audio device, file or codec.
///
/// `Display` says what failed and why, [`AudioError::hint`] what to do, [`AudioError::code`] is stable for scripts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The text after `--audio` names no kind of device.
    #[error("'{given}' is not an audio device")]
    UnknownDevice {
        /// What was given.
        given: String,
    },
    /// No PulseAudio or PipeWire server answered.
    #[error("no sound server answered: {reason}")]
    NoServer {
        /// Which socket was tried and what it said.
        reason: String,
    },
    /// The server has no such sink or source, or took it away.
    #[error("the sound server offers no usable {direction} '{name}': {reason}")]
    NoDevice {
        /// `sink` or `source`.
        direction: &'static str,
        /// The name asked for, or `default`.
        name: String,
        /// The server's words.
        reason: String,
    },
    /// A device that worked is gone; the engine goes on trying to get it back.
    #[error("the audio {direction} was lost: {reason}")]
    Lost {
        /// `sink` or `source`.
        direction: &'static str,
        /// What was seen.
        reason: String,
    },
    /// A WAV file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    FileOpen {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// A file is not a WAV file that we can read.
    #[error("{} is not a readable WAV file: {reason}", path.display())]
    NotAudio {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Input and output are the same file: writing would destroy the input.
    #[error("input and output are the same file: {}", path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// Writing a WAV file failed; what was written before remains readable.
    #[error("cannot write {}: {source}", path.display())]
    FileWrite {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// A setting lies outside its range.
    #[error("audio setting {name} is out of range: {given} (allowed: {allowed})")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// What was given.
        given: String,
        /// The range.
        allowed: &'static str,
    },
    /// A frame does not fit an audio payload; cannot happen with settings that were checked.
    #[error("cannot pack an audio frame: {0}")]
    Payload(#[from] subrosa_proto::media::payload::AudioPayloadError),
    /// Opus refused; cannot happen with settings that were checked.
    #[error("Opus failed: {0}")]
    Codec(String),
    /// The operating system gave no thread.
    #[error("cannot start an audio thread: {0}")]
    Thread(io::Error),
}

impl From<opus::Error> for AudioError {
    fn from(error: opus::Error) -> Self {
        Self::Codec(error.to_string())
    }
}

impl From<opusic_c::ErrorCode> for AudioError {
    fn from(code: opusic_c::ErrorCode) -> Self {
        Self::Codec(format!("{code:?}"))
    }
}

impl AudioError {
    /// A stable name for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownDevice { .. } => "audio-device-unknown",
            Self::NoServer { .. } => "audio-no-server",
            Self::NoDevice { .. } => "audio-no-device",
            Self::Lost { .. } => "audio-device-lost",
            Self::FileOpen { .. } => "audio-file-missing",
            Self::NotAudio { .. } => "audio-file-damaged",
            Self::SameFile { .. } => "audio-file-same",
            Self::FileWrite { .. } => "audio-file-write",
            Self::Setting { .. } => "audio-setting",
            Self::Codec(_) | Self::Payload(_) => "audio-codec",
            Self::Thread(_) => "audio-thread",
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownDevice { .. } => "use default, pulse[:SINK[,SOURCE]], file:IN.wav,OUT.wav or null",
            Self::NoServer { .. } => {
                "start PulseAudio or PipeWire (pipewire-pulse), set PULSE_SERVER, or join without sound: --audio null"
            }
            Self::NoDevice { .. } => {
                "list the names with 'pactl list short sinks' and 'pactl list short sources'"
            }
            Self::Lost { .. } => "plug the device in again or choose another; the call goes on meanwhile",
            Self::FileOpen { .. } => "check the path and its permissions",
            Self::NotAudio { .. } => "give a WAV file with 8 to 32 bit PCM or 32 bit float samples",
            Self::SameFile { .. } => "name two different files: --audio file:IN.wav,OUT.wav",
            Self::FileWrite { .. } => {
                "free some space or choose another folder; the part already written is kept"
            }
            Self::Setting { .. } => "choose a value in the allowed range",
            Self::Codec(_) | Self::Payload(_) => "please report this",
            Self::Thread(_) => "close other programs or raise the limit on threads (ulimit -u)",
        }
    }
}
