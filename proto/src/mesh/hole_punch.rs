//! Finding a way between a NAT that gives every destination another port and one that lets in only what was asked for.
//!
//! The side behind the first NAT opens many sockets, each of which sends a probe to where the other is seen: its NAT gives
//! each a port, which nobody knows. The other side sends probes to many ports at the address where the first is seen. One
//! that hits a port in use passes both NATs, the socket that hears it dials, and its link is the way ("birthday" search;
//! the tries that are needed grow with the ports divided by the sockets, not with the ports).
//!
//! With [`SOCKETS`] ports in use among the 64,512 from [`PORT_MIN`] on, [`PORTS_MAX`] different tries miss them all with a
//! probability of about ((64,512 − 1,536) / 64,512)²⁵⁶ = 0.2 %; half of all searches end within 175.
//!
//! A pure state machine: call `begin`, `handle_*` and `handle_timeout`, then drain [`HolePunch::poll_output`].

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bincode::{Decode, Encode};

use self::ports::PortSearch;
use crate::{ids::MemberId, random::Random, time::Timestamp};

mod ports;
#[cfg(test)]
mod tests;

pub use self::ports::{PORT_MIN, PORTS_MAX};

/// Sockets that one side opens. Reason: with [`PORTS_MAX`] tries 998 of 1,000 searches succeed; fewer than half of what a
/// carrier's NAT gives a subscriber, and of the files that a process may open.
pub const SOCKETS: usize = 256;
/// Probes go out in bursts so far apart.
pub const TICK: Duration = Duration::from_millis(20);
/// Probes in a burst: 1,200 a second of 45 bytes with their headers, 430 kbit/s. All tries take 1.3 s.
pub const PROBES_PER_TICK: usize = 24;
/// So long the sockets stay open after the last was opened. Reason: all tries, and two round trips of a slow path.
const LISTEN: Duration = Duration::from_millis(2_300);
/// How long the other side may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// After a search that found nothing this node takes part in none for so long, with anybody. Reason: whoever asks for
/// searches at addresses that are not its own gets 192 probes a second on average, 8.6 kB/s.
pub const REST: Duration = Duration::from_secs(8);
/// First pause between two searches with one member; doubled up to [`AGAIN_MAX`].
const AGAIN_FIRST: Duration = REST;
/// Longest pause between two searches with one member.
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// Sockets of one search that may dial. Reason: one suffices; what they hear may be made up by another member.
const DIALS_MAX: u8 = 3;
/// Members with whom searches failed that are remembered. Reason: more than a meeting has.
const BOOKS_MAX: usize = 256;

/// Whether a NAT gives every destination another port (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Mapping {
    /// All see the same port, as far as is known.
    Same,
    /// One relay sees a port that is not the socket's own; another might see a third.
    #[default]
    Unknown,
    /// Two relays see different ports.
    PerDestination,
}

/// What one side says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its NAT.
    pub mapping: Mapping,
    /// Where relays see it.
    pub seen: Vec<SocketAddr>,
}

/// How far a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// Wants a search, or answers that it will try ports.
    Wish,
    /// Has its sockets open.
    Ready,
}

/// Who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens many sockets.
    Sockets,
    /// Tries many ports.
    Ports,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PunchOutput {
    /// Tell the other side.
    Tell {
        /// Whom.
        member: MemberId,
        /// How far this side is.
        stage: Stage,
        /// Which search between the two this is.
        search: u8,
    },
    /// Open so many more sockets, and send a probe from each to each of these.
    Open {
        /// How many.
        sockets: usize,
        /// Where the other is seen.
        to: Vec<SocketAddr>,
    },
    /// Send probes from the socket of all links.
    Probe(Vec<SocketAddr>),
    /// Close the sockets that have not dialled.
    Close,
}

#[derive(Debug)]
enum State {
    /// The other side was told of the wish.
    Asked,
    /// Sockets are being opened; so many are still to be.
    Opening { left: usize, to: Vec<SocketAddr> },
    /// All are open, and so many have dialled.
    Listening { dials: u8 },
    /// The other side opens its sockets.
    Expecting,
    /// Ports are being tried.
    Trying { search: PortSearch },
}

