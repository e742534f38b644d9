//! One member as a process. It ends with this value.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a member may take to get in.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known from its events. Only the latest is kept, so that this program's own memory says nothing.
#[derive(Default)]
struct Known {
    ticket: Option<String>,
    joined: bool,
    safety_code: String,
    peers: BTreeMap<String, Reception>,
    errors: u64,
    ended: bool,
}

/// What arrived, from all peers together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reception {
    pub(crate) peers: usize,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) recovered: u64,
    pub(crate) concealed: u64,
    pub(crate) undecryptable: u64,
}

/// See the module.
pub(crate) struct Member {
    child: Child,
    known: Arc<Mutex<Known>>,
}

fn binary() -> PathBuf {
    std::env::var_os("SUBROSA_BIN").map_or_else(
        || {
            let own = std::env::current_exe().expect("this runs from a file");
            let profile = own
                .parent()
                .and_then(Path::parent)
                .expect("target/PROFILE/examples");
            profile.join("subrosa")
        },
        PathBuf::from,
    )
}

impl Member {
    /// Founds the meeting.
    pub(crate) fn found(folder: &Path, clip: &Path, minutes: f64) -> Self {
        Self::start(folder, 0, &["new", "--admit", "ticket"], clip, minutes)
    }

    /// Joins it.
    pub(crate) fn join(folder: &Path, index: usize, ticket: &str, clip: &Path, minutes: f64) -> Self {
        let mut member = Self::start(folder, index, &["join", "-"], clip, minutes);
        member.say(ticket);
        member
    }

    fn start(folder: &Path, index: usize, first: &[&str], clip: &Path, minutes: f64) -> Self {
        // What was heard is thrown away: a recording would fill the disk.
        let audio = format!("file:{},/dev/null", clip.display());
        let lifetime = (minutes * 60.0 + 120.0).to_string();
        let data_dir = folder.join(format!("data-{index}"));
        let mut child = Command::new(binary())
            .args(first)
            .args(["--headless", "--json", "--listen", "127.0.0.1:0"])
            .args(["--name", &format!("member-{index}"), "--audio", &audio])
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--leave-after", &lifetime])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs: build it with `cargo build -p subrosa-cli`");
        let stdout = child.stdout.take().expect("a pipe");
        let known = Arc::new(Mutex::new(Known::default()));
        let shared = Arc::clone(&known);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    lock(&shared).note(index, &event);
                }
            }
            lock(&shared).ended = true;
        });
        Self { child, known }
    }

    fn say(&mut self, line: &str) {
        if let Some(stdin) = &mut self.child.stdin {
            // A member that has ended is noticed by its closed stdout.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    fn wait(&self, what: &str, done: impl Fn(&Known) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done(&lock(&self.known)) {
            assert!(Instant::now() < until, "a member has no {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The invitation.
    pub(crate) fn ticket(&self) -> String {
        self.wait("ticket", |known| known.ticket.is_some());
        lock(&self.known).ticket.clone().unwrap_or_default()
    }

    /// Waits until it is in.
    pub(crate) fn wait_joined(&self) {
        self.wait("place in the meeting", |known| known.joined);
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As it was last told.
    pub(crate) fn safety_code(&self) -> String {
        lock(&self.known).safety_code.clone()
    }

    /// `error` events so far.
    pub(crate) fn errors(&self) -> u64 {
        lock(&self.known).errors
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.known).ended
    }

    /// What arrived, by the latest statistics.
    pub(crate) fn reception(&self) -> Reception {
        let known = lock(&self.known);
        known
            .peers
            .values()
            .fold(Reception::default(), |sum, peer| Reception {
                peers: sum.peers + 1,
                received: sum.received + peer.received,
                lost: sum.lost + peer.lost,
                recovered: sum.recovered + peer.recovered,
                concealed: sum.concealed + peer.concealed,
                undecryptable: sum.undecryptable + peer.undecryptable,
            })
    }

    /// Says goodbye and waits for the end.
    pub(crate) fn leave(&mut self) {
        self.say(r#"{"cmd":"leave"}"#);
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Known {
    fn note(&mut self, index: usize, event: &Value) {
        if let Some(code) = event["safety_code"].as_str() {
            code.clone_into(&mut self.safety_code);
        }
        match event["event"].as_str().unwrap_or_default() {
            "ticket" => self.ticket = event["ticket"].as_str().map(str::to_owned),
            "joined" => self.joined = true,
            "error" => {
                self.errors += 1;
                eprintln!("member {index}: {event}");
            }
            "stats" => {
                for peer in event["peers"].as_array().into_iter().flatten() {
                    let figure = |name: &str| peer[name].as_u64().unwrap_or(0);
                    let reception = Reception {
                        peers: 1,
                        received: figure("received"),
                        lost: figure("lost"),
                        recovered: figure("recovered"),
                        concealed: figure("concealed"),
                        undecryptable: figure("undecryptable"),
                    };
                    self.peers
                        .insert(peer["member"].as_str().unwrap_or_default().to_owned(), reception);
                }
            }
            _ => {}
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
