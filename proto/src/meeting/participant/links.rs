//! Direct links to members: dialling, accepting, watching.

use std::net::SocketAddr;

use super::{
    DialId, DialTarget, LinkPeer, Output, Participant,
    lobby::Phase,
    peer::{DIAL_RETRY_FIRST, DIAL_RETRY_MAX, Peer},
};
use crate::{
    ids::{LinkId, MemberId, RelayId},
    mesh::link::LinkMonitor,
    noise::{Psk, PskId, Unadmitted},
    time::Now,
    wire::control_message::ControlMessage,
};

/// How long the member with the greater id waits for the other to dial. Reason: both dialling at once makes two links,
/// which is harmless but wasteful; a member that cannot be dialled must dial itself.
const DIAL_COURTESY: std::time::Duration = std::time::Duration::from_secs(1);

/// What a dial was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialPurpose {
    Member(MemberId),
    Relay(RelayId),
}

/// Which key a link or channel was opened with: how far the other side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// It holds the ticket.
    Lobby,
    /// It holds the room secret.
    Members,
}

/// A direct link.
#[derive(Debug)]
pub(super) struct MemberLink {
    pub(super) member: MemberId,
    pub(super) scope: Scope,
    pub(super) monitor: LinkMonitor,
}

impl Participant {
    /// A link is up: one that was asked for (`dial`), or one that somebody else opened. `psk` names the key that the peer
    /// proved to know, `remote` is where it was seen.
    pub fn handle_link_up(
        &mut self,
        now: Now,
        dial: Option<DialId>,
        link: LinkId,
        peer: LinkPeer,
        psk: Option<PskId>,
        remote: SocketAddr,
    ) {
        if let Some(dial) = dial {
            self.dials.remove(&dial);
        }
        self.doorway.links.entry(link).or_default().1 = Some(remote.ip());
        match peer {
            LinkPeer::Relay(relay) => self.handle_relay_up(now, relay, link),
            LinkPeer::Member(member) => self.handle_member_up(now, dial.is_some(), link, member, psk, remote),
        }
        self.settle(now);
    }

    fn handle_member_up(
        &mut self,
        now: Now,
        dialled: bool,
        link: LinkId,
        member: MemberId,
        psk: Option<PskId>,
        remote: SocketAddr,
    ) {
        if !dialled && self.takes_code_link(now, link, member, psk) {
            return;
        }
        let lobby_psk = self.secrets.lobby_psk(&self.meeting).id();
        let scope = match (dialled, self.is_member(), psk) {
            (true, false, _) => Scope::Lobby,
            (_, _, Some(psk)) if psk == lobby_psk => Scope::Lobby,
            (_, _, _) => Scope::Members,
        };
        let unwelcome = member == self.me
            || !self.direct
            || matches!(self.phase, Phase::Left)
            || self.judge.direct(now.unix).is_err()
            || !self.has_room_for(member)
            || (scope == Scope::Members && self.is_unadmitted(&member));
        if unwelcome {
            self.outputs.push_back(Output::Close { link });
            return;
        }
        self.links.insert(
            link,
            MemberLink {
                member,
                scope,
                monitor: LinkMonitor::new(now.monotonic),
            },
        );
        let peer = self.peer_mut(now, member);
        peer.links.insert(link);
        peer.redial.pause = DIAL_RETRY_FIRST;
        peer.redial.dialling = false;
        // Where a dialler was seen is where others can dial it: it uses one socket for both.
        if !dialled && !peer.addresses.contains(&remote) && peer.addresses.len() < 8 {
            peer.addresses.push(remote);
        }
        self.dirty.routes();
        self.conduit_opened(now, member, super::conduits::Conduit::Link(link));
    }

    /// A dial failed.
    pub fn handle_dial_failed(&mut self, now: Now, dial: DialId) {
        match self.dials.remove(&dial) {
            Some(DialPurpose::Relay(relay)) => {
                if let Some(session) = self.relays.get_mut(&relay) {
                    session.handle_down(now.monotonic);
                }
            }
            Some(DialPurpose::Member(member)) => {
                if let Some(peer) = self.peers.get_mut(&member) {
                    peer.redial.dialling = false;
                    peer.redial.at = now.monotonic + peer.redial.pause;
                    peer.redial.pause = (peer.redial.pause * 2).min(DIAL_RETRY_MAX);
                    peer.redial.lobby = !peer.redial.lobby;
                }
            }
            None => {}
        }
        self.settle(now);
    }

