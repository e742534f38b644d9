//! PulseAudio and PipeWire (through `pipewire-pulse`): one connection for each direction, each read by the thread that
//! it paces.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use pulseaudio::protocol::{
    ChannelMap, ChannelVolume, Command, CreatePlaybackStreamReply, CreateRecordStreamReply, DEFAULT_SINK,
    DEFAULT_SOURCE, PlaybackStreamParams, ProtocolError, PulseError, RecordStreamParams, SampleFormat,
    SampleSpec,
    stream::{BufferAttr, StreamFlags},
};

use super::{Capture, Playback};
use crate::audio::{AudioError, BLOCK, SAMPLE_RATE, wav::to_i16};

mod connection;

use connection::{Connection, Message, device_name};

/// Bytes of one sample: 16 bit, mono.
const SAMPLE_BYTES: usize = 2;
/// Bytes of one block of 10 ms: what the server is asked to send and to request at a time.
const BLOCK_BYTES: u32 = (BLOCK * SAMPLE_BYTES) as u32;
/// Sound that the server holds for playing, including its own share: 30 ms, the least that ran without gaps beside a
/// busy core.
const PLAYBACK_BYTES: u32 = 3 * BLOCK_BYTES;
/// Samples kept of a recording that nobody takes: 200 ms, more than any stall that the call survives unnoticed.
const CAPTURE_SAMPLES_MAX: usize = SAMPLE_RATE as usize / 5;
/// Samples written at a time; a server that asks for more, e.g. after a stall, gets it in the next round.
const PLAYBACK_SAMPLES_MAX: usize = SAMPLE_RATE as usize / 10;

const SAMPLE_SPEC: SampleSpec = SampleSpec {
    format: SampleFormat::S16Le,
    channels: 1,
    sample_rate: SAMPLE_RATE,
};

/// A recording stream.
pub(super) struct PulseCapture {
    connection: Connection,
    channel: u32,
    /// Received and not yet taken.
    samples: Vec<f32>,
}