/// The search under way.
#[derive(Debug)]
struct Search {
    with: MemberId,
    number: u8,
    state: State,
    /// When the next burst is due.
    next: Option<Timestamp>,
    /// When it is given up.
    until: Timestamp,
}

/// Past searches with one member.
#[derive(Debug)]
struct Book {
    searches: u8,
    next: Timestamp,
    pause: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct HolePunch {
    me: MemberId,
    search: Option<Search>,
    books: BTreeMap<MemberId, Book>,
    /// When this node may take part in the next search.
    rested: Timestamp,
    outputs: VecDeque<PunchOutput>,
}

/// What this side does in search `number`, if it can succeed. `first`: this side has the lesser id.
#[must_use]
pub fn role(mine: Mapping, theirs: Mapping, first: bool, number: u8) -> Option<Role> {
    match mine.cmp(&theirs) {
        std::cmp::Ordering::Greater => Some(Role::Sockets),
        std::cmp::Ordering::Less => Some(Role::Ports),
        // One of the two may be symmetric: each has its turn.
        std::cmp::Ordering::Equal if mine == Mapping::Unknown => Some(if first == number.is_multiple_of(2) {
            Role::Sockets
        } else {
            Role::Ports
        }),
        std::cmp::Ordering::Equal => None,
    }
}

/// Where ports are tried: at one address, IPv4 if there is one, as NATs of IPv6 are rare.
fn target(seen: &[SocketAddr]) -> Option<IpAddr> {
    let first = |v4: bool| seen.iter().find(|address| address.is_ipv4() == v4);
    first(true).or_else(|| first(false)).map(SocketAddr::ip)
}

impl HolePunch {
    /// Nothing under way.
    #[must_use]
    pub const fn new(me: MemberId) -> Self {
        Self {
            me,
            search: None,
            books: BTreeMap::new(),
            rested: Timestamp::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// `member` cannot be reached by dialling. The one with the lesser id asks for a search, when one is due.
    pub fn begin(&mut self, now: Timestamp, member: MemberId) {
        if self.me < member && self.is_free(now, member) {
            let number = self.books.get(&member).map_or(0, |book| book.searches);
            self.search = Some(Search {
                with: member,
                number,
                state: State::Asked,
                next: None,
                until: now + ANSWER_PATIENCE,
            });
            self.tell(member, Stage::Wish, number);
        }
    }

    /// The other side said something about itself; `mine` is what this side says.
    pub fn handle_message(
        &mut self,
        now: Timestamp,
        from: MemberId,
        stage: Stage,
        number: u8,
        theirs: &Statement,
        mine: &Statement,
    ) {
        let asked = self.me < from;
        let under_way = self.search.as_ref().is_some_and(|search| search.with == from);
        if !under_way && (asked || stage == Stage::Ready || !self.is_free(now, from)) {
            return;
        }
        let role = role(mine.mapping, theirs.mapping, asked, number);
        let state = self
            .search
            .as_ref()
            .filter(|_| under_way)
            .map(|search| &search.state);
        match (state, stage, role) {
            (None | Some(State::Asked), Stage::Wish, Some(Role::Sockets)) => {
                let to: Vec<SocketAddr> = theirs.seen.clone();
                if !to.is_empty() {
                    let state = State::Opening { left: SOCKETS, to };
                    self.enter(now, from, number, state, Some(now));
                }
            }
            (None, Stage::Wish, Some(Role::Ports)) if target(&theirs.seen).is_some() => {
                self.enter(now, from, number, State::Expecting, None);
                self.tell(from, Stage::Wish, number);
            }
            (Some(State::Asked | State::Expecting), Stage::Ready, Some(Role::Ports)) => {
                if let Some(ip) = target(&theirs.seen) {
                    let search = PortSearch::new(ip);
                    self.enter(now, from, number, State::Trying { search }, Some(now));
                }
            }
            _ => {}
        }
    }

    /// A probe of `from` came to one of the sockets of the search. Whether that socket is to dial.
    pub fn may_dial(&mut self, from: MemberId) -> bool {
        let Some(search) = self.search.as_mut().filter(|search| search.with == from) else {
            return false;
        };
        match &mut search.state {
            State::Listening { dials } if *dials < DIALS_MAX => {
                *dials += 1;
                true
            }
            _ => false,
        }
    }

    /// There is a link to `member`: no search is needed any more.
    pub fn linked(&mut self, member: MemberId) {
        self.books.remove(&member);
        if self.search.as_ref().is_some_and(|search| search.with == member) {
            self.end();
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<PunchOutput> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let search = self.search.as_ref()?;
        Some(search.next.map_or(search.until, |next| next.min(search.until)))
    }

    /// Sends what is due, to ports from `random`, and gives up what took too long.
    pub fn handle_timeout(&mut self, now: Timestamp, random: &mut Random) {
        let Some(search) = &mut self.search else { return };
        if now >= search.until {
            let (member, asked) = (search.with, matches!(search.state, State::Asked));
            self.end();
            // Whoever did not answer may take part in another search.
            self.note_failure(now, member, !asked);
            return;
        }
        if search.next.is_none_or(|next| next > now) {
            return;
        }
        search.next = Some(now + TICK);
        match &mut search.state {
            State::Opening { left, to } => {
                let sockets = PROBES_PER_TICK.min(*left);
                *left -= sockets;
                self.outputs.push_back(PunchOutput::Open {
                    sockets,
                    to: to.clone(),
                });
                if *left == 0 {
                    search.state = State::Listening { dials: 0 };
                    search.next = None;
                    search.until = now + LISTEN;
                    let (member, number) = (search.with, search.number);
                    self.tell(member, Stage::Ready, number);
                }
            }
            State::Trying { search: ports } => {
                let burst: Vec<SocketAddr> = (0..PROBES_PER_TICK).map_while(|_| ports.next(random)).collect();
                if burst.is_empty() {
                    // The last may be on its way.
                    search.next = None;
                } else {
                    self.outputs.push_back(PunchOutput::Probe(burst));
                }
            }
            State::Asked | State::Listening { .. } | State::Expecting => search.next = None,
        }
    }

    fn tell(&mut self, member: MemberId, stage: Stage, search: u8) {
        self.outputs.push_back(PunchOutput::Tell {
            member,
            stage,
            search,
        });
    }

    fn enter(&mut self, now: Timestamp, with: MemberId, number: u8, state: State, next: Option<Timestamp>) {
        let patience = match state {
            State::Expecting => ANSWER_PATIENCE,
            _ => LISTEN,
        };
        self.search = Some(Search {
            with,
            number,
            state,
            next,
            until: now + patience,
        });
    }

    fn end(&mut self) {
        if let Some(search) = self.search.take()
            && matches!(search.state, State::Opening { .. } | State::Listening { .. })
        {
            self.outputs.push_back(PunchOutput::Close);
        }
    }

    fn is_free(&self, now: Timestamp, member: MemberId) -> bool {
        let due = self.books.get(&member).is_none_or(|book| book.next <= now);
        self.search.is_none() && now >= self.rested && due
    }

    /// A search ended without a link; `probed`: probes may have been sent for it.
    fn note_failure(&mut self, now: Timestamp, member: MemberId, probed: bool) {
        if !self.books.contains_key(&member) && self.books.len() >= BOOKS_MAX {
            self.books.pop_first();
        }
        let book = self.books.entry(member).or_insert(Book {
            searches: 0,
            next: now,
            pause: AGAIN_FIRST,
        });
        book.next = now + book.pause;
        if probed {
            book.pause = (book.pause * 2).min(AGAIN_MAX);
            book.searches = book.searches.wrapping_add(1);
            self.rested = now + REST;
        }
    }
}
