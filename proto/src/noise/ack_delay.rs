//! How long a relay's clients wait before they acknowledge.
//!
//! A relay sends each listener a packet every few milliseconds. Each acknowledgement costs it a datagram to receive, to
//! open and to account for, nearly as much as a frame to send. By draft-ietf-quic-ack-frequency a relay may ask for
//! fewer, but quinn-proto asks for no longer delay than a round trip or 25 ms; only the client's own limits count for
//! more. So the client states them.

use quinn_proto::{VarInt, coding::Codec};

/// What a client of a relay states as its least and longest delay of an acknowledgement, in milliseconds. Reason: a
/// listener of three voices acknowledges nine packets at a time instead of four. It adds 35 ms to the time after which a
/// relay sends the last packet before a silence again; a gap is told at once, as soon as two packets after it came.
pub(super) const CLIENT_ACK_DELAY_MS: u32 = 60;

/// RFC 9000 §18.2.
const MAX_ACK_DELAY: u32 = 0x0b;
/// draft-ietf-quic-ack-frequency §3, in microseconds.
const MIN_ACK_DELAY: u32 = 0xff04_de1b;

/// Transport parameters as they travel, with these limits instead of quinn-proto's.
///
/// Parameters that are not well-formed are given back as they are: quinn-proto wrote them, and the peer judges them.
pub(super) fn with_client_ack_delay(parameters: Vec<u8>) -> Vec<u8> {
    replaced(&parameters).unwrap_or(parameters)
}

fn replaced(parameters: &[u8]) -> Option<Vec<u8>> {
    let mut written = Vec::with_capacity(parameters.len() + 16);
    let mut rest = parameters;
    while !rest.is_empty() {
        let whole = rest;
        let id = VarInt::decode(&mut rest).ok()?;
        let length = usize::try_from(VarInt::decode(&mut rest).ok()?.into_inner()).ok()?;
        rest = rest.get(length..)?;
        if id != VarInt::from_u32(MAX_ACK_DELAY) && id != VarInt::from_u32(MIN_ACK_DELAY) {
            written.extend_from_slice(&whole[..whole.len() - rest.len()]);
        }
    }
    let limits = [
        (MAX_ACK_DELAY, CLIENT_ACK_DELAY_MS),
        (MIN_ACK_DELAY, CLIENT_ACK_DELAY_MS * 1_000),
    ];
    for (id, value) in limits {
        let mut value_bytes = Vec::new();
        VarInt::from_u32(value).encode(&mut value_bytes);
        VarInt::from_u32(id).encode(&mut written);
        written.push(u8::try_from(value_bytes.len()).ok()?);
        written.extend_from_slice(&value_bytes);
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use quinn_proto::{Side, transport_parameters::TransportParameters};

    use super::*;

    /// Numbers and values, ascending.
    fn parsed(mut parameters: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        while !parameters.is_empty() {
            let id = VarInt::decode(&mut parameters).unwrap().into_inner();
            let length = VarInt::decode(&mut parameters).unwrap().into_inner() as usize;
            found.push((id, parameters[..length].to_vec()));
            parameters = &parameters[length..];
        }
        found.sort();
        found
    }

    #[test]
    fn only_the_two_limits_change_and_a_peer_accepts_them() {
        // max_idle_timeout = 5 s, min_ack_delay = 1 ms, initial_max_data = 0.
        let before = [
            &[0x01, 2, 0x53, 0x88][..],
            &[0xc0, 0, 0, 0, 0xff, 0x04, 0xde, 0x1b, 2, 0x43, 0xe8],
            &[0x04, 1, 0],
        ]
        .concat();
        let after = with_client_ack_delay(before);
        assert_eq!(
            parsed(&after),
            [
                (0x01, vec![0x53, 0x88]),
                (0x04, vec![0]),
                (0x0b, vec![60]),
                (0xff04_de1b, vec![0x80, 0x00, 0xea, 0x60]),
            ]
        );
        let peer = TransportParameters::read(Side::Server, &mut Cursor::new(&after));
        assert!(peer.is_ok(), "{peer:?}");
    }

    #[test]
    fn what_is_not_well_formed_stays() {
        let cut = vec![0x01, 2, 0x53];
        assert_eq!(with_client_ack_delay(cut.clone()), cut);
    }
}
