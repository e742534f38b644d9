//! The counters in the form that Prometheus reads. Names are part of the interface: docs/operate-a-relay.md, the dashboard and
//! the alert rules use them.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use subrosa_proto::relay::{DropReason, QUEUE_DELAY_BUCKETS_US};

use super::State;
use crate::driver::relay::RelayReport;

/// What all names begin with.
const PREFIX: &str = "subrosa_relay";

/// The text of one scrape.
pub(super) fn text(report: RelayReport, state: &State) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    let snapshot = Snapshot {
        report,
        state: state.clone(),
    };
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Snapshot {
    report: RelayReport,
    state: State,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(&mut encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.info("build", "The relay's version", &version)?;
        self.encode_now(&mut out)?;
        self.encode_media(&mut out)?;
        self.encode_doorstep(&mut out)?;
        self.encode_quotas(&mut out)?;
        self.encode_delay(&mut out)
    }
}

impl Snapshot {
    fn encode_now(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let (relay, driver) = (&self.report.relay, &self.report.driver);
        out.gauge("sessions", "Sessions now", relay.sessions)?;
        out.gauge(
            "tcp_sessions",
            "Sessions now that come over TCP",
            driver.tcp_sessions,
        )?;
        out.gauge(
            "tcp_streams",
            "TCP streams now, those without a session included",
            driver.tcp_streams,
        )?;
        out.gauge("rooms", "Rooms now", relay.rooms)?;
        out.gauge(
            "tracks",
            "Tracks now that somebody announced or wants",
            relay.tracks,
        )?;
        out.gauge("tokens", "Access tokens in use now", relay.tokens)?;
        out.gauge(
            "upstreams",
            "Links to other relays that are up now, for clients that do not reach them",
            relay.upstreams,
        )?;
        out.gauge(
            "mirrored_rooms",
            "Rooms now that are other relays'",
            relay.mirrored_rooms,
        )?;
        out.gauge(
            "connections",
            "Connections now, half-open ones included",
            driver.connections,
        )?;
        out.gauge("draining", "1 while the relay drains", relay.draining.into())?;
        out.gauge(
            "hibernating",
            "1 while the month's traffic is used up",
            relay.hibernating.into(),
        )?;
        out.gauge(
            "load_permille",
            "Load of the event loop in thousandths of its time",
            driver.load_permille.into(),
        )?;
        out.gauge(
            "descriptor_valid_until_seconds",
            "When the descriptor expires, as Unix time",
            self.state.descriptor_valid_until,
        )?;
        out.gauge(
            "descriptor_sequence",
            "Number of the descriptor in force",
            self.state.descriptor_sequence,
        )
    }

    fn encode_media(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let (relay, driver) = (&self.report.relay, &self.report.driver);
        out.counter("frames_received", "Media frames received", relay.frames_received)?;
        out.counter(
            "frames_forwarded",
            "Media frames forwarded, once for each listener",
            relay.frames_forwarded,
        )?;
        out.bytes("media_received", "Bytes of media received", relay.bytes_received)?;
        out.bytes(
            "forwarded",
            "Bytes of media, stream objects and envelopes forwarded",
            relay.bytes_forwarded,
        )?;
        let drops = DropReason::ALL.map(|reason| (reason.name(), relay.dropped(reason)));
        out.counters("frames_dropped", "Media frames not forwarded", "reason", &drops)?;
        out.counter(
            "envelopes_forwarded",
            "Sealed messages between members forwarded",
            relay.envelopes_forwarded,
        )?;
        out.counter(
            "streams_forwarded",
            "Groups of stream objects forwarded, once for each listener",
            relay.streams_forwarded,
        )?;
        out.counter(
            "streams_dropped",
            "Groups of stream objects refused or cut off",
            relay.streams_dropped,
        )?;
        out.counter(
            "datagrams_received",
            "UDP datagrams received, and packets over TCP",
            driver.datagrams_received,
        )?;
        out.counter(
            "datagrams_sent",
            "UDP datagrams sent, and packets over TCP",
            driver.datagrams_sent,
        )?;
        out.counter(
            "send_failures",
            "UDP datagrams that the system refused to send",
            driver.send_failures,
        )?;
        out.counter(
            "tcp_packets_dropped",
            "Packets that a TCP stream did not take in time",
            driver.tcp_packets_dropped,
        )
    }

    fn encode_doorstep(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let (relay, driver) = (&self.report.relay, &self.report.driver);
        let handshakes = [
            ("started", driver.handshakes_started),
            ("finished", driver.handshakes_finished),
            ("failed", driver.handshakes_failed),
            ("retried", driver.retries),
            ("refused", driver.handshakes_refused),
            ("shed", driver.handshakes_shed),
        ];
        let streams = [
            ("accepted", driver.tcp_streams_accepted),
            ("refused", driver.tcp_streams_refused),
        ];
        out.counters("tcp_streams_begun", "TCP streams by outcome", "outcome", &streams)?;
        out.counters("handshakes", "Handshakes by outcome", "outcome", &handshakes)?;
        out.counter(
            "sessions_begun",
            "Sessions so far, refused ones included",
            relay.sessions_total,
        )?;
        let refusals: Vec<_> = relay.refusals.iter().map(|(code, n)| (code.name(), *n)).collect();
        out.counters("refusals", "Refusals sent, by clause", "clause", &refusals)
    }

    fn encode_quotas(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let (relay, limits) = (&self.report.relay, &self.state.limits);
        out.gauge(
            "sessions_limit",
            "Sessions that may be",
            limits.sessions_max as u64,
        )?;
        out.gauge("rooms_limit", "Rooms that may be", limits.rooms_max as u64)?;
        out.gauge(
            "month_bytes",
            "Bytes forwarded in this calendar month (UTC)",
            relay.month_bytes,
        )?;
        out.gauge(
            "month_bytes_limit",
            "Bytes that may be forwarded in a calendar month; 0: no limit",
            limits.monthly_bytes_max.unwrap_or(0),
        )?;
        out.gauge(
            "queued_bytes",
            "Bytes of media that wait for listeners",
            relay.queued_bytes,
        )?;
        out.gauge(
            "memory_bytes_limit",
            "Memory that sessions and queues may take",
            limits.memory_bytes_max as u64,
        )
    }

    fn encode_delay(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let relay = &self.report.relay;
        let bounds = QUEUE_DELAY_BUCKETS_US.iter().map(|&us| us as f64 / 1e6);
        let bounds = bounds.chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(relay.queue_delay_counts).collect();
        let count = relay.queue_delay_counts.iter().sum();
        let sum = relay.queue_delay_us_sum as f64 / 1e6;
        let mut metric = out.0.encode_descriptor(
            "queue_delay",
            "How long media waited in the relay for their listener",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// Writes metrics of the simple kinds.
struct Out<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let unit = Some(&Unit::Bytes);
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (word, value) in values {
            let labels = [(label, *word)];
            let mut one = metric.encode_family(&labels)?;
            one.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str); 1]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        metric.encode_info(labels)
    }
}
