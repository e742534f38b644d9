//! One TCP stream: its reader and its writer.

use std::{io, net::SocketAddr};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use subrosa_proto::packet_stream::{PacketReader, append};
use tokio::{io::Interest, net::TcpStream};

use super::{InboxSender, Outbox};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 8 * 1024;
/// Bytes that the kernel may hold unsent (TCP_NOTSENT_LOWAT). What waits there can no longer be dropped when it is too old; what
/// waits in the outbox can. Reason: three full packets keep a fast path busy between two wake-ups.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 4 * 1024;

/// Sets a stream's options: packets leave at once, and few wait in the kernel.
///
/// # Errors
/// What the operating system says.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Without it the stream works, with more delay after a stall.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    Ok(())
}

/// Carries packets both ways until the stream ends or breaks the format; those that come are named `from`.
///
/// # Errors
/// What the operating system says, or `InvalidData`.
pub(crate) async fn carry(
    stream: &TcpStream,
    from: SocketAddr,
    outbox: &Outbox,
    inbox: &InboxSender,
) -> io::Result<()> {
    tokio::select! {
        ended = read(stream, from, inbox) => ended,
        ended = write(stream, outbox) => ended,
    }
}

async fn read(stream: &TcpStream, from: SocketAddr, inbox: &InboxSender) -> io::Result<()> {
    let mut reader = PacketReader::new();
    loop {
        stream.readable().await?;
        if !read_some(stream, &mut reader)? {
            return Ok(());
        }
        loop {
            match reader.next_packet() {
                Ok(Some(packet)) => {
                    if inbox.send((from, packet)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

/// Reads what is there; `false` at the end of the stream. The buffer is nobody's while the stream is idle.
fn read_some(stream: &TcpStream, reader: &mut PacketReader) -> io::Result<bool> {
    let mut chunk = [0; CHUNK_BYTES];
    match stream.try_read(&mut chunk) {
        Ok(0) => Ok(false),
        Ok(read) => {
            reader.push(&chunk[..read]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

async fn write(stream: &TcpStream, outbox: &Outbox) -> io::Result<()> {
    let mut framed = BytesMut::new();
    loop {
        // Not before the stream can take it: until then it may be dropped for newer ones.
        stream.writable().await?;
        let packet = outbox.next().await;
        append(&mut framed, &packet);
        // What has been begun must be finished, or the reader loses its place.
        while framed.has_remaining() {
            match stream.try_io(Interest::WRITABLE, || send(stream, &framed)) {
                Ok(written) => framed.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }
}

/// One record. On Linux it is marked as one (`MSG_EOR`), so that the kernel does not join it with others that it has not sent: it
/// looks at [`UNSENT_BYTES`] only where it begins a new buffer, and a joined one grows to 64 KiB.
fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let flags = libc::MSG_EOR | libc::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = 0;
    SockRef::from(stream).send_with_flags(bytes, flags)
}
