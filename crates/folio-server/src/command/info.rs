//! `INFO`: the server, its workers and its tables, as text.

use std::fmt::Write as _;

use folio::ReadAt;

use super::{Dispatcher, Next};
use crate::counters::Counter;
use crate::resp::{Reply, Request};

/// The version of Redis whose answers this server gives. Clients and tools read it
/// to find out what they may ask for.
const REDIS_VERSION: &str = "7.0.0";

/// Writes a section, without its heading.
type Section<D> = fn(&D) -> String;

impl<B: ReadAt> Dispatcher<B> {
    pub(super) fn info(&self, request: Request<'_>, reply: &mut Reply<'_>) -> Next {
        let everything = [&b"all"[..], b"default", b"everything"];
        let asked = |name: &str| {
            request.len() == 1
                || request.from(1).any(|section| {
                    section.eq_ignore_ascii_case(name.as_bytes())
                        || everything
                            .iter()
                            .any(|word| section.eq_ignore_ascii_case(word))
                })
        };
        let sections: [(&str, Section<Self>); 7] = [
            ("Server", Self::server_section),
            ("Clients", Self::clients_section),
            ("Memory", Self::memory_section),
            ("Stats", Self::stats_section),
            ("Replication", |_| replication_section()),
            ("Folio", Self::folio_section),
            ("Keyspace", Self::keyspace_section),
        ];
        let mut text = String::new();
        for (name, section) in sections {
            if asked(name) {
                if !text.is_empty() {
                    text.push_str("\r\n");
                }
                // Writing to a String does not fail.
                let _ = write!(text, "# {name}\r\n{}", section(self));
            }
        }
        reply.text(&text);
        Next::Continue
    }

    fn server_section(&self) -> String {
        let uptime = self.now.saturating_duration_since(self.facts.started);
        let pid = std::process::id();
        let port = self.facts.listen.map_or(0, |address| address.port());
        fields(&[
            ("redis_version", &REDIS_VERSION),
            ("redis_mode", &"standalone"),
            ("folio_version", &env!("CARGO_PKG_VERSION")),
            ("os", &std::env::consts::OS),
            ("arch_bits", &usize::BITS),
            ("multiplexing_api", &"mio"),
            ("process_id", &pid),
            ("tcp_port", &port),
            ("uptime_in_seconds", &uptime.as_secs()),
            ("uptime_in_days", &(uptime.as_secs() / 86_400)),
        ])
    }

    fn clients_section(&self) -> String {
        fields(&[
            (
                "connected_clients",
                &self.counters.total(Counter::ConnectionsOpen),
            ),
            (
                "maxclients",
                &self.limits.connections.saturating_mul(self.facts.workers),
            ),
            ("blocked_clients", &0),
        ])
    }

    fn memory_section(&self) -> String {
        let data: u64 = self.tables.iter().map(|table| table.info().file_len).sum();
        fields(&[("used_memory_dataset", &data), ("maxmemory", &0)])
    }

    fn stats_section(&self) -> String {
        let total = |counter| self.counters.total(counter);
        fields(&[
            ("total_connections_received", &total(Counter::Connections)),
            ("total_commands_processed", &total(Counter::Requests)),
            ("total_net_input_bytes", &total(Counter::BytesIn)),
            ("total_net_output_bytes", &total(Counter::BytesOut)),
            ("rejected_connections", &total(Counter::ConnectionsRefused)),
            ("expired_keys", &0),
            ("evicted_keys", &0),
            ("keyspace_hits", &total(Counter::Hits)),
            ("keyspace_misses", &total(Counter::Misses)),
            ("total_error_replies", &total(Counter::Errors)),
        ])
    }

    fn folio_section(&self) -> String {
        let mut text = fields(&[
            ("worker", &self.facts.worker),
            ("workers", &self.facts.workers),
            ("pid", &std::process::id()),
            ("faults", &self.counters.total(Counter::Faults)),
        ]);
        for worker in 0..self.facts.workers {
            let of = |counter| self.counters.of(worker, counter);
            let _ = write!(
                text,
                "worker{worker}:requests={},connections={}\r\n",
                of(Counter::Requests),
                of(Counter::ConnectionsOpen),
            );
        }
        for (index, table) in self.tables.iter().enumerate() {
            // The name comes last, since it may hold commas; a line end it may not.
            let name = table.name().to_string_lossy().replace(['\r', '\n'], "?");
            let generation = table.generation();
            let generation = generation.map(|number| format!("generation={number},"));
            let _ = write!(
                text,
                "table{index}:keys={},file_bytes={},{}name={name}\r\n",
                table.count(),
                table.info().file_len,
                generation.unwrap_or_default(),
            );
        }
        text
    }

    fn keyspace_section(&self) -> String {
        let mut text = String::new();
        for (index, table) in self.tables.iter().enumerate() {
            let count = table.count();
            let _ = write!(text, "db{index}:keys={count},expires=0,avg_ttl=0\r\n");
        }
        text
    }
}

/// There is no replication: this server stands alone.
fn replication_section() -> String {
    fields(&[("role", &"master"), ("connected_slaves", &0)])
}

fn fields(fields: &[(&str, &dyn std::fmt::Display)]) -> String {
    fields
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = write!(text, "{name}:{value}\r\n");
            text
        })
}
