//! Which paths bring each peer's audio, and what people are told about them.

use super::{Event, Output, Participant, RoutePath, links::Scope, peer::TAMPERING_PENALTY};
use crate::{
    ids::{LinkId, MemberId, StreamId},
    mesh::{
        route::{Candidate, Path, plan},
        route_planner::Carrier,
    },
    sframe::source_verifier::{PathId, Verdict},
    time::Now,
    wire::control_message::ControlMessage,
};

impl Participant {
    /// Chooses paths for all peers; subscribes, unsubscribes, and reports what changed.
    pub(super) fn plan_routes(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        let members: Vec<MemberId> = self
            .log
            .view()
            .members
            .keys()
            .filter(|id| **id != self.me && self.peers.contains_key(id))
            .copied()
            .collect();
        for member in members {
            let candidates = self.candidates(now, member);
            self.follow_plan(now, member, &candidates);
            self.report_route(member, &candidates);
        }
        self.tell_tracks();
        self.tell_ways();
    }

    /// Every permitted way to `member` that exists now.
    fn candidates(&self, now: Now, member: MemberId) -> Vec<Candidate> {
        let Some(peer) = self.peers.get(&member) else {
            return Vec::new();
        };
        let mut candidates = Vec::new();
        if self.judge.direct(now.unix).is_ok() {
            for link in &peer.links {
                if let Some(state) = self.links.get(link) {
                    candidates.push(Candidate {
                        path: Path::Direct(*link),
                        rtt: state.monitor.rtt(),
                        silent: state.monitor.is_silent(now.monotonic),
                        through: None,
                    });
                }
            }
        }
        let policy = self.judge.policy().hash();
        for (relay, session) in &self.relays {
            let usable = session.link(now, policy).is_some()
                && !peer.blocked.contains_key(&Carrier::Relay(*relay))
                && peer
                    .ways
                    .get(relay)
                    .is_none_or(|near| self.is_permitted(now, *near))
                && self.is_at_relay(*relay, member);
            if usable {
                let (rtt, silent) = self.way_to(now.monotonic, session);
                candidates.push(Candidate {
                    path: Path::Relay(*relay),
                    rtt,
                    silent,
                    through: session.through(),
                });
            }
        }
        candidates.extend(self.forwarded_candidates(now, member));
        candidates
    }

    fn follow_plan(&mut self, now: Now, member: MemberId, candidates: &[Candidate]) {
        let Some(peer) = self.peers.get_mut(&member) else {
            return;
        };
        let paths = plan(candidates, &peer.paths, &peer.named);
        let added = if paths == peer.paths {
            Vec::new()
        } else {
            peer.use_paths(now.monotonic, paths)
        };
        let ended = peer.end_lingering(now.monotonic);
        self.unsubscribe(member, &ended);
        for path in added {
            match path {
                Path::Direct(link) => self.tell_link(link, &ControlMessage::Subscribe(StreamId::AUDIO)),
                Path::Member(forwarder) => self.take_from(now, member, forwarder),
                Path::Relay(_) => {}
            }
        }
    }

    /// Ends subscriptions on direct links, and forgets what relays delivered; `tell_tracks` tells the relays.
    fn unsubscribe(&mut self, member: MemberId, ended: &[Path]) {
        for path in ended {
            match path {
                Path::Direct(link) => self.tell_link(*link, &ControlMessage::Unsubscribe(StreamId::AUDIO)),
                Path::Member(forwarder) => self.leave_forwarder(member, *forwarder),
                Path::Relay(_) => {}
            }
            if let (Some(carrier), Some(peer)) = (path.carrier(), self.peers.get_mut(&member)) {
                peer.verifier.remove_path(path_id(carrier));
            }
        }
    }

    fn tell_link(&mut self, link: LinkId, message: &ControlMessage) {
        if self
            .links
            .get(&link)
            .is_some_and(|state| state.scope == Scope::Members || self.is_member())
        {
            self.outputs.push_back(Output::Control {
                link,
                bytes: message.encode(),
            });
        }
    }

