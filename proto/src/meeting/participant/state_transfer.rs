//! The state that a checkpoint of the roster log stands for, on its way to whoever lacks what came before it
//! (`proto/spec/control.md`, 23 and 24).

use std::{collections::BTreeMap, time::Duration};

use super::{
    Event, Participant,
    conduits::{Conduit, fit},
    lobby::Phase,
    timers::{GOSSIP_DELAY, Timer},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::checkpoint::{Checkpoint, PART_BYTES_MAX, PARTS_MAX},
    time::{Now, Timestamp},
    wire::control_message::{CheckpointPart, ControlMessage, WantCheckpoint, Welcome},
};

/// How long operations before a checkpoint may be under way before its state is asked for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long parts of a state that is under way may be missing before they are asked for again.
const PART_PATIENCE: Duration = Duration::from_millis(250);
/// One member is sent a state no sooner than so long after the one before. Reason: a state is a thousand times as long as the
/// request.
const SERVING_INTERVAL: Duration = Duration::from_millis(200);
/// States that are put together at a time. Reason: one peer may fail to finish; four take 2 MiB at most.
const ASSEMBLIES_MAX: usize = 4;
/// See the module.
pub(super) struct Transfers {
    /// States that come in parts, at most one from each peer.
    assemblies: BTreeMap<MemberId, Assembly>,
    /// When each member was last sent a state.
    served: BTreeMap<MemberId, Timestamp>,
    /// Who sent what waits for a state: it has that, most likely.
    source: Option<MemberId>,
    /// A welcome that came before the state was whole.
    pub(super) welcome: Option<(MemberId, Box<Welcome>)>,
}

/// A state under way.
struct Assembly {
    checkpoint: OperationHash,
    parts: Vec<Option<Vec<u8>>>,
    /// When the last part came.
    at: Timestamp,
}

impl Transfers {
    pub(super) const fn new() -> Self {
        Self {
            assemblies: BTreeMap::new(),
            served: BTreeMap::new(),
            source: None,
            welcome: None,
        }
    }
}

impl Assembly {
    /// Which parts are missing, one bit for each.
    fn lacking(&self) -> u64 {
        let lacking = self.parts.iter().enumerate().filter(|(_, part)| part.is_none());
        lacking.fold(0, |mask, (i, _)| mask | 1 << i)
    }
}

impl Participant {
    /// Something that `from` sent waits for operations from before a checkpoint: if they do not come soon, it is asked for the
    /// state, and others if it does not answer.
    pub(super) fn expect_checkpoint(&mut self, now: Now, from: MemberId) {
        if self.log.wanted_checkpoint().is_some() {
            self.checkpoints.transfers.source = Some(from);
            self.timers
                .set_if_unset(Timer::Checkpoint, now.monotonic + PATIENCE);
        }
    }

    /// Whether a state is on its way to this node at the door, with the log since.
    pub(super) fn awaits_state(&self) -> bool {
        !self.is_member() && !self.checkpoints.transfers.assemblies.is_empty()
    }

    /// Asks for the state, or for those parts of it that did not come.
    pub(super) fn ask_for_checkpoint(&mut self, now: Now) {
        self.checkpoints
            .transfers
            .assemblies
            .retain(|_, assembly| now.monotonic - assembly.at < PATIENCE * 10);
        let under_way = self.checkpoints.transfers.assemblies.iter().next();
        let wanted = self.log.wanted_checkpoint();
        let (member, checkpoint, lacking) = match (under_way, wanted) {
            (Some((member, assembly)), _) => (Some(*member), assembly.checkpoint, assembly.lacking()),
            (None, Some(wanted)) => {
                let source = self.checkpoints.transfers.source.take();
                let source = source.filter(|member| self.is_reachable(*member));
                (source.or_else(|| self.somebody_reachable()), wanted, u64::MAX)
            }
            (None, None) => return,
        };
        if let Some(member) = member {
            let want = WantCheckpoint {
                checkpoint,
                known: self.checkpoint(),
                lacking,
            };
            self.send_to(Some(now), member, &ControlMessage::WantCheckpoint(want));
        }
        let pause = if lacking == u64::MAX {
            PATIENCE
        } else {
            PART_PATIENCE
        };
        self.timers.set(Timer::Checkpoint, now.monotonic + pause);
    }

    fn somebody_reachable(&mut self) -> Option<MemberId> {
        let members = self.log.view().members.keys().copied();
        let members: Vec<MemberId> = members
            .filter(|id| *id != self.me && self.is_reachable(*id))
            .collect();
        let count = members.len() as u64;
        let index = self.random.next_u64().checked_rem(count)?;
        members.get(index as usize).copied()
    }

