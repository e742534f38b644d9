//! The participant's own timers.

use std::{collections::BTreeMap, time::Duration};

use super::Participant;
use crate::time::{Now, Timestamp};

/// What a timer is for. Each variant says when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// When to knock again, because no answer came.
    Knock,
    /// When to give up joining.
    JoinDeadline,
    /// When to tell all members the log's heads.
    Heartbeat,
    /// When to pass news of the log on to a few members.
    Gossip,
    /// When to ask again for a room secret that is missing.
    RoomSecret,
    /// When it is this node's turn to put out proven equivocators.
    Expulsion,
    /// When to give up waiting for the lobby that this node was sent back to.
    BackToLobby,
    /// When to leave the lobby, after being let in.
    Lobby,
    /// When to leave the rooms of the former room secret.
    FormerRooms,
    /// When to tell people the safety code of the changed roster.
    SafetyCode,
    /// When to ask for the state that a checkpoint stands for.
    Checkpoint,
    /// When those whom a checkpoint put out, and whom nobody admitted again, are out.
    Readmission,
    /// When to tell members that this node is seen elsewhere.
    Reflexive,
    /// When to send the next probes to members who dial this node.
    Openers,
    /// When to look at links, permits, the day and waiting packets.
    Watch,
}

/// Knocking is repeated after so long until somebody answers; then as `admission` says.
pub(super) const KNOCK_RETRY: Duration = Duration::from_secs(1);
/// A welcome is not repeated on the same conduit sooner. Reason: shorter than [`KNOCK_RETRY`], so that whoever missed it
/// and knocks again is answered.
pub(super) const WELCOME_INTERVAL: Duration = Duration::from_millis(900);
/// Joining fails if nobody in charge answered for so long.
pub(super) const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// With discovery, whoever joins has more patience: a search of the network takes some seconds, and may need another.
pub(super) const DISCOVERY_PATIENCE: Duration = Duration::from_secs(20);
/// A host that comes back waits longer: where there is no relay, members have to try its door.
pub(super) const RETURN_PATIENCE: Duration = Duration::from_secs(40);
/// Whoever waited at the door when those in charge vanished goes on looking for so long: their machines may restart.
pub(super) const WAITING_PATIENCE: Duration = Duration::from_secs(60);
/// Heads are told to all members so often (security.md §4).
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// News are passed on after so long; several that come together go together.
pub(super) const GOSSIP_DELAY: Duration = Duration::from_millis(100);
/// How long a member stays in the rooms of the former room secret, so that nobody loses sound while moving.
pub(super) const FORMER_ROOMS_LINGER: Duration = Duration::from_secs(2);
/// A former room secret is kept at most so long for members who cannot be reached: they may sit beyond a partition and
/// know no other. Whoever was removed knows it, too, so it is forgotten as soon as all said to use the present one.
pub(super) const FORMER_SECRET_MAX: Duration = Duration::from_secs(600);
/// How long a newcomer stays in the lobby's rooms: until channels in the members' rooms have opened.
pub(super) const LOBBY_LINGER: Duration = Duration::from_secs(2);
/// How long a room secret may come after its operation before it is asked for.
pub(super) const ROOM_SECRET_PATIENCE: Duration = Duration::from_millis(50);
/// A missing room secret is asked for so often.
pub(super) const ROOM_SECRET_INTERVAL: Duration = Duration::from_millis(500);
/// How long after a change of the roster the safety code is computed. Reason: its many hashes take some 5 ms, and what
/// the change demands of this node (a welcome, keys, the first sound) must not wait for them; changes that come together
/// share one.
pub(super) const SAFETY_CODE_DELAY: Duration = Duration::from_millis(20);
/// The safety code is computed no more often. Reason: when a large meeting fills, or somebody makes others come and go,
/// each machine would spend its time on codes that nobody can compare that fast.
pub(super) const SAFETY_CODE_INTERVAL: Duration = Duration::from_millis(500);
/// How often what has no event of its own is looked at. Reason: silence of a link must be acted on within 1 s.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// A table of what fires when.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Timestamp>);

impl Timers {
    /// Sets `timer`, replacing its former time.
    pub(super) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.0.insert(timer, at);
    }

    /// Sets `timer` unless it is set already.
    pub(super) fn set_if_unset(&mut self, timer: Timer, at: Timestamp) {
        self.0.entry(timer).or_insert(at);
    }

    /// Whether it will fire.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.0.contains_key(&timer)
    }

    /// Forgets `timer`; whether it was set.
    pub(super) fn clear(&mut self, timer: Timer) -> bool {
        self.0.remove(&timer).is_some()
    }

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.values().min().copied()
    }

    /// Takes one that is due.
    fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        let timer = self
            .0
            .iter()
            .find(|(_, at)| **at <= now)
            .map(|(timer, _)| *timer)?;
        self.0.remove(&timer);
        Some(timer)
    }
}

impl Participant {
    /// Fires what is due.
    pub(super) fn handle_timers(&mut self, now: Now) {
        while let Some(timer) = self.timers.take_due(now.monotonic) {
            match timer {
                Timer::Knock => self.knock_again(now),
                Timer::JoinDeadline => self.give_up_joining(now),
                Timer::BackToLobby => self.leave_with(super::LeftReason::Removed),
                Timer::Expulsion => self.expel_equivocators(now),
                Timer::Heartbeat => self.send_heartbeat(now),
                Timer::Gossip => self.send_gossip(),
                Timer::RoomSecret => self.ask_for_room_secret(now),
                Timer::Lobby => self.dirty.rooms(),
                Timer::FormerRooms => self.leave_former_rooms(now),
                Timer::SafetyCode => self.tell_safety_code(now),
                Timer::Checkpoint => self.ask_for_checkpoint(now),
                Timer::Readmission => self.give_up_suspended(),
                Timer::Openers => self.send_openers(now),
                Timer::Reflexive => self.tell_reflexive(now),
                Timer::Watch => self.watch(now),
            }
        }
    }

    fn watch(&mut self, now: Now) {
        self.timers.set(Timer::Watch, now.monotonic + WATCH_INTERVAL);
        self.watch_permits(now);
        self.choose_ways_through(now);
        self.watch_day(now);
        self.watch_sources(now);
        self.watch_forwarding(now);
        self.update_discovery(now);
        for member in self.admission.handle_timeout(now) {
            self.emit(super::Event::KnockEnded { member });
        }
        self.watch_leaders(now);
        self.ask_for_addresses(now);
        self.search_what_is_due(now);
        self.ask_for_missing_keys(now);
        self.watch_code(now);
        self.forget_bindings();
        self.forget_strangers();
        for peer in self.peers.values_mut() {
            peer.keys.handle_timeout(now.monotonic);
            peer.forget_stale(now.monotonic);
        }
        self.dirty.routes();
    }
}
