//! Reading and writing files for the participant, on a thread of its own: a slow disk never holds up a voice.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    path::{Path, PathBuf},
    thread,
};

use subrosa_proto::{
    ids::MemberId,
    meeting::{
        conversation::{
            ConversationCommand, FileOutcome,
            files::{FILE_BYTES_MAX, FileId, FileJob, name::safe_file_name},
        },
        participant,
    },
};
use tokio::sync::mpsc;

use super::Driver;
use crate::{
    event::{ErrorEvent, Event},
    store::transfers::{PartFile, SourceFile},
};

/// Outcomes that wait for the loop; beyond it the thread waits.
const OUTCOMES_MAX: usize = 64;
/// Files that are open to be sent. Reason: those that the participant offers, and as many being hashed.
const SOURCES_MAX: usize = 32;

/// What the thread is asked for.
#[derive(Debug)]
enum Request {
    Job(FileJob),
    /// Open and hash a file that a person wants to send.
    Offer {
        source: u64,
        path: PathBuf,
        to: Option<MemberId>,
    },
}

/// What the thread answers.
#[derive(Debug)]
pub(super) enum Answer {
    Outcome(FileOutcome),
    Offer(ConversationCommand),
    Failed { path: PathBuf, error: String },
}

/// The loop's side.
#[derive(Debug)]
pub(super) struct FileThread {
    requests: std::sync::mpsc::Sender<Request>,
    pub(super) answers: mpsc::Receiver<Answer>,
    next_source: u64,
}

impl FileThread {
    /// Starts the thread; received files go to `folder`.
    pub(super) fn start(folder: Option<PathBuf>) -> Self {
        // Not bounded by itself: the participant asks for no more than its windows, and for each message once.
        let (requests, queue) = std::sync::mpsc::channel();
        let (sender, answers) = mpsc::channel(OUTCOMES_MAX);
        thread::spawn(move || {
            let mut disk = Disk {
                folder,
                sources: BTreeMap::new(),
                parts: BTreeMap::new(),
            };
            while let Ok(request) = queue.recv() {
                if let Some(answer) = disk.serve(request)
                    && sender.blocking_send(answer).is_err()
                {
                    return;
                }
            }
        });
        Self {
            requests,
            answers,
            next_source: 0,
        }
    }

    pub(super) fn job(&self, job: FileJob) {
        // The thread ends with the loop.
        let _ = self.requests.send(Request::Job(job));
    }

    fn offer(&mut self, path: PathBuf, to: Option<MemberId>) {
        self.next_source += 1;
        let source = self.next_source;
        let _ = self.requests.send(Request::Offer { source, path, to });
    }
}

struct Disk {
    folder: Option<PathBuf>,
    sources: BTreeMap<u64, SourceFile>,
    parts: BTreeMap<FileId, PartFile>,
}

impl Disk {
    fn serve(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Offer { source, path, to } => Some(self.offer(source, path, to)),
            Request::Job(job) => self.work(job).map(Answer::Outcome),
        }
    }

    fn offer(&mut self, source: u64, path: PathBuf, to: Option<MemberId>) -> Answer {
        let opened = if self.sources.len() < SOURCES_MAX {
            SourceFile::open(&path, FILE_BYTES_MAX).map_err(|error| error.to_string())
        } else {
            Err("too many files are offered already".to_owned())
        };
        match opened {
            Ok(file) => {
                let command = ConversationCommand::OfferFile {
                    to,
                    source,
                    name: safe_file_name(&file.name),
                    size: file.size,
                    hash: file.hash,
                };
                self.sources.insert(source, file);
                Answer::Offer(command)
            }
            Err(error) => Answer::Failed { path, error },
        }
    }

    fn work(&mut self, job: FileJob) -> Option<FileOutcome> {
        let words = |error: io::Error| error.to_string();
        let gone = || "it is not open".to_owned();
        Some(match job {
            FileJob::Read {
                id,
                to,
                source,
                offset,
                len,
            } => {
                let file = self.sources.get(&source).ok_or_else(gone);
                let read = file.and_then(|file| file.read(offset, len).map_err(words));
                FileOutcome::Read { id, to, offset, read }
            }
            FileJob::Release { source } => {
                self.sources.remove(&source);
                return None;
            }
            FileJob::Open { id, name, size, hash } => FileOutcome::Opened {
                id,
                have: self.open(id, &name, size, &hash),
            },
            FileJob::Write { id, offset, bytes } => {
                let part = self.parts.get_mut(&id).ok_or_else(gone);
                let upto = part.and_then(|part| part.write(offset, &bytes).map_err(words));
                FileOutcome::Written { id, upto }
            }
            FileJob::Hash { id } => {
                let part = self.parts.get_mut(&id).ok_or_else(gone);
                let hash = part.and_then(|part| part.hash().map_err(words));
                FileOutcome::Hashed { id, hash }
            }
            FileJob::Keep { id } => {
                let part = self.parts.remove(&id).ok_or_else(gone);
                let path = part.and_then(|part| part.keep().map_err(words));
                let path = path.map(|path| path.display().to_string());
                FileOutcome::Kept { id, path }
            }
            FileJob::Close { id, delete } => {
                if let Some(part) = self.parts.remove(&id).filter(|_| delete) {
                    part.delete();
                }
                return None;
            }
        })
    }

    fn open(&mut self, id: FileId, name: &str, size: u64, hash: &[u8; 32]) -> Result<u64, String> {
        let folder = self.folder.as_deref();
        let folder =
            folder.ok_or("there is no folder for received files; choose one with --downloads DIR")?;
        let (part, have) = PartFile::open(folder, name, size, hash)
            .map_err(|error| format!("{}: {error}", Path::new(folder).display()))?;
        match self.parts.entry(id) {
            Entry::Vacant(entry) => entry.insert(part),
            Entry::Occupied(_) => return Err("it is open already".to_owned()),
        };
        Ok(have)
    }
}

impl Driver {
    /// A person wants to send a file.
    pub(super) fn offer_file(&mut self, path: PathBuf, to: Option<MemberId>) {
        self.files.offer(path, to);
    }

    pub(super) fn handle_file_answer(&mut self, answer: Answer) {
        let now = self.clock.now();
        match answer {
            Answer::Outcome(outcome) => self.participant.handle_file_outcome(now, outcome),
            Answer::Offer(command) => self
                .participant
                .handle_command(now, participant::Command::Conversation(command)),
            Answer::Failed { path, error } => self.user.tell(Event::Error(ErrorEvent {
                code: "file".to_owned(),
                message: format!("cannot send {}: {error}", path.display()),
                hint: "give the path of a file that is not empty and has at most 2 GiB".to_owned(),
            })),
        }
    }
}
