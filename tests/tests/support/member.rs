//! A member of a meeting as a process of its own.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use subrosa_node::audio::wav;

use super::{
    Scratch, binary, isolated,
    process::{Process, Said},
};

/// A member ends by itself after this many seconds in the meeting, should nobody end it.
const LIFETIME_SECONDS: u32 = 200;

/// How to start a member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The clip that it plays into its microphone.
    pub(crate) says: Option<PathBuf>,
    /// No sound at all, not even a file of what it hears.
    pub(crate) silent: bool,
    /// Where it keeps its state; a directory of its own by default.
    pub(crate) data_dir: Option<PathBuf>,
    /// The network namespace in which it runs; this process's by default.
    pub(crate) namespace: Option<String>,
    /// Further arguments.
    pub(crate) arguments: Vec<String>,
}

impl Options {
    /// Without sound.
    pub(crate) fn silent() -> Self {
        Self {
            silent: true,
            ..Self::default()
        }
    }

    /// Speaks the clip at `path`.
    pub(crate) fn says(path: &Path) -> Self {
        Self {
            says: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// With further arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&a| a.to_owned()));
        self
    }

    /// With this relay, by its descriptor's line.
    pub(crate) fn relay(self, descriptor: &str) -> Self {
        self.with(&["--relay", descriptor])
    }
}

/// See the module.
pub(crate) struct Member {
    process: Process,
    /// Where it keeps its state.
    pub(crate) data_dir: PathBuf,
    /// Where it writes what it hears.
    pub(crate) heard: PathBuf,
    /// Where it puts files that it accepts.
    pub(crate) downloads: PathBuf,
}

impl Deref for Member {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Member {
    /// Founds a meeting that every ticket's holder may enter.
    pub(crate) fn found(home: &Scratch, name: &str, options: &Options) -> Self {
        let mut options = options.clone();
        if !options.arguments.iter().any(|a| a == "--admit") {
            options = options.with(&["--admit", "ticket"]);
        }
        Self::start(home, name, &["new"], &options)
    }

    /// Joins by ticket.
    pub(crate) fn join(home: &Scratch, name: &str, ticket: &str, options: &Options) -> Self {
        let mut member = Self::start(home, name, &["join", "-"], options);
        member.say(ticket);
        member
    }

    fn start(home: &Scratch, name: &str, first: &[&str], options: &Options) -> Self {
        let heard = home.unused(&format!("{name}-heard.wav"));
        let data_dir = options
            .data_dir
            .clone()
            .unwrap_or_else(|| home.unused(&format!("{name}-data")));
        let downloads = data_dir.with_extension("downloads");
        let says = options
            .says
            .as_ref()
            .map_or(String::new(), |path| path.display().to_string());
        let audio = if options.silent {
            "null".to_owned()
        } else {
            format!("file:{says},{}", heard.display())
        };
        let mut arguments: Vec<String> = first.iter().map(|&a| a.to_owned()).collect();
        for pair in [
            ["--name", name],
            ["--audio", &audio],
            ["--data-dir", &data_dir.display().to_string()],
            ["--leave-after", &LIFETIME_SECONDS.to_string()],
            ["--downloads", &downloads.display().to_string()],
        ] {
            arguments.extend(pair.map(str::to_owned));
        }
        if !options.arguments.iter().any(|a| a == "--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"].map(str::to_owned));
        }
        if first[0] == "join" && !options.arguments.iter().any(|a| a == "--wait") {
            arguments.extend(["--wait", "10"].map(str::to_owned));
        }
        arguments.extend(["--headless".to_owned(), "--json".to_owned()]);
        arguments.extend(options.arguments.iter().cloned());
        Self {
            process: match &options.namespace {
                None => Process::start(home, name, &arguments),
                Some(namespace) => {
                    let mut command = isolated(Command::new("ip"), home);
                    command.args(["netns", "exec", namespace]).arg(binary());
                    Process::start_with(command, home, name, &arguments)
                }
            },
            data_dir,
            heard,
            downloads,
        }
    }

