//! Captured packets: the classic pcap format (draft-ietf-opsawg-pcap) with link type 276, IP, UDP and TCP. Whatever cannot be
//! read is an error, never left out.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The file's header and a packet's, in bytes.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
/// Microseconds, as the capturing machine writes its numbers.
const MAGIC: u32 = 0xa1b2_c3d4;
/// `LINKTYPE_LINUX_SLL2`: what `tcpdump -i any` writes.
const LINK_TYPE: u32 = 276;
const LINK_HEADER: usize = 20;
/// `PACKET_OUTGOING`: the machine that captures sends it.
const OUTGOING: u8 = 4;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
    /// Has no ports.
    Icmp,
    /// Neighbour discovery and multicast listeners, among others.
    IcmpV6,
    /// Multicast groups.
    Igmp,
    /// Addresses are those that it asks about.
    Arp,
}

/// One packet on one interface.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) protocol: Protocol,
    /// Address and port; 0 where the protocol has no ports.
    pub(crate) from: (IpAddr, u16),
    pub(crate) to: (IpAddr, u16),
    /// Whether the machine that captured sends it on, so that it is seen twice.
    pub(crate) outgoing: bool,
    /// What comes after the headers that say where to: of UDP and TCP their payload, else everything after IP's header.
    pub(crate) payload: Vec<u8>,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((from, at), (to, port)) = (self.from, self.to);
        write!(f, "{:?} {from} {at} > {to} {port}", self.protocol)
    }
}

/// Reads what was captured so far; a packet that is not whole yet is left for the next time.
///
/// # Errors
/// What cannot be read.
pub(crate) fn read(capture: &[u8]) -> Result<Vec<Packet>, String> {
    if capture.len() < FILE_HEADER {
        return Ok(Vec::new());
    }
    let (magic, link) = (number(capture, 0), number(capture, 20) & 0xffff);
    if (magic, link) != (MAGIC, LINK_TYPE) {
        return Err(format!("magic number {magic:x} and link type {link}"));
    }
    let mut packets = Vec::new();
    let mut at = FILE_HEADER;
    while let Some(header) = capture.get(at..at + PACKET_HEADER) {
        let (held, length) = (number(header, 8) as usize, number(header, 12) as usize);
        if held != length {
            return Err(format!("{held} of {length} bytes of a packet"));
        }
        let Some(packet) = capture.get(at + PACKET_HEADER..at + PACKET_HEADER + held) else {
            break;
        };
        at += PACKET_HEADER + held;
        packets
            .push(link_layer(packet).ok_or_else(|| format!("a packet that cannot be read: {packet:02x?}"))?);
    }
    Ok(packets)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_ne_bytes(four)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn link_layer(packet: &[u8]) -> Option<Packet> {
    let (ether_type, outgoing) = (short(packet, 0)?, *packet.get(10)? == OUTGOING);
    let rest = packet.get(LINK_HEADER..)?;
    let parsed = match ether_type {
        0x0800 => ip4(rest),
        0x86dd => ip6(rest),
        0x0806 => arp(rest),
        _ => None,
    };
    parsed.map(|packet| Packet { outgoing, ..packet })
}

/// RFC 826.
fn arp(packet: &[u8]) -> Option<Packet> {
    let address = |at: usize| Some((v4(packet, at)?, 0));
    Some(Packet {
        protocol: Protocol::Arp,
        from: address(14)?,
        to: address(24)?,
        outgoing: false,
        payload: Vec::new(),
    })
}

fn v4(packet: &[u8], at: usize) -> Option<IpAddr> {
    let four: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(four).into())
}

fn v6(packet: &[u8], at: usize) -> Option<IpAddr> {
    let sixteen: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(sixteen).into())
}

/// RFC 791. A fragment cannot be read.
fn ip4(packet: &[u8]) -> Option<Packet> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let body = packet.get(header..usize::from(short(packet, 2)?))?;
    (short(packet, 6)? & 0x3fff == 0).then_some(())?;
    transport(*packet.get(9)?, v4(packet, 12)?, v4(packet, 16)?, body)
}

/// RFC 8200. Of extension headers only hop-by-hop options, which multicast listeners send, can be read.
fn ip6(packet: &[u8]) -> Option<Packet> {
    let end = 40 + usize::from(short(packet, 4)?);
    let (mut next, mut at) = (*packet.get(6)?, 40);
    if next == 0 {
        next = *packet.get(at)?;
        at += 8 + usize::from(*packet.get(at + 1)?) * 8;
    }
    transport(next, v6(packet, 8)?, v6(packet, 24)?, packet.get(at..end)?)
}

fn transport(number: u8, from: IpAddr, to: IpAddr, body: &[u8]) -> Option<Packet> {
    let (protocol, skipped) = match number {
        17 => (Protocol::Udp, 8),
        6 => (Protocol::Tcp, usize::from(*body.get(12)? >> 4) * 4),
        1 => (Protocol::Icmp, 0),
        2 => (Protocol::Igmp, 0),
        58 => (Protocol::IcmpV6, 0),
        _ => return None,
    };
    let ports = skipped > 0;
    let port = |at: usize| if ports { short(body, at) } else { Some(0) };
    Some(Packet {
        protocol,
        from: (from, port(0)?),
        to: (to, port(2)?),
        outgoing: false,
        payload: body.get(skipped..)?.to_vec(),
    })
}
