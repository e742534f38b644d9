//! The `subrosa` binary under test, and scratch directories; members, relays and adversaries in the files beside.

// Each helper serves some of the tests.
pub(crate) mod capture;
pub(crate) mod dht;
pub(crate) mod flood;
pub(crate) mod hearing;
pub(crate) mod hostile_relay;
pub(crate) mod impaired;
pub(crate) mod known;
pub(crate) mod lan;
pub(crate) mod markers;
pub(crate) mod member;
pub(crate) mod namespace;
pub(crate) mod nat;
pub(crate) mod neighbours;
pub(crate) mod operated;
pub(crate) mod packet;
pub(crate) mod peer;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod relay;

pub(crate) mod live;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// The binary: `SUBROSA_BIN`, which `./dev` sets, or else the one beside this test's own executable, built first.
/// (Cargo tells an integration test the path of its own package's binaries only.)
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("SUBROSA_BIN").map_or_else(build, PathBuf::from))
}

/// Says that `what` stays untested on this machine, and why. In CI, which has everything that the tests need, that is a
/// failure; elsewhere `./dev test` tells it at the end.
pub(crate) fn skipped(what: &str, why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "CI skips nothing, but {what}: {why}"
    );
    let line = format!("SKIPPED: {what}: {why}");
    eprintln!("{line}");
    if let Some(list) = std::env::var_os("SUBROSA_SKIPPED") {
        let opened = fs::OpenOptions::new().append(true).create(true).open(list);
        opened
            .and_then(|mut list| std::io::Write::write_all(&mut list, format!("{line}\n").as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test runs from a file");
    let profile_dir = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "subrosa-cli"]);
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    build
        .arg("--target-dir")
        .arg(profile_dir.parent().expect("target/PROFILE"));
    let status = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "subrosa-cli does not build");
    profile_dir.join("subrosa")
}

/// The binary in an environment of its own: no settings of the person who runs the tests reach it.
pub(crate) fn subrosa(home: &Scratch) -> Command {
    isolated(Command::new(binary()), home)
}

/// A command that nothing of the person who runs the tests reaches.
pub(crate) fn isolated(mut command: Command, home: &Scratch) -> Command {
    command.env_clear().stdin(Stdio::null());
    for kept in ["PATH", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env("XDG_DATA_HOME", home.path().join("data"))
        .env("XDG_RUNTIME_DIR", home.path());
    command
}

/// What a finished process left behind, as text.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the binary to its end.
pub(crate) fn run(home: &Scratch, arguments: &[&str]) -> Finished {
    subrosa(home)
        .args(arguments)
        .output()
        .expect("the binary runs")
        .into()
}

/// A directory that goes away with the test.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("subrosa-test-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it that nothing else was given.
    pub(crate) fn unused(&self, name: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        self.0.join(format!("{n}-{name}"))
    }

    /// A file in it, with its missing parents.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("writable");
        fs::write(&path, content).expect("writable");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind if a process still writes there; the system clears its temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
