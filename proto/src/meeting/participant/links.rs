//! Direct links to members: accepting, watching.

use std::net::SocketAddr;

use super::{DialId, LinkPeer, Output, Participant, lobby::Phase, peer::Peer};
use crate::{
    ids::{LinkId, MemberId, RelayId},
    mesh::link::LinkMonitor,
    noise::{PskId, Unadmitted},
    time::Now,
    wire::control_message::ControlMessage,
};

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
    /// This node opened it.
    pub(super) dialled: bool,
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
        if let Some(dial) = dial
            && let Some(DialPurpose::Member(member)) = self.dials.remove(&dial)
        {
            self.dial_ended(member);
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
        let Some(scope) = self.scope_of_key(dialled, psk) else {
            self.outputs.push_back(Output::Close { link });
            return;
        };
        let unwelcome = member == self.me
            || !self.direct
            || matches!(self.phase, Phase::Left)
            || self.judge.direct(now.unix).is_err()
            || !self.has_room_for(member)
            || (scope == Scope::Members && self.is_unadmitted(&member))
            || dialled && self.is_spare(now, member);
        if unwelcome {
            self.outputs.push_back(Output::Close { link });
            return;
        }
        self.links.insert(
            link,
            MemberLink {
                member,
                scope,
                dialled,
                monitor: LinkMonitor::new(now.monotonic),
            },
        );
        let peer = self.peer_mut(now, member);
        peer.links.insert(link);
        peer.redial.linked();
        self.punch.linked(member);
        let peer = self.peer_mut(now, member);
        // Where a dialler was seen is where others can dial it: it uses one socket for both.
        if !dialled && !peer.addresses.contains(&remote) && peer.addresses.len() < 8 {
            peer.addresses.push(remote);
        }
        self.dirty.routes();
        self.conduit_opened(now, member, super::conduits::Conduit::Link(link));
    }

    /// What a peer is that proved to know a key. Nothing if the key opens nothing any more: it changed while the handshake was
    /// under way, and whoever knew the lobby's of before must not pass for a member.
    fn scope_of_key(&self, dialled: bool, psk: Option<PskId>) -> Option<Scope> {
        if dialled && !self.is_member() {
            return Some(Scope::Lobby);
        }
        if psk? == self.secrets.lobby_psk(&self.meeting).id() {
            return Some(Scope::Lobby);
        }
        let current = self.secrets.member_psk(&self.meeting).into_iter();
        let mut keys = current.chain(self.secrets.former_psks(&self.meeting));
        keys.any(|key| Some(key.id()) == psk).then_some(Scope::Members)
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
            peer.redial.unlinked(now.monotonic);
            self.forget_link_forwarding(ended.member, link);
            self.dirty.routes();
        }
        self.settle(now);
    }

    /// Where this node can be dialled has changed.
    pub fn set_addresses(&mut self, now: Now, addresses: Vec<SocketAddr>) {
        if self.direct && addresses != self.addresses {
            let left = self.addresses.iter().any(|address| !addresses.contains(address));
            self.addresses = addresses;
            self.say_hello_to_all();
            self.renew_ticket(now);
            if left {
                self.dial_from_new_place(now);
            }
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
            let returns = self.is_named_by_ticket(self.me) && matches!(self.phase, Phase::Lobby { .. });
            if returns || self.is_member() && self.is_in_charge() {
                keys.push(self.secrets.lobby_psk(&self.meeting));
            }
        }
        let unadmitted = self.unadmitted();
        self.outputs.push_back(Output::TurnAway(unadmitted));
        self.outputs.push_back(Output::Accept { keys });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        meeting::{
            operation::RemoveReason,
            participant::fixture::{NOW, admit, host, identity, outputs},
        },
        noise::Psk,
        wire::control_message::ControlMessage,
    };

    /// What the host does when somebody proves to know `psk`.
    fn greeted(host: &mut Participant, psk: &Psk) -> Vec<Output> {
        drop(outputs(host));
        let stranger = LinkPeer::Member(identity(3).member_id());
        let remote = "192.0.2.66:4433".parse().unwrap();
        host.handle_link_up(NOW, None, LinkId(7), stranger, Some(psk.id()), remote);
        outputs(host)
    }

    #[test]
    fn a_key_that_was_voided_while_a_handshake_was_under_way_opens_nothing() {
        let mut host = host();
        let door = host.secrets.lobby_psk(&host.meeting);
        let guest = identity(4);
        admit(&mut host, &guest);
        host.remove_member(NOW, guest.member_id(), RemoveReason::Unstated);
        let outputs = greeted(&mut host, &door);
        let closed = |output: &Output| matches!(output, Output::Close { link } if *link == LinkId(7));
        assert!(outputs.iter().any(closed), "{outputs:?}");
        let says = |output: &Output| matches!(output, Output::Control { .. });
        assert!(!outputs.iter().any(says), "{outputs:?}");
    }

    #[test]
    fn the_door_s_key_opens_the_door_and_no_more() {
        let mut host = host();
        let door = host.secrets.lobby_psk(&host.meeting);
        let outputs = greeted(&mut host, &door);
        assert!(
            host.links
                .get(&LinkId(7))
                .is_some_and(|link| link.scope == Scope::Lobby)
        );
        for output in outputs {
            if let Output::Control { bytes, .. } = output {
                let message = ControlMessage::decode(&bytes).unwrap();
                assert!(matches!(message, ControlMessage::Ping(_)), "{message:?}");
            }
        }
    }
}