    /// A member lacks what came before a checkpoint.
    pub(super) fn handle_want_checkpoint(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        want: &WantCheckpoint,
    ) {
        let served = &mut self.checkpoints.transfers.served;
        served.retain(|_, at| now.monotonic < *at + SERVING_INTERVAL);
        if let std::collections::btree_map::Entry::Vacant(free) = served.entry(from) {
            free.insert(now.monotonic);
            let ours = self.checkpoint();
            if ours != want.known {
                let same = ours == Some(want.checkpoint);
                self.send_checkpoint(conduit, if same { want.lacking } else { u64::MAX });
            }
        }
    }

    /// Sends these parts of the state at which this log begins.
    pub(super) fn send_checkpoint(&mut self, conduit: Conduit, lacking: u64) {
        let Some(base) = self.log.checkpoint() else {
            return;
        };
        let (checkpoint, bytes) = (base.operation.hash(), base.encode());
        let count = bytes.len().div_ceil(PART_BYTES_MAX);
        let Ok(parts) = u8::try_from(count) else {
            return;
        };
        for (number, bytes) in (0..parts).zip(bytes.chunks(PART_BYTES_MAX)) {
            if lacking >> number & 1 == 1 {
                let part = CheckpointPart {
                    checkpoint,
                    number,
                    parts,
                    bytes: fit(bytes.to_vec()),
                };
                self.send_on(conduit, &ControlMessage::CheckpointPart(Box::new(part)));
            }
        }
    }

    /// A part of a state. It is taken at the door, and when something waits for it.
    pub(super) fn handle_checkpoint_part(&mut self, now: Now, from: MemberId, part: CheckpointPart) {
        let at_the_door = matches!(self.phase, Phase::Lobby { .. });
        let expected = at_the_door || self.log.wanted_checkpoint().is_some();
        if !expected || self.log.contains(&part.checkpoint) || !fits(&part) {
            return;
        }
        let (host, roster) = (self.host, self.log.view());
        let trusted = |member: &MemberId| {
            *member == host || self.doorkeepers.contains(member) || roster.members.contains_key(member)
        };
        let assemblies = &mut self.checkpoints.transfers.assemblies;
        let is_new = assemblies.get(&from).is_none_or(|known| {
            known.checkpoint != part.checkpoint || known.parts.len() != usize::from(part.parts)
        });
        if is_new {
            if assemblies.len() >= ASSEMBLIES_MAX && !assemblies.contains_key(&from) {
                // Others at the door must not keep away what the host sends.
                let stranger = assemblies.keys().find(|member| !trusted(member)).copied();
                match stranger.filter(|_| trusted(&from)) {
                    Some(stranger) => assemblies.remove(&stranger),
                    None => return,
                };
            }
            let assembly = Assembly {
                checkpoint: part.checkpoint,
                parts: vec![None; part.parts.into()],
                at: now.monotonic,
            };
            assemblies.insert(from, assembly);
        }
        let Some(assembly) = assemblies.get_mut(&from) else {
            return;
        };
        assembly.parts[usize::from(part.number)] = Some(part.bytes.into_inner());
        assembly.at = now.monotonic;
        if assembly.lacking() > 0 {
            self.timers.set(Timer::Checkpoint, now.monotonic + PART_PATIENCE);
            return;
        }
        let bytes: Vec<u8> = assembly.parts.iter().flatten().flatten().copied().collect();
        self.checkpoints.transfers.assemblies.remove(&from);
        self.take_checkpoint(now, from, &bytes);
    }

    /// A whole state. It proves itself, whoever passed it on.
    fn take_checkpoint(&mut self, now: Now, from: MemberId, bytes: &[u8]) {
        let taken = Checkpoint::decode(bytes, self.meeting, self.host)
            .and_then(|checkpoint| self.log.take_checkpoint(checkpoint));
        match taken {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let name = self.name_of(from);
                self.emit(Event::Refused {
                    what: "checkpoint",
                    clause: "roster".to_owned(),
                    reason: format!("from {name}: {error}"),
                });
                return;
            }
        }
        self.checkpoints.transfers.assemblies.clear();
        self.keep_news();
        self.dirty.roster();
        self.timers
            .set_if_unset(Timer::Gossip, now.monotonic + GOSSIP_DELAY);
        self.settle(now);
        self.retry_pending_keys(now);
        if let Some((host, welcome)) = self.checkpoints.transfers.welcome.take() {
            self.handle_welcome(now, host, welcome);
        }
    }

    /// States that are being put together.
    pub(super) fn assemblies(&self) -> usize {
        self.checkpoints.transfers.assemblies.len()
    }
}

/// Whether a part can be one of a whole: all but the last are full.
fn fits(part: &CheckpointPart) -> bool {
    let count = usize::from(part.parts);
    let is_last = part.number.checked_add(1) == Some(part.parts);
    (1..=PARTS_MAX).contains(&count)
        && part.number < part.parts
        && (part.bytes.len() == PART_BYTES_MAX || is_last && !part.bytes.is_empty())
}
