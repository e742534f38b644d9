use std::sync::atomic::AtomicBool;

use subrosa_proto::{
    noise::{QUIC_VERSION, token},
    random::Random,
    time::{Timestamp, UnixSeconds},
};

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_795_293_120);

/// Gives out one buffer, and keeps what is sent.
#[derive(Debug, Default)]
struct Scripted {
    buffer: Vec<u8>,
    stride: usize,
    done: AtomicBool,
    sent: Mutex<Vec<Vec<u8>>>,
}

impl AsyncUdpSocket for Scripted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        unreachable!("not polled for writing")
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.sent.lock().unwrap().push(transmit.contents.to_vec());
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.done.swap(true, Ordering::Relaxed) {
            return Poll::Pending;
        }
        bufs[0][..self.buffer.len()].copy_from_slice(&self.buffer);
        meta[0] = RecvMeta {
            addr: SocketAddr::from(([127, 0, 0, 1], 1)),
            len: self.buffer.len(),
            stride: self.stride,
            ecn: None,
            dst_ip: None,
        };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 2)))
    }
}

fn initial(version: u32, cid: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0];
    packet.extend_from_slice(&version.to_be_bytes());
    packet.push(u8::try_from(cid.len()).unwrap());
    packet.extend_from_slice(cid);
    packet.extend_from_slice(&[8; 9]);
    packet.resize(1_200, 1);
    packet
}

/// What remains of the datagrams, with what was sent back and the counts.
fn receive(psk: &Psk, datagrams: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, DropCounts) {
    let scripted = Arc::new(Scripted {
        buffer: datagrams.concat(),
        stride: datagrams[0].len(),
        ..Scripted::default()
    });
    let (port, _probes) = SilentPort::new(InitialFilter::member(std::slice::from_ref(psk)), || Now {
        monotonic: Timestamp::ZERO,
        unix: NOW,
    });
    let socket = SilentSocket::new(Arc::clone(&scripted) as _, Arc::clone(&port));
    let mut storage = vec![0; 65_536];
    let mut meta = [RecvMeta::default()];
    let mut context = Context::from_waker(std::task::Waker::noop());
    let polled = socket.poll_recv(&mut context, &mut [IoSliceMut::new(&mut storage)], &mut meta);
    assert!(matches!(polled, Poll::Ready(Ok(1))));
    let kept = storage[..meta[0].len]
        .chunks(meta[0].stride)
        .map(<[u8]>::to_vec)
        .collect();
    let sent = scripted.sent.lock().unwrap().clone();
    (kept, sent, port.drops())
}

#[test]
fn what_is_refused_is_cut_out_of_a_coalesced_buffer() {
    let psk = Psk([1; 32]);
    let mut random = Random::from_seed([2; 32]);
    let good = initial(QUIC_VERSION, &token::initial_dst_cid(&psk, NOW, &mut random));
    let stranger = initial(QUIC_VERSION, &[7; 16]);
    let other = initial(1, &[7; 16]);
    let short = vec![0x40; 1_200];
    let last = vec![0x41; 100];

    let (kept, sent, drops) = receive(
        &psk,
        &[
            stranger.clone(),
            short.clone(),
            stranger.clone(),
            good.clone(),
            other.clone(),
            last.clone(),
        ],
    );
    assert_eq!(kept, [short.clone(), good, last.clone()]);
    assert!(sent.is_empty());
    assert_eq!((drops.strangers, drops.versions), (2, 1));

    let (kept, ..) = receive(&psk, &[short.clone(), stranger[..600].to_vec()]);
    assert_eq!(kept, std::slice::from_ref(&short));
    let (kept, ..) = receive(&psk, &[stranger.clone(), other]);
    assert!(kept.is_empty());
    let (kept, ..) = receive(&psk, &[short.clone(), short.clone(), last.clone()]);
    assert_eq!(kept, [short.clone(), short, last]);
}

#[test]
fn a_holder_of_a_key_with_another_version_gets_one_small_notice() {
    let psk = Psk([1; 32]);
    let cid = token::initial_dst_cid(&psk, NOW, &mut Random::from_seed([2; 32]));
    let (kept, sent, drops) = receive(&psk, &[initial(QUIC_VERSION + 1, &cid)]);
    assert!(kept.is_empty());
    assert_eq!(sent.len(), 1);
    assert!(sent[0].len() < 60);
    assert_eq!(drops.notices, 1);
}
