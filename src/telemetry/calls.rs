//! Call statistics: what remains of billions of spans, a row for each (time bin, entry, edge, operation).

use std::collections::{BTreeMap, BTreeSet};

use super::clock::ClockSkew;
use super::id::{ServiceId, TraceId};
use super::series::{Series, Subject};
use super::sketch::Sketch;
use super::time::Grid;
use super::topology::{EdgeMode, GivenEdge, NodeKind};

/// A node of the call statistics.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct CallNode {
    /// Name.
    pub id: ServiceId,
    /// What it is.
    pub kind: NodeKind,
}

/// Where requests come in: the service and operation of a trace's root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Entry {
    /// Index into [`CallStats::nodes`].
    pub service: u32,
    /// Index into [`CallStats::operations`].
    pub operation: u32,
}

/// What identifies a row. All indices point into the tables of [`CallStats`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct CallKey {
    /// Who calls; `None` for a request from outside (the entry itself).
    pub caller: Option<u32>,
    /// Who is called.
    pub callee: u32,
    /// The callee's operation.
    pub operation: u32,
    /// Whether the caller waits.
    pub mode: EdgeMode,
    /// Where the request came in, index into [`CallStats::entries`].
    pub entry: u32,
    /// Time bin of the call's start.
    pub bin: i64,
}

/// The trace that stands for others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Exemplar {
    /// Duration of the call in that trace, nanoseconds.
    pub duration_ns: u64,
    /// The trace.
    pub trace: TraceId,
}

/// Calls of one key. Times are sums in nanoseconds: integers, so that no order of addition can change them.
#[derive(Clone, PartialEq, Debug)]
pub struct CallRow {
    /// What the row is about.
    pub key: CallKey,
    /// Number of calls; of sampled traffic the estimate of all: the sum of weights. The other counts and the sums of
    /// times are weighted likewise.
    pub calls: u64,
    /// Calls that were seen; what tests of significance must go by.
    pub observed: u64,
    /// Sum of the squares of the weights: `calls² / weight_squares` is the sample size in effect (Kish 1965).
    pub weight_squares: u64,
    /// The same sum over the calls that failed: tail sampling keeps more of them, so that a ratio of errors is surer than
    /// `weight_squares` alone says.
    pub error_weight_squares: u64,
    /// Calls that failed as either side judged it.
    pub errors: u64,
    /// Calls that failed as the caller judged it.
    pub caller_errors: u64,
    /// Calls that failed at the callee although none of the callee's own calls failed: errors that begin here.
    pub origin_errors: u64,
    /// Calls that failed at the caller while the callee was seen and saw no failure: errors that begin on the edge.
    /// Timeouts are not among them.
    pub edge_errors: u64,
    /// Calls that failed at the caller because it stopped waiting: the callee is slow and did not fail. Of a callee without
    /// spans those that the caller calls timeouts. They are among `errors` and `caller_errors` only.
    pub timeouts: u64,
    /// Calls that repeat an earlier one of the same caller's work that had failed: the same callee and operation.
    pub retries: u64,
    /// Calls that repeat one which was still running: hedged requests.
    pub hedges: u64,
    /// Calls after which the caller's work that made them called nobody else: by the order in which they began, of calls
    /// that somebody waits for.
    pub last_calls: u64,
    /// Sum of durations, on the callee's side where it was seen, else on the caller's.
    pub duration_ns: u64,
    /// Sum of the callee's time not spent waiting for its own synchronous calls.
    pub self_ns: u64,
    /// Sum of the callee's own time for which the whole request waited; what several worked on at once is shared among them
    /// equally.
    pub part_ns: u64,
    /// The same of the edge's gap (caller's duration less the callee's).
    pub part_gap_ns: u64,
    /// Calls seen from both sides.
    pub paired_calls: u64,
    /// Sum of caller's less callee's duration over paired calls; a negative difference (clock resolution) counts 0.
    pub gap_ns: u64,
    /// Distribution of durations.
    pub durations: Sketch,
    /// Distribution of self-times.
    pub self_times: Sketch,
    /// Distribution of gaps over paired calls.
    pub gaps: Sketch,
    /// The slowest call.
    pub slowest: Option<Exemplar>,
    /// A failed call (that of the smallest trace id).
    pub failed: Option<Exemplar>,
    /// A call without failure chosen by a hash of its trace id: typical, not extreme.
    pub typical: Option<Exemplar>,
}

impl CallRow {
    /// No calls at all.
    pub fn empty(key: CallKey) -> Self {
        Self {
            key,
            calls: 0,
            observed: 0,
            weight_squares: 0,
            error_weight_squares: 0,
            errors: 0,
            caller_errors: 0,
            origin_errors: 0,
            edge_errors: 0,
            timeouts: 0,
            retries: 0,
            hedges: 0,
            last_calls: 0,
            duration_ns: 0,
            self_ns: 0,
            part_ns: 0,
            part_gap_ns: 0,
            paired_calls: 0,
            gap_ns: 0,
            durations: Sketch::default(),
            self_times: Sketch::default(),
            gaps: Sketch::default(),
            slowest: None,
            failed: None,
            typical: None,
        }
    }
}

/// Calls handled by one instance and version of a service in one bin.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct InstanceRow {
    /// Index into [`CallStats::nodes`].
    pub service: u32,
    /// Instance id; empty when unknown.
    pub instance: String,
    /// Version; empty when unknown.
    pub version: String,
    /// Time bin.
    pub bin: i64,
    /// Number of calls handled; of sampled traffic the estimate of all, as in [`CallRow`].
    pub calls: u64,
    /// Calls that were seen.
    pub observed: u64,
    /// Sum of the squares of the weights.
    pub weight_squares: u64,
    /// The same sum over the calls that failed.
    pub error_weight_squares: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Calls that failed although no callee failed.
    pub origin_errors: u64,
    /// Sum of durations, nanoseconds.
    pub duration_ns: u64,
    /// Sum of self-times, nanoseconds.
    pub self_ns: u64,
}

