//! Files that are offered to this member.

use std::time::Duration;

use super::{
    FILE_BYTES_MAX, FileEnd, FileEvent, FileJob, Files, INCOMING_MAX, OFFERS_PER_MEMBER_MAX,
    message::{CHUNK_BYTES, FileAck, FileChunk, FileControl, FileId, FileOffer, UNKNOWN},
    name::safe_file_name,
};
use crate::{ids::MemberId, meeting::conversation::event::Refusal, time::Timestamp};

/// Bytes that may wait for the disk; what comes beyond is not taken and comes again.
const UNWRITTEN_MAX: u64 = 32 * CHUNK_BYTES as u64;
/// People are told of progress so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// A file that is offered or on its way.
#[derive(Debug)]
pub(super) struct Incoming {
    from: MemberId,
    name: String,
    size: u64,
    hash: [u8; 32],
    state: State,
}

#[derive(Debug)]
enum State {
    /// This member's person has not decided.
    Offered,
    /// Accepted; the driver opens the unfinished file.
    Opening,
    Receiving {
        /// On the disk.
        written: u64,
        /// Handed to the driver.
        taken: u64,
        /// When people were last told.
        told: Option<Timestamp>,
    },
    /// Whole; the driver looks at its hash, or names it.
    Checking,
}

impl Files {
    pub(super) fn handle_offer(&mut self, from: MemberId, offer: &FileOffer) {
        let good = offer.size > 0 && offer.size <= FILE_BYTES_MAX && !self.incoming.contains_key(&offer.id);
        let known = self
            .incoming
            .iter()
            .find(|(_, file)| file.from == from && file.hash == offer.hash && file.size == offer.size);
        if let (Some((old, _)), true) = (known, good) {
            let old = *old;
            return self.renew(old, offer);
        }
        let open = self.incoming.values().filter(|file| file.from == from).count();
        if !good || open >= OFFERS_PER_MEMBER_MAX || self.incoming.len() >= INCOMING_MAX {
            return self.controls.push_back((from, FileControl::Decline(offer.id)));
        }
        let name = safe_file_name(&offer.name);
        self.events.push_back(FileEvent::Offered {
            id: offer.id,
            from,
            name: name.clone(),
            size: offer.size,
        });
        self.incoming.insert(
            offer.id,
            Incoming {
                from,
                name,
                size: offer.size,
                hash: offer.hash,
                state: State::Offered,
            },
        );
    }

    /// The sender restarted and offers the same content again: what was accepted goes on.
    fn renew(&mut self, old: FileId, offer: &FileOffer) {
        let Some(mut file) = self.incoming.remove(&old) else {
            return;
        };
        let accepted = !matches!(file.state, State::Offered);
        if accepted {
            // The driver finds out how much is there.
            self.jobs.push_back(FileJob::Close {
                id: old,
                delete: false,
            });
            self.jobs.push_back(FileJob::Open {
                id: offer.id,
                name: file.name.clone(),
                size: file.size,
                hash: file.hash,
            });
            file.state = State::Opening;
        }
        self.events.push_back(FileEvent::Offered {
            id: offer.id,
            from: file.from,
            name: file.name.clone(),
            size: file.size,
        });
        self.incoming.insert(offer.id, file);
    }

    /// Takes an offered file.
    ///
    /// # Errors
    /// [`Refusal::NoFile`] if it is not offered, or its content is on its way already.
    pub(in super::super) fn accept(&mut self, id: FileId) -> Result<(), Refusal> {
        let hash = self.incoming.get(&id).ok_or(Refusal::NoFile)?.hash;
        let busy = |file: &Incoming| file.hash == hash && !matches!(file.state, State::Offered);
        if self.incoming.values().any(busy) {
            return Err(Refusal::NoFile);
        }
        let file = self.incoming.get_mut(&id).ok_or(Refusal::NoFile)?;
        file.state = State::Opening;
        self.jobs.push_back(FileJob::Open {
            id,
            name: file.name.clone(),
            size: file.size,
            hash,
        });
        Ok(())
    }

    /// Does not take an offered file.
    ///
    /// # Errors
    /// [`Refusal::NoFile`] if it is not offered.
    pub(in super::super) fn decline(&mut self, id: FileId) -> Result<(), Refusal> {
        let offered = |file: &Incoming| matches!(file.state, State::Offered);
        let from = self
            .incoming
            .get(&id)
            .filter(|file| offered(file))
            .map(|file| file.from);
        let from = from.ok_or(Refusal::NoFile)?;
        self.incoming.remove(&id);
        self.controls.push_back((from, FileControl::Decline(id)));
        Ok(())
    }

    /// The driver opened the unfinished file, with so many bytes in it, or could not.
    pub(in super::super) fn handle_opened(&mut self, id: FileId, opened: Result<u64, String>) {
        let Some(file) = self.incoming.get_mut(&id) else {
            return;
        };
        match opened {
            Ok(have) => {
                let have = have.min(file.size);
                file.state = State::Receiving {
                    written: have,
                    taken: have,
                    told: None,
                };
                let from = file.from;
                self.controls
                    .push_back((from, FileControl::Accept { id, from: have }));
                self.check_if_whole(id);
            }
            Err(error) => self.end_storage(id, error),
        }
    }

