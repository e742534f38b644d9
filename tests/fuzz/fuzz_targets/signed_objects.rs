//! The smaller objects of the codec: keys, signatures over packets, operations, knocks, bindings, envelopes, reports.
//! Whatever decodes is canonical, within its bounds, and can be verified, shown and compared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{MEETING, UNIX, canonical, member};
use subrosa_proto::{
    channel::envelope::{CONTENT_BYTES_MAX, EnvelopeContent},
    ids::StreamId,
    media::reception_report::{ReceptionReport, ReceptionReportValues},
    meeting::{
        admission::{KNOCK_ADDRESSES_MAX, Knock},
        keys::{KeyAck, KeyMessage, KeyStatement, key_message, recipients::RECIPIENTS_MAX},
        name::{NAME_BYTES_MAX, Name},
        operation::SignedOperation,
    },
    noise::{
        Leg,
        binding::{Context, IdentityBinding, ResponderPayload, VALIDITY_MAX},
    },
    sframe::source_authentication::{COUNTER_MAX, HASHES_MAX, SourceAuthentication, StreamName},
    wire::codec,
};

fuzz_target!(|data: &[u8]| {
    let Some((selector, bytes)) = data.split_first() else {
        return;
    };
    match selector % 10 {
        0 => key_message(bytes),
        1 => drop(canonical::<KeyAck>(bytes)),
        2 => source_authentication(bytes),
        3 => operation(bytes),
        4 => name(bytes),
        5 => {
            if let Some(knock) = canonical::<Knock>(bytes) {
                assert!(knock.addresses().len() <= KNOCK_ADDRESSES_MAX);
                assert!(knock.direct_ok() || knock.addresses().is_empty());
            }
        }
        6 => {
            if let Ok(binding) = IdentityBinding::decode(bytes) {
                assert_eq!(codec::encode(&binding), bytes);
                holds(&binding);
            }
        }
        7 => {
            if let Ok(payload) = ResponderPayload::decode(bytes) {
                assert_eq!(codec::encode(&payload), bytes);
                holds(&payload.binding);
            }
        }
        8 => match canonical::<EnvelopeContent>(bytes) {
            Some(
                EnvelopeContent::Message1(_, content)
                | EnvelopeContent::Message2(_, content)
                | EnvelopeContent::Message3(_, content)
                | EnvelopeContent::Sealed(_, content),
            ) => assert!(content.len() <= CONTENT_BYTES_MAX),
            None => {}
        },
        _ => {
            if let Some(report) = canonical::<ReceptionReport>(bytes) {
                let values = report.values();
                consistent(&values);
                assert_eq!(ReceptionReport::try_from(values), Ok(report));
            }
            if let Ok(values) = codec::decode::<Values>(bytes) {
                let values = values.into();
                if ReceptionReport::try_from(values).is_ok() {
                    consistent(&values);
                }
            }
        }
    }
});

/// The fields of a report, so that contradicting ones reach the check as well.
type Tuple = (u32, u32, u32, u32, u32, u32, u32, u32, u16);

#[derive(bincode::Encode, bincode::Decode)]
struct Values(Tuple);

impl From<Values> for ReceptionReportValues {
    fn from(Values(v): Values) -> Self {
        Self {
            highest_sequence: v.0,
            expected: v.1,
            lost: v.2,
            bursts: v.3,
            longest_burst: v.4,
            concealed: v.5,
            late: v.6,
            jitter_us: v.7,
            delay_ms: v.8,
        }
    }
}

fn consistent(values: &ReceptionReportValues) {
    assert!(values.lost <= values.expected && values.bursts <= values.lost);
    assert!(values.longest_burst <= values.lost && (values.lost == 0) == (values.bursts == 0));
    let all = u64::from(values.bursts) * u64::from(values.longest_burst);
    assert!(
        all >= u64::from(values.lost),
        "the bursts cannot hold what was lost"
    );
}

fn key_message(bytes: &[u8]) {
    let Some(message) = canonical::<KeyMessage>(bytes) else {
        return;
    };
    let heads = message.statement.heads.to_vec();
    assert!(heads.len() <= key_message::HEADS_MAX && heads.is_sorted_by(|a, b| a < b));
    assert!(
        message
            .recipients
            .is_none_or(|list| list.members().len() <= RECIPIENTS_MAX)
    );
    let _ = message.statement.verify(&message.signature);
    let _ = KeyStatement::commit(&message.secret.0);
}

fn source_authentication(bytes: &[u8]) {
    let Some(object) = canonical::<SourceAuthentication>(bytes) else {
        return;
    };
    let numbers: Vec<_> = object.runs.packets().map(|(number, _)| number).collect();
    assert!(numbers.len() <= HASHES_MAX, "too many hashes");
    assert!(numbers.is_sorted_by(|a, b| a < b), "packets out of order");
    assert!(numbers.iter().all(|number| number.counter <= COUNTER_MAX));
    let stream = StreamName {
        meeting: MEETING,
        sender: member(1),
        stream: StreamId::AUDIO,
    };
    let _ = object.verify(&stream);
}

fn operation(bytes: &[u8]) {
    let Some(signed) = canonical::<SignedOperation>(bytes) else {
        return;
    };
    let again = SignedOperation::from_parts(signed.body().to_vec(), *signed.signature());
    assert_eq!(again.as_ref(), Ok(&signed));
    assert_eq!(codec::encode(signed.operation()), signed.body());
    let _ = (signed.verify(), format!("{signed:?}"));
}

fn name(bytes: &[u8]) {
    if let Some(name) = canonical::<Name>(bytes) {
        good(&name);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = Name::from_input(&text) {
        good(&name);
        assert_eq!(Name::new(name.as_str()), Ok(name));
    }
}

fn good(name: &Name) {
    let text = name.as_str();
    assert!((1..=NAME_BYTES_MAX).contains(&text.len()) && text.trim() == text);
    assert!(!text.chars().any(char::is_control));
}

fn holds(binding: &IdentityBinding) {
    let context = Context::new(Leg::Envelope, &MEETING.0);
    if binding.verify(&context, &[3; 32], UNIX).is_ok() {
        assert!(binding.not_after.0 - binding.not_before.0 <= VALIDITY_MAX.as_secs());
        assert!(binding.not_before <= UNIX && UNIX <= binding.not_after);
    }
}
