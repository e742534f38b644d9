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
use crate::{
    network::Place,
    pipe::{PipeId, Side},
};

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

impl World<'_> {
    /// A relay forwards a datagram, as it is its habit.
    pub(crate) fn forward(&mut self, index: usize, pipe: PipeId, side: Side, mut bytes: Vec<u8>) {
        let mut held = Duration::ZERO;
        for habit in self.relays[index].habits.clone() {
            let mut draw = || (self.hostile.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            if draw() * 100.0 >= habit.percent {
                continue;
            }
            match habit.how {
                Misdeed::Drop => return,
                Misdeed::Delay => held += habit.time,
                Misdeed::Reorder => held += habit.time.mul_f64(draw()),
                Misdeed::Replay => {
                    let again = Occurrence::Forward(pipe, side, bytes.clone());
                    self.queue.plan(self.now + habit.time, again);
                }
                Misdeed::Tamper => {
                    if let Some(last) = bytes.last_mut() {
                        *last ^= 1;
                    }
                }
            }
        }
        if held.is_zero() {
            self.send_datagram(pipe, side, bytes);
        } else {
            self.queue
                .plan(self.now + held, Occurrence::Forward(pipe, side, bytes));
        }
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
        let links: Vec<_> = node.links.iter().map(|(link, end)| (*link, *end)).collect();
        let links = links
            .into_iter()
            .filter(|(_, (pipe, side))| matches!(self.pipes[pipe.0].ends[1 - *side].place, Place::Node(_)));
        let links: Vec<_> = links.map(|(link, _)| link).collect();
        for (turn, link) in links.into_iter().enumerate() {
            let operation = if turn % 2 == 0 { one.clone() } else { other.clone() };
            if let Ok(operations) = vec![operation].try_into() {
                self.send_frame(index, link, ControlMessage::Operations(operations).encode());
            }
        }
        self.nodes[index].is_spy = true;
    }
}
