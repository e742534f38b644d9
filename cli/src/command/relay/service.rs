//! What a service manager is told (systemd's `sd_notify` protocol). Without one, nothing is.

use std::time::Duration;

use sd_notify::NotifyState;
use subrosa_node::driver::relay::RelayNode;

/// Beyond the drain, what ending may take.
const END_MAX: Duration = Duration::from_secs(10);

fn tell(state: &[NotifyState<'_>]) {
    // Nobody listens, or somebody does who does not matter for the relay's work.
    let _ = sd_notify::notify(state);
}

/// The relay serves.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The settings are read again; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The relay drains for at most `within`.
pub(super) fn draining(within: Duration) {
    let micros = u32::try_from((within + END_MAX).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(micros),
        NotifyState::Status("draining"),
    ]);
}

/// Tells the watchdog that the event loop answers, as long as it does. Never returns.
pub(super) async fn keep_watchdog_quiet(relay: &RelayNode) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(limit / 3);
    loop {
        ticks.tick().await;
        if relay.is_alive().await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
