//! A link between two machines as the modelled transport keeps it: control frames in order, datagrams as they come.

use std::net::SocketAddr;

use subrosa_proto::{ids::LinkId, relay::SessionId, time::Timestamp};

use super::Side;
use crate::network::Place;

/// Names a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PipeId(pub usize);

/// What an end is called where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Handle {
    /// A participant's link.
    Link(LinkId),
    /// A relay's session.
    Session(SessionId),
}

/// One end.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// On which machine.
    pub place: Place,
    /// In which process there: a restarted one has no part in its predecessor's links.
    pub run: u32,
    /// What it is called there, once it is up.
    pub handle: Option<Handle>,
    /// It was closed here, or found dead.
    pub closed: bool,
    /// No control frame is delivered here before this.
    pub ordered_until: Timestamp,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    /// The dialler's and the acceptor's.
    pub ends: [End; 2],
    /// Control frames that wait for the end of a partition: for whom, and what.
    pub held: Vec<(Side, Vec<u8>)>,
    /// Nothing passes any more: an end's address is gone.
    pub dead: bool,
    /// Where each end sees the other.
    pub seen: Option<[SocketAddr; 2]>,
}

impl Pipe {
    /// A pipe whose handshake runs.
    #[must_use]
    pub(crate) fn new(dialler: (Place, u32), acceptor: (Place, u32), now: Timestamp) -> Self {
        let end = |(place, run)| End {
            place,
            run,
            handle: None,
            closed: false,
            ordered_until: now,
        };
        Self {
            ends: [end(dialler), end(acceptor)],
            held: Vec::new(),
            dead: false,
            seen: None,
        }
    }
}
