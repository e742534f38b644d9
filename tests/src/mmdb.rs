//! Writes small files in MaxMind's DB format, version 2.0 (<https://maxmind.github.io/MaxMind-DB/>), with one country for each
//! network.

use std::net::{IpAddr, Ipv4Addr};

/// How a maker writes a country into its records.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `{"country": {"iso_code": "DE"}}`.
    Nested,
    /// `{"country_code": "DE"}`.
    Flat,
    /// `{"autonomous_system_number": 64500}`: no country at all.
    NetworkNumber,
}

/// A type's number and the bytes that follow (§ Data Field Format).
const STRING: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
/// Types from here on stand in a byte of their own.
const EXTENDED: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;
/// What separates tree and data.
const SEPARATOR: usize = 16;
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Bits of one of a node's two records.
const RECORD_BITS: u16 = 32;

/// One branch of the tree.
#[derive(Clone, Copy)]
enum Branch {
    Nothing,
    Node(u32),
    Data(u32),
}

/// The bytes of a file in which each network, an address and its prefix length, has its country's code.
///
/// # Panics
/// If a network lies within another one, or a text is longer than 28 bytes: both are mistakes of a test.
#[must_use]
pub fn database(form: Form, networks: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut nodes = vec![[Branch::Nothing; 2]];
    let mut data = Vec::new();
    for (address, prefix, code) in networks {
        let at = u32::try_from(data.len()).expect("a small file");
        data.extend(record(form, code));
        let (bits, prefix) = bits_of(address.parse().expect("an address"), *prefix);
        let mut node = 0;
        for depth in 0..prefix {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == prefix {
                assert!(matches!(nodes[node][side], Branch::Nothing), "networks overlap");
                nodes[node][side] = Branch::Data(at);
                break;
            }
            node = match nodes[node][side] {
                Branch::Node(next) => next as usize,
                Branch::Data(_) => panic!("networks overlap"),
                Branch::Nothing => {
                    nodes.push([Branch::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Branch::Node(u32::try_from(next).expect("a small file"));
                    next
                }
            };
        }
    }
    let count = u32::try_from(nodes.len()).expect("a small file");
    let mut file = Vec::new();
    for branch in nodes.iter().flatten() {
        let value = match branch {
            Branch::Nothing => count,
            Branch::Node(node) => *node,
            Branch::Data(at) => count + SEPARATOR as u32 + at,
        };
        file.extend(value.to_be_bytes());
    }
    file.extend([0; SEPARATOR]);
    file.extend(data);
    file.extend(MARKER);
    file.extend(metadata(count));
    file
}

/// IPv4 addresses are the last of the IPv6 tree (`::/96`).
fn bits_of(address: IpAddr, prefix: u8) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), prefix + 96),
        IpAddr::V6(v6) => (u128::from(v6), prefix),
    }
}

fn record(form: Form, code: &str) -> Vec<u8> {
    match form {
        Form::Nested => map(&[("country", map(&[("iso_code", text(code))]))]),
        Form::Flat => map(&[("country_code", text(code))]),
        Form::NetworkNumber => map(&[(
            "autonomous_system_number",
            number(UINT32, &64_500_u32.to_be_bytes()),
        )]),
    }
}

fn metadata(nodes: u32) -> Vec<u8> {
    map(&[
        ("binary_format_major_version", number(UINT16, &[2])),
        ("binary_format_minor_version", number(UINT16, &[])),
        ("build_epoch", number(UINT64, &1_795_293_120_u64.to_be_bytes())),
        ("database_type", text("Subrosa-Test")),
        ("description", map(&[("en", text("for tests"))])),
        ("ip_version", number(UINT16, &[6])),
        ("languages", [control(ARRAY, 1), text("en")].concat()),
        ("node_count", number(UINT32, &nodes.to_be_bytes())),
        ("record_size", number(UINT16, &RECORD_BITS.to_be_bytes())),
    ])
}

fn control(kind: u8, size: usize) -> Vec<u8> {
    assert!(size < 29, "longer things are not written here");
    let size = u8::try_from(size).expect("small");
    if kind > EXTENDED {
        vec![size, kind - EXTENDED]
    } else {
        vec![kind << 5 | size]
    }
}

fn text(text: &str) -> Vec<u8> {
    [control(STRING, text.len()), text.as_bytes().to_vec()].concat()
}

fn number(kind: u8, big_endian: &[u8]) -> Vec<u8> {
    [control(kind, big_endian.len()), big_endian.to_vec()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = control(MAP, entries.len());
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

/// A file that puts the loopback network and one of documentation into `code`.
#[must_use]
pub fn loopback_in(form: Form, code: &str) -> Vec<u8> {
    let loopback = Ipv4Addr::LOCALHOST.to_string();
    database(
        form,
        &[(&loopback, 8, code), ("::1", 128, code), ("2001:db8::", 32, code)],
    )
}
