//! Which relay legs run over TCP, and the routes that are shown for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use subrosa_proto::{
    ids::{LinkId, MemberId, RelayId},
    meeting::participant::RoutePath,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Transports {
    over_tcp: BTreeMap<LinkId, RelayId>,
    /// The last ways to each member.
    routes: BTreeMap<MemberId, (Vec<RoutePath>, Option<Duration>)>,
}

impl Transports {
    /// The relays that are reached over TCP.
    pub(super) fn over_tcp(&self) -> BTreeSet<RelayId> {
        self.over_tcp.values().copied().collect()
    }

    /// Notes a link over TCP.
    pub(super) fn add(&mut self, link: LinkId, relay: RelayId) {
        self.over_tcp.insert(link, relay);
    }

    /// The link is on UDP, or over. Gives the routes that look different now.
    pub(super) fn remove(&mut self, link: LinkId) -> Vec<(MemberId, Vec<RoutePath>, Option<Duration>)> {
        let Some(relay) = self.over_tcp.remove(&link) else {
            return Vec::new();
        };
        let is_it = |path: &RoutePath| matches!(path, RoutePath::Relay { relay: one, .. } if *one == relay);
        let uses = |path: &RoutePath| match path {
            RoutePath::Relay { through, .. } => is_it(path) || through.as_deref().is_some_and(is_it),
            RoutePath::Direct | RoutePath::Member { .. } => false,
        };
        self.routes
            .iter()
            .filter(|(_, (paths, _))| paths.iter().any(uses))
            .map(|(member, (paths, rtt))| (*member, paths.clone(), *rtt))
            .collect()
    }

    /// Notes the ways to a member.
    pub(super) fn note(&mut self, member: MemberId, paths: &[RoutePath], rtt: Option<Duration>) {
        self.routes.insert(member, (paths.to_vec(), rtt));
    }

    /// The member is gone.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.routes.remove(&member);
    }
}
