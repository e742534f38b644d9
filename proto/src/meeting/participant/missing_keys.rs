//! Nobody is silently deaf: who sends frames whose key is not here is named, and asked for the key until it comes.

use std::time::Duration;

use super::Participant;
use crate::{
    ids::MemberId,
    time::{Now, Timestamp},
    wire::control_message::ControlMessage,
};

/// So long frames may come without their key before people are told. Reason: a key is sent again by itself after less; a
/// newcomer's first sound may overtake its key.
const KEYLESS_PATIENCE: Duration = Duration::from_secs(1);
/// A missing key is asked for so often.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// A member is given keys that it asked for no more often.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever sends nothing for so long is not missed.
const FRAMES_WITHIN: Duration = Duration::from_secs(2);

/// What is known about the keys of one member, and what it asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MissingKey {
    /// Since when frames come that cannot be opened, with none between them that could; and the last of them.
    since: Option<(Timestamp, Timestamp)>,
    told: bool,
    asked_at: Option<Timestamp>,
    answered_at: Option<Timestamp>,
}

impl MissingKey {
    /// A frame was given up, as its key did not come.
    pub(super) fn frame_lost(&mut self, now: Timestamp) {
        let first = self.since.map_or(now, |(first, _)| first);
        self.since = Some((first, now));
    }

    /// A frame was opened. Returns whether people were told that none could be.
    pub(super) fn frame_opened(&mut self) -> bool {
        self.since = None;
        std::mem::take(&mut self.told)
    }

    fn is_due(&mut self, now: Timestamp) -> bool {
        if self.since.is_some_and(|(_, last)| now - last > FRAMES_WITHIN) {
            self.since = None;
        }
        let missing = self
            .since
            .is_some_and(|(first, _)| now - first >= KEYLESS_PATIENCE);
        missing && is_over(self.asked_at, ASK_INTERVAL, now)
    }
}

fn is_over(last: Option<Timestamp>, pause: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| now - last >= pause)
}

impl Participant {
    /// Names and asks those whose sound comes without a key.
    pub(super) fn ask_for_missing_keys(&mut self, now: Now) {
        let mut due = Vec::new();
        for (member, peer) in &mut self.peers {
            if self.log.view().members.contains_key(member) && peer.missing_key.is_due(now.monotonic) {
                peer.missing_key.asked_at = Some(now.monotonic);
                due.push((*member, std::mem::replace(&mut peer.missing_key.told, true)));
            }
        }
        for (member, told) in due {
            self.send_to(Some(now), member, &ControlMessage::WantKey);
            if !told {
                let name = self.name_of(member);
                self.fault(
                    "no_key",
                    format!("no key from {name}: what they say cannot be heard"),
                    "it is asked for until it comes; if it does not, ask whether they see you in the meeting",
                );
            }
        }
    }

    /// A member lacks this node's key.
    pub(super) fn handle_want_key(&mut self, now: Now, from: MemberId) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if is_over(peer.missing_key.answered_at, ANSWER_INTERVAL, now.monotonic) {
            peer.missing_key.answered_at = Some(now.monotonic);
            self.publisher.resend_to(now.monotonic, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn a_key_is_missed_after_a_second_of_frames_and_asked_for_each_second() {
        let mut missing = MissingKey::default();
        let mut asked = Vec::new();
        for millis in (0..3_500).step_by(100) {
            missing.frame_lost(at(millis));
            if missing.is_due(at(millis)) {
                missing.asked_at = Some(at(millis));
                asked.push(millis);
            }
        }
        assert_eq!(asked, [1_000, 2_000, 3_000]);
    }

    #[test]
    fn whoever_fell_silent_or_can_be_heard_again_is_not_missed() {
        let mut missing = MissingKey::default();
        missing.frame_lost(at(0));
        missing.frame_lost(at(900));
        assert!(!missing.is_due(at(3_000)), "silent since then");
        missing.frame_lost(at(3_000));
        missing.frame_lost(at(4_100));
        missing.told = true;
        assert!(missing.is_due(at(4_100)));
        assert!(missing.frame_opened(), "people were told");
        assert!(!missing.frame_opened());
        assert!(!missing.is_due(at(4_200)));
    }
}
