//! A relay whose settings a test writes and rewrites.

use std::{
    ops::{Deref, DerefMut},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;
use subrosa_proto::policy::SignedDescriptor;
use subrosa_tests::relay_client::RelayAddress;

use super::{Scratch, binary, isolated, member::text, process::Process};

/// A `subrosa relay --json`. It ends with this value.
pub(crate) struct Operated {
    process: Process,
    /// Its settings.
    pub(crate) file: PathBuf,
    /// Its descriptor's line at the start.
    pub(crate) descriptor: String,
    /// What [`subrosa_tests::relay_client::RelayClient`] dials.
    pub(crate) address: RelayAddress,
    /// Where it tells metrics, if it does.
    pub(crate) metrics: Option<String>,
    name: String,
}

impl Deref for Operated {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Operated {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A settings file: `top` holds further keys, `tables` further tables.
pub(crate) fn settings(name: &str, country: &str, listen: &str, top: &str, tables: &str) -> String {
    format!(
        "listen = '{listen}'\ndata_dir = '{name}-data'\nhosting = '{country}'\n{top}\n\n[operator]\nname = '{name}'\n\
         contact = 'relay@example.org'\nlegal_seat = 'DE'\n\n{tables}\n"
    )
}

impl Operated {
    /// Starts a relay in Germany.
    pub(crate) fn start(home: &Scratch, name: &str, top: &str, tables: &str) -> Self {
        Self::start_at(home, name, "127.0.0.1:0", top, tables)
    }

    /// As [`Self::start`], at an address.
    pub(crate) fn start_at(home: &Scratch, name: &str, listen: &str, top: &str, tables: &str) -> Self {
        let command = isolated(Command::new(binary()), home);
        Self::start_with(command, home, name, &settings(name, "DE", listen, top, tables))
    }

    /// As [`Self::start_at`], in a network namespace.
    pub(crate) fn start_in(
        home: &Scratch,
        namespace: &str,
        name: &str,
        listen: &str,
        top: &str,
        tables: &str,
    ) -> Self {
        Self::start_hosted(home, namespace, name, "DE", listen, &format!("{top}\n\n{tables}"))
    }

    /// As [`Self::start_in`], in another country.
    pub(crate) fn start_hosted(
        home: &Scratch,
        namespace: &str,
        name: &str,
        country: &str,
        listen: &str,
        top: &str,
    ) -> Self {
        let mut command = isolated(Command::new("ip"), home);
        command.args(["netns", "exec", namespace]).arg(binary());
        Self::start_with(command, home, name, &settings(name, country, listen, top, ""))
    }

    fn start_with(command: Command, home: &Scratch, name: &str, settings: &str) -> Self {
        let file = home.path().join(format!("{name}.toml"));
        std::fs::write(&file, settings).expect("writable");
        let arguments = ["relay", "--json", "-v", "--config", &file.display().to_string()].map(str::to_owned);
        let process = Process::start_with(command, home, name, &arguments);
        let ready = process
            .wait("descriptor", |event| event["event"] == "relay_ready")
            .event;
        let descriptor = text(&ready["descriptor"]);
        let signed = SignedDescriptor::from_text(&descriptor).expect("a descriptor");
        let address = RelayAddress {
            addr: text(&ready["listen"]).parse().expect("an address"),
            relay: signed.unverified().relay,
            static_key: signed.unverified().static_key,
        };
        Self {
            process,
            file,
            descriptor,
            address,
            metrics: ready["metrics"].as_str().map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// Writes other settings (in `country`) and sends SIGHUP; what the relay says to it.
    pub(crate) fn reload(&self, country: &str, top: &str, tables: &str) -> Value {
        let listen = "127.0.0.1:0";
        self.reload_text(&settings(&self.name, country, listen, top, tables))
    }

    /// Writes a file as it is and sends SIGHUP; what the relay says to it.
    pub(crate) fn reload_text(&self, content: &str) -> Value {
        std::fs::write(&self.file, content).expect("writable");
        let mark = self.mark();
        self.signal("HUP");
        let said = self.wait_since(mark, "answer to SIGHUP", |event| {
            event["event"] == "relay_reloaded" || event["event"] == "relay_reload_failed"
        });
        said.event
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// The next statistics.
    pub(crate) fn stats(&self) -> Value {
        let mark = self.mark();
        self.wait_since(mark, "statistics", |event| event["event"] == "relay_stats")
            .event
    }
}
