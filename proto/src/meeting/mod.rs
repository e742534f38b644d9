//! The meeting: roster, admission, roles, key distribution, safety code, participant.

pub mod keys;