    /// A link ended.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        self.code_link_down(link);
        if let Some(relay) = self.relay_links.remove(&link) {
            self.handle_relay_down(now, relay, link);
        } else if let Some(ended) = self.links.remove(&link)
            && let Some(peer) = self.peers.get_mut(&ended.member)
        {
            peer.links.remove(&link);
            peer.listening.remove(&link);
            // Not at once: a peer that takes each link and closes it would keep us dialling.
            peer.redial.at = now.monotonic + DIAL_RETRY_FIRST;
            self.dirty.routes();
        }
        self.settle(now);
    }

    /// Where this node can be dialled has changed.
    pub fn set_addresses(&mut self, now: Now, addresses: Vec<SocketAddr>) {
        if self.direct && addresses != self.addresses {
            self.addresses = addresses;
            self.say_hello_to_all();
        }
        self.settle(now);
    }

    /// What is known of `member`, made if new.
    pub(super) fn peer_mut(&mut self, now: Now, member: MemberId) -> &mut Peer {
        let (meeting, me) = (self.meeting, self.me);
        self.peers
            .entry(member)
            .or_insert_with(|| Peer::new(meeting, member, me, now.monotonic))
    }

    /// Ends every link to `member`.
    pub(super) fn close_links(&mut self, member: MemberId) {
        self.links.retain(|link, state| {
            if state.member == member {
                self.outputs.push_back(Output::Close { link: *link });
            }
            state.member != member
        });
    }

    /// Dials members to whom there should be a direct link and is none.
    pub(super) fn dial_what_is_due(&mut self, now: Now) {
        if !self.direct || self.judge.direct(now.unix).is_err() {
            return;
        }
        let Some((psk, candidates)) = self.dial_candidates() else {
            return;
        };
        let lobby_psk = self.secrets.lobby_psk(&self.meeting);
        for member in candidates {
            let Some(peer) = self.peers.get_mut(&member) else {
                continue;
            };
            let idle = peer.links.is_empty() && !peer.redial.dialling && peer.redial.at <= now.monotonic;
            if !idle || peer.addresses.is_empty() {
                continue;
            }
            peer.redial.dialling = true;
            // A host that lost its log knows no members' key, but it still opens to the ticket's.
            let lobby = peer.redial.lobby && member == self.host;
            let psk = if lobby { lobby_psk.clone() } else { psk.clone() };
            let dial = DialId(self.next_dial);
            self.next_dial += 1;
            self.dials.insert(dial, DialPurpose::Member(member));
            let target = DialTarget::Member {
                member,
                addresses: peer.addresses.clone(),
                meeting: self.meeting,
                psk,
            };
            self.outputs.push_back(Output::Dial { dial, target });
        }
    }

    /// Whom to dial, and with which key: the host while joining, all members afterwards.
    fn dial_candidates(&self) -> Option<(Psk, Vec<MemberId>)> {
        match self.phase {
            Phase::Left => None,
            // A host without its log is looked for by the members; one that left, or anybody else, looks for those whom it
            // knows to be in charge.
            Phase::Lobby { .. } => {
                let leaders = self.people_in_charge().into_iter().collect();
                Some((self.secrets.lobby_psk(&self.meeting), leaders))
            }
            Phase::Member => {
                let members = self
                    .log
                    .view()
                    .members
                    .keys()
                    .filter(|id| **id != self.me)
                    .copied()
                    .collect();
                Some((self.secrets.member_psk(&self.meeting)?, members))
            }
        }
    }

    /// A member became known: the one with the lesser id dials at once, the other after a moment.
    pub(super) fn plan_first_dial(&mut self, now: Now, member: MemberId) {
        let me = self.me;
        let peer = self.peer_mut(now, member);
        if peer.links.is_empty() && !peer.redial.dialling {
            peer.redial.at = if me < member {
                now.monotonic
            } else {
                now.monotonic + DIAL_COURTESY
            };
        }
    }

    /// Pings whose time has come.
    pub(super) fn ping_links(&mut self, now: Now) {
        for (link, state) in &mut self.links {
            if let Some(nonce) = state.monitor.poll_ping(now.monotonic) {
                let bytes = ControlMessage::Ping(nonce).encode();
                self.outputs.push_back(Output::Control { link: *link, bytes });
            }
        }
    }

    /// Whether somebody is out of the meeting, though it may know a room secret.
    pub(super) fn is_unadmitted(&self, member: &MemberId) -> bool {
        let roster = self.log.view();
        roster.removed.contains_key(member) || roster.left.contains(member)
    }

    /// Who is turned away inside the handshake, unless it knocks.
    fn unadmitted(&self) -> Unadmitted {
        let roster = self.log.view();
        let psks = self.secrets.member_psk(&self.meeting).into_iter();
        let psks = psks.chain(self.secrets.former_psks(&self.meeting));
        Unadmitted {
            keys: psks.map(|psk| psk.id()).collect(),
            members: roster
                .removed
                .keys()
                .chain(&roster.left)
                .map(|member| member.0)
                .collect(),
        }
    }

    /// States which keys open this node's port: the lobby's if this node admits, the members' if it is one.
    pub(super) fn accept_keys(&mut self) {
        let mut keys = Vec::new();
        if self.direct {
            if self.is_member() {
                keys.extend(self.secrets.member_psk(&self.meeting));
                keys.extend(self.secrets.former_psks(&self.meeting));
            }
            let returns = self.me == self.host && matches!(self.phase, Phase::Lobby { .. });
            if returns || self.is_member() && self.is_in_charge() {
                keys.push(self.secrets.lobby_psk(&self.meeting));
            }
        }
        let unadmitted = self.unadmitted();
        self.outputs.push_back(Output::TurnAway(unadmitted));
        self.outputs.push_back(Output::Accept { keys });
    }
}
