//! RFC 9605's vectors, and what a changed byte does.

mod source;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::{
    MediaContext, decrypt,
    encrypt::{self, AdditionalData},
    header::Header,
    key_schedule::{FrameKey, key_and_salt, nonce_bytes},
};
use crate::{
    ids::{MeetingId, MemberId, StreamId},
    wire::media_packet::MediaKind,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/rfc9605.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

#[test]
fn headers_are_encoded_as_rfc_9605_c_1_says() {
    let vectors = vectors();
    let headers = vectors["header"].as_array().unwrap();
    assert_eq!(headers.len(), 289);
    for vector in headers {
        let header = Header {
            kid: vector["kid"].as_u64().unwrap(),
            counter: vector["ctr"].as_u64().unwrap(),
        };
        let encoded = bytes(&vector["encoded"]);
        assert_eq!(header.encode().as_slice(), encoded, "{header:?}");
        assert_eq!(Header::parse(&encoded), Ok((header, &[][..])), "{header:?}");
        for cut in 0..encoded.len() {
            assert!(Header::parse(&encoded[..cut]).is_err());
        }
    }
}

#[test]
fn suite_5_computes_what_rfc_9605_c_3_says() {
    let vector = &vectors()["sframe"];
    let base_key = bytes(&vector["base_key"]);
    let kid = vector["kid"].as_u64().unwrap();
    let counter = vector["ctr"].as_u64().unwrap();
    let metadata = bytes(&vector["metadata"]);
    let plaintext = bytes(&vector["pt"]);
    let ciphertext = bytes(&vector["ct"]);
    let header = Header { kid, counter };

    let (key, salt) = key_and_salt(&base_key, kid);
    assert_eq!(key[..], bytes(&vector["sframe_key"]));
    assert_eq!(salt[..], bytes(&vector["sframe_salt"]));
    assert_eq!(nonce_bytes(&salt, counter)[..], bytes(&vector["nonce"]));
    let aad = AdditionalData::new(&header.encode(), &metadata);
    assert_eq!(aad.as_slice(), bytes(&vector["aad"]));

    let key = FrameKey::derive(&base_key, kid);
    let mut sealed = Vec::new();
    encrypt::seal(&key, header, &metadata, &plaintext, &mut sealed);
    assert_eq!(sealed, ciphertext);

    let (parsed, rest) = Header::parse(&ciphertext).unwrap();
    assert_eq!(parsed, header);
    let mut opened = Vec::new();
    assert_eq!(decrypt::open(&key, parsed, &metadata, rest, &mut opened), Ok(()));
    assert_eq!(opened, plaintext);
}

#[test]
fn every_changed_bit_is_noticed_and_leaves_no_plaintext() {
    let key = FrameKey::derive(&[9; 64], 0x1234);
    let context = MediaContext {
        kind: MediaKind::Audio,
        layer: 2,
        meeting: MeetingId([1; 16]),
        sender: MemberId([2; 32]),
        stream: StreamId::AUDIO,
    };
    let metadata = context.to_bytes();
    let header = Header {
        kid: 0x1234,
        counter: 0x5678,
    };
    let mut sealed = Vec::new();
    encrypt::seal(&key, header, &metadata, b"the payload", &mut sealed);
    let open = |sealed: &[u8], metadata: &[u8]| {
        let mut out = b"before".to_vec();
        let ok = Header::parse(sealed)
            .is_ok_and(|(header, rest)| decrypt::open(&key, header, metadata, rest, &mut out).is_ok());
        assert_eq!(ok, out.len() > 6, "an error leaves the buffer as it was");
        assert!(out.starts_with(b"before"));
        ok
    };
    assert!(open(&sealed, &metadata));
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!open(&changed, &metadata), "bit {bit} of the frame");
    }
    for bit in 0..metadata.len() * 8 {
        let mut changed = metadata;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!open(&sealed, &changed), "bit {bit} of the metadata");
    }
    for cut in 0..sealed.len() {
        assert!(!open(&sealed[..cut], &metadata), "cut to {cut} bytes");
    }
}
