//! Spans of a realistic system for benchmarks: 50 services, 20 spans a trace, one hour; always the same.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use hypocenter::telemetry::id::{SpanId, TraceId};
use hypocenter::telemetry::span::{
    OperationKey, PeerKey, PeerKind, ResourceKey, Span, SpanKind, SpanStatus, SpanTable,
};
use polars::prelude::{Column, DataFrame, ParquetCompression, ParquetWriter, PolarsResult};

const SERVICES: usize = 50;
const SPANS_PER_TRACE: usize = 20;
const HOUR_NS: u64 = 3_600_000_000_000;
const START_NS: i64 = 1_750_000_000_000_000_000;
/// Exporters send in batches, so a file holds the spans of so many traces by service and not by trace.
const TRACES_PER_BATCH: usize = 350;

/// A linear congruential generator with the constants of Knuth's MMIX, its high bits mixed into the low ones.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Service {
    resources: [ResourceKey; 3],
    operations: [OperationKey; 3],
    callees: Vec<usize>,
    database: Option<(PeerKey, OperationKey)>,
}

/// The call graph: the first five services are entries; each calls two to four of a later layer; every third has a
/// database.
fn services(table: &mut SpanTable, random: &mut Random) -> Vec<Service> {
    (0..SERVICES)
        .map(|number| {
            let name = format!("service-{number:02}");
            let resources =
                [0, 1, 2].map(|replica| table.resource_key(&name, &format!("{name}-7d9f8-{replica}"), "1.4.2"));
            let operations = [0, 1, 2].map(|o| table.operation_key(&format!("/api.v1.Service{number:02}/Method{o}")));
            let first = (number / 10 + 1) * 10 - 5;
            let callees = (0..2 + random.below(3)).map(|_| first + random.below(12) as usize);
            let callees = callees.filter(|&callee| callee > number && callee < SERVICES).collect();
            let database = (number % 3 == 0).then(|| {
                let peer = table.peer_key(&format!("postgresql/{name}"), PeerKind::Database);
                (peer, table.operation_key(&format!("SELECT {number:02}")))
            });
            Service { resources, operations, callees, database }
        })
        .collect()
}

/// So many spans (rounded up to whole traces).
pub(crate) fn spans(count: usize) -> SpanTable {
    let mut random = Random(42);
    let mut table = SpanTable::new();
    let services = services(&mut table, &mut random);
    let traces = count.div_ceil(SPANS_PER_TRACE);
    let mut batch: Vec<(usize, Span)> = Vec::new();
    for number in 0..traces {
        let start_ns = START_NS + (HOUR_NS / traces as u64 * number as u64) as i64;
        add_trace(&services, &mut random, start_ns, &mut batch);
        if number % TRACES_PER_BATCH == TRACES_PER_BATCH - 1 || number + 1 == traces {
            batch.sort_by_key(|(service, span)| (*service, span.start_ns));
            batch.drain(..).for_each(|(_, span)| table.push(span));
        }
    }
    table
}

