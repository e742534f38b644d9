//! The running demo: its processes, and what is known from what they said.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use subrosa_node::error::{ErrorKind, NodeError};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};

use super::{
    actors::{Member, Relay},
    child::{Process, Said},
};
use crate::output::Paint;

/// The members' names. Alice founds the meeting, Carol hides her addresses.
pub(super) const MEMBERS: [&str; 3] = ["Alice", "Bob", "Carol"];
/// The relays' operators and the country that each declares.
pub(super) const RELAYS: [(&str, &str); 2] = [("Nordlicht e.V.", "DE"), ("Liberty Relay Inc.", "US")];
/// Lines that may wait between the processes and the demo.
const SAID_MAX: usize = 256;
/// How long everybody together may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Everybody on stage.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    pub(super) members: [Member; MEMBERS.len()],
    pub(super) relays: [Relay; RELAYS.len()],
    /// Members first, then relays, in the order of their start.
    processes: Vec<(usize, Process)>,
    said: mpsc::Receiver<(usize, Said)>,
    sayers: mpsc::Sender<(usize, Said)>,
    began: Instant,
    paint: Paint,
    /// Whether the processes were told to end.
    closing: bool,
}

impl Stage {
    /// An empty stage whose files lie in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        let (sayers, said) = mpsc::channel(SAID_MAX);
        Self {
            dir: dir.to_owned(),
            members: Default::default(),
            relays: Default::default(),
            processes: Vec::new(),
            said,
            sayers,
            began: Instant::now(),
            paint: Paint::stderr(),
            closing: false,
        }
    }

    /// Tells the person who watches.
    pub(super) fn progress(&self, text: &str) {
        let clock = format!("{:5.1} s", self.began.elapsed().as_secs_f64());
        // Without a stderr nobody watches.
        let _ = writeln!(std::io::stderr(), "{}  {text}", self.paint.dim(&clock));
    }

    /// A file of the demo.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts member `index`.
    ///
    /// # Errors
    /// If the process does not start.
    pub(super) fn start_member(&mut self, index: usize, arguments: &[String]) -> Result<(), NodeError> {
        let files = self.file(&MEMBERS[index].to_lowercase());
        let process = Process::start(index, arguments, &files, self.sayers.clone())?;
        self.processes.push((index, process));
        Ok(())
    }

    /// Starts relay `index`.
    ///
    /// # Errors
    /// If the process does not start.
    pub(super) fn start_relay(&mut self, index: usize, arguments: &[String]) -> Result<(), NodeError> {
        let files = self.file(&format!("relay-{}", RELAYS[index].1.to_lowercase()));
        let who = MEMBERS.len() + index;
        let process = Process::start(who, arguments, &files, self.sayers.clone())?;
        self.processes.push((who, process));
        Ok(())
    }

    /// Writes a line to member `index`.
    pub(super) async fn say(&mut self, index: usize, line: &str) {
        if let Some((_, process)) = self.processes.iter_mut().find(|(who, _)| *who == index) {
            process.say(line).await;
        }
    }

    /// Takes in what is said until `done`, at most for `limit`.
    ///
    /// # Errors
    /// [`ErrorKind::Check`] at the limit, or if a process ends before it was told to.
    pub(super) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), NodeError> {
        let by = Instant::now() + limit;
        while !done(self) {
            if !self.take_in(by).await? {
                let seconds = limit.as_secs_f64();
                return Err(self.failure(&format!("{what} took longer than {seconds:.0} s")));
            }
        }
        Ok(())
    }

    /// Takes in what is said for `time`.
    ///
    /// # Errors
    /// As [`Stage::until`].
    pub(super) async fn watch_for(&mut self, time: Duration) -> Result<(), NodeError> {
        let end = Instant::now() + time;
        while self.take_in(end).await? {}
        Ok(())
    }

    /// Tells every member to leave and every relay to stop; waits for their ends.
    ///
    /// # Errors
    /// [`ErrorKind::Check`] if one ends with another status than 0, or has to be killed.
    pub(super) async fn close(&mut self) -> Result<(), NodeError> {
        self.closing = true;
        for index in 0..MEMBERS.len() {
            self.say(index, r#"{"cmd":"leave"}"#).await;
        }
        let everybody_left = |stage: &Self| stage.members.iter().all(|member| member.ended);
        self.until("leaving", END_LIMIT, everybody_left).await?;
        for (who, process) in &mut self.processes {
            if *who >= MEMBERS.len() {
                process.interrupt().await;
            }
        }
        self.until("stopping the relays", END_LIMIT, |stage| {
            stage.relays.iter().all(|relay| relay.ended)
        })
        .await?;
        let mut ends = Vec::new();
        for (who, process) in &mut self.processes {
            ends.push((*who, process.ended().await));
        }
        match ends.into_iter().find(|(_, status)| *status != Some(0)) {
            None => Ok(()),
            Some((who, status)) => {
                let status = status.map_or_else(
                    || "had to be killed".to_owned(),
                    |s| format!("ended with status {s}"),
                );
                Err(self.failure(&format!("{} {status}", name(who))))
            }
        }
    }

    /// Takes in one thing that was said; `false` if nothing was by `by`.
    async fn take_in(&mut self, by: Instant) -> Result<bool, NodeError> {
        let left = by.saturating_duration_since(Instant::now());
        let Ok(Some((who, said))) = timeout(left, self.said.recv()).await else {
            return Ok(false);
        };
        match (said, who.checked_sub(MEMBERS.len())) {
            (Said::Line(value), None) => self.members[who].apply(&value),
            (Said::Line(value), Some(relay)) => self.relays[relay].apply(&value),
            (Said::Ended, None) => self.members[who].ended = true,
            (Said::Ended, Some(relay)) => self.relays[relay].ended = true,
        }
        let ended = self.members.get(who).is_some_and(|member| member.ended)
            || who
                .checked_sub(MEMBERS.len())
                .is_some_and(|relay| self.relays[relay].ended);
        if ended && !self.closing {
            return Err(self.failure(&format!("{} ended too early", name(who))));
        }
        Ok(true)
    }

    /// A failed check, with what the processes themselves said about it.
    fn failure(&self, what: &str) -> NodeError {
        let members = MEMBERS
            .iter()
            .zip(&self.members)
            .map(|(name, m)| (*name, &m.errors));
        let relays = RELAYS
            .iter()
            .zip(&self.relays)
            .map(|((name, _), r)| (*name, &r.errors));
        let said: Vec<String> = members
            .chain(relays)
            .flat_map(|(name, errors)| errors.iter().map(move |error| format!("{name}: {error}")))
            .collect();
        let message = if said.is_empty() {
            what.to_owned()
        } else {
            format!("{what}; {}", said.join("; "))
        };
        NodeError::new(
            ErrorKind::Check,
            message,
            format!("what each process said lies in {}", self.dir.display()),
        )
    }
}

fn name(who: usize) -> &'static str {
    match who.checked_sub(MEMBERS.len()) {
        None => MEMBERS[who],
        Some(relay) => RELAYS[relay].0,
    }
}
