//! Tests of the conversation: machines over a network that loses, doubles, delays and splits, in virtual time.

mod behaviour;
mod schedules;
mod transfer;
mod wire;
mod world;
