//! What strangers and bad members can do to a call that is under way.

mod attack;
mod lan;
mod raw;
mod role;

use std::{
    io::BufRead,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use subrosa_tests::{
    port::{BUFFER_BYTES, Port},
    relay_client::RelayAddress,
};

use crate::{
    call::Call,
    holds,
    relay::{Relay, address, scrape},
};
use lan::{CALL, Lan, RELAY};
use role::Role;

/// How long somebody speaks in each measurement.
const DURING: Duration = Duration::from_secs(20);
/// An attack is at work before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// The goals of the threat model (SECURITY.md): frames lost, growth of the relay's memory, bytes sent for each received.
const LOSS_MAX: f64 = 0.01;
const GROWTH_BYTES_MAX: u64 = 64 << 20;
const AMPLIFICATION_MAX: f64 = 3.0;
/// Whoever is welcome comes in meanwhile.
const JOIN_MS_MAX: f64 = 3_000.0;

const ATTACKS: [(&str, &str); 5] = [
    ("random", "50,000 spoofed datagrams/s, Initials in form only"),
    (
        "initials",
        "50,000 spoofed datagrams/s, real first flights replayed",
    ),
    (
        "abandoned",
        "handshakes from 40 address blocks, abandoned after the Retry",
    ),
    (
        "greedy",
        "100 valid sessions that send and subscribe to all they can",
    ),
    (
        "rude",
        "valid sessions that send oversized, empty and senseless control frames",
    ),
];

/// A process of this run: inside a namespace, told what it is by its arguments.
pub(crate) fn play(role: &str, arguments: &[String]) {
    match (role, arguments) {
        ("scrape", [at]) => print!("{}", scrape(at)),
        ("call", [descriptor]) => play_call(&address(RELAY, descriptor)),
        ("attack", [kind, descriptor]) => attack::play(kind, &address(RELAY, descriptor)),
        _ => panic!("there is no role '{role}' with {} arguments", arguments.len()),
    }
}

/// A room of which every line on standard input makes somebody speak for a while, and a newcomer come.
fn play_call(relay: &RelayAddress) {
    let mut call = Call::open(relay, CALL);
    println!("{}", json!({"ready": true}));
    let mut seed = 5_000;
    for _ in std::io::stdin().lock().lines() {
        // The attackers share this core.
        let heard = call.speak(DURING, |_| thread::sleep(Duration::from_micros(200)));
        seed += 1;
        let told = json!({
            "published": heard.published, "wanted": heard.wanted(), "heard": heard.frames,
            "delay_ms_p50": heard.p50_ms, "delay_ms_p99": heard.p99_ms, "join_ms": newcomer(relay, seed),
        });
        println!("{told}");
    }
}

/// How long a newcomer's handshake takes, if it comes to an end within ten seconds.
fn newcomer(relay: &RelayAddress, seed: u64) -> Option<f64> {
    let begun = Instant::now();
    let mut port = Port::bound(CALL, 5);
    let handle = port.dial(relay, seed);
    let mut buffer = vec![0; BUFFER_BYTES];
    while begun.elapsed() < Duration::from_secs(10) {
        port.timeouts();
        port.turn(&mut buffer, begun, None);
        if port.clients[&handle].connected {
            return Some(begun.elapsed().as_secs_f64() * 1e3);
        }
        thread::sleep(Duration::from_micros(200));
    }
    None
}

/// What was measured while somebody spoke.
struct Measured {
    heard: Value,
    resident_max: u64,
    /// Bytes per second that came to the relay and that it sent.
    bytes: [f64; 2],
    cpu: f64,
    /// How handshakes ended.
    handshakes: Value,
}

fn measure(lan: &Lan, relay: &Relay, call: &mut Role) -> Measured {
    let before = relay.metrics();
    let (begun, bytes, cpu) = (Instant::now(), lan.relay_bytes(), relay.cpu());
    call.tell("speak");
    let mut resident_max = 0;
    let heard = loop {
        resident_max = resident_max.max(relay.resident_bytes());
        if let Some(line) = call.line(Duration::from_millis(200)) {
            break line;
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let after = lan.relay_bytes();
    Measured {
        heard,
        resident_max,
        bytes: [0, 1].map(|way| (after[way] - bytes[way]) / seconds),
        cpu: relay.cpu().saturating_sub(cpu).as_secs_f64() / seconds,
        handshakes: json!(relay.metrics().labelled(&before, "handshakes_total", "outcome")),
    }
}

impl Measured {
    fn loss(&self) -> f64 {
        let count = |key: &str| self.heard[key].as_f64().unwrap_or(0.0);
        1.0 - count("heard") / count("wanted").max(1.0)
    }

    /// Bytes sent for each received, of what came on top of a calm call.
    fn amplification(&self, calm: &Self) -> f64 {
        let more = [0, 1].map(|way| (self.bytes[way] - calm.bytes[way]).max(0.0));
        more[1] / more[0].max(1.0)
    }

    fn print(&self, name: &str, resident_before: u64, calm: Option<&Self>, did: &Value) {
        println!(
            "{}",
            json!({
                "figure": "flood", "attack": name, "loss": self.loss(), "call": self.heard, "did": did,
                "resident_bytes_before": resident_before, "resident_bytes_max": self.resident_max,
                "bytes_in_per_s": self.bytes[0].round(), "bytes_out_per_s": self.bytes[1].round(),
                "amplification": calm.map(|calm| self.amplification(calm)), "relay_cpu": self.cpu, "handshakes": self.handshakes,
            })
        );
    }
}

/// All attacks, one after another, on one relay with the limits that it has by default.
pub(crate) fn run() -> bool {
    let lan = match Lan::lay() {
        Ok(lan) => lan,
        Err(why) => {
            eprintln!("error: a flood needs network namespaces, root and iproute2: {why}");
            return false;
        }
    };
    let relay = Relay::start_in(Some(&lan.relay), RELAY, "");
    let mut call = Role::start(&lan.call, &["--role=call", &relay.descriptor]);
    let ready = call.line(Duration::from_secs(30));
    assert!(ready.is_some(), "the call comes about");
    measure(&lan, &relay, &mut call);
    let resident = relay.resident_bytes();
    let calm = measure(&lan, &relay, &mut call);
    calm.print("none", resident, None, &Value::Null);
    let mut held = true;
    for (kind, what) in ATTACKS {
        let before = relay.resident_bytes();
        let mut attack = Role::start(&lan.attack, &["--role=attack", kind, &relay.descriptor]);
        thread::sleep(WARM_UP);
        let measured = measure(&lan, &relay, &mut call);
        let did = attack.end().unwrap_or(Value::Null);
        measured.print(kind, before, Some(&calm), &did);
        held &= judge(what, &measured, &calm, before);
    }
    held
}

fn judge(what: &str, measured: &Measured, calm: &Measured, before: u64) -> bool {
    let grown = measured.resident_max.saturating_sub(before);
    let join = measured.heard["join_ms"].as_f64();
    [
        holds(
            &format!(
                "{what}: {:.3} % of the call's frames are lost",
                measured.loss() * 100.0
            ),
            measured.loss() <= LOSS_MAX,
        ),
        holds(
            &format!("  memory grows by {:.1} MB", grown as f64 / 1e6),
            grown <= GROWTH_BYTES_MAX,
        ),
        holds(
            &format!(
                "  {:.2} bytes are sent for each received",
                measured.amplification(calm)
            ),
            measured.amplification(calm) <= AMPLIFICATION_MAX || !what.contains("spoofed"),
        ),
        holds(
            &format!("  a newcomer comes in: {join:.0?} ms"),
            join.is_some_and(|ms| ms <= JOIN_MS_MAX),
        ),
    ]
    .into_iter()
    .all(|held| held)
}
