//! A participant with what every driver may rely on: outputs are bounded and well formed, timers go on.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_proto::{
    identity::Identity,
    ids::{LinkId, MemberId},
    meeting::{
        admission::AdmissionMode,
        name::Name,
        participant::{
            Event, FoundingTerms, LinkPeer, MediaFrame, MemberState, Output, Participant, ParticipantConfig,
        },
    },
    noise::{ACCEPT_KEYS_MAX, Psk},
    policy::{DiscoveryRule, Preset, RoutePolicy, VerifiedDescriptor},
    random::Random,
    time::Now,
    wire::{
        codec::CONTROL_BYTES_MAX,
        control_message::ControlMessage,
        media_packet::{MEDIA_PACKET_BYTES_MAX, MediaHeader},
        relay_message::RelayRequest,
        ticket::Ticket,
    },
};

use crate::canonical;

/// Outputs that one input may cause. Reason: a meeting of a handful; what goes beyond grows without a bound.
const OUTPUTS_MAX: usize = 600;
/// Calls after which nothing may be due any more at one moment.
const ROUNDS_MAX: usize = 16;

/// One participant and what was learnt from its events.
pub struct Node {
    /// The machine.
    pub participant: Participant,
    /// Who is in, as people were told.
    pub members: BTreeSet<MemberId>,
    /// Where each link leads.
    pub links: BTreeMap<LinkId, LinkPeer>,
    /// The keys under which its port opens.
    accepted: Vec<Psk>,
    next_link: u64,
    me: MemberId,
}

fn config(
    identity: &Identity,
    name: &str,
    direct: bool,
    relays: Vec<VerifiedDescriptor>,
) -> ParticipantConfig {
    ParticipantConfig {
        identity: identity.clone(),
        name: Name::new(name).expect("a name"),
        addresses: vec![([192, 0, 2, 1], 4433).into()],
        direct,
        relays,
        evidence: subrosa_proto::policy::Evidence::default(),
        discovery: DiscoveryRule::Any,
    }
}

impl Node {
    /// Founds a meeting whose policy permits any path.
    #[must_use]
    pub fn found(
        now: Now,
        identity: &Identity,
        admission: AdmissionMode,
        direct: bool,
        relays: Vec<VerifiedDescriptor>,
        random: Random,
    ) -> Self {
        let terms = FoundingTerms {
            policy: RoutePolicy::from(Preset::Any),
            admission,
        };
        let config = config(identity, "host", direct, relays);
        let participant = Participant::found(now, config, terms, random).expect("a meeting can be founded");
        Self::new(participant)
    }

    /// Joins by ticket.
    #[must_use]
    pub fn join(now: Now, identity: &Identity, direct: bool, ticket: &Ticket, random: Random) -> Self {
        let ticket = Ticket::parse(&ticket.to_text(), now.unix).expect("a ticket of the host");
        Self::new(Participant::join(
            now,
            config(identity, "guest", direct, Vec::new()),
            ticket,
            random,
        ))
    }

    fn new(participant: Participant) -> Self {
        Self {
            me: participant.id(),
            participant,
            members: BTreeSet::new(),
            links: BTreeMap::new(),
            accepted: Vec::new(),
            next_link: 1,
        }
    }

    /// A link came up; gives its handle.
    pub fn link(&mut self, peer: LinkPeer) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(link, peer);
        link
    }

    /// Whether a dial under `psk` gets an answer.
    #[must_use]
    pub fn accepts(&self, psk: &Psk) -> bool {
        self.accepted.contains(psk)
    }

    /// Lets what is due happen.
    pub fn tick(&mut self, now: Now) {
        for _ in 0..ROUNDS_MAX {
            if self
                .participant
                .poll_timeout()
                .is_none_or(|due| due > now.monotonic)
            {
                return;
            }
            self.participant.handle_timeout(now);
        }
        panic!("a timer that never ends");
    }

    /// Everything that the last input caused; each piece is checked.
    pub fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.participant.poll_output() {
            self.check(&output);
            if let Output::Close { link } = &output {
                self.links.remove(link);
            }
            outputs.push(output);
            assert!(outputs.len() <= OUTPUTS_MAX, "an input with too many outputs");
        }
        outputs
    }

    fn check(&mut self, output: &Output) {
        match output {
            Output::Control { link, bytes } => {
                assert!(bytes.len() <= CONTROL_BYTES_MAX);
                let good = match self.links.get(link) {
                    Some(LinkPeer::Member(_)) => canonical::<ControlMessage>(bytes).is_some(),
                    Some(LinkPeer::Relay(_)) => canonical::<RelayRequest>(bytes).is_some(),
                    // It may have been closed by an output before this one.
                    None => true,
                };
                assert!(good, "a frame that the other side refuses");
            }
            Output::Datagram { bytes, .. } => {
                assert!(bytes.len() <= MEDIA_PACKET_BYTES_MAX && MediaHeader::parse(bytes).is_ok());
            }
            Output::Media(MediaFrame { member, .. }) => {
                assert!(*member != self.me, "its own voice");
                // People are told in the same breath; who spoke before the roster came waits.
                assert!(
                    self.members.contains(member),
                    "the voice of somebody who is not in"
                );
            }
            Output::Event(Event::Member { member, state, .. }) => {
                if *state == MemberState::Joined {
                    self.members.insert(*member);
                } else {
                    self.members.remove(member);
                }
            }
            Output::Accept { keys } => {
                assert!(keys.len() <= ACCEPT_KEYS_MAX);
                self.accepted.clone_from(keys);
            }
            _ => {}
        }
    }
}
