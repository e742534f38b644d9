//! Participants.

use serde::{Deserialize, Serialize};

use crate::world::nat::NatKind;

/// A participant.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// The name.
    pub name: String,
    /// Whether it takes direct links.
    #[serde(default = "yes")]
    pub direct: bool,
    /// Whether it speaks all the time, if `speech` says nothing.
    #[serde(default = "yes")]
    pub speaks: bool,
    /// When it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<Speech>,
    /// The mean length of its talk spurts, in seconds.
    #[serde(default = "p59_talkspurt")]
    pub talkspurt_s: f64,
    /// The mean length of its pauses, in seconds.
    #[serde(default = "p59_pause")]
    pub pause_s: f64,
    /// Relays that it knows of itself.
    #[serde(default)]
    pub relays: Vec<String>,
    /// Relays that it does not reach, say, for a firewall.
    #[serde(default)]
    pub cannot_reach: Vec<String>,
    /// How many seconds it stays at the door while nobody in charge answers.
    #[serde(default = "ten")]
    pub patience_s: u64,
    /// What it says when the door asks for the passphrase.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// When it joins; the host founds at 0.
    #[serde(default)]
    pub joins_at_ms: Option<u64>,
    /// Whose newest ticket it comes with; the host's unless said otherwise.
    #[serde(default)]
    pub invited_by: Option<String>,
    /// How many seconds its clock is ahead of the true time.
    #[serde(default)]
    pub clock_skew_s: i64,
    /// The NAT that it is behind.
    #[serde(default)]
    pub nat: NatKind,
    /// How much faster its clock runs than the true time, in millionths; negative if slower.
    #[serde(default)]
    pub clock_drift_ppm: f64,
    /// Where it is in the network ([`crate::network::region::REGIONS`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its class of access link; without one, nothing waits at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// What it forwards for others at most, in kbit/s; 0: its user did not agree to any.
    #[serde(default, skip_serializing_if = "is_none")]
    pub forwards_kbps: u32,
}

impl MemberSpec {
    /// When it speaks.
    #[must_use]
    pub fn speech(&self) -> Speech {
        let by_key = if self.speaks {
            Speech::Always
        } else {
            Speech::Never
        };
        self.speech.unwrap_or(by_key)
    }
}

/// When somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speech {
    /// The microphone is open: frames are sent all the time, in silence too.
    Always,
    /// Not until `do = "unmute"`.
    Never,
    /// The microphone is open in talk spurts, and closed in the pauses between.
    Talkspurts,
}

/// The mean talk spurt of ITU-T P.59, in seconds.
const fn p59_talkspurt() -> f64 {
    1.004
}

/// The mean pause of ITU-T P.59, in seconds.
const fn p59_pause() -> f64 {
    1.587
}

impl Default for MemberSpec {
    /// What a member is of whom the scenario says nothing but the name.
    fn default() -> Self {
        Self {
            name: String::new(),
            direct: true,
            speaks: true,
            speech: None,
            talkspurt_s: p59_talkspurt(),
            pause_s: p59_pause(),
            relays: Vec::new(),
            cannot_reach: Vec::new(),
            patience_s: ten(),
            passphrase: None,
            joins_at_ms: None,
            invited_by: None,
            clock_skew_s: 0,
            nat: NatKind::Open,
            clock_drift_ppm: 0.0,
            region: None,
            access: None,
            forwards_kbps: 0,
        }
    }
}

const fn yes() -> bool {
    true
}

const fn is_none(kbps: &u32) -> bool {
    *kbps == 0
}

const fn ten() -> u64 {
    10
}
