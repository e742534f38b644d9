//! GeoIP sources that the user supplies: files in MaxMind's DB format, asked where a relay's addresses are.
//!
//! None is shipped, none is fetched. What the answers come to is decided in `subrosa_proto::policy::location`.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use maxminddb::{Reader, WithinOptions, path};
use subrosa_proto::policy::{
    Evidence, VerifiedDescriptor,
    location::{Answer, LocationBook, SOURCES_MAX},
};

use crate::error::{ErrorKind, NodeError};

/// Largest file that is read, in bytes. Reason: it is kept in memory; the largest city databases have some 150 MB.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Networks that are looked at for a country before a file is taken for one without any. Reason: files of countries name
/// one for nearly each network.
const SAMPLE_MAX: usize = 1_000;

/// The sources, opened.
#[derive(Default)]
pub struct GeoIp {
    sources: Vec<Reader<Vec<u8>>>,
}

impl GeoIp {
    /// Opens the files.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with file, fault and advice: more than [`SOURCES_MAX`], unreadable, too large, not in MaxMind's
    /// format, without countries, or the same data twice.
    pub fn open(paths: &[PathBuf]) -> Result<Self, NodeError> {
        if paths.len() > SOURCES_MAX {
            return Err(NodeError::new(
                ErrorKind::Config,
                format!(
                    "{} GeoIP files are given, at most {SOURCES_MAX} are used",
                    paths.len()
                ),
                "keep those of different makers",
            ));
        }
        let mut given: Vec<(&Path, Vec<u8>)> = Vec::new();
        for path in paths {
            let bytes = read(path)?;
            // One maker's data twice would agree with itself.
            if let Some((other, _)) = given.iter().find(|(_, known)| *known == bytes) {
                return Err(NodeError::new(
                    ErrorKind::Config,
                    format!(
                        "the GeoIP files {} and {} hold the same data",
                        other.display(),
                        path.display()
                    ),
                    "give files of different makers: what one says twice counts once",
                ));
            }
            given.push((path, bytes));
        }
        let opened = given.into_iter().map(|(path, bytes)| understand(path, bytes));
        Ok(Self {
            sources: opened.collect::<Result<_, _>>()?,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// What each source says about an address.
    #[must_use]
    pub fn ask(&self, address: IpAddr) -> Vec<Answer> {
        self.sources
            .iter()
            .map(|source| answer(source, address))
            .collect()
    }

    /// What they say about these relays.
    pub fn evidence<'a>(&self, relays: impl IntoIterator<Item = &'a VerifiedDescriptor>) -> Evidence {
        let mut locations = LocationBook::new(self.sources());
        for relay in relays {
            for address in locations.unasked(relay) {
                locations.insert(address, self.ask(address));
            }
        }
        Evidence { locations }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NodeError> {
    let fault = |why: String, hint: &str| {
        NodeError::new(
            ErrorKind::Config,
            format!("cannot read the GeoIP file {}: {why}", path.display()),
            hint,
        )
    };
    let unreadable = |error: io::Error| fault(error.to_string(), "check the path and its permissions");
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(fault(
            format!("it has {length} bytes, at most {FILE_BYTES_MAX} are read"),
            "give the maker's file of countries, which is smaller than that of cities",
        ));
    }
    fs::read(path).map_err(|error| fault(error.to_string(), "give the unpacked .mmdb file, not a folder"))
}

fn understand(path: &Path, bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, NodeError> {
    let reader = Reader::from_source(bytes).map_err(|error| {
        NodeError::new(
            ErrorKind::Config,
            format!(
                "the GeoIP file {} is not in MaxMind's DB format: {error}",
                path.display()
            ),
            "give the unpacked .mmdb file; it may be damaged, or of another format (.csv, .tar.gz)",
        )
    })?;
    if names_countries(&reader) {
        return Ok(reader);
    }
    Err(NodeError::new(
        ErrorKind::Config,
        format!(
            "the GeoIP file {} ({}) names no countries",
            path.display(),
            reader.metadata().database_type
        ),
        "give the maker's file of countries or cities",
    ))
}

fn names_countries(reader: &Reader<Vec<u8>>) -> bool {
    let Ok(networks) = reader.networks(WithinOptions::default()) else {
        return false;
    };
    networks
        .take(SAMPLE_MAX)
        .flatten()
        .any(|found| code(&found).is_some())
}

fn answer(source: &Reader<Vec<u8>>, address: IpAddr) -> Answer {
    // An IPv6 address in a file of IPv4 only is an error there; here the source does not know it.
    let found = source.lookup(address.to_canonical()).ok();
    Answer::from_code(found.and_then(|found| code(&found)).as_deref())
}

/// The country's code, as the makers write it: `country.iso_code` (MaxMind, DB-IP), `country_code` or `country` (others). Where
/// an address is registered is something else, and is not looked at.
fn code(found: &maxminddb::LookupResult<'_, Vec<u8>>) -> Option<String> {
    [
        &path!["country", "iso_code"][..],
        &path!["country_code"][..],
        &path!["country"][..],
    ]
    .into_iter()
    .find_map(|place| found.decode_path::<String>(place).ok().flatten())
}