/// In how many requests of a caller's operation it calls another node at all: the ways that requests go. With the requests
/// of that operation (the rows in which it is the callee) this is a share, whatever the load and the mix of operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct WayRow {
    /// Who calls, index into [`CallStats::nodes`].
    pub caller: u32,
    /// The caller's operation, index into [`CallStats::operations`].
    pub operation: u32,
    /// Who is called, index into [`CallStats::nodes`].
    pub callee: u32,
    /// Time bin in which the caller's request began.
    pub bin: i64,
    /// Requests with one such call or several; of sampled traffic the estimate of all, as in [`CallRow`].
    pub requests: u64,
}

/// How much of the traffic the spans let us see. All are counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpanCoverage {
    /// Spans read.
    pub spans: u64,
    /// Distinct traces.
    pub traces: u64,
    /// Spans whose parent is not among the spans read.
    pub orphans: u64,
    /// Traces without a root span.
    pub rootless_traces: u64,
    /// Spans with an id that another span of the trace has too; only the first counts.
    pub duplicates: u64,
    /// Spans whose parents form a cycle; cut at the earliest span.
    pub cyclic: u64,
    /// Client spans without a server span and without a named peer.
    pub unpaired_clients: u64,
    /// Paired calls whose callee seems to start before or end after its caller's span: clocks differ or work is asynchronous.
    pub outside_parent: u64,
    /// Span links whose other end was not read.
    pub unresolved_links: u64,
    /// Spans that stand for more than themselves, because the traffic was sampled.
    pub sampled: u64,
    /// What all spans stand for: the sum of their weights, each id of a trace once.
    pub represented: u64,
    /// Traces whose spans say different things of how they were sampled.
    pub unevenly_sampled: u64,
    /// Spans that were moved because their clock disagrees with their caller's.
    pub moved: u64,
}

/// Call statistics of one body of traces. Rows are sorted by key.
#[derive(Clone, PartialEq, Debug)]
pub struct CallStats {
    /// Width and alignment of the time bins.
    pub grid: Grid,
    /// Nodes, sorted by name.
    pub nodes: Vec<CallNode>,
    /// Operation names, sorted.
    pub operations: Vec<String>,
    /// Entries, sorted.
    pub entries: Vec<Entry>,
    /// The statistics, sorted by key.
    pub rows: Vec<CallRow>,
    /// The same calls by instance and version, sorted.
    pub instances: Vec<InstanceRow>,
    /// Whom the requests of each operation call, sorted.
    pub ways: Vec<WayRow>,
    /// What could and could not be seen.
    pub coverage: SpanCoverage,
    /// Clocks that disagree and were corrected, sorted.
    pub clocks: Vec<ClockSkew>,
    /// Other names of nodes (hosts, addresses, names of databases), each of one node only: (name, index into `nodes`),
    /// sorted.
    pub aliases: Vec<(ServiceId, u32)>,
}

impl CallStats {
    /// Statistics of no calls.
    pub fn empty(grid: Grid) -> Self {
        Self {
            grid,
            nodes: Vec::new(),
            operations: Vec::new(),
            entries: Vec::new(),
            rows: Vec::new(),
            instances: Vec::new(),
            ways: Vec::new(),
            coverage: SpanCoverage::default(),
            clocks: Vec::new(),
            aliases: Vec::new(),
        }
    }

    /// Gives databases and externals that metrics name otherwise (a service graph names the host) the names that they have
    /// here. A name is taken for an alias where the edge that states it is here too, from the same caller.
    pub fn adopt(&self, edges: &mut [GivenEdge], series: &mut [Series]) {
        let called: BTreeSet<(&ServiceId, u32)> =
            self.rows.iter().filter_map(|row| Some((self.service(row.key.caller?), row.key.callee))).collect();
        let alias = |name: &ServiceId| {
            let at = self.aliases.binary_search_by(|(alias, _)| alias.cmp(name)).ok()?;
            self.aliases.get(at).map(|(_, node)| *node)
        };
        let mut names: BTreeMap<ServiceId, ServiceId> = BTreeMap::new();
        for edge in edges.iter().filter(|edge| matches!(edge.callee_kind, NodeKind::Database | NodeKind::External)) {
            if let Some(node) = alias(&edge.callee).filter(|node| called.contains(&(&edge.caller, *node))) {
                names.insert(edge.callee.clone(), self.service(node).clone());
            }
        }
        if names.is_empty() {
            return;
        }
        let rename = |name: &mut ServiceId| {
            if let Some(known) = names.get(name) {
                *name = known.clone();
            }
        };
        edges.iter_mut().for_each(|edge| rename(&mut edge.callee));
        for series in series {
            match &mut series.subject {
                Subject::Service(service) | Subject::Edge { callee: service, .. } => rename(service),
                Subject::Instance { .. } | Subject::Version { .. } | Subject::Operation { .. } => {}
            }
        }
    }

    /// Whether the row counts requests where they come in. Spans below a lost parent have no caller either, but are a
    /// fragment of somebody's request and no request of their own.
    pub fn is_request(&self, row: &CallRow) -> bool {
        let entry = self.entries.get(row.key.entry as usize);
        row.key.caller.is_none() && entry.is_some_and(|entry| entry.service == row.key.callee)
    }

    /// The name of node `node`.
    ///
    /// # Panics
    /// When `node` is not an index of this table.
    pub fn service(&self, node: u32) -> &ServiceId {
        &self.nodes[node as usize].id
    }
}
