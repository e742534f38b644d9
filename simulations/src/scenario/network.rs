//! The network between all places.

use serde::{Deserialize, Serialize};

use crate::network::loss::LossSpec;

/// The modelled network.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSpec {
    /// Round-trip time between any two places that do not both have a region, in milliseconds.
    pub rtt_ms: f64,
    /// Each packet is late by up to so much more, in milliseconds.
    pub jitter_ms: f64,
    /// Packets lost on each hop, in percent, independently. Control frames are repeated, which delays them.
    pub loss_percent: f64,
    /// Datagrams that arrive twice, in percent.
    pub duplicate_percent: f64,
    /// Another loss model, beside `loss_percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossSpec>,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            rtt_ms: 40.0,
            jitter_ms: 5.0,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
            loss: None,
        }
    }
}
