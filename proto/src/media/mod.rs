//! Audio as it is sent and received: jitter buffer, redundancy, reports.