    /// Tells people when the route to `member` is another, and once when its round-trip time is first known.
    fn report_route(&mut self, member: MemberId, candidates: &[Candidate]) {
        let Some(peer) = self.peers.get(&member) else {
            return;
        };
        let best = peer.paths.first().copied();
        let rtt = candidates
            .iter()
            .find(|c| Some(c.path) == best)
            .and_then(|c| c.rtt);
        let paths: Vec<RoutePath> = peer
            .paths
            .iter()
            .filter_map(|path| self.describe_to(member, *path))
            .collect();
        let known = rtt.is_some();
        let changed = match &peer.reported {
            None => !paths.is_empty(),
            Some((told, with_rtt)) => *told != paths || (known && !with_rtt),
        };
        if changed {
            if let Some(peer) = self.peers.get_mut(&member) {
                peer.reported = Some((paths.clone(), known));
            }
            self.emit(Event::Route {
                peer: member,
                paths,
                rtt,
            });
        }
    }

    /// A path to `member`, with the relay that carries for it, if it says that one does.
    fn describe_to(&self, member: MemberId, path: Path) -> Option<RoutePath> {
        let mut described = self.describe(path)?;
        if let (Path::Relay(relay), RoutePath::Relay { beyond, .. }) = (path, &mut described) {
            let near = self.peers.get(&member).and_then(|peer| peer.ways.get(&relay));
            *beyond = near
                .and_then(|near| self.describe(Path::Relay(*near)))
                .map(Box::new);
        }
        Some(described)
    }

    pub(super) fn describe(&self, path: Path) -> Option<RoutePath> {
        Some(match path {
            Path::Direct(_) => RoutePath::Direct,
            Path::Member(member) => RoutePath::Member {
                member,
                name: self.name_of(member),
            },
            Path::Relay(relay) => {
                let session = self.relays.get(&relay)?;
                let descriptor = session.descriptor();
                RoutePath::Relay {
                    relay,
                    operator: descriptor.operator.name.to_string(),
                    hosting: descriptor.hosting.to_string(),
                    legal_seat: descriptor.operator.legal_seat.to_string(),
                    evidence: session.permit().evidence(),
                    through: session
                        .through()
                        .and_then(|near| self.describe(Path::Relay(near)))
                        .map(Box::new),
                    beyond: None,
                }
            }
        })
    }

    /// Looks at what the signatures of publishers say about the paths of their frames.
    pub(super) fn watch_sources(&mut self, now: Now) {
        let mut culprits = Vec::new();
        for (member, peer) in &mut self.peers {
            peer.verifier.handle_timeout(now.monotonic);
            while let Some(verdict) = peer.verifier.poll_verdict() {
                let (path, what) = match verdict {
                    Verdict::Verified { .. } => continue,
                    Verdict::Mismatch { path } => (path, "delivered packets that they did not send"),
                    Verdict::Unsigned { path } => (path, "withholds their signatures"),
                };
                let relays = self.relays.keys().map(|relay| Carrier::Relay(*relay));
                let members = peer.feeds.keys().map(|member| Carrier::Member(*member));
                if let Some(carrier) = relays.chain(members).find(|carrier| path_id(*carrier) == path) {
                    peer.blocked.insert(carrier, now.monotonic + TAMPERING_PENALTY);
                    culprits.push((*member, carrier, what));
                }
            }
        }
        for (member, carrier, what) in culprits {
            let name = self.name_of(member);
            let (who, hint) = match carrier {
                Carrier::Relay(relay) => {
                    let operator = &self.relays[&relay].descriptor().operator.name;
                    let who = format!("relay {operator} ({})", relay.fingerprint());
                    (who, "this node no longer takes their sound from that relay")
                }
                Carrier::Member(member) => {
                    let who = format!(
                        "{} ({}), who forwards,",
                        self.name_of(member),
                        member.fingerprint()
                    );
                    (who, "this node no longer takes their sound from there")
                }
            };
            self.fault("tampering", format!("{who} {what}: {name}"), hint);
            self.dirty.routes();
        }
    }
}

/// How the source verifier names the path over a relay or a member.
pub(super) fn path_id(carrier: Carrier) -> PathId {
    let name = match carrier {
        Carrier::Relay(relay) => relay.0,
        Carrier::Member(member) => member.0,
    };
    let mut id = [0; 8];
    id.copy_from_slice(&name[..8]);
    PathId(u64::from_le_bytes(id))
}
