//! `subrosa new` and `subrosa join`: a node and an interface to it, until the meeting is over.

mod ending;
mod headless;
mod line_command;
mod lines;
mod qr;
mod stdin;
mod talk_command;
mod talk_lines;
mod ticket_input;

use std::{io, time::Duration};

use subrosa_node::{
    command::Command,
    config::NodeConfig,
    error::{ErrorKind, NodeError},
    event::Event,
    node::Node,
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    args::{JoinArgs, NewArgs},
    command::runtime,
    output, settings,
    signals::Signals,
};
use ending::Ending;
use stdin::StdinLine;

/// How long a node may take to say goodbye before the process ends without it.
const LEAVE_DEADLINE: Duration = Duration::from_secs(5);
/// Exit status after a second Ctrl-C: 128 + SIGINT, as shells have it.
const STATUS_INTERRUPTED: u8 = 130;

/// What shows a meeting to somebody, and takes their wishes.
trait Interface {
    /// Shows an event.
    ///
    /// # Errors
    /// If stdout takes no more; the session then leaves.
    fn on_event(&mut self, event: &Event) -> io::Result<()>;

    /// Takes a line of stdin; what it asks of the node, if anything.
    ///
    /// # Errors
    /// As [`Interface::on_event`].
    fn on_line(&mut self, line: StdinLine) -> io::Result<Option<Command>>;

    /// Says that a signal was understood.
    fn on_leaving(&mut self);
}

/// `subrosa new`.
///
/// # Errors
/// What keeps the node from starting.
pub(crate) fn new(args: NewArgs) -> Result<u8, NodeError> {
    let machine = machine(args.meeting.headless, args.meeting.json);
    let qr = args.qr && !machine;
    let config = settings::for_new(args)?;
    session(config, machine, qr)
}

/// `subrosa join`.
///
/// # Errors
/// What keeps the node from starting.
pub(crate) fn join(args: JoinArgs) -> Result<u8, NodeError> {
    let machine = machine(args.meeting.headless, args.meeting.json);
    let given = ticket_input::read(args.ticket.as_deref(), args.ticket_file.as_deref())?;
    let ticket = match args.at {
        Some(address) => runtime()?.block_on(subrosa_node::code::redeem(&given, address))?,
        None => given,
    };
    let config = settings::for_join(args, ticket)?;
    session(config, machine, false)
}

/// Whether a program is at the other end: JSON both ways, or neither.
fn machine(headless: bool, json: bool) -> bool {
    headless || json
}

fn session(config: NodeConfig, machine: bool, qr: bool) -> Result<u8, NodeError> {
    let muted = config.muted;
    runtime()?.block_on(async {
        if machine {
            run(config, headless::Headless).await
        } else {
            run(config, lines::Lines::new(muted, qr)).await
        }
    })
}

/// Drives one node until it is out of the meeting; the exit status.
async fn run(config: NodeConfig, mut interface: impl Interface) -> Result<u8, NodeError> {
    let mut signals = Signals::new()?;
    let mut node = tokio::select! {
        node = Node::start(config) => node?,
        _ = signals.next() => return Ok(STATUS_INTERRUPTED),
    };
    let mut stdin = Some(stdin::lines());
    let mut ending = Ending::default();
    let mut leave_by: Option<Instant> = None;
    loop {
        let outcome = tokio::select! {
            _ = signals.next() => {
                if leave_by.is_some() {
                    return Ok(STATUS_INTERRUPTED);
                }
                interface.on_leaving();
                leave(&node, &mut leave_by).await;
                Ok(())
            }
            event = node.next_event() => {
                let Some(event) = event else { break };
                ending.note(&event);
                interface.on_event(&event)
            }
            line = next_line(&mut stdin) => take_line(&mut interface, &node, line, &mut stdin).await,
            () = at(leave_by) => {
                tracing::warn!("the node did not say goodbye in time");
                return Ok(ending.status_after_leaving());
            }
        };
        if let Err(error) = outcome {
            ending.stdout_failed(&error);
            leave(&node, &mut leave_by).await;
        }
    }
    Ok(ending.status())
}

async fn take_line(
    interface: &mut impl Interface,
    node: &Node,
    line: Option<StdinLine>,
    stdin: &mut Option<mpsc::Receiver<StdinLine>>,
) -> io::Result<()> {
    let Some(line) = line else {
        *stdin = None; // the end of stdin is not the end of the meeting
        return Ok(());
    };
    if let Some(command) = interface.on_line(line)? {
        node.command(command).await;
    }
    Ok(())
}

async fn leave(node: &Node, leave_by: &mut Option<Instant>) {
    if leave_by.is_none() {
        *leave_by = Some(Instant::now() + LEAVE_DEADLINE);
        // A node that is too busy to take the command is left at the deadline.
        let _ = tokio::time::timeout(LEAVE_DEADLINE, node.command(Command::Leave)).await;
    }
}

async fn next_line(stdin: &mut Option<mpsc::Receiver<StdinLine>>) -> Option<StdinLine> {
    match stdin {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Reports a failure to start in the form that the arguments asked for.
pub(crate) fn report(error: &NodeError, machine: bool) {
    if machine {
        report_event(error);
    }
    output::error(error);
}

/// Prints a failure as an event.
pub(crate) fn report_event(error: &NodeError) {
    // If stdout is closed, the exit status still tells.
    let _ = output::line(&Event::Error(error.to_event()).to_json_line());
}

/// Failures of this process's own making, such as no signal handler.
fn internal(what: &str, error: &io::Error) -> NodeError {
    NodeError::new(
        ErrorKind::Internal,
        format!("{what}: {error}"),
        "close other programs, or raise the limits on open files and threads (ulimit)",
    )
}
