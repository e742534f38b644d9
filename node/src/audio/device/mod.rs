//! Where sound comes from and goes to.

use std::{path::PathBuf, str::FromStr};

use super::error::AudioError;

/// A device as the user names it (`--audio DEVICE`).
///
/// | text | meaning |
/// |---|---|
/// | `default` | the PulseAudio or PipeWire server of this session |
/// | `pulse[:SINK[,SOURCE]]` | the same, with named sink and source |
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
            ("pulse", None) => Ok(Self::Pulse {
                sink: None,
                source: None,
            }),
            ("pulse", Some(rest)) => {
                let (sink, source) = rest.split_once(',').unwrap_or((rest, ""));
                Ok(Self::Pulse {
                    sink: part(sink),
                    source: part(source),
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
