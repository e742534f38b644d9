//! Datagrams from addresses that are not ours.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use subrosa_proto::random::Random;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// `IPPROTO_RAW`: the headers are ours.
const RAW: i32 = 255;

/// Sends under forged source addresses of 198.18.0.0/15 (RFC 2544).
pub(super) struct Forger {
    socket: Socket,
    to: SocketAddrV4,
    random: Random,
    pub(super) sent: u64,
}

impl Forger {
    pub(super) fn new(to: SocketAddr) -> Self {
        let SocketAddr::V4(to) = to else {
            panic!("the relay of this run has an IPv4 address")
        };
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).expect("root");
        socket.set_header_included_v4(true).expect("a raw socket");
        let _ = socket.set_send_buffer_size(4 << 20);
        Self {
            socket,
            to,
            random: Random::from_seed([0x66; 32]),
            sent: 0,
        }
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Sends the datagrams of one client that does not exist.
    pub(super) fn send(&mut self, datagrams: &[Vec<u8>]) {
        let drawn = self.random.next_u64().to_le_bytes();
        let source = Ipv4Addr::new(198, 18 | (drawn[0] & 1), drawn[1], drawn[2]);
        let port = u16::from_le_bytes([drawn[3], drawn[4]]) | 1_024;
        for datagram in datagrams {
            let packet = self.packet(source, port, datagram);
            let to = SockAddr::from(self.to);
            if self.socket.send_to(&packet, &to).is_ok() {
                self.sent += 1;
            }
        }
    }

    /// RFC 791 and 768; the kernel fills in what is left at zero, and a checksum of zero is none.
    fn packet(&self, source: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
        let udp_len = (UDP_HEADER + payload.len()) as u16;
        let mut packet = Vec::with_capacity(IP_HEADER + usize::from(udp_len));
        packet.extend([0x45, 0]);
        packet.extend((IP_HEADER as u16 + udp_len).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend(source.octets());
        packet.extend(self.to.ip().octets());
        packet.extend(port.to_be_bytes());
        packet.extend(self.to.port().to_be_bytes());
        packet.extend(udp_len.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend_from_slice(payload);
        packet
    }
}

/// Calls `act` at a rate, until `goes_on` says no; a late one is made up for within limits.
pub(super) fn at_rate(per_second: f64, goes_on: impl Fn() -> bool, mut act: impl FnMut()) {
    let begun = Instant::now();
    let mut done = 0_u64;
    while goes_on() {
        let due = (begun.elapsed().as_secs_f64() * per_second) as u64;
        done = done.max(due.saturating_sub(per_second as u64 / 10));
        if done >= due {
            std::thread::sleep(Duration::from_micros(200));
        }
        while done < due {
            act();
            done += 1;
        }
    }
}
