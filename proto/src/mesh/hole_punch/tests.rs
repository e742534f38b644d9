//! Two sides in virtual time, and a NAT between them.

use std::collections::BTreeSet;

use super::*;

fn member(n: u8) -> MemberId {
    MemberId([n; 32])
}

fn at_ms(ms: u64) -> Timestamp {
    Timestamp::from_micros(ms * 1_000)
}

fn statement(mapping: Mapping, address: &str) -> Statement {
    Statement {
        mapping,
        seen: vec![address.parse().unwrap()],
    }
}

/// The cone's side has the lesser id if `cone_first`.
struct Pair {
    cone: HolePunch,
    symmetric: HolePunch,
    said: [Statement; 2],
    /// Ports that the symmetric NAT gave to sockets.
    in_use: BTreeSet<u16>,
    random: Random,
    now_ms: u64,
    probes: usize,
    opened: usize,
    closed: bool,
}

impl Pair {
    fn new(seed: u64, cone_first: bool, mappings: [Mapping; 2]) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = Random::from_seed(bytes);
        let (cone, symmetric) = if cone_first { (1, 2) } else { (2, 1) };
        Self {
            cone: HolePunch::new(member(cone)),
            symmetric: HolePunch::new(member(symmetric)),
            said: [
                statement(mappings[0], "198.51.100.1:4000"),
                statement(mappings[1], "198.51.100.2:5000"),
            ],
            in_use: BTreeSet::new(),
            random,
            now_ms: 0,
            probes: 0,
            opened: 0,
            closed: false,
        }
    }

    fn begin(&mut self) {
        let now = at_ms(self.now_ms);
        let (cone, symmetric) = (self.cone.me, self.symmetric.me);
        self.cone.begin(now, symmetric);
        self.symmetric.begin(now, cone);
    }

    /// Does what one side asks for. Whether a probe went through.
    fn drain(&mut self, of_cone: bool) -> bool {
        let now = at_ms(self.now_ms);
        let mut hit = false;
        loop {
            let (side, other, said) = if of_cone {
                (
                    &mut self.cone,
                    &mut self.symmetric,
                    [&self.said[0], &self.said[1]],
                )
            } else {
                (
                    &mut self.symmetric,
                    &mut self.cone,
                    [&self.said[1], &self.said[0]],
                )
            };
            let Some(output) = side.poll_output() else {
                return hit;
            };
            match output {
                PunchOutput::Tell {
                    member,
                    stage,
                    search,
                } => {
                    assert_eq!(member, other.me);
                    other.handle_message(now, side.me, stage, search, said[0], said[1]);
                    hit |= self.drain(!of_cone);
                }
                PunchOutput::Open { sockets, to } => {
                    assert_eq!(to, said[1].seen);
                    self.opened += sockets;
                    for _ in 0..sockets {
                        while !self.in_use.insert(
                            u16::try_from(u64::from(PORT_MIN) + self.random.next_u64() % 64_512).unwrap(),
                        ) {}
                    }
                }
                PunchOutput::Probe(to) => {
                    self.probes += to.len();
                    let ip = said[1].seen[0].ip();
                    assert!(to.iter().all(|address| address.ip() == ip));
                    hit |= to.iter().any(|address| self.in_use.contains(&address.port()));
                }
                PunchOutput::Close => self.closed = true,
            }
        }
    }

    /// Runs for so long, or until a probe goes through; whether one did.
    fn run(&mut self, for_ms: u64) -> bool {
        let end = self.now_ms + for_ms;
        loop {
            if self.drain(true) | self.drain(false) {
                return true;
            }
            let due = [self.cone.poll_timeout(), self.symmetric.poll_timeout()];
            let Some(due) = due.into_iter().flatten().min() else {
                return false;
            };
            self.now_ms = self.now_ms.max(
                (due - Timestamp::ZERO)
                    .as_micros()
                    .div_ceil(1_000)
                    .try_into()
                    .unwrap(),
            );
            if self.now_ms > end {
                self.now_ms = end;
                return false;
            }
            self.cone.handle_timeout(at_ms(self.now_ms), &mut self.random);
            self.symmetric
                .handle_timeout(at_ms(self.now_ms), &mut self.random);
        }
    }
}

#[test]
fn of_ten_thousand_searches_as_many_succeed_in_time_as_computed() {
    let (mut found, mut in_a_second, mut probes) = (0, 0, 0);
    for seed in 0..10_000 {
        let mut pair = Pair::new(seed, seed % 2 == 0, [Mapping::Same, Mapping::PerDestination]);
        pair.begin();
        let hit = pair.run(2_000);
        found += u32::from(hit);
        in_a_second += u32::from(hit && pair.now_ms <= 1_000);
        probes += pair.probes;
        assert!(pair.opened <= SOCKETS && pair.probes <= PORTS_MAX);
    }
    println!(
        "{found} of 10,000 within 2 s, {in_a_second} within 1 s, {} probes each",
        probes / 10_000
    );
    // 99.79 % ± 0.05 (one deviation).
    assert!((9_960..=9_998).contains(&found), "{found}");
    assert!(in_a_second > 9_700, "{in_a_second}");
}