/// One request: every service calls its callees one after the other until the trace has its spans.
fn add_trace(services: &[Service], random: &mut Random, start_ns: i64, batch: &mut Vec<(usize, Span)>) {
    let trace = TraceId((u128::from(random.next()) << 64) | u128::from(random.next()));
    let first = batch.len();
    // (service, parent, start, duration) of servers still to be added; taken in order, so the tree grows in width.
    let mut servers =
        VecDeque::from([(random.below(5) as usize, None, start_ns, 20_000_000 + random.below(80_000_000))]);
    while let Some((number, parent, start_ns, duration_ns)) = servers.pop_front() {
        let service = &services[number];
        let resource = service.resources[random.below(3) as usize];
        let failed = random.below(200) == 0;
        let server = Span {
            trace,
            id: SpanId(random.next() | 1),
            parent,
            resource,
            operation: service.operations[random.below(3) as usize],
            kind: SpanKind::Server,
            status: if failed { SpanStatus::Error } else { SpanStatus::Ok },
            peer: None,
            start_ns,
            duration_ns,
        };
        batch.push((number, server));
        let calls = service.callees.len() as u64 + u64::from(service.database.is_some());
        let slice_ns = duration_ns / (calls + 1);
        let client = |random: &mut Random, at: u64| Span {
            id: SpanId(random.next() | 1),
            parent: Some(server.id),
            kind: SpanKind::Client,
            start_ns: start_ns + (slice_ns * at + random.below(slice_ns / 8 + 1)) as i64,
            duration_ns: slice_ns / 2 + random.below(slice_ns / 4 + 1),
            ..server
        };
        let full = |batch: &[(usize, Span)], servers: usize, more: usize| {
            batch.len() - first + servers + more > SPANS_PER_TRACE
        };
        if let Some((peer, operation)) = service.database.filter(|_| !full(batch, servers.len(), 1)) {
            batch.push((number, Span { peer: Some(peer), operation, ..client(random, 0) }));
        }
        for (at, &callee) in service.callees.iter().enumerate() {
            if full(batch, servers.len(), 2) {
                break;
            }
            let client = client(random, at as u64 + 1);
            batch.push((number, client));
            let gap_ns = client.duration_ns / 10;
            servers.push_back((
                callee,
                Some(client.id),
                client.start_ns + (gap_ns / 2) as i64,
                client.duration_ns - gap_ns,
            ));
        }
    }
}

/// Writes the spans as a table in Parquet, identifiers as hexadecimal text and the parent of a root null, as exporters
/// and `COPY` from span stores write them.
pub(crate) fn write_parquet(table: &SpanTable, path: &Path) -> PolarsResult<()> {
    let rows = 0..table.len();
    let service = |row: usize| table.resources()[table.resource[row] as usize].service.as_str();
    let instance = |row: usize| table.resources()[table.resource[row] as usize].instance.as_str();
    let operation = |row: usize| table.operations()[table.operation[row] as usize].as_str();
    let peer = |row: usize| table.peers().get(table.peer[row] as usize).map(|peer| peer.name.as_str());
    let id = |id: u64| SpanId(id).to_string();
    let kind = |row: usize| match table.kind[row] {
        SpanKind::Unspecified => "UNSPECIFIED",
        SpanKind::Internal => "INTERNAL",
        SpanKind::Server => "SERVER",
        SpanKind::Client => "CLIENT",
        SpanKind::Producer => "PRODUCER",
        SpanKind::Consumer => "CONSUMER",
    };
    let status = |row: usize| match table.status[row] {
        SpanStatus::Unset => "UNSET",
        SpanStatus::Ok => "OK",
        SpanStatus::Error => "ERROR",
    };
    let columns = vec![
        column("trace_id", rows.clone().map(|row| TraceId(table.trace[row]).to_string())),
        column("span_id", rows.clone().map(|row| id(table.id[row]))),
        column("parent_span_id", rows.clone().map(|row| (table.parent[row] != 0).then(|| id(table.parent[row])))),
        column("service_name", rows.clone().map(service)),
        column("service_instance_id", rows.clone().map(instance)),
        column("operation_name", rows.clone().map(operation)),
        column("peer_service", rows.clone().map(peer)),
        column("span_kind", rows.clone().map(kind)),
        column("status_code", rows.clone().map(status)),
        column("start_time_unix_nano", rows.clone().map(|row| table.start_ns[row])),
        column("duration_nano", rows.map(|row| table.duration_ns[row] as i64)),
    ];
    let mut frame = DataFrame::new(table.len(), columns)?;
    ParquetWriter::new(File::create(path)?)
        .with_compression(ParquetCompression::Snappy)
        .with_row_group_size(Some(1 << 19))
        .finish(&mut frame)?;
    Ok(())
}

fn column<T>(name: &str, values: impl Iterator<Item = T>) -> Column
where
    polars::prelude::Series: FromIterator<T>,
{
    values.collect::<polars::prelude::Series>().with_name(name.into()).into()
}
