//! QUIC packets over TCP, both ends: what a relay and its clients share (`proto/spec/packet-stream.md`).

mod carry;
mod inbox;
mod outbox;

pub(crate) use self::{
    carry::{carry, prepare},
    inbox::{Arrived, Inbox, InboxSender},
    outbox::Outbox,
};
