//! Lines of stdin with a bounded length.

use std::{
    io::{self, BufRead, Read},
    thread,
};

use tokio::sync::mpsc;

/// Longest line that is taken, in bytes. A command is under 200; a pasted ticket under 8,192.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines that may wait. Beyond it the writer waits, as on any full pipe.
const LINES_WAITING_MAX: usize = 16;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StdinLine {
    /// A whole line, without its end.
    Text(String),
    /// A line longer than [`LINE_BYTES_MAX`], thrown away.
    TooLong,
    /// A line that is not UTF-8, thrown away.
    NotUtf8,
    /// Nothing comes any more.
    End,
}

/// Reads stdin on a thread of its own: a blocked read cannot be cancelled, so it must not hold up the process's end.
pub(crate) fn lines() -> mpsc::Receiver<StdinLine> {
    let (sender, receiver) = mpsc::channel(LINES_WAITING_MAX);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let line = read_line(&mut input).unwrap_or(StdinLine::End);
            let end = line == StdinLine::End;
            if sender.blocking_send(line).is_err() || end {
                return;
            }
        }
    });
    receiver
}

/// Reads one line.
///
/// # Errors
/// Those of the reader.
pub(crate) fn read_line(input: &mut impl BufRead) -> io::Result<StdinLine> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    let read = input.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(StdinLine::End);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if read > LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(StdinLine::TooLong);
    }
    Ok(String::from_utf8(bytes).map_or(StdinLine::NotUtf8, StdinLine::Text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_reading_goes_on_after_a_bad_one() {
        let mut input = b"one\n".to_vec();
        input.extend(vec![b'x'; LINE_BYTES_MAX * 3]);
        input.extend(b"\n\xff\n");
        input.extend(vec![b'y'; LINE_BYTES_MAX]);
        input.extend(b"\nlast");
        let mut input = io::Cursor::new(input);
        let mut next = || read_line(&mut input).unwrap();
        assert_eq!(next(), StdinLine::Text("one".into()));
        assert_eq!(next(), StdinLine::TooLong);
        assert_eq!(next(), StdinLine::NotUtf8);
        assert_eq!(next(), StdinLine::Text("y".repeat(LINE_BYTES_MAX)));
        assert_eq!(next(), StdinLine::Text("last".into()));
        assert_eq!(next(), StdinLine::End);
    }
}
