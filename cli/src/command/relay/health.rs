//! `subrosa relay health`: asks a relay that runs on this machine how it does, for a container's or a load balancer's checks.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use subrosa_node::error::{ErrorKind, NodeError};

use super::print;
use crate::relay_args::HealthArgs;

/// How long the answer may take in all. The relay itself answers 503 when its event loop has not answered for some seconds.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How often a relay that may be starting is asked.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// Longest answer that is read: a status line, a few headers, one sentence.
const ANSWER_BYTES_MAX: usize = 4_096;

/// Asks until the relay does well or the time is over, and prints its answer. The settings file is not read: a wrong one does
/// not make a running relay sick.
///
/// # Errors
/// [`ErrorKind::Unreachable`] if nobody answers, [`ErrorKind::Check`] with the relay's reason if it is not well.
pub(super) fn run(args: &HealthArgs) -> Result<u8, NodeError> {
    let until = Instant::now() + Duration::from_secs(u64::from(args.wait));
    loop {
        match check(args.at, args.ready) {
            Ok(said) => return print(&said),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => thread::sleep(ASK_INTERVAL),
        }
    }
}

fn check(at: SocketAddr, ready: bool) -> Result<String, NodeError> {
    let path = if ready { "/readyz" } else { "/healthz" };
    let answer = ask(at, path).map_err(|e| {
        NodeError::new(
            ErrorKind::Unreachable,
            format!("the relay does not answer at {at}: {e}"),
            "is it running, and is --at the `metrics` of its settings?",
        )
    })?;
    match parse(&answer) {
        Some((200, said)) => Ok(said.to_owned()),
        Some((503, said)) => Err(NodeError::new(
            ErrorKind::Check,
            format!("the relay is not well: {said}"),
            "its log says more",
        )),
        _ => Err(NodeError::new(
            ErrorKind::Check,
            format!("what answers at {at} is not a relay's health"),
            "is --at the `metrics` of the relay's settings?",
        )),
    }
}

/// One request (RFC 9112), and what came until the other side closed.
fn ask(at: SocketAddr, path: &str) -> io::Result<String> {
    let until = Instant::now() + ANSWER_MAX;
    let mut stream = TcpStream::connect_timeout(&at, ANSWER_MAX)?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut filled = 0;
    while filled < answer.len() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut answer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    answer.truncate(filled);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status and the sentence of an answer; `None` if it is not HTTP.
fn parse(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some((status.parse().ok()?, body.trim()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_its_status_and_its_sentence() {
        let well = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nalive\n";
        assert_eq!(parse(well), Some((200, "alive")));
        let sick = "HTTP/1.1 503 Service Unavailable\r\n\r\ndraining\n";
        assert_eq!(parse(sick), Some((503, "draining")));
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        for wrong in [
            "",
            "alive",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
