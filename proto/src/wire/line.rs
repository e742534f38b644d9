//! Records that people pass on as one line: alike in how they are written and read, and in what can be wrong with them.

use bincode::{Decode, Encode};

use super::{
    armor::{self, ArmorError},
    codec,
};

/// How one kind of record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFormat {
    /// What it is called, with its article: "an attestation".
    pub record: &'static str,
    /// What its line begins with.
    pub prefix: &'static str,
    /// The version that is written, and the only one that is read.
    pub version: u8,
}

/// Why text is not such a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Other or damaged text.
    #[error("this is not {}, which begins with `{}`: {fault}", .format.record, .format.prefix)]
    Text {
        /// What was expected.
        format: LineFormat,
        /// What is wrong with the line.
        fault: ArmorError,
    },
    /// Made for another version of Subrosa.
    #[error("this is {} of version {found}, this program reads version {}", .format.record, .format.version)]
    OtherVersion {
        /// What was expected.
        format: LineFormat,
        /// The version that it has.
        found: u8,
    },
    /// Undamaged, yet not such a record.
    #[error("this is not {}, though it begins like one: it is malformed", .format.record)]
    Malformed {
        /// What was expected.
        format: LineFormat,
    },
}

impl LineFormat {
    /// One line: the prefix and base64url with a checksum.
    pub fn write(&self, record: &impl Encode) -> String {
        armor::write(self.prefix, self.version, &codec::encode(record))
    }

    /// Reads [`Self::write`].
    ///
    /// # Errors
    /// [`LineError`] that tells other text, damage and another version apart.
    pub fn read<T: Encode + Decode<()>>(&self, text: &str) -> Result<T, LineError> {
        let format = *self;
        let (found, payload) =
            armor::read(self.prefix, text).map_err(|fault| LineError::Text { format, fault })?;
        if found != self.version {
            return Err(LineError::OtherVersion { format, found });
        }
        codec::decode(&payload).map_err(|_| LineError::Malformed { format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: LineFormat = LineFormat {
        record: "a number",
        prefix: "subrosa-number:",
        version: 1,
    };

    #[test]
    fn a_record_is_read_as_it_was_written_and_errors_are_told_apart() {
        assert_eq!(FORMAT.read(&FORMAT.write(&7_u64)), Ok(7_u64));
        let error = |text: &str| FORMAT.read::<u64>(text).unwrap_err();
        let other = error("no");
        assert_eq!(
            other.to_string(),
            "this is not a number, which begins with `subrosa-number:`: it is other text"
        );
        assert_eq!(
            error(&armor::write(FORMAT.prefix, 9, b"")),
            LineError::OtherVersion {
                format: FORMAT,
                found: 9
            }
        );
        assert_eq!(
            error(&armor::write(FORMAT.prefix, 1, b"")),
            LineError::Malformed { format: FORMAT }
        );
    }
}
