//! A child process of the demo that speaks JSON lines.

use std::{fs::File, io::Write, path::Path, process::Stdio};

use serde_json::Value;
use subrosa_node::error::{ErrorKind, NodeError};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::{Duration, timeout},
};

/// How long a child may take to end after it was told to.
const END_DEADLINE: Duration = Duration::from_secs(8);

/// Something that a child said.
#[derive(Debug)]
pub(super) enum Said {
    /// One line of JSON.
    Line(Value),
    /// It closed its stdout: it ended or is about to.
    Ended,
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts this program with `arguments`; what it says goes to `said` under `who` and to a file that ends in
    /// `.jsonl`, its log to the one beside it that ends in `.log`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it does not start, [`ErrorKind::Storage`] if the log cannot be made.
    pub(super) fn start(
        who: usize,
        arguments: &[String],
        files: &Path,
        said: mpsc::Sender<(usize, Said)>,
    ) -> Result<Self, NodeError> {
        let program = std::env::current_exe().map_err(|e| cannot_start(&e))?;
        let create = |extension: &str| {
            let path = files.with_extension(extension);
            File::create(&path).map_err(|e| super::cannot_write(&path, &e))
        };
        let log = create("log")?;
        let mut events = create("jsonl")?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| cannot_start(&e))?;
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    // For whoever looks for what went wrong; the demo itself does not need it.
                    let _ = writeln!(events, "{line}");
                    // A line that is not JSON would be a fault of ours; the wait for the right one then times out.
                    if let Ok(value) = serde_json::from_str(&line)
                        && said.send((who, Said::Line(value))).await.is_err()
                    {
                        return;
                    }
                }
                let _ = said.send((who, Said::Ended)).await;
            });
        }
        Ok(Self { child, stdin })
    }

    /// Writes a line to its stdin. A child that has ended is noticed by its closed stdout, not here.
    pub(super) async fn say(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
            let _ = stdin.flush().await;
        }
    }

    /// Sends it SIGINT, as Ctrl-C does. `kill` is the POSIX utility: the signal itself would need unsafe code.
    pub(super) async fn interrupt(&mut self) {
        if let Some(pid) = self.child.id() {
            let _ = Command::new("kill")
                .args(["-INT", &pid.to_string()])
                .stderr(Stdio::null())
                .status()
                .await;
        }
    }

    /// Waits for its end; its exit status, or `None` if it had to be killed.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        if let Ok(status) = timeout(END_DEADLINE, self.child.wait()).await {
            return status.ok()?.code();
        }
        let _ = self.child.kill().await;
        None
    }
}

fn cannot_start(error: &std::io::Error) -> NodeError {
    NodeError::new(
        ErrorKind::Internal,
        format!("cannot start a process of the demo: {error}"),
        "close other programs, or raise the limit on processes (ulimit -u)",
    )
}
