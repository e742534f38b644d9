//! Which key message still has to reach whom, and when it is sent again.

use std::{collections::BTreeMap, time::Duration};

use crate::{ids::MemberId, time::Timestamp};

/// How long to wait for the first acknowledgement: more than a round trip through a relay on another continent.
const RESEND_FIRST: Duration = Duration::from_millis(300);
/// The longest pause between two sendings.
const RESEND_MAX: Duration = Duration::from_secs(4);
/// Sendings of one message. The last is 21 s after the first; a peer that answered none has no working channel, and
/// gets its keys through `resend_to` when it has one again.
const SENDINGS_MAX: u8 = 9;

#[derive(Clone, Copy, Debug)]
struct Delivery {
    due: Timestamp,
    sendings: u8,
}

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) member: MemberId,
    pub(super) generation: u32,
    /// It was sent before and not acknowledged.
    pub(super) again: bool,
}

/// At most one entry for each recipient and each of the two generations that exist at a time.
#[derive(Debug, Default)]
pub(super) struct Deliveries(BTreeMap<(MemberId, u32), Delivery>);

impl Deliveries {
    /// `member` needs the generation's current step.
    pub(super) fn owe(&mut self, now: Timestamp, member: MemberId, generation: u32) {
        self.0.insert(
            (member, generation),
            Delivery {
                due: now,
                sendings: 0,
            },
        );
    }

    /// `member` has it.
    pub(super) fn settle(&mut self, member: MemberId, generation: u32) {
        self.0.remove(&(member, generation));
    }

    pub(super) fn forget_member(&mut self, member: MemberId) {
        self.0.retain(|(owed, _), _| *owed != member);
    }

    pub(super) fn forget_generation(&mut self, generation: u32) {
        self.0.retain(|(_, owed), _| *owed != generation);
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.0.values().map(|delivery| delivery.due).min()
    }

    /// Takes one message that is due at `now`, and plans its next sending.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        let (&at, delivery) = self.0.iter_mut().find(|(_, delivery)| delivery.due <= now)?;
        let again = delivery.sendings > 0;
        let pause = RESEND_FIRST * 2_u32.pow(u32::from(delivery.sendings.min(4)));
        delivery.due = now + pause.min(RESEND_MAX);
        delivery.sendings += 1;
        if delivery.sendings == SENDINGS_MAX {
            self.0.remove(&at);
        }
        let (member, generation) = at;
        Some(Due {
            member,
            generation,
            again,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sendings_back_off_and_end() {
        let (mut deliveries, member) = (Deliveries::default(), MemberId([1; 32]));
        deliveries.owe(Timestamp::ZERO, member, 5);
        let mut at = Vec::new();
        while let Some(now) = deliveries.next_due() {
            let due = deliveries.pop_due(now).unwrap();
            assert_eq!(
                due,
                Due {
                    member,
                    generation: 5,
                    again: !at.is_empty()
                }
            );
            assert_eq!(deliveries.pop_due(now), None, "one sending at a time");
            at.push(now.as_micros() / 1_000);
        }
        assert_eq!(at, [0, 300, 900, 2_100, 4_500, 8_500, 12_500, 16_500, 20_500]);
    }
}