impl PulseCapture {
    /// Opens the source `name`, or the server's default source.
    pub(super) fn open(
        server: Option<&Path>,
        name: Option<&str>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, AudioError> {
        let mut connection = Connection::open(server, stop)?;
        let params = RecordStreamParams {
            sample_spec: SAMPLE_SPEC,
            channel_map: ChannelMap::mono(),
            source_name: Some(device_name(name, DEFAULT_SOURCE)),
            buffer_attr: BufferAttr {
                fragment_size: BLOCK_BYTES,
                ..BufferAttr::default()
            },
            flags: StreamFlags {
                adjust_latency: true,
                ..StreamFlags::default()
            },
            cvolume: Some(ChannelVolume::norm(1)),
            ..RecordStreamParams::default()
        };
        let reply: CreateRecordStreamReply = connection
            .request(&Command::CreateRecordStream(params))
            .map_err(|error| refused("source", name, &error))?;
        Ok(Self {
            connection,
            channel: reply.channel,
            samples: Vec::new(),
        })
    }
}

impl Capture for PulseCapture {
    fn read(&mut self, block: &mut [f32]) -> Result<(), AudioError> {
        while self.samples.len() < block.len() {
            match self.connection.next().map_err(|error| lost("source", &error))? {
                Message::Sound { channel, bytes } if channel == self.channel => {
                    let (samples, _) = bytes.as_chunks::<SAMPLE_BYTES>();
                    self.samples.extend(
                        samples
                            .iter()
                            .map(|&s| f32::from(i16::from_le_bytes(s)) / 32_768.0),
                    );
                }
                Message::Command(command) => {
                    if matches!(*command, Command::RecordStreamKilled(channel) if channel == self.channel) {
                        return Err(removed("source"));
                    }
                }
                Message::Stopped => {
                    block.fill(0.0);
                    return Ok(());
                }
                Message::Sound { .. } => {}
            }
        }
        block.copy_from_slice(&self.samples[..block.len()]);
        self.samples.drain(..block.len());
        // After a stall of ours the oldest sound goes: late speech is worse than missing speech.
        let excess = self.samples.len().saturating_sub(CAPTURE_SAMPLES_MAX);
        self.samples.drain(..excess);
        Ok(())
    }
}

/// A playback stream.
pub(super) struct PulsePlayback {
    connection: Connection,
    channel: u32,
    /// Samples that the server asked for and did not get yet.
    requested: usize,
    bytes: Vec<u8>,
}

impl PulsePlayback {
    /// Opens the sink `name`, or the server's default sink.
    pub(super) fn open(
        server: Option<&Path>,
        name: Option<&str>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, AudioError> {
        let mut connection = Connection::open(server, stop)?;
        let params = PlaybackStreamParams {
            sample_spec: SAMPLE_SPEC,
            channel_map: ChannelMap::mono(),
            sink_name: Some(device_name(name, DEFAULT_SINK)),
            buffer_attr: BufferAttr {
                target_length: PLAYBACK_BYTES,
                minimum_request_length: BLOCK_BYTES,
                // The stream starts at once and time goes on during an underrun, so that delay cannot build up.
                pre_buffering: 0,
                ..BufferAttr::default()
            },
            flags: StreamFlags {
                adjust_latency: true,
                ..StreamFlags::default()
            },
            cvolume: Some(ChannelVolume::norm(1)),
            ..PlaybackStreamParams::default()
        };
        let reply: CreatePlaybackStreamReply = connection
            .request(&Command::CreatePlaybackStream(params))
            .map_err(|error| refused("sink", name, &error))?;
        let requested = samples_of(reply.requested_bytes);
        Ok(Self {
            connection,
            channel: reply.channel,
            requested,
            bytes: Vec::new(),
        })
    }
}

impl Playback for PulsePlayback {
    fn wait(&mut self) -> Result<usize, AudioError> {
        while self.requested == 0 {
            match self.connection.next().map_err(|error| lost("sink", &error))? {
                Message::Command(command) => match *command {
                    Command::Request(request) if request.channel == self.channel => {
                        self.requested += samples_of(request.length);
                    }
                    Command::PlaybackStreamKilled(channel) if channel == self.channel => {
                        return Err(removed("sink"));
                    }
                    _ => {}
                },
                Message::Stopped => return Ok(0),
                Message::Sound { .. } => {}
            }
        }
        Ok(self.requested.min(PLAYBACK_SAMPLES_MAX))
    }

    fn write(&mut self, samples: &[f32]) -> Result<(), AudioError> {
        self.requested = self.requested.saturating_sub(samples.len());
        self.bytes.clear();
        self.bytes
            .extend(samples.iter().flat_map(|&sample| to_i16(sample).to_le_bytes()));
        self.connection
            .send_sound(self.channel, &self.bytes)
            .map_err(|error| lost("sink", &error))
    }
}

fn samples_of(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(0) / SAMPLE_BYTES
}

fn removed(direction: &'static str) -> AudioError {
    AudioError::Lost {
        direction,
        reason: "the device was removed".to_owned(),
    }
}

fn lost(direction: &'static str, error: &ProtocolError) -> AudioError {
    let reason = match error {
        ProtocolError::Timeout => "the sound server stopped answering".to_owned(),
        ProtocolError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the sound server ended".to_owned()
        }
        other => other.to_string(),
    };
    AudioError::Lost { direction, reason }
}

fn refused(direction: &'static str, name: Option<&str>, error: &ProtocolError) -> AudioError {
    let reason = match error {
        ProtocolError::ServerError(PulseError::NoEntity) => "there is none of that name".to_owned(),
        other => other.to_string(),
    };
    AudioError::NoDevice {
        direction,
        name: name.unwrap_or("default").to_owned(),
        reason,
    }
}
