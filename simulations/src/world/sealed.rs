//! Who sealed what: tells a frame that a machine forwards from one of its own, by the bytes, not by what the machine says.

use std::collections::{HashMap, VecDeque};

/// Frames that are remembered. Reason: two seconds of two hundred speakers.
const FRAMES_MAX: usize = 25_000;
/// The AEAD tag at a frame's end: as good as the frame.
const TAG_BYTES: usize = 16;

/// See the module. Looked up, never walked through.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    by: HashMap<[u8; TAG_BYTES], usize>,
    order: VecDeque<[u8; TAG_BYTES]>,
}

impl Sealed {
    /// `from` is the first to send this.
    pub(crate) fn note(&mut self, from: usize, sealed: &[u8]) {
        let Some(tag) = tag(sealed) else { return };
        if self.by.insert(tag, from).is_some() {
            return;
        }
        if self.order.len() == FRAMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by.remove(&oldest);
        }
        self.order.push_back(tag);
    }

    /// Who sealed it.
    pub(crate) fn sealer(&self, sealed: &[u8]) -> Option<usize> {
        self.by.get(&tag(sealed)?).copied()
    }
}

fn tag(sealed: &[u8]) -> Option<[u8; TAG_BYTES]> {
    sealed.last_chunk().copied()
}
