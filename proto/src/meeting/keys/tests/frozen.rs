//! Our own formats and derivations, held in place by `tests/vectors/keys.json`.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{super::*, *};
use crate::wire::codec;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../../tests/vectors/keys.json")).unwrap()
}

fn hex(bytes: &[u8]) -> Value {
    Value::from(HEXLOWER.encode(bytes))
}

/// What the present code computes from fixed seeds.
fn computed() -> Value {
    let mut world = World::new([1, 2]);
    let first = world.seal(at(0));
    let message = world.last_message_to(1);
    world.set(at(10), [1, 2, 3]);
    let step = world.last_message_to(3);
    let after = world.seal(at(10));
    let mut other_stream = Vec::new();
    world
        .publisher
        .seal(at(10), &context(1), b"frame", &mut other_stream)
        .unwrap();
    json!({
        "note": "Publisher seed 01 x 32, Random seed 07 x 32; a frame at step 0 for members 1 and 2, then member 3 \
                 joins; the plaintext is \"frame\".",
        "publisher": hex(&publisher_identity().public()),
        "meeting": hex(&MEETING.0),
        "policy": hex(&POLICY.0),
        "context": hex(&context(0).to_bytes()),
        "recipients_root": hex(&RecipientsRoot::of(&MEETING, &members([1, 2])).0),
        "secret_step_0": hex(message.secret.0.as_bytes()),
        "secret_step_1": hex(step.secret.0.as_bytes()),
        "frame_step_0": hex(&first.sframe),
        "frame_step_1": hex(&after.sframe),
        "frame_step_1_stream_1": hex(&other_stream),
        "key_message_step_0": hex(&codec::encode(&message)),
        "key_ack_step_1": hex(&codec::encode(&KeyAck { instance: step.statement.instance, key: step.statement.key })),
    })
}

#[test]
fn formats_and_derivations_are_what_they_were() {
    let (vectors, computed) = (vectors(), computed());
    for (name, value) in computed.as_object().unwrap() {
        assert_eq!(
            vectors[name], *value,
            "{name}; the present values are:\n{computed:#}"
        );
    }
}
