//! Opening NATs for each other.
//!
//! While the member with the lesser id dials, the other sends probes to where that one may be: they open its own NAT, and
//! one that arrives shows the dialler a way that is open now. Where dialling leads nowhere, as one NAT gives every
//! destination another port, the two search for a way ([`crate::mesh::hole_punch`]).

use std::{net::SocketAddr, time::Duration};

use super::{
    Output, Participant, conduits::fit, links::DialPurpose, reflexive::can_be_dialled, timers::Timer,
};
use crate::{
    ids::MemberId,
    mesh::hole_punch::{PunchOutput, Statement},
    noise::token::ProbeSender,
    time::{Now, Timestamp},
    wire::control_message::{ControlMessage, Punch},
};

/// When probes go to a member who is expected to dial, after it can be dialled. Reason: it may learn of this node later than
/// this node of it; until it dials, its NAT lets none of them in. The last comes before this node dials itself.
const OPENERS_AT: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(350),
    Duration::from_millis(750),
];
/// Probes to a member begin anew no sooner. Reason: as with dials, it could say every moment that it is elsewhere.
const OPENERS_AGAIN: Duration = Duration::from_millis(500);
/// Probes of a member are answered no more often. Reason: each answer is a packet of 1,200 bytes.
const ANSWER_INTERVAL: Duration = Duration::from_millis(50);
/// How long dialling may lead nowhere before a search begins. Reason: longer than dialling takes where it succeeds at all.
const SEARCH_AFTER: Duration = Duration::from_millis(500);

/// Probes to a member who is expected to dial.
#[derive(Debug, Default)]
pub(super) struct Openers {
    /// When they began; nothing if none are due.
    began: Option<Timestamp>,
    sent: usize,
    /// When a probe of that member was last answered.
    answered_at: Option<Timestamp>,
}

impl Openers {
    fn next(&self) -> Option<Timestamp> {
        let after = OPENERS_AT.get(self.sent)?;
        self.began.map(|began| began + *after)
    }
}

impl Participant {
    /// `member` is expected to dial: opens this node's NAT for it, once it is known where that one may be.
    pub(super) fn open_for(&mut self, now: Now, member: MemberId) {
        let peer = self.peer_mut(now, member);
        let somewhere = !peer.addresses.is_empty();
        let openers = &mut peer.redial.openers;
        let may = somewhere
            && openers
                .began
                .is_none_or(|began| now.monotonic >= began + OPENERS_AGAIN);
        if may {
            openers.began = Some(now.monotonic);
            openers.sent = 0;
            self.send_openers(now);
        }
    }

    /// Sends the probes that are due.
    pub(super) fn send_openers(&mut self, now: Now) {
        let members = &self.log.view().members;
        let (mut to, mut next) = (Vec::new(), None::<Timestamp>);
        for (member, peer) in &mut self.peers {
            let openers = &mut peer.redial.openers;
            if !peer.links.is_empty() || !members.contains_key(member) {
                *openers = Openers::default();
            }
            if openers.next().is_some_and(|at| at <= now.monotonic) {
                openers.sent += 1;
                to.extend(peer.addresses.iter().copied());
            }
            next = next.into_iter().chain(openers.next()).min();
        }
        if let Some(next) = next {
            self.timers.set(Timer::Openers, next);
        }
        self.send_probes(now, to);
    }

    fn send_probes(&mut self, now: Now, to: Vec<SocketAddr>) {
        let psk = self.secrets.member_psk(&self.meeting).filter(|_| !to.is_empty());
        if let Some(psk) = psk.filter(|_| self.may_probe(now)) {
            self.outputs.push_back(Output::Probe { psk, to });
        }
    }

    fn may_probe(&self, now: Now) -> bool {
        self.direct && self.is_member() && self.judge.direct(now.unix).is_ok()
    }

