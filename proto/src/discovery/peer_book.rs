//! The newest record of each member that was found.

use std::collections::BTreeMap;

use super::{MemberRecord, RecordError};
use crate::{ids::MemberId, time::UnixSeconds};

/// Most members whose records are kept. Reason: as many as a participant knows people; 1.3 MiB at the most.
pub const MEMBERS_MAX: usize = 640;

/// Remembers the newest record of each member until it expires: an older one, replayed by whoever stores records, does
/// not bring an old address back.
#[derive(Debug, Default)]
pub struct PeerBook {
    members: BTreeMap<MemberId, MemberRecord>,
}

impl PeerBook {
    /// Takes in a verified record. Whether it says something new.
    ///
    /// # Errors
    /// [`RecordError::Replayed`] for an older one, [`RecordError::BookFull`] beyond [`MEMBERS_MAX`] members.
    pub fn insert(&mut self, now: UnixSeconds, record: MemberRecord) -> Result<bool, RecordError> {
        self.members.retain(|_, known| now < known.expires);
        if let Some(known) = self.members.get(&record.member) {
            if record.sequence < known.sequence {
                return Err(RecordError::Replayed);
            }
            if record.sequence == known.sequence {
                return Ok(false);
            }
        } else if self.members.len() >= MEMBERS_MAX {
            return Err(RecordError::BookFull);
        }
        self.members.insert(record.member, record);
        Ok(true)
    }

    /// The newest record of `member` that still holds.
    #[must_use]
    pub fn get(&self, now: UnixSeconds, member: MemberId) -> Option<&MemberRecord> {
        self.members.get(&member).filter(|record| now < record.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{NOW, after};

    fn numbered(member: u16, sequence: u64) -> MemberRecord {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&member.to_be_bytes());
        MemberRecord {
            expires: after(60),
            ..MemberRecord::new(MemberId(id), sequence, &[], &[])
        }
    }

    #[test]
    fn only_the_newest_counts_until_it_expires() {
        let mut book = PeerBook::default();
        assert_eq!(book.insert(NOW, numbered(1, 5)), Ok(true));
        assert_eq!(book.insert(NOW, numbered(1, 5)), Ok(false));
        assert_eq!(book.insert(NOW, numbered(1, 4)), Err(RecordError::Replayed));
        assert_eq!(book.insert(NOW, numbered(1, 6)), Ok(true));
        let member = numbered(1, 0).member;
        assert_eq!(book.get(NOW, member).unwrap().sequence, 6);
        assert!(book.get(after(60), member).is_none());
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = PeerBook::default();
        for member in 0..u16::try_from(MEMBERS_MAX).unwrap() {
            assert_eq!(book.insert(NOW, numbered(member, 1)), Ok(true));
        }
        assert_eq!(book.insert(NOW, numbered(9_999, 1)), Err(RecordError::BookFull));
        assert_eq!(
            book.insert(NOW, numbered(3, 2)),
            Ok(true),
            "whoever is known may renew"
        );
        assert_eq!(
            book.insert(
                after(60),
                MemberRecord {
                    expires: after(90),
                    ..numbered(9_999, 1)
                }
            ),
            Ok(true)
        );
    }
}
