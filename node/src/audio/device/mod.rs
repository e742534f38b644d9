//! Where sound comes from and goes to. Each device has its own clock; the engine's threads follow it.

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{self, Receiver},
    },
    time::SystemTime,
};

use super::error::AudioError;

mod file;
mod null;
mod pacer;
mod pulse;
mod recovering;

use file::{FileCapture, FilePlayback};
use null::{NullCapture, NullPlayback};
pub use pacer::Pacer;
use pulse::{PulseCapture, PulsePlayback};
use recovering::Recovering;

/// A device as the user names it (`--audio DEVICE`).
///
/// | text | meaning |
/// |---|---|
/// | `default` | the PulseAudio or PipeWire server of this session |
/// | `pulse[:SINK[,SOURCE[,SOCKET]]]` | the same, with named sink and source, at the server of that socket |
/// | `file:IN.wav,OUT.wav` | play IN once in real time, then silence; write what is heard to OUT |
/// | `file:IN.wav`, `file:,OUT.wav` | one direction only; the other is silence or goes nowhere |
/// | `null` | silence in, nothing out |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The sound server of this session; an error that says what to do if there is none.
    #[default]
    Default,
    /// A PulseAudio or PipeWire server, found as the PulseAudio client library finds it.
    Pulse {
        /// Name of the sink; `None` is the server's default sink.
        sink: Option<String>,
        /// Name of the source; `None` is the server's default source.
        source: Option<String>,
        /// The server's socket; `None` is found from `PULSE_SERVER` and the runtime folder.
        server: Option<PathBuf>,
    },
    /// WAV files, paced by the monotonic clock.
    File {
        /// Played once from the start; `None` is silence.
        input: Option<PathBuf>,
        /// Receives what a listener hears: 48 kHz, 16 bit, mono; `None` discards it.
        output: Option<PathBuf>,
    },
    /// Silence in, nothing out, paced by the monotonic clock.
    Null,
}

impl FromStr for DeviceSpec {
    type Err = AudioError;

    fn from_str(text: &str) -> Result<Self, AudioError> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let unknown = || AudioError::UnknownDevice {
            given: text.to_owned(),
        };
        let part = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        match (kind, rest) {
            ("default", None) => Ok(Self::Default),
            ("null", None) => Ok(Self::Null),
            ("pulse", rest) => {
                let mut parts = rest.unwrap_or("").splitn(3, ',').map(part);
                let mut next = || parts.next().flatten();
                Ok(Self::Pulse {
                    sink: next(),
                    source: next(),
                    server: next().map(PathBuf::from),
                })
            }
            ("file", Some(rest)) => {
                let (input, output) = rest.split_once(',').unwrap_or((rest, ""));
                let (input, output) = (part(input).map(PathBuf::from), part(output).map(PathBuf::from));
                if input.is_none() && output.is_none() {
                    return Err(unknown());
                }
                Ok(Self::File { input, output })
            }
            _ => Err(unknown()),
        }
    }
}

/// A source of sound, full scale ±1, [`super::SAMPLE_RATE`], mono.
pub trait Capture: Send {
    /// Fills `block`, waiting until that much time has passed on the device's clock (or the engine is to stop).
    ///
    /// # Errors
    /// The device is gone.
    fn read(&mut self, block: &mut [f32]) -> Result<(), AudioError>;
}

/// A destination of sound, full scale ±1, [`super::SAMPLE_RATE`], mono.
pub trait Playback: Send {
    /// Waits until the device wants sound and says how many samples; 0 when the engine is to stop.
    ///
    /// # Errors
    /// The device is gone.
    fn wait(&mut self) -> Result<usize, AudioError>;

    /// Takes the samples that [`Playback::wait`] asked for.
    ///
    /// # Errors
    /// The device is gone, or the disk is full.
    fn write(&mut self, samples: &[f32]) -> Result<(), AudioError>;
}

/// What a device tells between two blocks.
#[derive(Debug)]
pub enum Notice {
    /// It is gone; silence takes its place.
    Lost(AudioError),
    /// It works again.
    Back,
    /// A file's clip begins: when its first sample is spoken.
    ClipBegan(SystemTime),
    /// A file's clip is over; silence follows.
    ClipEnded,
    /// A file begins to record: when its first sample is heard.
    RecordingBegan(SystemTime),
}

