//! The meeting: roster, admission, roles, key distribution, safety code, participant.

pub mod admission;
pub mod charge;
pub mod checkpoint;
pub mod code_words;
pub mod conversation;
pub mod credential;
pub mod kept;
pub mod keys;
pub mod name;
pub mod operation;
pub mod participant;
pub mod passphrase;
pub mod passphrase_gate;
pub mod role;
pub mod room_secret;
pub mod roster;
pub mod roster_log;
pub mod safety_code;
