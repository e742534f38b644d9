//! The relay's UDP socket: batches in, segmentation offload out.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, TcpListener},
};

use bytes::BytesMut;
use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit as UdpTransmit, UdpSocketState};
use quinn_proto::Transmit;
use socket2::SockRef;
use tokio::{io::Interest, net::UdpSocket};

use super::tcp::{TcpSide, is_name};

/// The kernel's receive buffer that we ask for, in bytes; the system may give less. What waits there cannot be dropped
/// oldest first, so it must not hold more than about 50 ms of voice at full load; the kernel counts about 900 bytes for
/// a voice frame.
const RECEIVE_BUFFER_BYTES: usize = 512 * 1024;
/// The kernel's send buffer that we ask for, in bytes: several turns' worth of packets.
const SEND_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes for one received datagram, or for several of one sender that the kernel joined.
const RECEIVE_BYTES: usize = 64 * 1024;
/// The ECN mark ECT(0) in the octet that was type of service (RFC 3168 §5).
const ECT_0: u32 = 0b10;
/// Segments in one send: quinn's choice as well; more gains little.
const SEGMENTS_MAX: usize = 10;

/// One received datagram.
pub(super) struct Received {
    pub(super) from: SocketAddr,
    pub(super) to: Option<IpAddr>,
    pub(super) ecn: Option<quinn_proto::EcnCodepoint>,
    pub(super) data: BytesMut,
}

pub(super) struct RelaySocket {
    io: UdpSocket,
    state: UdpSocketState,
    buffer: Vec<u8>,
    /// The socket is bound to one address, so the source address need not be said with each packet.
    bound: bool,
    /// The socket marks every packet ECT(0) by itself, so that mark need not be said with each packet.
    marks_ecn: bool,
    /// Clients that come over TCP, if it listens there.
    tcp: Option<TcpSide>,
}

impl RelaySocket {
    /// Must be called inside a tokio runtime. `tcp` takes at most `streams_max` streams.
    pub(super) fn new(
        socket: std::net::UdpSocket,
        tcp: Vec<TcpListener>,
        streams_max: usize,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        // The system's defaults do as well, with more loss in bursts.
        let _ = state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&socket).into(), SEND_BUFFER_BYTES);
        let bound = !socket.local_addr()?.ip().is_unspecified();
        let options = SockRef::from(&socket);
        let marks_ecn = match socket.local_addr()? {
            SocketAddr::V4(_) => options.set_tos_v4(ECT_0).is_ok(),
            // Packets to IPv4-mapped addresses take the IPv4 option.
            SocketAddr::V6(_) => options.set_tclass_v6(ECT_0).is_ok() && options.set_tos_v4(ECT_0).is_ok(),
        };
        let io = UdpSocket::from_std(socket)?;
        Ok(Self {
            io,
            state,
            buffer: vec![0; RECEIVE_BYTES * BATCH_SIZE],
            bound,
            marks_ecn,
            tcp: (!tcp.is_empty())
                .then(|| TcpSide::new(tcp, streams_max))
                .transpose()?,
        })
    }

    /// Where it is bound.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Where a client is that QUIC sees at `address`.
    pub(super) fn client_address(&self, address: SocketAddr) -> SocketAddr {
        let tcp = self.tcp.as_ref().filter(|_| is_name(address));
        tcp.and_then(|tcp| tcp.remote(address)).unwrap_or(address)
    }

    /// Clients over TCP.
    pub(super) fn tcp(&mut self) -> Option<&mut TcpSide> {
        self.tcp.as_mut()
    }

    /// Packets that one send may hold.
    pub(super) fn segments_max(&self) -> usize {
        self.state.max_gso_segments().min(SEGMENTS_MAX)
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        let Some(tcp) = &self.tcp else {
            return self.io.readable().await;
        };
        tokio::select! {
            result = self.io.readable() => result,
            () = tcp.ready() => Ok(()),
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Receives one batch into `out`; `WouldBlock` if there is nothing more on UDP.
    pub(super) fn receive(&mut self, out: &mut Vec<Received>) -> io::Result<()> {
        if let Some(tcp) = &self.tcp {
            tcp.receive(out);
        }
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = self.buffer.chunks_exact_mut(RECEIVE_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let (io, state) = (&self.io, &self.state);
        let count = io.try_io(Interest::READABLE, || {
            state.recv(io.into(), &mut slices, &mut metas)
        })?;
        for (meta, slice) in metas.iter().zip(&slices).take(count) {
            if is_name(meta.addr) {
                continue;
            }
            let mut data = BytesMut::from(&slice[..meta.len]);
            while !data.is_empty() {
                let datagram = data.split_to(meta.stride.min(data.len()));
                out.push(Received {
                    from: meta.addr,
                    to: meta.dst_ip,
                    ecn: meta
                        .ecn
                        .and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8)),
                    data: datagram,
                });
            }
        }
        Ok(())
    }

    /// Sends; `WouldBlock` if the kernel's buffer is full.
    pub(super) fn send(&self, transmit: &Transmit, contents: &[u8]) -> io::Result<()> {
        if let Some(tcp) = &self.tcp
            && is_name(transmit.destination)
        {
            tcp.send(transmit.destination, contents, transmit.segment_size);
            return Ok(());
        }
        let plain = transmit.segment_size.is_none()
            && transmit.ecn == Some(quinn_proto::EcnCodepoint::Ect0)
            && self.marks_ecn
            && (self.bound || transmit.src_ip.is_none());
        if plain {
            // Without control messages a send costs the kernel about a tenth less.
            return self.io.try_send_to(contents, transmit.destination).map(drop);
        }
        let transmit = UdpTransmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
            contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip.filter(|_| !self.bound),
        };
        // Not through try_io: its bookkeeping costs, and only the rare WouldBlock needs it.
        match self.state.send((&self.io).into(), &transmit) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                // Tells tokio that the socket is not writable, so that `writable` waits.
                let _ = self.io.try_io(Interest::WRITABLE, || {
                    Err::<(), _>(io::ErrorKind::WouldBlock.into())
                });
                Err(e)
            }
            other => other,
        }
    }
}
