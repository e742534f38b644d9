//! Looking for planted bytes: in another process' memory, and in captured traffic.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
};

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, HEXUPPER};

/// Bytes of memory read at a time.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// What is looked for. Each marker has at least six bytes: chance finds one in a hundred megabytes once in three million times.
#[derive(Default)]
pub(crate) struct Markers {
    all: Vec<(String, Vec<u8>)>,
    by_start: HashMap<[u8; 2], Vec<usize>>,
    longest: usize,
}

impl Markers {
    /// Adds one.
    pub(crate) fn add(&mut self, name: impl Into<String>, bytes: &[u8]) {
        assert!(bytes.len() >= 6, "too short to be found by intent only");
        self.by_start
            .entry([bytes[0], bytes[1]])
            .or_default()
            .push(self.all.len());
        self.longest = self.longest.max(bytes.len());
        self.all.push((name.into(), bytes.to_vec()));
    }

    /// Adds bytes, and the same in hexadecimal.
    pub(crate) fn add_with_hex(&mut self, name: &str, bytes: &[u8]) {
        self.add(name, bytes);
        self.add(
            format!("{name} in hexadecimal"),
            data_encoding::HEXLOWER.encode(bytes).as_bytes(),
        );
    }

    /// Adds bytes in every form in which the project, or libp2p, writes such: raw, and in bases 16, 32 and 64, alone or within
    /// something longer.
    pub(crate) fn add_in_all_forms(&mut self, name: &str, bytes: &[u8]) {
        self.add_with_hex(name, bytes);
        self.add(
            format!("{name} in capital hexadecimal"),
            HEXUPPER.encode(bytes).as_bytes(),
        );
        for (base, digits) in [(&BASE32_NOPAD, 32), (&BASE64URL_NOPAD, 64), (&BASE64_NOPAD, 64)] {
            // A group of five bytes makes eight digits of base 32, three make four of base 64. Where the bytes begin in a group
            // decides how they look; the digits at the borders also hold bits of what is beside them.
            let (group, digits_of_group) = if digits == 32 { (5, 8) } else { (3, 4) };
            for before in 0..group {
                let padded = [vec![0; before], bytes.to_vec()].concat();
                let text = base.encode(&padded);
                let first = (before * digits_of_group).div_ceil(group);
                let last = padded.len() * digits_of_group / group;
                self.add(format!("{name} in base {digits}"), &text.as_bytes()[first..last]);
                if digits == 32 {
                    let small = text[first..last].to_lowercase();
                    self.add(format!("{name} in small letters of base 32"), small.as_bytes());
                }
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// What is looked for.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().map(|(_, bytes)| bytes.as_slice())
    }

    /// The names of those that are in `hay`.
    pub(crate) fn found_in(&self, hay: &[u8]) -> Vec<&str> {
        let mut starts = vec![false; 65_536];
        for start in self.by_start.keys() {
            starts[usize::from(u16::from_le_bytes(*start))] = true;
        }
        let mut found = vec![false; self.all.len()];
        for (at, pair) in hay.windows(2).enumerate() {
            let pair = [pair[0], pair[1]];
            if starts[usize::from(u16::from_le_bytes(pair))] {
                for &index in &self.by_start[&pair] {
                    found[index] |= hay[at..].starts_with(&self.all[index].1);
                }
            }
        }
        let names = self.all.iter().zip(found).filter(|(_, found)| *found);
        names.map(|((name, _), _)| name.as_str()).collect()
    }

    /// The names of those that are in the writable memory of process `pid`, and how many bytes were searched.
    pub(crate) fn found_in_memory(&self, pid: u32) -> (Vec<&str>, u64) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
        let memory = File::open(format!("/proc/{pid}/mem")).expect("a child's memory can be read");
        let (mut found, mut searched) = (Vec::new(), 0);
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
                continue;
            };
            if !rights.starts_with("rw") {
                continue;
            }
            let address = |text: &str| u64::from_str_radix(text, 16).expect("an address");
            let (from, to) = range.split_once('-').expect("a range");
            let (mut at, end) = (address(from), address(to));
            while at < end {
                let length = CHUNK_BYTES.min(usize::try_from(end - at).expect("fits"));
                let mut chunk = vec![0; length];
                // What was unmapped meanwhile, and the kernel's own pages, cannot be read.
                if let Ok(read) = memory.read_at(&mut chunk, at) {
                    searched += read as u64;
                    found.extend(self.found_in(&chunk[..read]));
                }
                // Chunks overlap, so that a marker across a border is seen.
                let step = length.saturating_sub(if at + length as u64 == end {
                    0
                } else {
                    self.longest
                });
                at += step.max(1) as u64;
            }
        }
        found.sort_unstable();
        found.dedup();
        (found, searched)
    }
}
