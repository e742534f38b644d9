//! Every packet on every interface of a network namespace, by tcpdump. It ends with the value that owns it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    packet::{self, Packet},
    process::PATIENCE,
};

/// The kernel's buffer, in KiB: more than a test sends while tcpdump waits for its turn on a busy machine.
const BUFFER_KIB: &str = "65536";

/// See the module.
pub(crate) struct Capture {
    child: Child,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    said: Option<JoinHandle<Vec<String>>>,
}

impl Capture {
    /// Begins; whatever is sent after it returns is captured.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn start(namespace: &str) -> Result<Self, String> {
        let mut child = Command::new("ip")
            .args([
                "netns", "exec", namespace, "tcpdump", "-i", "any", "-w", "-", "-U",
            ])
            .args(["-s", "0", "-B", BUFFER_KIB, "-Z", "root"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("ip: {error}"))?;
        let (mut stdout, stderr) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                let mut bytes = written.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&buffer[..count]);
            }
        });
        let (begins, begun) = mpsc::channel();
        let said = thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines
                .inspect(|line| {
                    if line.contains("listening on") {
                        let _ = begins.send(());
                    }
                })
                .collect()
        });
        let mut capture = Self {
            child,
            bytes,
            reader: Some(reader),
            said: Some(said),
        };
        if begun.recv_timeout(PATIENCE).is_err() {
            capture.kill();
            return Err(format!("tcpdump captures nothing: {}", capture.words()));
        }
        Ok(capture)
    }

    /// What was captured so far.
    pub(crate) fn packets(&self) -> Vec<Packet> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        packet::read(&bytes).expect("every packet can be read")
    }

    /// Waits until what was captured is as `wanted`.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&[Packet]) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(&self.packets()) {
            assert!(Instant::now() < until, "{what} was not captured");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends; everything that was captured. Nothing was left out.
    pub(crate) fn end(mut self) -> Vec<Packet> {
        let pid = self.child.id().to_string();
        let interrupted = Command::new("kill").args(["-INT", &pid]).status();
        assert!(interrupted.is_ok_and(|status| status.success()), "tcpdump runs");
        self.child.wait().expect("it is our child");
        self.reader.take().map(JoinHandle::join);
        let packets = self.packets();
        let words = self.words();
        assert!(words.contains("\n0 packets dropped by kernel"), "{words}");
        packets
    }

    fn words(&mut self) -> String {
        let said = self.said.take().map(JoinHandle::join);
        said.and_then(Result::ok).unwrap_or_default().join("\n")
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.kill();
    }
}
