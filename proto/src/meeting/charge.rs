//! Proof of being in charge, for people who do not know the roster: the appointments that lead from the founder to the
//! one who shows them (`proto/spec/admission.md`).
//!
//! It proves that somebody *was* put in charge. That the power was taken away since, only the roster tells.

use super::operation::{Op, SignedOperation};
use crate::ids::{MeetingId, MemberId};

/// Appointments in a proof. Reason: a meeting is handed on a few times at most, and each makes a ticket longer.
pub const CHARGE_MAX: usize = 4;

/// Whom `chain` proves to be in charge of `meeting`: each operation appoints somebody, signed by the one before; the
/// first is by the `founder`. An empty chain proves the founder. Nothing if the chain is broken.
#[must_use]
pub fn proven_by(chain: &[SignedOperation], meeting: MeetingId, founder: MemberId) -> Option<MemberId> {
    if chain.len() > CHARGE_MAX {
        return None;
    }
    chain.iter().try_fold(founder, |author, operation| {
        let said = operation.operation();
        let Op::Role { member, role } = said.op else {
            return None;
        };
        let signed = said.author == author && said.meeting == meeting && operation.verify().is_ok();
        (signed && role.is_in_charge()).then_some(member)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::Identity, ids::OperationHash, meeting::role::Role};

    const MEETING: MeetingId = MeetingId([7; 16]);

    fn identity(n: u8) -> Identity {
        Identity::from_seed(&[n; 32])
    }

    fn appointment(meeting: MeetingId, by: u8, of: u8, role: Role) -> SignedOperation {
        let op = Op::Role {
            member: identity(of).member_id(),
            role,
        };
        SignedOperation::sign(&identity(by), meeting, 1, vec![OperationHash([1; 32])], op).unwrap()
    }

    fn proven(chain: &[SignedOperation]) -> Option<MemberId> {
        proven_by(chain, MEETING, identity(1).member_id())
    }

    #[test]
    fn an_unbroken_chain_proves_its_last() {
        assert_eq!(proven(&[]), Some(identity(1).member_id()));
        let handed = appointment(MEETING, 1, 2, Role::Host);
        let helped = appointment(MEETING, 2, 3, Role::CoHost);
        assert_eq!(
            proven(std::slice::from_ref(&handed)),
            Some(identity(2).member_id())
        );
        assert_eq!(proven(&[handed, helped]), Some(identity(3).member_id()));
    }

    #[test]
    fn a_broken_chain_proves_nobody() {
        let handed = appointment(MEETING, 1, 2, Role::Host);
        let helped = appointment(MEETING, 2, 3, Role::CoHost);
        for broken in [
            vec![helped.clone()],
            vec![helped.clone(), handed.clone()],
            vec![appointment(MeetingId([8; 16]), 1, 2, Role::Host)],
            vec![appointment(MEETING, 1, 2, Role::Speaker)],
            vec![handed.clone(), appointment(MEETING, 3, 4, Role::CoHost)],
        ] {
            assert_eq!(proven(&broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_chain_is_bounded() {
        let chain: Vec<SignedOperation> = (1..=5)
            .map(|n| appointment(MEETING, n, n + 1, Role::Host))
            .collect();
        assert_eq!(proven(&chain[..CHARGE_MAX]), Some(identity(5).member_id()));
        assert_eq!(proven(&chain), None);
    }
}
