//! Files of transfers on disk: read at the sender, written beside their final name at the receiver.
//!
//! An unfinished file is called by the hash of what it will be, so that another attempt finds it. Nothing is ever
//! overwritten.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write as _},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

/// Bytes hashed at a time.
const HASH_BUFFER_BYTES: usize = 256 * 1_024;
/// Numbers that are tried for a name that is taken.
const NUMBERS_MAX: u32 = 10_000;

/// A file to be sent: open from the moment of its hashing, so that what was offered is what is read.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    /// Its name, without folders.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub hash: [u8; 32],
}

impl SourceFile {
    /// Opens and hashes a file. Takes as long as reading it.
    ///
    /// # Errors
    /// Those of the file system; `InvalidInput` for what is no regular file, is empty, or has more than `max` bytes.
    pub fn open(path: &Path, max: u64) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
        if !meta.is_file() {
            return refuse("not a regular file");
        }
        if meta.len() == 0 {
            return refuse("the file is empty");
        }
        if meta.len() > max {
            return refuse("the file is larger than what can be sent");
        }
        let mut file = File::open(path)?;
        let (hash, size) = hash_of(&mut file)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            file,
            name: name.unwrap_or_default(),
            size,
            hash,
        })
    }

    /// `len` bytes from `offset`.
    ///
    /// # Errors
    /// Those of the file system; `UnexpectedEof` if the file became shorter.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// A file that is being received.
#[derive(Debug)]
pub struct PartFile {
    file: File,
    folder: PathBuf,
    path: PathBuf,
    name: String,
    written: u64,
}

impl PartFile {
    /// Opens the unfinished file for `hash` in `folder`, made if missing, cut to `size`; gives the bytes that are there.
    /// `name` is a safe name for the end.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(folder: &Path, name: &str, size: u64, hash: &[u8; 32]) -> io::Result<(Self, u64)> {
        if Path::new(name).components().count() != 1 || name.contains('/') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name is not safe",
            ));
        }
        fs::create_dir_all(folder)?;
        let path = folder.join(format!(".{}.part", HEXLOWER.encode(hash)));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            // What lies under this name and is a link leads elsewhere.
            .custom_flags(libc_o_nofollow())
            .open(&path)?;
        let have = file.metadata()?.len();
        let have = if have > size { 0 } else { have };
        file.set_len(have)?;
        let part = Self {
            file,
            folder: folder.to_owned(),
            path,
            name: name.to_owned(),
            written: have,
        };
        Ok((part, have))
    }

    /// Writes at the end; gives how much is written.
    ///
    /// # Errors
    /// Those of the file system; `InvalidInput` if `offset` is not the end.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        if offset != self.written {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not at the end of the file",
            ));
        }
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(self.written)
    }

    /// BLAKE3 of everything that is written. Takes as long as reading it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn hash(&mut self) -> io::Result<[u8; 32]> {
        self.file.sync_all()?;
        hash_of(&mut self.file).map(|(hash, _)| hash)
    }

    /// Gives the file its name, or that name with a number if it is taken.
    ///
    /// # Errors
    /// Those of the file system; the unfinished file is still there.
    pub fn keep(self) -> io::Result<PathBuf> {
        for number in 0..NUMBERS_MAX {
            let target = self.folder.join(numbered(&self.name, number));
            // A hard link fails if the name is taken: nothing is overwritten, not even in a race.
            match fs::hard_link(&self.path, &target) {
                Ok(()) => {
                    fs::remove_file(&self.path)?;
                    return Ok(target);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) if !target.exists() => {
                    // A file system without hard links.
                    fs::rename(&self.path, &target)?;
                    return Ok(target);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "too many files of this name",
        ))
    }

    /// Deletes what was written.
    pub fn delete(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// `O_NOFOLLOW` of Linux on every architecture that this is built for but the few that differ, where it is left out.
const fn libc_o_nofollow() -> i32 {
    if cfg!(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "x86")
    )) {
        0o400_000
    } else {
        0
    }
}

fn hash_of(file: &mut File) -> io::Result<([u8; 32], u64)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((*hasher.finalize().as_bytes(), size)),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// `report.pdf`, `report (1).pdf`, `report (2).pdf`, …
fn numbered(name: &str, number: u32) -> String {
    match (number, name.rsplit_once('.')) {
        (0, _) => name.to_owned(),
        (_, Some((stem, extension))) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
        _ => format!("{name} ({number})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("subrosa-transfers-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_file_is_found_again_after_an_interruption_and_overwrites_nothing() {
        let folder = scratch("resume");
        let hash = *blake3::hash(b"hello world").as_bytes();
        fs::write(folder.join("a.txt"), "mine").unwrap();
        let (mut part, have) = PartFile::open(&folder, "a.txt", 11, &hash).unwrap();
        assert_eq!((have, part.write(0, b"hello ").unwrap()), (0, 6));
        assert!(part.write(0, b"x").is_err() && part.write(7, b"x").is_err());
        drop(part);
        let (mut part, have) = PartFile::open(&folder, "a.txt", 11, &hash).unwrap();
        assert_eq!(have, 6);
        part.write(6, b"world").unwrap();
        assert_eq!(part.hash().unwrap(), hash);
        let kept = part.keep().unwrap();
        assert_eq!(kept.file_name().unwrap(), "a (1).txt");
        assert_eq!(fs::read(&kept).unwrap(), b"hello world");
        assert_eq!(fs::read(folder.join("a.txt")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_name_with_folders_or_an_unfinished_file_that_is_a_link_is_refused() {
        let folder = scratch("names");
        for name in ["../a", "a/b", "..", "/etc/passwd", ""] {
            assert!(PartFile::open(&folder, name, 1, &[1; 32]).is_err(), "{name}");
        }
        let precious = folder.join("precious");
        fs::write(&precious, "precious").unwrap();
        let part = folder.join(format!(".{}.part", HEXLOWER.encode(&[2; 32])));
        std::os::unix::fs::symlink(&precious, part).unwrap();
        assert!(PartFile::open(&folder, "a", 1, &[2; 32]).is_err());
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_sent_is_told_apart() {
        let folder = scratch("source");
        fs::write(folder.join("empty"), "").unwrap();
        fs::write(folder.join("good"), "12345").unwrap();
        assert!(SourceFile::open(&folder.join("empty"), 10).is_err());
        assert!(SourceFile::open(&folder, 10).is_err());
        assert!(SourceFile::open(&folder.join("good"), 4).is_err());
        let good = SourceFile::open(&folder.join("good"), 5).unwrap();
        assert_eq!((good.name.as_str(), good.size), ("good", 5));
        assert_eq!(good.read(1, 3).unwrap(), b"234");
        assert!(good.read(3, 3).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