    /// Some bytes of a file.
    pub(in super::super) fn handle_chunk(&mut self, from: MemberId, chunk: FileChunk) {
        let id = chunk.id;
        let Some(file) = self.incoming.get_mut(&id).filter(|file| file.from == from) else {
            return self.send_ack(from, FileAck { id, upto: UNKNOWN });
        };
        let State::Receiving { written, taken, .. } = &mut file.state else {
            return;
        };
        let len = chunk.bytes.len() as u64;
        let fits = len > 0 && len <= file.size - *taken && *taken - *written + len <= UNWRITTEN_MAX;
        if chunk.offset != *taken || !fits {
            // Out of order, again, too much, or too fast: the sender goes back to what is written.
            let upto = *written;
            if chunk.offset < *taken {
                self.send_ack(from, FileAck { id, upto });
            }
            return;
        }
        self.jobs.push_back(FileJob::Write {
            id,
            offset: *taken,
            bytes: chunk.bytes.into_inner(),
        });
        *taken += len;
    }

    /// The driver wrote up to there, or could not.
    pub(in super::super) fn handle_written(
        &mut self,
        now: Timestamp,
        id: FileId,
        outcome: Result<u64, String>,
    ) {
        let Some(file) = self.incoming.get_mut(&id) else {
            return;
        };
        let upto = match outcome {
            Ok(upto) => upto,
            Err(error) => return self.end_storage(id, error),
        };
        let State::Receiving { written, taken, told } = &mut file.state else {
            return;
        };
        *written = upto.min(*taken);
        let (from, size, done) = (file.from, file.size, *written);
        if told.is_none_or(|at| now.saturating_since(at) >= PROGRESS_INTERVAL) {
            *told = Some(now);
            self.events.push_back(FileEvent::Progress {
                id,
                peer: from,
                done,
                size,
            });
        }
        self.send_ack(from, FileAck { id, upto: done });
        self.check_if_whole(id);
    }

    fn check_if_whole(&mut self, id: FileId) {
        if let Some(file) = self.incoming.get_mut(&id)
            && let State::Receiving { written, .. } = file.state
            && written == file.size
        {
            file.state = State::Checking;
            self.jobs.push_back(FileJob::Hash { id });
        }
    }

    /// The driver hashed what was written.
    pub(in super::super) fn handle_hashed(&mut self, id: FileId, hashed: Result<[u8; 32], String>) {
        let Some(file) = self.incoming.get(&id) else {
            return;
        };
        let from = file.from;
        match hashed {
            Ok(hash) if hash == file.hash => self.jobs.push_back(FileJob::Keep { id }),
            Ok(_) => {
                self.incoming.remove(&id);
                self.jobs.push_back(FileJob::Close { id, delete: true });
                self.controls
                    .push_back((from, FileControl::Done { id, good: false }));
                self.events.push_back(FileEvent::Ended {
                    id,
                    peer: from,
                    why: FileEnd::Mismatch,
                });
            }
            Err(error) => self.end_storage(id, error),
        }
    }

    /// The driver gave the file its name.
    pub(in super::super) fn handle_kept(&mut self, id: FileId, kept: Result<String, String>) {
        match kept {
            Ok(path) => {
                if let Some(file) = self.incoming.remove(&id) {
                    let from = file.from;
                    self.controls
                        .push_back((from, FileControl::Done { id, good: true }));
                    self.events.push_back(FileEvent::Received { id, from, path });
                }
            }
            Err(error) => self.end_storage(id, error),
        }
    }

    fn end_storage(&mut self, id: FileId, error: String) {
        if let Some(file) = self.incoming.remove(&id) {
            self.jobs.push_back(FileJob::Close { id, delete: false });
            self.controls.push_back((file.from, FileControl::Cancel(id)));
            self.events.push_back(FileEvent::Ended {
                id,
                peer: file.from,
                why: FileEnd::Storage(error),
            });
        }
    }

    pub(super) fn cancel_incoming(&mut self, id: FileId) -> bool {
        let Some(file) = self.incoming.remove(&id) else {
            return false;
        };
        self.jobs.push_back(FileJob::Close { id, delete: true });
        self.controls.push_back((file.from, FileControl::Cancel(id)));
        self.events.push_back(FileEvent::Ended {
            id,
            peer: file.from,
            why: FileEnd::Cancelled,
        });
        true
    }

    /// The other side stops a file, in whichever direction it goes.
    pub(super) fn handle_cancel(&mut self, from: MemberId, id: FileId) {
        let mine = self.incoming.get(&id).is_some_and(|file| file.from == from);
        if mine {
            self.incoming.remove(&id);
            // What is here stays for another attempt.
            self.jobs.push_back(FileJob::Close { id, delete: false });
        }
        if mine || self.drop_receiver(id, &from) {
            self.events.push_back(FileEvent::Ended {
                id,
                peer: from,
                why: FileEnd::CancelledByPeer,
            });
        }
    }

    pub(super) fn forget_sender(&mut self, member: &MemberId) {
        let gone = self.incoming.iter().filter(|(_, file)| file.from == *member);
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.incoming.remove(&id);
            self.jobs.push_back(FileJob::Close { id, delete: false });
            self.events.push_back(FileEvent::Ended {
                id,
                peer: *member,
                why: FileEnd::Gone,
            });
        }
    }
}
