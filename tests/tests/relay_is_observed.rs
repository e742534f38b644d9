//! What monitoring sees of a relay, and what it never sees.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use serde_json::Value;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    wire::relay_message::{RelayNotice, RelayRequest},
};
use subrosa_tests::relay_client::{RelayClient, media_packet};

use crate::support::{Scratch, operated::Operated, run};

const METRICS: &str = "metrics = '127.0.0.1:0'";
const ROOM: RoomId = RoomId([0xc7; 16]);
const ALIASES: [Alias; 2] = [Alias([0xd1; 8]), Alias([0xd2; 8])];
const TRACK: TrackAlias = TrackAlias([0xe9; 8]);

/// Status and body of `GET PATH`.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("metrics are told");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.unwrap_or(0), body.unwrap_or_default())
}

/// The value of a metric without labels, or with these.
fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|v| v.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Two sessions of which one forwarded a frame to the other.
async fn traffic(relay: &Operated) -> [RelayClient; 2] {
    let mut speaker = RelayClient::dial(&relay.address, 1).await.unwrap();
    let mut listener = RelayClient::dial(&relay.address, 2).await.unwrap();
    assert!(matches!(
        speaker.join(ROOM, ALIASES[0]).await,
        RelayNotice::Joined { .. }
    ));
    assert!(matches!(
        listener.join(ROOM, ALIASES[1]).await,
        RelayNotice::Joined { .. }
    ));
    let (room, track) = (ROOM, TRACK);
    speaker
        .ask_and_wait(&RelayRequest::Announce { room, track })
        .await;
    listener
        .ask_and_wait(&RelayRequest::Subscribe { room, track })
        .await;
    speaker
        .connection
        .send_datagram(media_packet(TRACK, &[1; 100]))
        .unwrap();
    listener.connection.read_datagram().await.unwrap();
    // A refusal, and a frame that nobody wants.
    let elsewhere = RelayRequest::Announce {
        room: RoomId([1; 16]),
        track,
    };
    speaker.ask_and_wait(&elsewhere).await;
    [speaker, listener]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happens_and_name_nobody() {
    let home = Scratch::new();
    let mut relay = Operated::start(&home, "observed", METRICS, "");
    let at = relay.metrics.clone().expect("metrics are told");
    let clients = traffic(&relay).await;
    let (status, text) = get(&at, "/metrics");
    assert_eq!(status, 200);
    println!("{text}");
    assert_eq!(value(&text, "subrosa_relay_sessions"), 2.0);
    assert_eq!(value(&text, "subrosa_relay_rooms"), 1.0);
    assert_eq!(value(&text, "subrosa_relay_frames_forwarded_total"), 1.0);
    assert_eq!(
        value(&text, "subrosa_relay_refusals_total{clause=\"not_joined\"}"),
        1.0
    );
    assert_eq!(
        value(&text, "subrosa_relay_handshakes_total{outcome=\"finished\"}"),
        2.0
    );
    assert_eq!(value(&text, "subrosa_relay_queue_delay_seconds_count"), 1.0);
    assert!(
        value(
            &text,
            "subrosa_relay_frames_dropped_total{reason=\"session_bitrate\"}"
        ) == 0.0
    );
    assert!(text.contains("subrosa_relay_build_info{version="));

    relay.signal("TERM");
    drop(clients);
    relay.wait_end();
    let log = relay.log();
    assert!(log.contains("relay started"), "the log is there: {log}");
    for planted in [
        HEXLOWER.encode(&ROOM.0),
        HEXLOWER.encode(&ALIASES[0].0),
        HEXLOWER.encode(&ALIASES[1].0),
        HEXLOWER.encode(&TRACK.0),
        "127.0.0.1".to_owned(),
        "[199, 199".to_owned(),
    ] {
        assert!(!text.contains(&planted), "metrics hold {planted}");
        assert!(!log.contains(&planted), "the log holds {planted}:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_logged_only_where_the_file_and_so_the_descriptor_say_so() {
    let home = Scratch::new();
    let relay = Operated::start(&home, "frank", METRICS, "");
    let _first = RelayClient::dial(&relay.address, 1).await.unwrap();
    relay.stats();
    assert!(!relay.log().contains("127.0.0.1"), "{}", relay.log());
    let reloaded = relay.reload("DE", METRICS, "[logs]\naddresses = true\ndays = 3\n");
    assert_eq!(reloaded["descriptor"], true, "{reloaded}");
    let second = RelayClient::dial(&relay.address, 2).await.unwrap();
    relay.stats();
    let port = second.endpoint.local_addr().unwrap().port().to_string();
    assert!(
        relay.log().contains(&format!("127.0.0.1:{port}")),
        "{}",
        relay.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_tell_life_from_service() {
    let home = Scratch::new();
    let tables = "[limits]\nmonthly_gbyte = 0.0000001\n";
    let mut relay = Operated::start(&home, "asked", &format!("{METRICS}\ndrain_seconds = 20"), tables);
    let at = relay.metrics.clone().unwrap();
    assert_eq!(get(&at, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(&at, "/readyz").0, 200);
    assert_eq!(get(&at, "/other").0, 404);
    let health = |more: &[&str]| {
        let mut arguments = vec!["relay", "health", "--at", at.as_str()];
        arguments.extend(more);
        run(&home, &arguments)
    };
    let (alive, ready) = (health(&[]), health(&["--ready"]));
    assert_eq!((alive.status, alive.stdout.as_str()), (0, "alive\n"), "{alive:?}");
    assert_eq!((ready.status, ready.stdout.as_str()), (0, "ready\n"), "{ready:?}");
    let clients = traffic(&relay).await;
    let (status, reason) = get(&at, "/readyz");
    assert_eq!(status, 503);
    assert!(reason.starts_with("hibernating"), "{reason}");
    assert_eq!(health(&[]).status, 0);
    let asleep = health(&["--ready"]);
    assert_eq!(asleep.status, 60, "{asleep:?}");
    assert!(
        asleep
            .stderr
            .contains("hibernating: the month's traffic is used up"),
        "{asleep:?}"
    );
    relay.reload("DE", &format!("{METRICS}\ndrain_seconds = 20"), "");
    assert_eq!(get(&at, "/readyz").0, 200);
    relay.signal("TERM");
    relay.wait("drain", |event| event["event"] == "relay_draining");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(get(&at, "/readyz"), (503, "draining\n".to_owned()));
    assert_eq!(get(&at, "/healthz").0, 200);
    drop(clients);
    relay.signal("TERM");
    assert_eq!(relay.wait_end(), 0);
    let gone = health(&["--wait", "1"]);
    assert_eq!(gone.status, 20, "{gone:?}");
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/relay")
        .join(name)
}

/// Whether Debian's `prometheus` package is there. Without it a part stays untested, and the test says so.
fn has_prometheus(what: &str) -> bool {
    let found = ["prometheus", "promtool"].iter().all(|name| {
        let mut asked = Command::new(name);
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    });
    if !found {
        crate::support::skipped(what, "install Debian's `prometheus` package (./dev test does)");
    }
    found
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_alert_rules_are_valid_and_fire_when_they_should() {
    if has_prometheus("alert rules") {
        promtool(&["check", "rules", docs("alerts.yml").to_str().unwrap()]);
        promtool(&["test", "rules", docs("alerts-test.yml").to_str().unwrap()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_that_dashboard_and_rules_use_is_told() {
    let home = Scratch::new();
    let relay = Operated::start(&home, "complete", METRICS, "");
    let _clients = traffic(&relay).await;
    let (_, text) = get(relay.metrics.as_deref().unwrap(), "/metrics");
    let mut used = 0;
    for file in ["grafana-dashboard.json", "alerts.yml"] {
        let content = std::fs::read_to_string(docs(file)).unwrap();
        if file.ends_with("json") {
            let _: Value = serde_json::from_str(&content).unwrap();
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for name in content
            .split(|c| !is_name(c))
            .filter(|word| word.starts_with("subrosa_relay_"))
        {
            used += 1;
            assert!(
                text.contains(&format!("\n{name}")),
                "{file} uses {name}, which is not told:\n{text}"
            );
        }
    }
    assert!(used > 20, "{used} names found");
}

struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_a_relay_under_the_shipped_rules() {
    if !has_prometheus("scraping") {
        return;
    }
    let home = Scratch::new();
    let relay = Operated::start(&home, "scraped", METRICS, "");
    let _clients = traffic(&relay).await;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\nscrape_configs:\n- job_name: subrosa\n  \
         static_configs: [{{targets: ['{}']}}]\n",
        docs("alerts.yml").canonicalize().unwrap().display().to_string(),
        relay.metrics.as_deref().unwrap(),
    );
    let file = home.file("prometheus.yml", config).display().to_string();
    promtool(&["check", "config", &file]);
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let child = Command::new("prometheus")
        .args([
            &format!("--config.file={file}"),
            &format!("--storage.tsdb.path={}", home.path().join("tsdb").display()),
            &format!("--web.listen-address={free}"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _prometheus = Prometheus(child);
    let query = "/api/v1/query?query=subrosa_relay_frames_forwarded_total";
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        thread::sleep(Duration::from_millis(500));
        assert!(Instant::now() < until, "Prometheus has no figure");
        if TcpStream::connect(&free).is_err() {
            continue;
        }
        let (_, body) = get(&free, query);
        // Chunked: the JSON object is within.
        let json = body
            .find('{')
            .and_then(|from| Some(&body[from..=body.rfind('}')?]));
        let answer: Value = json
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        if answer["data"]["result"][0]["value"][1] == "1" {
            return;
        }
    }
}