#[test]
fn who_has_which_part_follows_from_both_nats() {
    use Mapping::{PerDestination, Same, Unknown};
    for first in [true, false] {
        for number in [0, 1] {
            assert_eq!(role(PerDestination, Same, first, number), Some(Role::Sockets));
            assert_eq!(role(Same, Unknown, first, number), Some(Role::Ports));
            assert_eq!(role(PerDestination, Unknown, first, number), Some(Role::Sockets));
            assert_eq!(role(Same, Same, first, number), None);
            assert_eq!(role(PerDestination, PerDestination, first, number), None);
            let (mine, theirs) = (
                role(Unknown, Unknown, first, number),
                role(Unknown, Unknown, !first, number),
            );
            assert!(mine.is_some() && mine != theirs, "they never both do the same");
            assert_ne!(
                mine,
                role(Unknown, Unknown, first, number + 1),
                "each has its turn"
            );
        }
    }
}

#[test]
fn a_search_in_vain_ends_and_is_followed_by_ever_longer_pauses() {
    let mut pair = Pair::new(7, true, [Mapping::Same, Mapping::PerDestination]);
    let mut searches = Vec::new();
    for _ in 0..40_000 {
        pair.begin();
        // Nothing ever gets through.
        pair.in_use.clear();
        let before = pair.opened;
        pair.run(100);
        if pair.opened > before && searches.last().is_none_or(|last| pair.now_ms > last + 1_000) {
            searches.push(pair.now_ms);
        }
        pair.now_ms += 100;
        pair.in_use.clear();
    }
    let pauses: Vec<u64> = searches.windows(2).map(|two| (two[1] - two[0]) / 1_000).collect();
    println!("{pauses:?}");
    assert!(pauses.len() >= 6 && pauses.is_sorted(), "{pauses:?}");
    assert!(*pauses.last().unwrap() >= 500, "{pauses:?}");
    assert_eq!(pair.opened, SOCKETS * searches.len());
    assert_eq!(pair.probes, PORTS_MAX * searches.len());
    assert!(pair.closed);
}

#[test]
fn whoever_asks_for_one_search_after_another_gets_what_a_rest_allows() {
    // A node with a cone, and 200 others that each say they are symmetric, all at one address that is none of theirs.
    let mut random = Random::from_seed([1; 32]);
    let mut node = HolePunch::new(member(255));
    let mine = statement(Mapping::Same, "198.51.100.1:4000");
    let theirs = statement(Mapping::PerDestination, "203.0.113.1:1");
    let mut probes = 0;
    let mut burst_max = 0;
    for ms in (0..120_000).step_by(10) {
        for n in 0..200 {
            for stage in [Stage::Wish, Stage::Ready] {
                node.handle_message(at_ms(ms), member(n), stage, 0, &theirs, &mine);
            }
        }
        node.handle_timeout(at_ms(ms), &mut random);
        let mut burst = 0;
        while let Some(output) = node.poll_output() {
            if let PunchOutput::Probe(to) = output {
                burst += to.len();
            }
        }
        probes += burst;
        burst_max = burst_max.max(burst);
    }
    // A search takes 2.3 s, a rest 8.
    assert_eq!(burst_max, PROBES_PER_TICK);
    let per_second = probes / 120;
    assert!((100..=192).contains(&per_second), "{per_second} probes a second");
}

#[test]
fn one_that_finds_a_link_ends_and_the_next_may_begin_at_once() {
    let mut pair = Pair::new(3, false, [Mapping::Same, Mapping::PerDestination]);
    pair.begin();
    assert!(pair.run(2_000));
    let (cone, symmetric) = (pair.cone.me, pair.symmetric.me);
    assert!(!pair.symmetric.may_dial(member(9)), "of somebody else");
    for dial in 0..DIALS_MAX + 1 {
        assert_eq!(pair.symmetric.may_dial(cone), dial < DIALS_MAX);
    }
    pair.cone.linked(symmetric);
    pair.symmetric.linked(cone);
    while let Some(output) = pair.symmetric.poll_output() {
        pair.closed |= output == PunchOutput::Close;
    }
    assert!(pair.closed && pair.cone.poll_timeout().is_none() && pair.symmetric.poll_timeout().is_none());
    pair.symmetric.begin(at_ms(pair.now_ms), member(3));
    assert!(matches!(
        pair.symmetric.poll_output(),
        Some(PunchOutput::Tell { .. })
    ));
}

#[test]
fn nobody_sends_a_probe_to_whoever_did_not_state_an_address_or_answer() {
    let mut asker = HolePunch::new(member(1));
    let mine = statement(Mapping::Same, "198.51.100.1:4000");
    asker.begin(at_ms(0), member(2));
    assert!(matches!(
        asker.poll_output(),
        Some(PunchOutput::Tell {
            stage: Stage::Wish,
            ..
        })
    ));
    let nowhere = Statement {
        mapping: Mapping::PerDestination,
        seen: Vec::new(),
    };
    asker.handle_message(at_ms(10), member(2), Stage::Ready, 0, &nowhere, &mine);
    assert_eq!(asker.poll_output(), None);
    asker.handle_timeout(at_ms(1_100), &mut Random::from_seed([1; 32]));
    assert_eq!((asker.poll_output(), asker.poll_timeout()), (None, None));
    // It did not answer: another may take part meanwhile.
    asker.begin(at_ms(1_200), member(3));
    assert!(asker.poll_output().is_some());
}
