//! The fingerprint of a run: a hash over everything that was delivered, so that two runs can be compared.

use aws_lc_rs::digest;
use subrosa_proto::time::Timestamp;

/// See the module.
pub struct Trace {
    hash: digest::Context,
    entries: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hash: digest::Context::new(&digest::SHA256),
            entries: 0,
        }
    }
}

impl Trace {
    /// Something happened at `at` to `whom`: a stable word for what, and its bytes.
    pub fn note(&mut self, at: Timestamp, whom: u32, what: &str, bytes: &[u8]) {
        self.entries += 1;
        self.hash.update(&at.as_micros().to_le_bytes());
        self.hash.update(&whom.to_le_bytes());
        self.hash.update(&(what.len() as u64).to_le_bytes());
        self.hash.update(what.as_bytes());
        self.hash.update(&(bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// Bytes came to `whom` over the wire. What they carry is noted once more when it is delivered, and counts then.
    pub fn wire(&mut self, at: Timestamp, whom: u32, bytes: &[u8]) {
        self.note(at, whom, "wire", bytes);
        self.entries -= 1;
    }

    /// How much happened.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        let hash = self.hash.finish();
        hash.as_ref()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
