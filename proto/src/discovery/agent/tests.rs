use super::*;
use crate::{
    discovery::{bucket::BUCKET_SECONDS, rendezvous::PLACES},
    meeting::room_secret::RoomSecret,
    policy::fixture::{descriptor_in, verified},
};

const MEETING: MeetingId = MeetingId([3; 16]);
/// The middle of a bucket.
const NOON: u64 = 500_000 * BUCKET_SECONDS + BUCKET_SECONDS / 2;

fn at(seconds: u64) -> Now {
    Now {
        monotonic: Timestamp::from_micros(seconds * 1_000_000),
        unix: UnixSeconds(NOON + seconds),
    }
}

fn member(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

fn secret() -> RendezvousSecret {
    RendezvousSecret::Members(RoomSecret::from_bytes([6; 32]))
}

struct World {
    identity: Identity,
    publish: Vec<RendezvousSecret>,
    addresses: Vec<SocketAddr>,
    relays: Vec<VerifiedDescriptor>,
    wanted: Vec<(MemberId, RendezvousSecret)>,
    countries: Vec<Option<Country>>,
    random: Random,
}

impl World {
    fn new(number: u8) -> Self {
        Self {
            identity: member(number),
            publish: Vec::new(),
            addresses: Vec::new(),
            relays: Vec::new(),
            wanted: Vec::new(),
            countries: Vec::new(),
            random: Random::from_seed([number; 32]),
        }
    }

    fn publisher(number: u8, port: u16) -> Self {
        Self {
            publish: vec![secret()],
            addresses: vec![([192, 0, 2, 1], port).into()],
            ..Self::new(number)
        }
    }

    fn update(&mut self, agent: &mut Agent, now: Now) -> Vec<Request> {
        let situation = Situation {
            meeting: MEETING,
            identity: &self.identity,
            publish: &self.publish,
            addresses: &self.addresses,
            relays: &self.relays,
            wanted: &self.wanted,
            countries: &self.countries,
        };
        agent.update(now, &situation, &mut self.random)
    }
}

fn published(requests: &[Request]) -> BTreeMap<DhtKey, Vec<u8>> {
    requests
        .iter()
        .filter_map(|request| match request {
            Request::Publish { key, value, .. } => Some((*key, value.clone())),
            _ => None,
        })
        .collect()
}

fn found(requests: &[Request]) -> Vec<DhtKey> {
    requests
        .iter()
        .filter_map(|request| match request {
            Request::Find { key } => Some(*key),
            _ => None,
        })
        .collect()
}

#[test]
fn a_member_who_moved_is_found_and_the_old_address_does_not_come_back() {
    let (mut host, mut host_agent) = (World::publisher(1, 4_000), Agent::default());
    let old = published(&host.update(&mut host_agent, at(0)));
    assert_eq!(old.len(), usize::from(PLACES));
    host.addresses = vec!["192.0.2.1:5000".parse().unwrap()];
    let new = published(&host.update(&mut host_agent, at(10)));

    let (mut looker, mut agent) = (World::new(2), Agent::default());
    looker.wanted = vec![(member(1).member_id(), secret())];
    assert!(
        looker.update(&mut agent, at(20)).is_empty(),
        "the ticket's addresses come first"
    );
    assert_eq!(agent.poll_timeout(), Some(at(21).monotonic));
    let keys = found(&looker.update(&mut agent, at(21)));
    assert!(keys.len() == new.len() && keys.iter().all(|key| new.contains_key(key)));
    let key = keys[0];
    let record = agent
        .handle_record(at(21), key, &new[&key])
        .expect("genuine")
        .clone();
    assert_eq!(
        record.addresses().collect::<Vec<_>>(),
        ["192.0.2.1:5000".parse().unwrap()]
    );
    assert!(agent.handle_record(at(21), key, &new[&key]).is_none(), "known");
    assert!(agent.handle_record(at(22), key, &old[&key]).is_none(), "older");
    assert_eq!(agent.refused(), 1);
}

#[test]
fn what_nobody_asked_for_and_garbage_are_refused() {
    let (mut looker, mut agent) = (World::new(2), Agent::default());
    looker.wanted = vec![(member(1).member_id(), secret())];
    looker.update(&mut agent, at(0));
    let keys = found(&looker.update(&mut agent, at(2)));
    // Another member's genuine record, copied to the wanted member's place.
    let (mut other, mut other_agent) = (World::publisher(3, 666), Agent::default());
    let others = published(&other.update(&mut other_agent, at(0)));
    for value in others.values() {
        assert!(agent.handle_record(at(2), keys[0], value).is_none());
    }
    for (key, value) in &others {
        assert!(
            agent.handle_record(at(2), *key, value).is_none(),
            "not looked for"
        );
    }
    assert!(agent.handle_record(at(2), keys[0], &[0; 2_048]).is_none());
}

#[test]
fn a_record_is_published_when_it_changes_and_from_time_to_time() {
    let (mut host, mut agent) = (World::publisher(1, 4_000), Agent::default());
    assert_eq!(published(&host.update(&mut agent, at(0))).len(), 2);
    assert!(host.update(&mut agent, at(100)).is_empty());
    host.relays = vec![verified(descriptor_in("DE"))];
    assert_eq!(published(&host.update(&mut agent, at(101))).len(), 2);
    host.addresses.clear();
    assert!(
        host.update(&mut agent, at(102)).is_empty(),
        "not twice within moments"
    );
    assert_eq!(
        published(&host.update(&mut agent, at(104))).len(),
        2,
        "reachable by relay alone"
    );
    assert_eq!(published(&host.update(&mut agent, at(404))).len(), 2);
    // Near the end of the hour the next hour's places count, too.
    assert_eq!(
        published(&host.update(&mut agent, at(BUCKET_SECONDS / 2 - 300))).len(),
        4
    );
    host.relays.clear();
    assert!(
        published(&host.update(&mut agent, at(BUCKET_SECONDS / 2 - 290))).is_empty(),
        "nowhere to be reached"
    );
}

#[test]
fn searches_slow_down_and_are_bounded() {
    let (mut looker, mut agent) = (World::new(2), Agent::default());
    looker.wanted = (10..60)
        .map(|number| (member(number).member_id(), secret()))
        .collect();
    let mut per_second = Vec::new();
    for second in 0..600 {
        per_second.push(found(&looker.update(&mut agent, at(second))).len());
    }
    assert_eq!(per_second[0], 0);
    assert_eq!(per_second[1], SEARCHES_MAX * usize::from(PLACES));
    let all: usize = per_second.iter().sum();
    assert!(
        all <= 16 * SEARCHES_MAX * usize::from(PLACES) * 2,
        "{all} searches in ten minutes"
    );
    looker.wanted.clear();
    assert!(looker.update(&mut agent, at(700)).is_empty());
    assert_eq!(agent.poll_timeout(), None);
}

#[test]
fn relays_are_looked_for_while_they_are_wanted() {
    let (mut looker, mut agent) = (World::new(2), Agent::default());
    looker.countries = vec![None];
    let asked = |requests: &[Request]| requests.iter().any(|r| matches!(r, Request::Relays { .. }));
    assert!(!asked(&looker.update(&mut agent, at(0))));
    assert!(asked(&looker.update(&mut agent, at(1))));
    assert!(!asked(&looker.update(&mut agent, at(4))));
    assert!(asked(&looker.update(&mut agent, at(5))));
    looker.countries.clear();
    assert!(!asked(&looker.update(&mut agent, at(60))));
}
