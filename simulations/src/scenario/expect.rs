//! What must hold.

use serde::{Deserialize, Serialize};

/// What must hold beside the invariants.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Who is in at the end; everybody who is in must have exactly this roster.
    pub members: Vec<String>,
    /// The longest silence between frames of one speaker at one listener, in milliseconds; 0: not checked.
    pub gap_ms_max: u64,
    /// Frames lost per thousand without loss on the network.
    pub lost_permille_max: Option<f64>,
    /// From mouth to ear, 99 of 100 frames of each speaker at each listener, in milliseconds; 0: not checked.
    pub mouth_to_ear_ms_max: u64,
    /// Of a thousand frame intervals, those for which a listener's buffer invented sound; whatever the network lost.
    pub concealed_permille_max: Option<f64>,
    /// From dialling to the first audio of the host, in round trips plus a frame and jitter.
    pub first_audio_rtts_max: Option<f64>,
    /// From being admitted to hearing everybody, in milliseconds; 0: not checked.
    pub connect_ms_max: u64,
    /// From the end of a partition to one roster on all machines, in milliseconds; 0: not checked.
    pub heal_ms_max: u64,
    /// How long somebody who is in may lack the key of somebody who speaks, in milliseconds; 0: not checked.
    pub keyless_ms_max: u64,
    /// Every frame is heard by everybody who is in, or somebody's coming or going explains why not; for networks that lose
    /// nothing.
    pub every_frame_explained: bool,
    /// Everybody's roster log begins with a checkpoint.
    pub compacted: bool,
    /// Who must have forwarded for others.
    pub forwarders: Vec<String>,
    /// Nobody forwards anything.
    pub nobody_forwards: bool,
    /// What people must be told.
    #[serde(rename = "event")]
    pub events: Vec<ExpectEvent>,
}

/// An event that somebody must see.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectEvent {
    /// Who.
    pub who: String,
    /// The beginning of the event's line in the report.
    pub event: String,
}
