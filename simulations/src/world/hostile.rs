//! What hostile machines do: relays that mistreat what they forward, and a member that says different things to different
//! people.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use subrosa_proto::{
    meeting::{
        operation::{Op, SignedOperation},
        roster_log::RosterLog,
    },
    wire::control_message::ControlMessage,
};

use super::{Occurrence, World};
use crate::{network::Place, transport::LinkEnd};

/// What a relay does to datagrams that it forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    /// It drops them.
    Drop,
    /// It holds them back for `ms`.
    Delay,
    /// It holds each back for another time up to `ms`.
    Reorder,
    /// It sends them once more after `ms`.
    Replay,
    /// It alters them.
    Tamper,
}

/// A misdeed under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    pub(crate) how: Misdeed,
    /// Of so many in a hundred.
    pub(crate) percent: f64,
    pub(crate) time: Duration,
}

/// What becomes of a datagram at a hostile relay.
pub(crate) struct Mistreated {
    /// Goes on now.
    pub(crate) at_once: Option<Vec<u8>>,
    /// Each goes on after so long.
    pub(crate) later: Vec<(Duration, Vec<u8>)>,
}

impl World<'_> {
    /// A relay forwards a datagram, as it is its habit.
    pub(crate) fn forward(&mut self, index: usize, end: LinkEnd, bytes: Vec<u8>) {
        let Mistreated { at_once, later } = self.mistreat(index, bytes);
        for (held, bytes) in later {
            let again = Occurrence::Forward(index, end, bytes);
            self.queue.plan(self.now + held, again);
        }
        if let Some(bytes) = at_once {
            self.transport
                .send_datagram(self, Place::Relay(index), end, bytes);
        }
    }

    /// What a relay makes of a datagram that it forwards.
    pub(crate) fn mistreat(&mut self, index: usize, mut bytes: Vec<u8>) -> Mistreated {
        let (mut held, mut later) = (Duration::ZERO, Vec::new());
        for habit in self.relays[index].habits.clone() {
            let mut draw = || (self.hostile.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            if draw() * 100.0 >= habit.percent {
                continue;
            }
            match habit.how {
                Misdeed::Drop => return Mistreated { at_once: None, later },
                Misdeed::Delay => held += habit.time,
                Misdeed::Reorder => held += habit.time.mul_f64(draw()),
                Misdeed::Replay => later.push((habit.time, bytes.clone())),
                Misdeed::Tamper => {
                    if let Some(last) = bytes.last_mut() {
                        *last ^= 1;
                    }
                }
            }
        }
        if held.is_zero() {
            return Mistreated {
                at_once: Some(bytes),
                later,
            };
        }
        later.push((held, bytes));
        Mistreated { at_once: None, later }
    }

    /// A node that will equivocate keeps the operations that it is told.
    pub(crate) fn keep_operations(&mut self, index: usize, frame: &[u8]) {
        if !self.nodes[index].equivocates {
            return;
        }
        if let Ok(ControlMessage::Operations(operations)) = ControlMessage::decode(frame) {
            self.nodes[index].operations.extend(operations.iter().cloned());
        }
    }

    /// Somebody signs two operations with one number and shows each to another half of the meeting. From then on it believes
    /// nobody, keeps what it has, and listens.
    pub(crate) fn equivocate(&mut self, index: usize) {
        let host = self.nodes[0].id();
        let node = &self.nodes[index];
        let Some(participant) = node.participant.as_ref().filter(|p| p.is_member()) else {
            return;
        };
        let meeting = participant.meeting();
        let mut log = RosterLog::new(meeting, host);
        for operation in node.operations.iter().cloned() {
            // What it has twice is no fault.
            let _ = log.insert(operation);
        }
        let sign = |op| SignedOperation::sign(&node.identity, meeting, 0, log.heads(), op);
        let (Ok(one), Ok(other)) = (
            sign(Op::Lock { locked: true }),
            sign(Op::Sharing { in_charge_only: true }),
        ) else {
            return;
        };
        let here = Place::Node(index);
        let links = node.links.iter();
        let links = links.filter(|(_, end)| self.transport.leads_to_member(self, here, **end));
        let links: Vec<_> = links.map(|(link, _)| *link).collect();
        for (turn, link) in links.into_iter().enumerate() {
            let operation = if turn % 2 == 0 { one.clone() } else { other.clone() };
            if let Ok(operations) = vec![operation].try_into() {
                self.send_frame(index, link, ControlMessage::Operations(operations).encode());
            }
        }
        self.nodes[index].is_spy = true;
    }
}
