//! Files that this member offers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    FILE_BYTES_MAX, FileEnd, FileEvent, FileJob, Files, OUTGOING_MAX, UPLOADS_MAX,
    message::{
        CHUNK_BYTES, FILE_NAME_BYTES_MAX, FileAck, FileChunk, FileControl, FileId, FileOffer, UNKNOWN,
    },
    window::Window,
};
use crate::{
    ids::MemberId, meeting::conversation::event::Refusal, time::Timestamp, wire::bounded::BoundedText,
};

/// Without progress for so long everything since the last acknowledgement is sent again; then after twice that.
const STALL_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const STALL_MAX: Duration = Duration::from_secs(8);
/// People are told of progress so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// A file that is offered.
#[derive(Debug)]
pub(super) struct Outgoing {
    source: u64,
    offer: FileOffer,
    pub(super) receivers: BTreeMap<MemberId, Upload>,
}

/// What became of the offer with one receiver.
#[derive(Debug)]
pub(super) enum Upload {
    /// No answer yet.
    Offered,
    /// Wanted; others are served first.
    Queued { from: u64 },
    /// On its way.
    Sending(Box<Sending>),
}

/// A file on its way to one receiver.
#[derive(Debug)]
pub(super) struct Sending {
    /// Written there.
    acked: u64,
    /// What is read next.
    next: u64,
    /// Nothing beyond was ever sent: after going back, the receiver may say that it has more than was sent again.
    sent_max: u64,
    /// On their way: the end of each piece, and when it left.
    in_flight: VecDeque<(u64, Timestamp)>,
    window: Window,
    stall_at: Timestamp,
    pause: Duration,
    told: Timestamp,
}

impl Upload {
    fn begin(now: Timestamp, from: u64) -> Self {
        Self::Sending(Box::new(Sending {
            acked: from,
            next: from,
            sent_max: from,
            in_flight: VecDeque::new(),
            window: Window::new(now),
            stall_at: now + STALL_FIRST,
            pause: STALL_FIRST,
            told: now,
        }))
    }