    /// A probe came from `remote`, to the socket of all links or to one of those of the search (`via`).
    pub fn handle_probe(&mut self, now: Now, sender: ProbeSender, remote: SocketAddr, via: Option<u16>) {
        let members = self.log.view().members.keys();
        let lost = |member: &&MemberId| {
            **member != self.me
                && ProbeSender::from(**member) == sender
                && self.peers.get(member).is_some_and(|peer| peer.links.is_empty())
        };
        let member = members.copied().find(|member| lost(&member));
        if let Some(member) = member.filter(|_| self.may_probe(now) && can_be_dialled(remote)) {
            match via {
                Some(_) if self.punch.may_dial(member) => self.dial_at(member, remote, via),
                Some(_) => {}
                None => self.answer_probe(now, member, remote),
            }
        }
        self.settle(now);
    }

    /// The way from `remote` is open: dials there at once, within the dial that is under way if there is one, so that no
    /// more than one link comes of it.
    fn answer_probe(&mut self, now: Now, member: MemberId, remote: SocketAddr) {
        let me = self.me;
        let redial = &mut self.peer_mut(now, member).redial;
        let answered = redial.openers.answered_at;
        if answered.is_some_and(|at| now.monotonic < at + ANSWER_INTERVAL)
            || me > member && !redial.is_dialling()
        {
            return;
        }
        redial.openers.answered_at = Some(now.monotonic);
        let newest = self.dials.iter().rev();
        let newest = newest
            .into_iter()
            .find(|(_, purpose)| **purpose == DialPurpose::Member(member));
        match newest.map(|(dial, _)| *dial) {
            Some(dial) => self.outputs.push_back(Output::DialAlso {
                dial,
                address: remote,
            }),
            None => self.dial_at(member, remote, None),
        }
    }

    fn dial_at(&mut self, member: MemberId, address: SocketAddr, via: Option<u16>) {
        if let Some(psk) = self.secrets.member_psk(&self.meeting) {
            self.begin_dial(member, psk, vec![address], via);
        }
    }

    /// Begins a search for a way to whoever is dialled in vain.
    pub(super) fn search_what_is_due(&mut self, now: Now) {
        if !self.may_probe(now) || self.statement().seen.is_empty() {
            return;
        }
        let members = self.log.view().members.keys();
        let due = |member: &&MemberId| {
            self.peers.get(member).is_some_and(|peer| {
                peer.links.is_empty()
                    && !peer.addresses.is_empty()
                    && peer.redial.is_waiting_for(now.monotonic, SEARCH_AFTER)
            })
        };
        let due: Vec<MemberId> = members.filter(due).copied().collect();
        for member in due {
            if self.is_reachable(member) {
                self.punch.begin(now.monotonic, member);
            }
        }
    }

    /// A member wants a search, or takes part in one.
    pub(super) fn handle_punch(&mut self, now: Now, from: MemberId, punch: &Punch) {
        let linked = self.peers.get(&from).is_some_and(|peer| !peer.links.is_empty());
        if linked || !self.may_probe(now) {
            return;
        }
        let seen = punch.seen.iter().map(|address| (*address).into());
        let theirs = Statement {
            mapping: punch.mapping,
            seen: seen.filter(|address| can_be_dialled(*address)).collect(),
        };
        let mine = self.statement();
        let now = now.monotonic;
        self.punch
            .handle_message(now, from, punch.stage, punch.search, &theirs, &mine);
    }

