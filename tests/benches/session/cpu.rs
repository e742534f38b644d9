//! CPU time, as the scheduler accounts for it: what others do on the machine does not count.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// CPU time of the calling thread. May lag by one scheduler tick, 1 to 10 ms: measure over seconds.
pub(crate) fn of_this_thread() -> Duration {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds on the CPU"))
}

/// Nanoseconds of one of the `count` operations that each call of `batch` does: the fastest of `batches` calls, which
/// nothing interrupted.
pub(crate) fn fastest<R>(batches: usize, count: usize, mut batch: impl FnMut() -> R) -> f64 {
    let times = (0..batches).map(|_| {
        let begin = Instant::now();
        black_box(batch());
        begin.elapsed()
    });
    let fastest = times.min().expect("at least one batch");
    fastest.as_secs_f64() * 1e9 / count as f64
}
