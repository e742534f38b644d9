//! Channels through a member: for two who share neither a link nor a relay, but a neighbour who forwards.

use super::{
    super::{Participant, conduits::Conduit, links::Scope},
    carrying::Bucket,
};
use crate::{
    channel::{
        envelope::CONTENT_BYTES_MAX,
        pairwise::{ChannelContext, ChannelEvent},
    },
    ids::MemberId,
    noise::Psk,
    time::Now,
    wire::{bounded::BoundedBytes, control_message::ControlMessage, forwarding_message::ForwardingMessage},
};

/// Members through whom one member is reached at a time. Reason: one may go.
const CARRIERS_MAX: usize = 2;
/// Channels through members. Reason: twice as many as the members of a meeting.
const CHANNELS_MAX: usize = 512;
/// What one member may have carried in envelopes, in kbit/s. Reason: keys, chat and a file beside them; frames go another
/// way.
const ENVELOPES_KBPS: u32 = 1_024;

/// A channel to `to` by way of `via`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Through {
    pub(in super::super) via: MemberId,
    pub(in super::super) to: MemberId,
}

/// What a member has carried through this node lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carriage {
    bucket: Bucket,
}

impl Participant {
    /// Begins channels to members who cannot be told anything otherwise.
    pub(super) fn open_channels_through(&mut self, now: Now) {
        if self.forwarding.offers.is_empty() || !self.members_may_forward(now) {
            self.forwarding.channels.clear();
            return;
        }
        let Some(psk) = self.member_key() else { return };
        let offers = &self.forwarding.offers;
        self.forwarding
            .channels
            .retain(|through, _| offers.contains_key(&through.via));
        let mut wanted: Vec<Through> = Vec::new();
        for to in self.log.view().members.keys().filter(|id| **id != self.me) {
            if self.reaches_otherwise(*to) {
                continue;
            }
            let offers = self.forwarding.offers.iter().filter(|(via, offer)| {
                *via != to
                    && self.newest_link(**via).is_some()
                    && offer.neighbours.iter().any(|(neighbour, _)| neighbour == to)
            });
            wanted.extend(
                offers
                    .take(CARRIERS_MAX)
                    .map(|(via, _)| Through { via: *via, to: *to }),
            );
        }
        for through in wanted {
            if self.forwarding.channels.len() >= CHANNELS_MAX
                && !self.forwarding.channels.contains_key(&through)
            {
                break;
            }
            let channel = self.forwarding.channels.entry(through).or_default();
            let mut context = ChannelContext {
                identity: &self.identity,
                meeting: self.meeting,
                psk: &psk,
                random: &mut self.random,
            };
            channel.start(now, Some(through.to), &mut context);
        }
        self.flush_channels_through();
    }

    fn member_key(&self) -> Option<Psk> {
        self.secrets.member_psk(&self.meeting)
    }

    /// Whether there is a link or a channel over a relay.
    fn reaches_otherwise(&self, member: MemberId) -> bool {
        let linked = self.peers.get(&member).is_some_and(|peer| !peer.links.is_empty());
        linked
            || self
                .channels
                .values()
                .any(|channel| channel.peer() == Some(member))
    }

    /// Channels to `member` that are open, through whom its link is heard first.
    pub(in super::super) fn channels_through(&self, member: MemberId) -> Vec<Through> {
        let channels = self.forwarding.channels.iter();
        let open =
            channels.filter(|(through, channel)| through.to == member && channel.peer() == Some(member));
        open.map(|(through, _)| *through).collect()
    }

    pub(in super::super) fn send_through(&mut self, through: Through, bytes: &[u8]) -> bool {
        let sent = self
            .forwarding
            .channels
            .get_mut(&through)
            .is_some_and(|channel| channel.send(bytes));
        if sent {
            self.flush_channels_through();
        }
        sent
    }

    /// Hands envelopes to the members who carry them.
    fn flush_channels_through(&mut self) {
        let mut out: Vec<(Through, Vec<u8>)> = Vec::new();
        for (through, channel) in &mut self.forwarding.channels {
            while let Some(content) = channel.poll_envelope() {
                out.push((*through, content));
            }
        }
        for (through, content) in out {
            if let (Some(link), Ok(content)) = (self.newest_link(through.via), content.try_into()) {
                self.say_forwarding(Conduit::Link(link), ForwardingMessage::Carry(through.to, content));
            }
        }
    }

    /// A member wants an envelope carried. It is what no other two have a way for: only to members with a link, and no more
    /// than a little.
    pub(super) fn carry_envelope(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        to: MemberId,
        content: BoundedBytes<CONTENT_BYTES_MAX>,
    ) {
        let known = self.log.view().members.contains_key(&to) && to != self.me && to != from;
        let Conduit::Link(_) = conduit else { return };
        if !known || self.forwarding_budget(now) == 0 {
            return;
        }
        let Some(link) = self.newest_link(to).filter(|link| {
            self.links
                .get(link)
                .is_some_and(|state| state.scope == Scope::Members)
        }) else {
            return;
        };
        let carriage = self.forwarding.carriage.entry(from).or_default();
        // A whole message at least, whatever the rate.
        if !carriage.bucket.take(now.monotonic, ENVELOPES_KBPS, content.len()) {
            self.forwarding.counters.dropped += 1;
            return;
        }
        self.forwarding.counters.envelopes += 1;
        self.say_forwarding(Conduit::Link(link), ForwardingMessage::Carried(from, content));
    }

    /// An envelope that a member carried here, from `member` as it says.
    pub(super) fn handle_carried(
        &mut self,
        now: Now,
        via: MemberId,
        conduit: Conduit,
        member: MemberId,
        content: &[u8],
    ) {
        let Conduit::Link(_) = conduit else { return };
        let in_roster = self.log.view().members.contains_key(&member);
        if !in_roster || member == self.me || member == via || !self.members_may_forward(now) {
            return;
        }
        let through = Through { via, to: member };
        let is_new = !self.forwarding.channels.contains_key(&through);
        let Some(psk) = self
            .member_key()
            .filter(|_| !is_new || self.forwarding.channels.len() < CHANNELS_MAX)
        else {
            return;
        };
        let mut context = ChannelContext {
            identity: &self.identity,
            meeting: self.meeting,
            psk: &psk,
            random: &mut self.random,
        };
        let channel = self.forwarding.channels.entry(through).or_default();
        let event = channel.handle_envelope(now, content, &mut context);
        self.flush_channels_through();
        match event {
            // The forwarder named one member, and another one answers: neither is believed.
            Ok(Some(ChannelEvent::Opened(peer) | ChannelEvent::Message(peer, _))) if peer != member => {
                self.forwarding.channels.remove(&through);
            }
            Ok(Some(ChannelEvent::Opened(peer))) => {
                self.peer_mut(now, peer);
                self.conduit_opened(now, peer, Conduit::Through(through));
                self.forwarding.replan = true;
            }
            Ok(Some(ChannelEvent::Message(peer, message))) => {
                if let Ok(message) = ControlMessage::decode(&message) {
                    self.handle_message(now, peer, Conduit::Through(through), message);
                }
            }
            Ok(None) | Err(_) => {}
        }
    }
}
