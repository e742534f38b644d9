//! The safety code: digits that are equal on every screen when everybody sees the same meeting
//! (`proto/spec/safety-code.md`).

use std::collections::BTreeSet;

use aws_lc_rs::digest;

use crate::ids::{MeetingId, MemberId, PolicyHash};

/// How often the hash is iterated. Reason: people compare only a part of the code at times; who wants an identity
/// whose code agrees in `b` bits pays `2^(b + 14)` hashes. Signal iterates 5,200 times for the same reason.
pub const ITERATIONS: u32 = 1 << 14;
const DOMAIN: &[u8] = b"subrosa-safety-code-v1\0";
const GROUPS: usize = 6;
const GROUP_BYTES: usize = 5;
/// Groups have five digits.
const GROUP_MODULUS: u64 = 100_000;

/// 30 decimal digits, about 99 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SafetyCode([u32; GROUPS]);

impl SafetyCode {
    /// The code of these members of this meeting under this policy. Costs about 10 ms: call it when the roster has
    /// changed and somebody looks.
    #[must_use]
    pub fn new(meeting: &MeetingId, policy: &PolicyHash, members: &BTreeSet<MemberId>) -> Self {
        let mut context = digest::Context::new(&digest::SHA512);
        context.update(DOMAIN);
        context.update(&meeting.0);
        context.update(&policy.0);
        context.update(&u64::try_from(members.len()).expect("a usize fits").to_be_bytes());
        for member in members {
            context.update(&member.0);
        }
        let mut hash = context.finish();
        for i in 1..ITERATIONS {
            let mut input = [0; 68];
            input[..64].copy_from_slice(hash.as_ref());
            input[64..].copy_from_slice(&i.to_be_bytes());
            hash = digest::digest(&digest::SHA512, &input);
        }
        let mut groups = [0; GROUPS];
        for (group, bytes) in groups.iter_mut().zip(hash.as_ref().chunks(GROUP_BYTES)) {
            let number = bytes
                .iter()
                .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
            *group = u32::try_from(number % GROUP_MODULUS).expect("below the modulus");
        }
        Self(groups)
    }
}

/// Words that say the same as the digits: 2,048^10 > 10^30.
const WORDS: usize = 10;

impl SafetyCode {
    /// The code as ten words of the English BIP-39 list, for reading aloud.
    #[must_use]
    pub fn words(&self) -> String {
        let list = bip39::Language::English.word_list();
        let modulus = u128::from(GROUP_MODULUS);
        let mut number = self
            .0
            .iter()
            .fold(0, |sum: u128, group| sum * modulus + u128::from(*group));
        let mut words = [""; WORDS];
        for word in words.iter_mut().rev() {
            *word = list[usize::try_from(number % 2_048).expect("below 2,048")];
            number /= 2_048;
        }
        words.join(" ")
    }
}

impl std::fmt::Display for SafetyCode {
    /// Six groups of five digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups: Vec<String> = self.0.iter().map(|group| format!("{group:05}")).collect();
        f.write_str(&groups.join(" "))
    }
}

impl std::fmt::Debug for SafetyCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SafetyCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEETING: MeetingId = MeetingId([1; 16]);
    const POLICY: PolicyHash = PolicyHash([2; 32]);

    #[test]
    fn words_say_the_same_as_the_digits() {
        let list = bip39::Language::English.word_list();
        let code = SafetyCode::new(&MEETING, &POLICY, &members(3));
        let number = code.words().split(' ').fold(0_u128, |sum, word| {
            sum * 2_048 + list.binary_search(&word).unwrap() as u128
        });
        let digits: String = code.to_string().split(' ').collect();
        assert_eq!(format!("{number:030}"), digits);
        assert_eq!(SafetyCode([99_999; GROUPS]).words().split(' ').count(), 10);
        assert_eq!(SafetyCode([0; GROUPS]).words(), ["abandon"; 10].join(" "));
    }

    fn members(count: u8) -> BTreeSet<MemberId> {
        (0..count).map(|i| MemberId([i; 32])).collect()
    }

    /// Computed with Python's hashlib from the specification.
    #[test]
    fn the_code_is_the_frozen_one() {
        let code = SafetyCode::new(&MEETING, &POLICY, &members(3));
        assert_eq!(code.to_string(), "13959 33205 58085 73190 98739 69136");
    }

    #[test]
    fn everything_counts() {
        let codes = BTreeSet::from([
            SafetyCode::new(&MEETING, &POLICY, &members(3)).to_string(),
            SafetyCode::new(&MeetingId([9; 16]), &POLICY, &members(3)).to_string(),
            SafetyCode::new(&MEETING, &PolicyHash([9; 32]), &members(3)).to_string(),
            SafetyCode::new(&MEETING, &POLICY, &members(2)).to_string(),
            SafetyCode::new(&MEETING, &POLICY, &members(0)).to_string(),
        ]);
        assert_eq!(codes.len(), 5);
    }
}
