//! Checks of this computer by itself.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use subrosa_node::audio::{DeviceSpec, device::Controls};

use super::{Finding, Verdict};

/// Longest wait for a datagram from this computer to itself.
const LOOPBACK_DEADLINE: Duration = Duration::from_secs(1);
/// Unix time of this version's making (2026-11-01): a clock before it is wrong.
const RELEASED_UNIX: u64 = 1_793_491_200;
/// A clock that is further ahead than this is wrong: 20 years.
const AHEAD_SECONDS_MAX: u64 = 20 * 365 * 86_400;
/// How long the two clocks are held against each other.
const CLOCK_WATCH: Duration = Duration::from_millis(200);
/// How far they may drift apart meanwhile; more means that somebody is setting the clock.
const CLOCK_DRIFT_MAX: Duration = Duration::from_millis(20);

/// IPv4: a socket, and a datagram to oneself.
pub(super) fn udp_v4() -> Finding {
    match loopback(Ipv4Addr::LOCALHOST.into()) {
        Ok(took) => Finding::ok("IPv4", format!("UDP works on loopback ({})", in_us(took))),
        Err(e) => Finding::new(
            "IPv4",
            Verdict::Failed,
            format!("UDP does not work: {e}"),
            "allow UDP for this program in the firewall or the container's settings",
        ),
    }
}

/// IPv6, likewise; meetings work without it.
pub(super) fn udp_v6() -> Finding {
    match loopback(Ipv6Addr::LOCALHOST.into()) {
        Ok(took) => Finding::ok("IPv6", format!("UDP works on loopback ({})", in_us(took))),
        Err(e) => Finding::new(
            "IPv6",
            Verdict::Warning,
            format!("UDP does not work: {e}"),
            "use --listen 0.0.0.0:0; direct paths are found more often with IPv6",
        ),
    }
}

fn loopback(address: IpAddr) -> io::Result<Duration> {
    const PROBE: &[u8] = b"subrosa netcheck";
    let receiver = UdpSocket::bind(SocketAddr::new(address, 0))?;
    let sender = UdpSocket::bind(SocketAddr::new(address, 0))?;
    receiver.set_read_timeout(Some(LOOPBACK_DEADLINE))?;
    let began = Instant::now();
    sender.send_to(PROBE, receiver.local_addr()?)?;
    let mut received = [0; 64];
    let (length, from) = receiver.recv_from(&mut received)?;
    if &received[..length] != PROBE || from != sender.local_addr()? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "something else arrived",
        ));
    }
    Ok(began.elapsed())
}

fn in_us(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

/// The clock: tickets and descriptors expire by it.
pub(super) fn clock() -> Finding {
    const HINT: &str = "set the clock, or turn on time synchronisation: tickets and relays are judged by it";
    let (wall, monotonic) = (SystemTime::now(), Instant::now());
    thread::sleep(CLOCK_WATCH);
    let unix = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = subrosa_proto::time::UnixSeconds(unix);
    if !(RELEASED_UNIX..=RELEASED_UNIX + AHEAD_SECONDS_MAX).contains(&unix) {
        return Finding::new(
            "clock",
            Verdict::Failed,
            format!("it says {now}, which cannot be"),
            HINT,
        );
    }
    let passed = SystemTime::now().duration_since(wall).unwrap_or_default();
    if passed.abs_diff(monotonic.elapsed()) > CLOCK_DRIFT_MAX {
        return Finding::new(
            "clock",
            Verdict::Warning,
            format!("it was set while it was watched ({now})"),
            HINT,
        );
    }
    Finding::ok("clock", now.to_string())
}

/// The audio device. Files are looked at only when they are used: opening one for output would overwrite it.
pub(super) fn audio(device: &str) -> Finding {
    let spec = match device.parse::<DeviceSpec>() {
        Ok(spec) => spec,
        Err(e) => return Finding::new("audio", Verdict::Failed, e.to_string(), e.hint()),
    };
    if matches!(spec, DeviceSpec::File { .. }) {
        return Finding::ok("audio", format!("{device}: looked at when it is used"));
    }
    match spec.open(&Controls::default()) {
        Ok(_) => Finding::ok("audio", format!("{device} opens")),
        Err(e) => Finding::new("audio", Verdict::Warning, e.to_string(), e.hint()),
    }
}
