//! A call's sound through a real PulseAudio server, which each test starts for itself: a null sink and its monitor as the
//! source.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use subrosa_node::audio::{AudioConfig, AudioEngine, AudioEvent, AudioHandle, DeviceSpec};
use subrosa_proto::{random::Random, time::Timestamp};
use tokio::sync::mpsc::Receiver;

/// How long samples are compared with the clock.
const MINUTE: Duration = Duration::from_secs(60);
/// Allowed difference, as a share.
const TOLERANCE: f64 = 0.001;

/// A server of the test's own, ended with it.
struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    /// `None`, loudly, if PulseAudio is not installed; in CI that is a failure.
    fn start(name: &str) -> Option<Self> {
        let installed = Command::new("pulseaudio")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok();
        if !installed {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs PulseAudio: apt-get install pulseaudio pulseaudio-utils"
            );
            eprintln!("SKIPPED: pulseaudio is not installed (apt-get install pulseaudio pulseaudio-utils)");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("subrosa-pulse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let process = Self::spawn(&folder);
        let server = Self { process, folder };
        server.wait_until_ready();
        server.plug_in();
        Some(server)
    }

    fn spawn(folder: &PathBuf) -> Child {
        let socket = folder.join("native");
        Command::new("pulseaudio")
            .args([
                "-n",
                "--daemonize=no",
                "--use-pid-file=no",
                "--exit-idle-time=-1",
                "--disable-shm=yes",
            ])
            .args(["--log-level=error", "-L"])
            .arg(format!(
                "module-native-protocol-unix auth-anonymous=1 socket={}",
                socket.display()
            ))
            .env("XDG_RUNTIME_DIR", folder)
            .env("HOME", folder)
            .env_remove("PULSE_SERVER")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pulseaudio starts")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("native")
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.pactl(&["info"]).0 {
            assert!(Instant::now() < deadline, "the server does not answer");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `pactl` at this server: whether it succeeded, and what it said.
    fn pactl(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("pactl")
            .args(arguments)
            .env("PULSE_SERVER", format!("unix:{}", self.socket().display()))
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env("HOME", &self.folder)
            .output()
            .expect("pactl runs (apt-get install pulseaudio-utils)");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn plug_in(&self) {
        assert!(
            self.pactl(&[
                "load-module",
                "module-null-sink",
                "sink_name=speaker",
                "rate=48000"
            ])
            .0
        );
    }

    fn unplug(&self) {
        assert!(self.pactl(&["unload-module", "module-null-sink"]).0);
    }

    fn device(&self) -> DeviceSpec {
        DeviceSpec::Pulse {
            sink: Some("speaker".to_owned()),
            source: Some("speaker.monitor".to_owned()),
            server: Some(self.socket()),
        }
    }

    fn restart(&mut self) {
        self.end();
        self.process = Self::spawn(&self.folder);
        self.wait_until_ready();
        self.plug_in();
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(self.socket());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn start(device: DeviceSpec) -> (AudioHandle, Receiver<AudioEvent>) {
    let begin = Instant::now();
    let clock = Arc::new(move || {
        Timestamp::from_micros(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX))
    });
    let config = AudioConfig {
        device,
        ..AudioConfig::default()
    };
    AudioEngine::start(&config, clock, &mut Random::from_seed([1; 32])).expect("the device opens")
}

/// Waits until sound flows steadily: a null sink begins with a pause of 2 s and then delivers it at once.
fn settle(events: &mut Receiver<AudioEvent>) {
    wait_for(events, "first frame", |event| {
        matches!(event, AudioEvent::Captured(_))
    });
    frames_in(events, Duration::from_secs(2));
    let frames = frames_in(events, Duration::from_secs(1));
    assert!((45..=55).contains(&frames), "{frames} frames in 1 s");
}

/// Waits for an event that `wanted` accepts; how long it took.
fn wait_for(events: &mut Receiver<AudioEvent>, what: &str, wanted: fn(&AudioEvent) -> bool) -> Duration {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        match events.try_recv() {
            Ok(event) if wanted(&event) => return begin.elapsed(),
            Ok(AudioEvent::Error { message, .. }) => panic!("{message}"),
            Ok(_) => {}
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
    panic!("no event: {what}");
}

fn frames_in(events: &mut Receiver<AudioEvent>, duration: Duration) -> usize {
    let end = Instant::now() + duration;
    let mut frames = 0;
    while Instant::now() < end {
        match events.try_recv() {
            Ok(AudioEvent::Captured(_)) => frames += 1,
            Ok(_) => {}
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
    frames
}

#[test]
fn samples_match_the_clock_over_a_minute() {
    let Some(server) = Server::start("clock") else {
        return;
    };
    let (handle, mut events) = start(server.device());
    settle(&mut events);
    let (begin, first) = (Instant::now(), handle.counters());
    let frames = frames_in(&mut events, MINUTE);
    let (elapsed, last) = (begin.elapsed(), handle.counters());

    let expected = elapsed.as_secs_f64() * 48_000.0;
    for (what, samples) in [
        ("captured", last.captured_samples - first.captured_samples),
        ("played", last.played_samples - first.played_samples),
    ] {
        let error = samples as f64 / expected - 1.0;
        println!(
            "{what}: {samples} samples in {:.3} s, {:+.4} %",
            elapsed.as_secs_f64(),
            error * 100.0
        );
        assert!(
            error.abs() <= TOLERANCE,
            "{what} samples differ from the clock by {:.3} %",
            error * 100.0
        );
    }
    assert!(
        frames.abs_diff(3_000) <= 3,
        "{frames} frames of 20 ms in a minute"
    );
    assert_eq!(last.captured_dropped, 0);
}

#[test]
fn an_unplugged_device_recovers_when_it_is_plugged_in_again() {
    let Some(server) = Server::start("unplug") else {
        return;
    };
    let (handle, mut events) = start(server.device());
    settle(&mut events);

    server.unplug();
    let lost = wait_for(&mut events, "lost", |event| {
        matches!(
            event,
            AudioEvent::DeviceLost {
                code: "audio-device-lost",
                ..
            }
        )
    });
    // The call goes on: frames of silence at the usual pace, so that nobody takes the device's loss for network loss.
    let frames = frames_in(&mut events, Duration::from_secs(2));
    assert!(
        (95..=105).contains(&frames),
        "{frames} frames in 2 s without a device"
    );

    server.plug_in();
    let back = wait_for(&mut events, "back", |event| {
        matches!(event, AudioEvent::DeviceBack)
    });
    settle(&mut events);
    let before = handle.counters();
    frames_in(&mut events, Duration::from_secs(3));
    let after = handle.counters();
    println!("loss seen after {lost:?}, return after {back:?}");
    for (what, samples) in [
        ("captured", after.captured_samples - before.captured_samples),
        ("played", after.played_samples - before.played_samples),
    ] {
        let seconds = samples as f64 / 48_000.0;
        assert!((seconds - 3.0).abs() < 0.1, "{what} {seconds} s of sound in 3 s");
    }
}

#[test]
fn a_restarted_server_is_found_again() {
    let Some(mut server) = Server::start("restart") else {
        return;
    };
    let (handle, mut events) = start(server.device());
    settle(&mut events);
    server.restart();
    wait_for(&mut events, "lost", |event| {
        matches!(event, AudioEvent::DeviceLost { .. })
    });
    wait_for(&mut events, "back", |event| {
        matches!(event, AudioEvent::DeviceBack)
    });
    settle(&mut events);
    drop(handle);
}

#[test]
fn without_a_server_the_error_says_what_to_do() {
    let device = DeviceSpec::Pulse {
        sink: None,
        source: None,
        server: Some("/nonexistent/native".into()),
    };
    let config = AudioConfig {
        device,
        ..AudioConfig::default()
    };
    let error = AudioEngine::start(
        &config,
        Arc::new(|| Timestamp::ZERO),
        &mut Random::from_seed([1; 32]),
    )
    .unwrap_err();
    assert_eq!(error.code(), "audio-no-server");
    assert!(error.to_string().contains("/nonexistent/native"), "{error}");
    assert!(error.hint().contains("--audio null"));
}
