//! Requests between members that change no roster (`proto/spec/control.md`): part of
//! [`ControlMessage`](super::control_message::ControlMessage).

use bincode::{Decode, Encode};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Moderation {
    /// From somebody in charge: switch your microphone off. The receiver's node does so and says who asked; its person
    /// may switch it on again. (Whoever does not comply is made a listener, which every receiver enforces.)
    Mute,
    /// From a listener to those in charge: may I speak?
    AskToSpeak,
}
