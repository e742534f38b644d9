//! When a node's driver dialled, had a link and handed on the first sound: taken from its trace events.

use std::{
    fmt::Debug,
    sync::Mutex,
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Whose events are kept.
const TARGET: &str = "subrosa_node::driver::participant";

static EVENTS: Mutex<Vec<Step>> = Mutex::new(Vec::new());

/// One event.
#[derive(Clone, Debug, Default)]
struct Step {
    at: Option<Instant>,
    node: String,
    message: String,
}

/// When the steps of one join were taken, counted from dialling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Join {
    /// The handshake was complete.
    pub(crate) link: Duration,
    /// The first audio frame was decrypted.
    pub(crate) sound: Duration,
}

/// Begins to listen; once per process.
pub(crate) fn install() {
    tracing::subscriber::set_global_default(Listener).expect("nobody else listens");
}

/// The join of `node`, once it is complete. Forgets everything else.
pub(crate) fn join_of(node: &str) -> Option<Join> {
    let mut events = EVENTS.lock().expect("no panic while it was held");
    let at = |message: &str| {
        events
            .iter()
            .find(|step| step.node == node && step.message == message)
            .and_then(|step| step.at)
    };
    let (dialled, link, sound) = (at("dialling")?, at("link up")?, at("first sound")?);
    events.clear();
    Some(Join {
        link: link - dialled,
        sound: sound - dialled,
    })
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with(TARGET) && *metadata.level() <= Level::DEBUG
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut step = Step {
            at: Some(Instant::now()),
            ..Step::default()
        };
        event.record(&mut step);
        EVENTS.lock().expect("no panic while it was held").push(step);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Step {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "node" => self.node = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}