    /// Gives a command.
    pub(crate) fn command(&mut self, command: &Value) {
        self.process.say(&command.to_string());
    }

    /// Gives a command about a member.
    pub(crate) fn about(&mut self, command: &str, member: &str) {
        self.command(&json!({"cmd": command, "member": member}));
    }

    /// Its ticket.
    pub(crate) fn ticket(&self) -> String {
        text(&self.wait_for("ticket").event["ticket"])
    }

    /// Its identity in hexadecimal.
    pub(crate) fn id(&self) -> String {
        text(&self.wait_for("ready").event["node"])
    }

    /// Waits until it is in.
    pub(crate) fn wait_joined(&self) -> Said {
        self.wait_for("joined")
    }

    /// Waits for the first event of this kind.
    pub(crate) fn wait_for(&self, kind: &str) -> Said {
        self.wait(kind, |event| event["event"] == kind)
    }

    /// Waits until it has a path to `others` peers at once.
    pub(crate) fn wait_connected(&self, others: usize) {
        let mut paths = std::collections::BTreeMap::new();
        self.wait(&format!("path to {others} peers"), |event| {
            if event["event"] == "route" {
                paths.insert(text(&event["peer"]), event["path"] != "none");
            }
            paths.values().filter(|&&has| has).count() >= others
        });
    }

    /// The safety code as it was last told.
    pub(crate) fn safety_code(&self) -> String {
        let said = self.said();
        let mut codes = said
            .iter()
            .rev()
            .filter_map(|said| said.event["safety_code"].as_str());
        codes.next().unwrap_or_default().to_owned()
    }

    /// When its clip's first sample was taken, in seconds since 1970.
    pub(crate) fn clip_began(&self) -> f64 {
        let said = self.wait("clip", |e| {
            e["event"] == "audio" && e["input_started_unix_us"].is_u64()
        });
        seconds(&said.event["input_started_unix_us"])
    }

    /// When its recording's first sample was heard, in seconds since 1970.
    pub(crate) fn recording_began(&self) -> f64 {
        let said = self.wait("recording", |e| {
            e["event"] == "audio" && e["output_started_unix_us"].is_u64()
        });
        seconds(&said.event["output_started_unix_us"])
    }

    /// What it heard so far, 48 kHz.
    pub(crate) fn hearing(&self) -> Vec<f32> {
        wav::read(&self.heard).expect("what was heard can be read")
    }

    /// The latest figure about reception from `peer`.
    pub(crate) fn reception(&self, peer: &str, figure: &str) -> u64 {
        let said = self.said();
        let peers = said
            .iter()
            .rev()
            .filter(|said| said.event["event"] == "stats")
            .flat_map(|said| said.event["peers"].as_array().into_iter().flatten());
        peers
            .filter(|entry| entry["member"] == peer)
            .find_map(|entry| entry[figure].as_u64())
            .unwrap_or(0)
    }

    /// The first report by which so many packets came from `peer`, and how many these are. Reports come every two seconds.
    pub(crate) fn wait_received(&self, peer: &str, packets: u64) -> (Said, u64) {
        let received = |event: &Value| {
            let mut peers = event["peers"].as_array().into_iter().flatten();
            let entry = peers.find(|entry| entry["member"] == peer)?;
            entry["received"].as_u64()
        };
        let said = self.wait(&format!("{packets} packets of speech"), |event| {
            received(event).is_some_and(|count| count >= packets)
        });
        let count = received(&said.event).unwrap_or_default();
        (said, count)
    }

    /// Leaves; it must end well.
    pub(crate) fn leave(&mut self) {
        self.command(&json!({"cmd": "leave"}));
        let status = self.wait_end();
        assert_eq!(status, 0, "{}", self.story());
    }
}

/// A JSON string's text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn seconds(micros: &Value) -> f64 {
    micros.as_u64().unwrap_or_default() as f64 / 1e6
}
