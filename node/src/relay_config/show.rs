//! The settings in force, as a file that says all of them.

use subrosa_proto::{policy::descriptor::LogPolicy, relay::MediaRate};
use toml::{Table, Value};

use super::RelaySettings;

pub(super) fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    let items = items.into_iter().map(|item| Value::String(item.to_string()));
    Value::Array(items.collect())
}

fn number(value: impl TryInto<i64>) -> Value {
    Value::Integer(value.try_into().unwrap_or(i64::MAX))
}

fn insert_rate(table: &mut Table, name: &str, rate: MediaRate) {
    table.insert(format!("{name}_kbit_per_s"), number(rate.bits_per_second / 1_000));
    table.insert(format!("{name}_burst_kbyte"), number(rate.burst_bytes / 1_000));
}

impl RelaySettings {
    /// Every setting with its value, defaults included, in the form of the file. Read again, it gives the same settings (bursts
    /// are rounded down to kilobytes).
    #[must_use]
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        let mut set = |key: &str, value: Value| table.insert(key.to_owned(), value);
        set("listen", self.listen.to_string().into());
        set("public_addresses", texts(&self.public_addresses));
        set("listen_tcp", texts(&self.listen_tcp));
        set("public_tcp_addresses", texts(&self.public_tcp_addresses));
        set("data_dir", self.data_dir.display().to_string().into());
        set("hosting", self.hosting.to_string().into());
        if let Some(asn) = self.asn {
            set("asn", number(asn));
        }
        if let Some(family) = &self.family {
            set("family", family.to_text().into());
        }
        if let Some(metrics) = self.metrics {
            set("metrics", metrics.to_string().into());
        }
        set("alternates", texts(self.alternates.iter().map(|a| a.to_text())));
        set(
            "attestations",
            texts(self.attestations.iter().map(|a| a.to_text())),
        );
        set("drain_seconds", number(self.drain.as_secs()));
        set("operator", self.operator_table().into());
        set("access", self.access_table().into());
        set("logs", self.logs_table().into());
        set("limits", self.limits_table().into());
        let cascade = texts(self.cascade.iter().map(ToString::to_string));
        set(
            "cascade",
            Table::from_iter([("relays".to_owned(), cascade)]).into(),
        );
        set("discovery", self.discovery.to_table().into());
        table
    }

    fn operator_table(&self) -> Table {
        let operator = &self.operator;
        [
            ("name", operator.name.as_str().to_owned()),
            ("contact", operator.contact.as_str().to_owned()),
            ("legal_seat", operator.legal_seat.to_string()),
            ("parent_seat", operator.parent_seat.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect()
    }

    fn access_table(&self) -> Table {
        let access = &self.access;
        [
            ("open", access.open.into()),
            ("address_blocks", texts(&access.blocks)),
            ("token_issuers", texts(&access.issuers)),
            ("revoked_tokens", texts(&access.revoked)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    fn logs_table(&self) -> Table {
        let mut table = Table::new();
        let addresses = matches!(self.log_policy, LogPolicy::Addresses { .. });
        table.insert("addresses".to_owned(), addresses.into());
        if let LogPolicy::Addresses { days } = self.log_policy {
            table.insert("days".to_owned(), number(days));
        }
        table
    }

    fn limits_table(&self) -> Table {
        let limits = &self.limits;
        let mut table = Table::new();
        for (key, value) in [
            ("sessions", limits.sessions_max),
            (
                "sessions_per_address_block",
                limits.sessions_per_address_block_max,
            ),
            ("rooms", limits.rooms_max),
            ("members_per_room", limits.members_per_room_max),
            ("tracks_per_session", limits.tracks_per_session_max),
            ("memory_mbyte", limits.memory_bytes_max.div_ceil(1_000_000)),
            ("handshakes_per_s", self.handshakes.per_second as usize),
            (
                "handshakes_per_address_block_per_s",
                self.handshakes.per_address_block as usize,
            ),
        ] {
            table.insert(key.to_owned(), number(value));
        }
        insert_rate(&mut table, "session", limits.session_media);
        insert_rate(&mut table, "room", limits.room_media);
        insert_rate(&mut table, "address_block", limits.address_block_media);
        if let Some(total) = limits.total_media {
            insert_rate(&mut table, "total", total);
        }
        if let Some(bytes) = limits.monthly_bytes_max {
            table.insert("monthly_gbyte".to_owned(), Value::Float(bytes as f64 / 1e9));
        }
        table
    }
}