    /// From the last acknowledged byte on, at once.
    pub(super) fn restart(&mut self, now: Timestamp) {
        if let Self::Sending(sending) = self {
            sending.pause = STALL_FIRST;
            sending.go_back(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        match self {
            Self::Sending(sending) => Some(sending.stall_at),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if let Self::Sending(sending) = self
            && sending.stall_at <= now
        {
            sending.pause = (sending.pause * 2).min(STALL_MAX);
            sending.window.handle_stall();
            sending.go_back(now);
        }
    }
}

impl Sending {
    fn go_back(&mut self, now: Timestamp) {
        self.next = self.acked;
        self.in_flight.clear();
        self.stall_at = now + self.pause;
    }

    fn on_its_way(&self) -> usize {
        usize::try_from(self.next - self.acked).unwrap_or(usize::MAX)
    }
}

impl Files {
    /// Offers a file to some members.
    ///
    /// # Errors
    /// [`Refusal`] for a size that is not allowed, or too many files.
    pub(in super::super) fn offer(
        &mut self,
        (source, name, size, hash): (u64, &str, u64, [u8; 32]),
        to: &BTreeSet<MemberId>,
        told_to: Option<MemberId>,
    ) -> Result<(), Refusal> {
        if size == 0 || size > FILE_BYTES_MAX {
            self.jobs.push_back(FileJob::Release { source });
            return Err(Refusal::FileSize(size));
        }
        if self.outgoing.len() >= OUTGOING_MAX {
            self.jobs.push_back(FileJob::Release { source });
            return Err(Refusal::TooManyFiles);
        }
        let offer = FileOffer {
            id: FileId(self.random.bytes()),
            name: BoundedText::<FILE_NAME_BYTES_MAX>::cut(name),
            size,
            hash,
        };
        let id = offer.id;
        self.events.push_back(FileEvent::Offering {
            id,
            to: told_to,
            name: offer.name.to_string(),
            size,
        });
        for member in to {
            self.controls
                .push_back((*member, FileControl::Offer(offer.clone())));
        }
        let receivers = to.iter().map(|member| (*member, Upload::Offered)).collect();
        self.outgoing.insert(
            id,
            Outgoing {
                source,
                offer,
                receivers,
            },
        );
        self.release_unwanted();
        Ok(())
    }

    pub(super) fn handle_accept(&mut self, now: Timestamp, by: MemberId, id: FileId, from: u64) {
        let Some(file) = self.outgoing.get_mut(&id) else {
            return self.controls.push_back((by, FileControl::Cancel(id)));
        };
        let size = file.offer.size;
        let Some(upload) = file.receivers.get_mut(&by).filter(|_| from <= size) else {
            return;
        };
        let new = matches!(upload, Upload::Offered);
        *upload = Upload::Queued { from };
        if new {
            self.events.push_back(FileEvent::Accepted { id, by });
        }
        self.start_queued(now);
    }

    /// Serves those who wait, as far as there are places.
    fn start_queued(&mut self, now: Timestamp) {
        let uploads = || self.outgoing.values().flat_map(|file| file.receivers.values());
        let mut places =
            UPLOADS_MAX.saturating_sub(uploads().filter(|u| matches!(u, Upload::Sending(_))).count());
        for upload in self
            .outgoing
            .values_mut()
            .flat_map(|file| file.receivers.values_mut())
        {
            if let (Upload::Queued { from }, true) = (&*upload, places > 0) {
                *upload = Upload::begin(now, *from);
                places -= 1;
            }
        }
    }

    pub(super) fn handle_decline(&mut self, by: MemberId, id: FileId) {
        if self.drop_receiver(id, &by) {
            self.events.push_back(FileEvent::Declined { id, by });
        }
    }

    pub(super) fn handle_done(&mut self, by: MemberId, id: FileId, good: bool) {
        if self.drop_receiver(id, &by) {
            self.events.push_back(if good {
                FileEvent::Delivered { id, to: by }
            } else {
                FileEvent::Ended {
                    id,
                    peer: by,
                    why: FileEnd::Mismatch,
                }
            });
        }
    }

    /// One receiver is through with a file; whether it was one.
    pub(super) fn drop_receiver(&mut self, id: FileId, member: &MemberId) -> bool {
        let dropped = self
            .outgoing
            .get_mut(&id)
            .is_some_and(|file| file.receivers.remove(member).is_some());
        self.release_unwanted();
        dropped
    }

    fn release_unwanted(&mut self) {
        let jobs = &mut self.jobs;
        self.outgoing.retain(|_, file| {
            if file.receivers.is_empty() {
                jobs.push_back(FileJob::Release { source: file.source });
            }
            !file.receivers.is_empty()
        });
    }

    pub(super) fn cancel_outgoing(&mut self, id: FileId) -> bool {
        let Some(file) = self.outgoing.remove(&id) else {
            return false;
        };
        for member in file.receivers.keys() {
            self.controls.push_back((*member, FileControl::Cancel(id)));
            self.events.push_back(FileEvent::Ended {
                id,
                peer: *member,
                why: FileEnd::Cancelled,
            });
        }
        self.jobs.push_back(FileJob::Release { source: file.source });
        true
    }

    pub(super) fn forget_receiver(&mut self, member: &MemberId) {
        for (id, file) in &mut self.outgoing {
            if let Some(Upload::Sending(_) | Upload::Queued { .. }) = file.receivers.remove(member) {
                self.events.push_back(FileEvent::Ended {
                    id: *id,
                    peer: *member,
                    why: FileEnd::Gone,
                });
            }
        }
        self.release_unwanted();
    }

    /// The receiver says how far it has come.
    pub(in super::super) fn handle_ack(&mut self, now: Timestamp, from: MemberId, ack: FileAck) {
        let Some(file) = self.outgoing.get_mut(&ack.id) else {
            return;
        };
        let size = file.offer.size;
        let Some(upload) = file.receivers.get_mut(&from) else {
            return;
        };
        if ack.upto == UNKNOWN {
            // It restarted: its person decides again, and what it has by then is not sent twice.
            if !matches!(upload, Upload::Offered) {
                *upload = Upload::Offered;
                let offer = file.offer.clone();
                self.controls.push_back((from, FileControl::Offer(offer)));
            }
            return;
        }
        let Upload::Sending(sending) = upload else { return };
        if ack.upto <= sending.acked || ack.upto > sending.sent_max {
            return;
        }
        sending.next = sending.next.max(ack.upto);
        let acked = usize::try_from(ack.upto - sending.acked).unwrap_or(usize::MAX);
        let mut left = None;
        while let Some((_, at)) = sending.in_flight.front().filter(|(end, _)| *end <= ack.upto) {
            left = Some(*at);
            sending.in_flight.pop_front();
        }
        if let Some(at) = left {
            sending.window.handle_ack(now, acked, now.saturating_since(at));
        }
        sending.acked = ack.upto;
        sending.pause = STALL_FIRST;
        sending.stall_at = now + STALL_FIRST;
        if now.saturating_since(sending.told) >= PROGRESS_INTERVAL {
            sending.told = now;
            self.events.push_back(FileEvent::Progress {
                id: ack.id,
                peer: from,
                done: ack.upto,
                size,
            });
        }
    }

    /// Asks the driver for what may be sent now.
    pub(in super::super) fn pump(&mut self, now: Timestamp, is_direct: &dyn Fn(&MemberId) -> bool) {
        self.start_queued(now);
        for (id, file) in &mut self.outgoing {
            for (member, upload) in &mut file.receivers {
                let Upload::Sending(sending) = upload else {
                    continue;
                };
                let direct = is_direct(member);
                while sending.next < file.offer.size
                    && sending.on_its_way() + CHUNK_BYTES <= sending.window.bytes()
                {
                    if !direct && let Err(wait) = self.relayed.take(now) {
                        self.relayed_at = Some(now + wait);
                        break;
                    }
                    let left = file.offer.size - sending.next;
                    let len = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                    self.jobs.push_back(FileJob::Read {
                        id: *id,
                        to: *member,
                        source: file.source,
                        offset: sending.next,
                        len,
                    });
                    sending.next += len as u64;
                }
            }
        }
    }

    /// The driver read what it was asked for, or could not.
    pub(in super::super) fn handle_read(
        &mut self,
        now: Timestamp,
        (id, to, offset): (FileId, MemberId, u64),
        read: Result<Vec<u8>, String>,
    ) {
        let Some(file) = self.outgoing.get_mut(&id) else {
            return;
        };
        let Some(Upload::Sending(sending)) = file.receivers.get_mut(&to) else {
            return;
        };
        let bytes = match read {
            Ok(bytes) if !bytes.is_empty() => bytes,
            Ok(_) => return self.end_unreadable(id, "it became shorter"),
            Err(error) => return self.end_unreadable(id, &error),
        };
        let end = offset + bytes.len() as u64;
        // Read for a run that was given up meanwhile, or cut short by the driver.
        let last = sending.in_flight.back().map_or(sending.acked, |(end, _)| *end);
        if offset != last || end > sending.next {
            return;
        }
        sending.in_flight.push_back((end, now));
        sending.sent_max = sending.sent_max.max(end);
        if let Ok(bytes) = bytes.try_into() {
            self.send_chunk(to, FileChunk { id, offset, bytes });
        }
    }

    fn end_unreadable(&mut self, id: FileId, error: &str) {
        if let Some(file) = self.outgoing.remove(&id) {
            for member in file.receivers.keys() {
                self.controls.push_back((*member, FileControl::Cancel(id)));
                self.events.push_back(FileEvent::Ended {
                    id,
                    peer: *member,
                    why: FileEnd::Source(error.to_owned()),
                });
            }
            self.jobs.push_back(FileJob::Release { source: file.source });
        }
    }
}
