//! The filter ahead of a member's QUIC endpoint. No Initial of somebody who knows no key passes unless a handshake with its
//! address is under way, nothing is answered but by proof, and no answer is longer than its question.
#![no_main]

use std::{collections::BTreeMap, net::SocketAddr};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{at, random, some_bytes};
use subrosa_proto::{
    noise::{
        Psk, QUIC_VERSION,
        token::{InitialFilter, PROBE_LEN, Verdict, initial_dst_cid},
    },
    random::Random,
    time::UnixSeconds,
};

struct World {
    filter: InitialFilter,
    relay: InitialFilter,
    random: Random,
    /// Five keys, other ones in each run; the filter begins with the second and the third.
    psks: [Psk; 5],
    now: u64,
    /// Ids that holders of a key made.
    made: Vec<(u8, Vec<u8>)>,
    /// When each address was last part of a handshake: it sent something admitted, or we sent it something.
    handshakes: BTreeMap<SocketAddr, u64>,
    keys: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut random = random(data);
    let psks = [0; 5].map(|_| Psk(random.bytes()));
    let mut world = World {
        filter: InitialFilter::member(&psks[1..3]),
        relay: InitialFilter::relay(),
        random,
        psks,
        now: 0,
        made: Vec::new(),
        handshakes: BTreeMap::new(),
        keys: vec![1, 2],
    };
    for _ in 0..64 {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
    }
});

impl World {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let remote = SocketAddr::from(([192, 0, 2, u.int_in_range(1..=4)?], 4433));
        match u.int_in_range(0..=9_u8)? {
            0 => {
                let key = u.int_in_range(1..=4_u8)?;
                // Up to a day off, in either direction.
                let offset = u.int_in_range(0..=172_800_u64)?;
                let unix = UnixSeconds(at(self.now).unix.0 + offset - 86_400);
                let cid = initial_dst_cid(&self.psks[usize::from(key)], unix, &mut self.random);
                self.made.push((key, cid.to_vec()));
            }
            1 => self.now += u.int_in_range(0..=20_000_000)?,
            2 => {
                let bytes = some_bytes(u, 60)?;
                self.filter.sent(at(self.now), remote, bytes);
                if bytes.first().is_some_and(|first| first & 0x80 != 0) {
                    self.handshakes.insert(remote, self.now);
                }
            }
            3 => {
                let key = u.int_in_range(1..=4_usize)?;
                self.filter.dials(&self.psks[key]);
            }
            4 => {
                self.keys = (1..=4).filter(|_| u.arbitrary().unwrap_or(false)).collect();
                let keys: Vec<Psk> = self
                    .keys
                    .iter()
                    .map(|&key| self.psks[usize::from(key)].clone())
                    .collect();
                self.filter.set_keys(&keys);
            }
            5 => {
                let datagram = some_bytes(u, 1_300)?;
                self.judge(remote, datagram);
            }
            _ => {
                let datagram = self.long_header(u)?;
                self.judge(remote, &datagram);
            }
        }
        Ok(())
    }

    fn long_header(&self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let mut datagram = vec![0x80 | u.arbitrary::<u8>()?];
        let version = match u.int_in_range(0..=3_u8)? {
            0 | 1 => QUIC_VERSION,
            2 => 0,
            _ => u.arbitrary()?,
        };
        datagram.extend_from_slice(&version.to_be_bytes());
        for _ in 0..2 {
            let cid = match u.int_in_range(0..=3_u8)? {
                0..=1 if !self.made.is_empty() => self.made[u.choose_index(self.made.len())?].1.clone(),
                2 => vec![u.arbitrary()?; 8],
                _ => some_bytes(u, 22)?.to_vec(),
            };
            datagram.push(cid.len() as u8);
            datagram.extend_from_slice(&cid);
        }
        datagram.extend_from_slice(some_bytes(u, 40)?);
        if u.ratio(3, 4)? {
            datagram.resize(datagram.len().max(1_200), 0);
        }
        Ok(datagram)
    }

    fn judge(&mut self, remote: SocketAddr, datagram: &[u8]) {
        let now = at(self.now);
        let is_long = datagram.first().is_some_and(|first| first & 0x80 != 0);
        let version = datagram
            .get(1..5)
            .map(|v| u32::from_be_bytes(v.try_into().expect("four")));
        let is_initial = is_long && version == Some(QUIC_VERSION) && datagram[0] & 0x30 == 0;
        let dst_cid = datagram
            .get(5)
            .and_then(|&len| datagram.get(6..6 + usize::from(len)))
            .unwrap_or_default();
        let shows_key = self
            .made
            .iter()
            .any(|(key, cid)| cid == dst_cid && self.keys.contains(key));
        let handshake = self
            .handshakes
            .get(&remote)
            .is_some_and(|then| self.now - then <= 10_000_000);
        match self.filter.admits(now, remote, datagram) {
            Verdict::Admit => {
                assert!(
                    !is_long || version != Some(0) || handshake,
                    "a notice out of nothing"
                );
                if is_initial {
                    assert!(shows_key || handshake, "a stranger was let in");
                    if shows_key {
                        self.handshakes.insert(remote, self.now);
                    }
                }
            }
            Verdict::Drop(_) => assert!(is_long, "a short header belongs to the endpoint"),
            Verdict::Probe(_) => assert!(datagram.len() == PROBE_LEN, "probes have one length"),
            Verdict::OtherVersion(answer) => {
                assert!(shows_key && version != Some(QUIC_VERSION) && version != Some(0));
                assert!(
                    datagram.len() >= 1_200 && answer.len() <= 100,
                    "an answer that amplifies"
                );
            }
        }
        if let Verdict::OtherVersion(_) = self.relay.admits(now, remote, datagram) {
            panic!("a relay's port answers no other version");
        }
    }
}
