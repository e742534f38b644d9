use proptest::prelude::*;

use super::*;

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn name() -> impl Strategy<Value = Name> {
    "[a-zäß\u{4e00}-\u{4e20}]{1,16}".prop_map(|text| Name::new(&text).unwrap())
}

fn role() -> impl Strategy<Value = Role> {
    proptest::sample::select(Role::ALL.to_vec())
}

fn op() -> impl Strategy<Value = Op> {
    let member = any::<[u8; 32]>().prop_map(MemberId);
    let mode = prop_oneof![Just(AdmissionMode::Ask), Just(AdmissionMode::Ticket)];
    prop_oneof![
        (any::<[u8; 32]>(), name(), mode, any::<[u8; 32]>()).prop_map(|(policy, name, admission, secret)| {
            let room_secret = RoomSecretCommitment(secret);
            Op::Found {
                policy: PolicyHash(policy),
                name,
                admission,
                room_secret,
            }
        }),
        (member.clone(), name(), role()).prop_map(|(member, name, role)| Op::Admit { member, name, role }),
        (member.clone(), any::<[u8; 32]>()).prop_map(|(member, secret)| Op::Remove {
            member,
            reason: RemoveReason::Disruption,
            room_secret: RoomSecretCommitment(secret),
        }),
        (member, role()).prop_map(|(member, role)| Op::Role { member, role }),
        any::<bool>().prop_map(|locked| Op::Lock { locked }),
        any::<[u8; 32]>().prop_map(|policy| Op::Policy {
            policy: PolicyHash(policy)
        }),
        any::<[u8; 32]>().prop_map(|state| Op::Checkpoint {
            state: StateHash(state)
        }),
        Just(Op::Leave),
    ]
}

proptest! {
    #[test]
    fn what_can_be_signed_round_trips_in_canonical_form(
        op in op(), seq in 0..SEQ_MAX + 2, parents in proptest::collection::vec(any::<[u8; 32]>(), 0..10)
    ) {
        let parents: Vec<OperationHash> = parents.into_iter().map(OperationHash).collect();
        let Ok(signed) = SignedOperation::sign(&identity(1), MeetingId([2; 16]), seq, parents, op) else {
            return Ok(());
        };
        prop_assert_eq!(signed.verify(), Ok(()));
        let bytes = codec::encode(&signed);
        let again: SignedOperation = codec::decode(&bytes).unwrap();
        prop_assert_eq!(&again, &signed);
        prop_assert_eq!(again.verify(), Ok(()));
        prop_assert_eq!(codec::encode(&again), bytes);
    }

    #[test]
    fn any_bytes_that_decode_encode_to_themselves(
        good in op(), cut in 0..300_usize, position in 0..300_usize, byte: u8
    ) {
        let parents = if matches!(good, Op::Found { .. }) { vec![] } else { vec![OperationHash([3; 32])] };
        if let Ok(signed) = SignedOperation::sign(&identity(1), MeetingId([2; 16]), 0, parents, good) {
            let mut body = signed.body().to_vec();
            body.truncate(body.len().max(cut));
            let position = position % body.len();
            body[position] = byte;
            if let Ok(parsed) = SignedOperation::from_parts(body.clone(), *signed.signature()) {
                prop_assert_eq!(codec::encode(parsed.operation()), body);
            }
        }
    }
}

#[test]
fn malformed_operations_are_named() {
    let sign = |seq, parents: Vec<u8>, op| {
        let parents = parents
            .into_iter()
            .map(|byte| OperationHash([byte; 32]))
            .collect();
        SignedOperation::sign(&identity(1), MeetingId([2; 16]), seq, parents, op).map(|_| ())
    };
    assert_eq!(sign(0, vec![1, 1], Op::Leave), Err(OperationError::Parents));
    assert_eq!(sign(0, (0..9).collect(), Op::Leave), Err(OperationError::Parents));
    assert_eq!(sign(0, (0..8).rev().collect(), Op::Leave), Ok(()));
    assert_eq!(sign(SEQ_MAX, vec![1], Op::Leave), Err(OperationError::Seq));
    assert_eq!(sign(0, vec![], Op::Leave), Err(OperationError::Root));
    let own = identity(1).member_id();
    assert_eq!(
        sign(
            0,
            vec![1],
            Op::Role {
                member: own,
                role: Role::Host
            }
        ),
        Err(OperationError::OnOneself)
    );
    let name = Name::new("Ada").unwrap();
    let admit = Op::Admit {
        member: MemberId([5; 32]),
        name,
        role: Role::CoHost,
    };
    assert_eq!(
        sign(0, vec![1], admit),
        Err(OperationError::NotAdmissible(Role::CoHost))
    );
}

#[test]
fn parents_out_of_order_are_refused_from_a_peer() {
    let operation = Operation {
        meeting: MeetingId([2; 16]),
        author: identity(1).member_id(),
        seq: 0,
        parents: vec![OperationHash([2; 32]), OperationHash([1; 32])],
        op: Op::Leave,
    };
    let signature = Signature([0; 64]);
    let error = SignedOperation::from_parts(codec::encode(&operation), signature);
    assert_eq!(error.unwrap_err(), OperationError::Parents);
    let error = SignedOperation::from_parts(vec![0; OPERATION_BYTES_MAX + 1], signature);
    assert_eq!(
        error.unwrap_err(),
        OperationError::TooLong(OPERATION_BYTES_MAX + 1)
    );
}

#[test]
fn the_largest_operation_fits() {
    let op = Op::Found {
        policy: PolicyHash([255; 32]),
        name: Name::new(&"x".repeat(64)).unwrap(),
        admission: AdmissionMode::Ticket,
        room_secret: RoomSecretCommitment([255; 32]),
    };
    let operation = Operation {
        meeting: MeetingId([255; 16]),
        author: MemberId([255; 32]),
        seq: SEQ_MAX - 1,
        parents: vec![OperationHash([255; 32]); PARENTS_MAX],
        op,
    };
    assert!(codec::encode(&operation).len() <= OPERATION_BYTES_MAX);
}

/// The format is frozen: another encoding or another hash needs another version.
#[test]
fn the_encoding_is_the_frozen_one() {
    let name = Name::new("Ada").unwrap();
    let admit = Op::Admit {
        member: MemberId([5; 32]),
        name,
        role: Role::Speaker,
    };
    let signed = SignedOperation::sign(
        &identity(1),
        MeetingId([2; 16]),
        300,
        vec![OperationHash([3; 32])],
        admit,
    );
    let signed = signed.unwrap();
    let expected = [
        vec![2; 16],
        identity(1).public().to_vec(),
        vec![251, 44, 1],
        [vec![1], vec![3; 32]].concat(),
        [vec![1], vec![5; 32], vec![3], b"Ada".to_vec(), vec![2]].concat(),
    ];
    assert_eq!(signed.body(), expected.concat());
    assert_eq!(
        signed.hash().to_string(),
        "dfdcedd6f56817b5fcb3402dffb5be31ae4cad8b76c3c1e02d3d2ceb05c584ce"
    );
}