    /// Does what the search asks for.
    pub(super) fn pump_punch(&mut self, now: Now) {
        while let Some(output) = self.punch.poll_output() {
            let psk = self.secrets.member_psk(&self.meeting);
            match output {
                PunchOutput::Tell {
                    member,
                    stage,
                    search,
                } => {
                    let mine = self.statement();
                    let punch = Punch {
                        stage,
                        search,
                        mapping: mine.mapping,
                        seen: fit(mine.seen.into_iter().map(Into::into).collect()),
                    };
                    self.send_to(Some(now), member, &ControlMessage::Punch(punch));
                }
                PunchOutput::Open { sockets, to } => {
                    if let Some(psk) = psk {
                        self.outputs.push_back(Output::OpenSockets { psk, sockets, to });
                    }
                }
                PunchOutput::Probe(to) => self.send_probes(now, to),
                PunchOutput::Close => self.outputs.push_back(Output::CloseSockets),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        meeting::participant::fixture::{NOW, admit, host, identity, outputs},
    };

    const THERE: &str = "198.51.100.7:4433";

    fn after(ms: u64) -> Now {
        Now {
            monotonic: NOW.monotonic + Duration::from_millis(ms),
            ..NOW
        }
    }

    /// A host that learns where a member with a lesser or greater id is; the member.
    fn missing(greater: bool) -> (Participant, Identity) {
        let mut host = host();
        let member = (3..)
            .map(identity)
            .find(|one| (one.member_id() > host.me) == greater);
        let member = member.unwrap();
        admit(&mut host, &member);
        drop(outputs(&mut host));
        host.peer_mut(NOW, member.member_id()).addresses = vec![THERE.parse().unwrap()];
        host.plan_first_dial(NOW, member.member_id());
        host.dirty.routes();
        host.settle(NOW);
        (host, member)
    }

    fn probes(outputs: &[Output]) -> usize {
        let to = |output: &Output| match output {
            Output::Probe { to, .. } => to.len(),
            _ => 0,
        };
        outputs.iter().map(to).sum()
    }

    #[test]
    fn whoever_is_to_be_dialled_opens_its_nat_at_once_and_some_times_more() {
        let (mut host, _) = missing(false);
        let mut sent = vec![(0, probes(&outputs(&mut host)))];
        let mut dialled = None;
        for ms in 1..1_300 {
            host.handle_timeout(after(ms));
            let outputs = outputs(&mut host);
            let dials = outputs.iter().any(|output| matches!(output, Output::Dial { .. }));
            dialled = dialled.or(dials.then_some(ms));
            sent.push((ms, probes(&outputs)));
        }
        sent.retain(|(_, count)| *count > 0);
        assert_eq!(sent, [(0, 1), (50, 1), (150, 1), (350, 1), (750, 1)]);
        assert!(
            dialled.is_some_and(|ms| ms >= 1_000),
            "it dials itself only then: {dialled:?}"
        );
    }

    #[test]
    fn a_probe_is_answered_within_the_dial_that_is_under_way() {
        let (mut host, member) = missing(true);
        let dial = outputs(&mut host).into_iter().find_map(|output| match output {
            Output::Dial { dial, .. } => Some(dial),
            _ => None,
        });
        let sender = ProbeSender::from(member.member_id());
        let seen: SocketAddr = "203.0.113.5:61000".parse().unwrap();
        let mut answers = Vec::new();
        // Twice at once, and later again; one of a stranger, one from nowhere.
        for (ms, sender, from) in [
            (10, sender, seen),
            (11, sender, seen),
            (80, sender, seen),
            (200, ProbeSender::from(identity(250).member_id()), seen),
            (300, sender, "127.0.0.1:9".parse().unwrap()),
        ] {
            host.handle_probe(after(ms), sender, from, None);
            for output in outputs(&mut host) {
                assert!(!matches!(output, Output::Dial { .. }), "{output:?}");
                if let Output::DialAlso { dial, address } = output {
                    answers.push((ms, Some(dial), address));
                }
            }
        }
        assert_eq!(answers, [(10, dial, seen), (80, dial, seen)]);
    }

    #[test]
    fn who_hides_its_address_sends_and_answers_no_probes() {
        for greater in [false, true] {
            let (mut host, member) = missing(greater);
            drop(outputs(&mut host));
            host.direct = false;
            let sender = ProbeSender::from(member.member_id());
            host.handle_probe(after(10), sender, THERE.parse().unwrap(), None);
            host.handle_timeout(after(60));
            let outputs = outputs(&mut host);
            let tells = |output: &Output| {
                matches!(
                    output,
                    Output::Probe { .. } | Output::Dial { .. } | Output::DialAlso { .. }
                )
            };
            assert!(!outputs.iter().any(tells), "{outputs:?}");
        }
    }
}