/// An open device.
pub struct Device {
    /// The microphone's side.
    pub capture: Box<dyn Capture>,
    /// The listener's side.
    pub playback: Box<dyn Playback>,
    /// Loss and return of either side.
    pub notices: Receiver<Notice>,
    /// Somebody may sit before a microphone and a loudspeaker: echo cancellation makes sense.
    pub acoustic: bool,
}

/// Flags that the engine shares with its device.
#[derive(Clone, Debug, Default)]
pub struct Controls {
    /// Ends waiting on a device.
    pub stop: Arc<AtomicBool>,
    /// Lets a file's clip begin.
    pub released: Arc<AtomicBool>,
}

impl DeviceSpec {
    /// Opens both sides.
    ///
    /// # Errors
    /// A file or the sound server is missing or unusable.
    pub fn open(&self, controls: &Controls) -> Result<Device, AudioError> {
        let (sender, notices) = mpsc::channel();
        let (capture, playback, acoustic): (Box<dyn Capture>, Box<dyn Playback>, bool) = match self {
            Self::Null => (
                Box::new(NullCapture::default()),
                Box::new(NullPlayback::default()),
                false,
            ),
            Self::File { input, output } => {
                let playback: Box<dyn Playback> = match output {
                    Some(path) => {
                        // The input is read first: a fault of it must not cost the old output.
                        if let Some(input) = input {
                            super::wav::read(input)?;
                        }
                        Box::new(FilePlayback::open(path, input.as_deref(), sender.clone())?)
                    }
                    None => Box::new(NullPlayback::default()),
                };
                let capture: Box<dyn Capture> = match input {
                    Some(path) => Box::new(FileCapture::open(path, controls.released.clone(), sender)?),
                    None => Box::new(NullCapture::default()),
                };
                (capture, playback, false)
            }
            Self::Default | Self::Pulse { .. } => {
                let (sink, source, server) = match self {
                    Self::Pulse { sink, source, server } => (sink.clone(), source.clone(), server.clone()),
                    _ => (None, None, None),
                };
                let (stop, stop_too) = (controls.stop.clone(), controls.stop.clone());
                let server_too = server.clone();
                let playback = Recovering::start(
                    Box::new(move || PulsePlayback::open(server.as_deref(), sink.as_deref(), &stop)),
                    sender.clone(),
                )?;
                let capture = Recovering::start(
                    Box::new(move || PulseCapture::open(server_too.as_deref(), source.as_deref(), &stop_too)),
                    sender,
                )?;
                (Box::new(capture), Box::new(playback), true)
            }
        };
        Ok(Device {
            capture,
            playback,
            notices,
            acoustic,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_understood() {
        let file = |input: Option<&str>, output: Option<&str>| DeviceSpec::File {
            input: input.map(PathBuf::from),
            output: output.map(PathBuf::from),
        };
        assert_eq!("default".parse::<DeviceSpec>().unwrap(), DeviceSpec::Default);
        assert_eq!("null".parse::<DeviceSpec>().unwrap(), DeviceSpec::Null);
        assert_eq!(
            "file:a.wav,b.wav".parse::<DeviceSpec>().unwrap(),
            file(Some("a.wav"), Some("b.wav"))
        );
        assert_eq!(
            "file:a.wav".parse::<DeviceSpec>().unwrap(),
            file(Some("a.wav"), None)
        );
        assert_eq!(
            "file:,b.wav".parse::<DeviceSpec>().unwrap(),
            file(None, Some("b.wav"))
        );
        assert_eq!(
            "pulse:loud,mic".parse::<DeviceSpec>().unwrap(),
            DeviceSpec::Pulse {
                sink: Some("loud".to_owned()),
                source: Some("mic".to_owned()),
                server: None
            }
        );
        assert_eq!(
            "pulse:,,/run/sound".parse::<DeviceSpec>().unwrap(),
            DeviceSpec::Pulse {
                sink: None,
                source: None,
                server: Some(PathBuf::from("/run/sound"))
            }
        );
        assert_eq!(
            "pulse".parse::<DeviceSpec>().unwrap(),
            DeviceSpec::Pulse {
                sink: None,
                source: None,
                server: None
            }
        );
        for wrong in ["", "file:", "file:,", "alsa", "null:x", "default:"] {
            assert_eq!(
                wrong.parse::<DeviceSpec>().unwrap_err().code(),
                "audio-device-unknown",
                "{wrong}"
            );
        }
    }
}
