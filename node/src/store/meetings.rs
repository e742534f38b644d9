//! What a founder keeps of its meetings: a file for each, so that it can come back though nobody is there. Records are
//! appended, until a checkpoint takes the place of them all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use subrosa_proto::{ids::MeetingId, meeting::kept::KeptRecord};

use super::data_dir::{cannot, create_private, replace_private};
use crate::error::NodeError;

/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;
/// The longest file that is read. Reason: a full roster log and as many addresses take 12 MiB.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// One meeting's file, open for appending.
#[derive(Debug)]
pub struct MeetingFile {
    file: File,
    path: PathBuf,
}

fn path(folder: &Path, meeting: MeetingId) -> PathBuf {
    folder.join("meetings").join(format!("{meeting}.log"))
}

impl MeetingFile {
    /// Opens the file of `meeting`, made with mode 0600 if it is missing, and reads what it holds. A record that was cut
    /// off in the middle of writing was never acted upon; it is dropped.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Storage`].
    pub fn open(folder: &Path, meeting: MeetingId) -> Result<(Self, Vec<KeptRecord>), NodeError> {
        let path = path(folder, meeting);
        Self::try_open(folder, &path).map_err(|error| cannot("open", &path, &error))
    }

    /// Whether something is kept of `meeting`.
    #[must_use]
    pub fn exists(folder: &Path, meeting: MeetingId) -> bool {
        path(folder, meeting).exists()
    }

    fn try_open(folder: &Path, path: &Path) -> io::Result<(Self, Vec<KeptRecord>)> {
        create_private(&folder.join("meetings"))?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        if file.metadata()?.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("it is far longer than any meeting's"));
        }
        let bytes = fs::read(path)?;
        let (records, good) = read(&bytes);
        file.set_len(good as u64)?;
        file.seek(SeekFrom::End(0))?;
        let path = path.to_owned();
        Ok((Self { file, path }, records))
    }

    /// Puts `records` in the place of all that was kept, at once or not at all.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Storage`]; what was kept is as before.
    pub fn replace(&mut self, records: &[KeptRecord]) -> Result<(), NodeError> {
        let content: Vec<u8> = records.iter().flat_map(framed).collect();
        let replaced = replace_private(&self.path, &content).and_then(|()| {
            self.file = OpenOptions::new().append(true).open(&self.path)?;
            Ok(())
        });
        replaced.map_err(|error| cannot("write", &self.path, &error))
    }

    /// Adds a record. What this node's own operations rest on is on the disk when this returns.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Storage`].
    pub fn append(&mut self, record: &KeptRecord) -> Result<(), NodeError> {
        let written = self.file.write_all(&framed(record)).and_then(|()| match record {
            KeptRecord::Peer(_) => Ok(()),
            _ => self.file.sync_data(),
        });
        written.map_err(|error| cannot("write", &self.path, &error))
    }
}

/// A record behind its length.
fn framed(record: &KeptRecord) -> Vec<u8> {
    let body = record.encode();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// The records up to the first that is not whole, and where they end.
fn read(bytes: &[u8]) -> (Vec<KeptRecord>, usize) {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((length, rest)) = bytes[at..].split_first_chunk::<LENGTH_BYTES>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some(record) = rest.get(..length).and_then(|body| KeptRecord::decode(body).ok()) else {
            break;
        };
        records.push(record);
        at += LENGTH_BYTES + length;
    }
    (records, at)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use subrosa_proto::ids::OperationHash;

    use super::*;

    fn secret(n: u8) -> KeptRecord {
        KeptRecord::RoomSecret {
            operation: OperationHash([n; 32]),
            secret: [n; 32],
        }
    }

    #[test]
    fn records_survive_are_replaced_and_a_torn_one_is_dropped() {
        let folder = std::env::temp_dir().join(format!("subrosa-meetings-{}", std::process::id()));
        let meeting = MeetingId([7; 16]);
        assert!(!MeetingFile::exists(&folder, meeting));
        let (mut file, none) = MeetingFile::open(&folder, meeting).unwrap();
        assert!(none.is_empty());
        file.append(&secret(1)).unwrap();
        file.append(&secret(2)).unwrap();
        drop(file);
        let place = path(&folder, meeting);
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = fs::read(&place).unwrap();
        fs::write(&place, &whole[..whole.len() - 3]).unwrap();
        let (mut file, records) = MeetingFile::open(&folder, meeting).unwrap();
        assert_eq!(records, [secret(1)]);
        file.append(&secret(3)).unwrap();
        drop(file);
        let (mut file, records) = MeetingFile::open(&folder, meeting).unwrap();
        assert_eq!(records, [secret(1), secret(3)]);
        file.replace(&[secret(4)]).unwrap();
        file.append(&secret(5)).unwrap();
        drop(file);
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        let (_, records) = MeetingFile::open(&folder, meeting).unwrap();
        assert_eq!(records, [secret(4), secret(5)]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
