//! Spans become small: a table of (time bin, entry, edge, operation) with counts, errors and distributions.
//!
//! A trace's spans belong together. So rows are partitioned by trace (`partition`), and each trace is worked by itself,
//! on all cores: its trees (`forest`), what part each span plays (`roles`), the calls (`calls`) with their times
//! (`timeline`) and repetitions (`attempts`), and the sums by key (`local`). Names become ranks before anything else
//! (`names`), so that neither the order of spans nor the numbering of keys can change the result. Logs become counts by
//! template beside that (`logs`, `templates`), and new versions of services become changes (`versions`).

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use self::calls::{Callees, TraceCalls, Unseen};
use self::clocks::Clocks;
use self::forest::{Forest, Oddities};
use self::links::Links;
use self::local::Accumulator;
use self::names::Names;
use self::partition::{Copies, Gathered, Packed, Plan};
use self::ways::Ways;
use crate::telemetry::calls::{CallStats, SpanCoverage};
use crate::telemetry::span::SpanTable;
use crate::telemetry::time::Grid;
use crate::telemetry::warning::Warning;

mod attempts;
mod calls;
mod clocks;
mod forest;
mod halves;
mod links;
mod local;
mod log_transitions;
mod logs;
mod names;
mod partition;
mod peers;
mod roles;
mod statements;
mod table;
mod templates;
mod timeline;
mod timetable;
mod versions;
mod ways;
mod weight;

pub use logs::log_stats;
pub use versions::version_changes;

/// Condenses spans into call statistics on the grid. Never fails: what is odd becomes a warning.
///
/// A *call* is what a callee's work under one head span shows (a server span, a consumer, or the first span of another
/// service than its parent's), or else what the caller's span tells of a callee without spans. A span's role is taken
/// from its kind where the source gives one and from the trace's shape where it does not.
///
/// - A client span whose server was seen is the same call seen from the other side; the difference of their durations is
///   the edge's gap. Several servers under one client share it: the gap is what none of them covers.
/// - A message goes from its producer to the queue and from the queue to its consumer where either names the queue, else
///   directly. Nobody waits for messages, nor for work that starts after its caller's span ended. Only calls that
///   somebody waits for are paired.
/// - A callee without spans counts as where a failure begins, since nothing tells otherwise.
/// - A client span without an answer that names nobody calls whom other spans of its name were answered by, if that is
///   always the same service; this takes a second round over the spans.
/// - Clocks that disagree are corrected where the calls between two processes leave no doubt (`clocks`); this takes two
///   further rounds.
/// - Of sampled traffic every call counts as often as the span says that shows it, the callee's head or else the caller's
///   (`weight`); a part of a root's duration counts as the root does.
/// - Each root's duration is shared out among the calls that spent it, that of parallel ones by Shapley (`timeline`). Spans below a lost parent
///   have no part in that, unless the trace has no root; then its earliest fragment stands for it.
///
/// Cost: linear in the spans; beside the table and the result a quarter of a gigabyte at most for copies, and 8 bytes for
/// each of a call's two or three samples.
pub fn aggregate(spans: &SpanTable, grid: &Grid) -> (CallStats, Vec<Warning>) {
    let names = Names::new(spans);
    let instrumented = instrumented(spans, &names);
    let links = Links::new(spans, &names);
    let context = Context { grid, names: &names, links: &links, instrumented: &instrumented };

    let no_clocks = Clocks::default();
    let mut workers = work(&context, spans, &Callees::default(), &no_clocks);
    let clocks = if clocks::is_suspicious(workers.iter().map(|worker| &worker.found.sticking_out)) {
        look_at_clocks(&context, spans)
    } else {
        no_clocks
    };
    if !clocks.ahead_ns.is_empty() {
        drop(workers);
        workers = work(&context, spans, &Callees::default(), &clocks);
    }
    let found: Vec<&Callees> = workers.iter().map(|worker| &worker.callees).collect();
    if let Some(callees) = Callees::for_another_round(&found) {
        drop(workers);
        workers = work(&context, spans, &callees, &clocks);
    }

    let mut coverage =
        SpanCoverage { spans: spans.len() as u64, unresolved_links: links.unresolved, ..SpanCoverage::default() };
    for worker in &workers {
        worker.report(&mut coverage);
    }
    if !names.sampled {
        coverage.represented = coverage.spans - coverage.duplicates;
    }
    let (sums, ways): (Vec<Accumulator>, Vec<Ways>) =
        workers.into_iter().map(|worker| (worker.sums, worker.ways)).unzip();
    let (total, ways) = (local::total(sums), ways::total(ways.into_iter()));
    let warnings = warnings(&coverage);
    (table::call_stats(total, &ways, &names, &instrumented, grid, coverage, clocks.skews), warnings)
}

/// Works all traces, with what is known of callees that left no spans and of clocks.
fn work(context: &Context, spans: &SpanTable, callees: &Callees, clocks: &Clocks) -> Vec<Worker> {
    let sampled = context.names.sampled;
    let worker = || Worker { callees: callees.clone(), sums: Accumulator::new(sampled), ..Worker::default() };
    for_each_trace(spans, context.names, worker, |worker, trace, rows| worker.add_trace(context, clocks, trace, rows))
}

/// Compares the clocks of all processes that call each other.
fn look_at_clocks(context: &Context, spans: &SpanTable) -> Clocks {
    #[derive(Default)]
    struct Watcher {
        forest: Forest,
        calls: clocks::Calls,
    }
    let watchers = for_each_trace(spans, context.names, Watcher::default, |watcher, trace, rows| {
        watcher.forest.rebuild(trace, rows, context.names, &[], &mut Oddities::default());
        watcher.calls.add_trace(&watcher.forest);
    });
    Clocks::new(watchers.into_iter().map(|watcher| watcher.calls).collect(), context.names)
}

/// Hands the rows of every trace to one of as many workers as there are cores: finer tasks would each repeat most of the
/// result's rows.
fn for_each_trace<W: Send>(
    spans: &SpanTable,
    names: &Names,
    worker: impl Fn() -> W,
    visit: impl Fn(&mut W, u128, &mut dyn Iterator<Item = &Packed>) + Sync,
) -> Vec<W> {
    let plan = Plan::new(spans.len());
    let mut workers: Vec<(Gathered, W)> =
        (0..rayon::current_num_threads()).map(|_| (Gathered::default(), worker())).collect();
    let mut copies = Copies::default();
    for wave in plan.waves() {
        plan.copy(spans, names, &wave, &mut copies);
        let next = AtomicUsize::new(0);
        workers.par_iter_mut().with_max_len(1).for_each(|(gathered, worker)| {
            loop {
                let partition = next.fetch_add(1, Ordering::Relaxed);
                if partition >= wave.len() {
                    break;
                }
                plan.gather(&copies, partition, gathered);
                gathered.for_each_trace(|trace, rows| visit(worker, trace, rows));
            }
        });
    }
    copies.free();
    workers.into_iter().map(|(_, worker)| worker).collect()
}

/// What all workers read.
struct Context<'a> {
    grid: &'a Grid,
    names: &'a Names,
    links: &'a Links,
    instrumented: &'a [bool],
}

/// One core's sums and the memory that it uses again for every trace.
#[derive(Default)]
struct Worker {
    forest: Forest,
    found: TraceCalls,
    callees: Callees,
    sums: Accumulator,
    ways: Ways,
    odd: Oddities,
    unseen: Unseen,
    traces: u64,
}

impl Worker {
    fn add_trace<'a>(
        &mut self,
        context: &Context,
        clocks: &Clocks,
        trace: u128,
        rows: impl Iterator<Item = &'a Packed>,
    ) {
        let (names, links) = (context.names, context.links);
        self.forest.rebuild(trace, rows, names, &clocks.ahead_ns, &mut self.odd);
        self.found.rebuild(&self.forest, names, links, context.instrumented, &mut self.callees, &mut self.unseen);
        self.traces += 1;

        let entry = &self.forest.spans[self.forest.entry as usize];
        let entry = (entry.service, entry.operation);
        self.sums.add_trace(self.forest.trace, entry, &self.found.calls, context.grid);
        self.ways.add_trace(&self.forest, &self.found, context.grid);
    }

    fn report(&self, coverage: &mut SpanCoverage) {
        coverage.traces += self.traces;
        coverage.orphans += self.odd.orphans;
        coverage.rootless_traces += self.odd.rootless;
        coverage.duplicates += self.odd.duplicates;
        coverage.cyclic += self.odd.cyclic;
        coverage.moved += self.odd.moved;
        coverage.sampled += self.odd.sampled;
        coverage.represented += self.odd.represented;
        coverage.unevenly_sampled += self.odd.unevenly_sampled;
        coverage.unpaired_clients += self.unseen.unpaired_clients;
        coverage.outside_parent += self.unseen.outside_parent;
    }
}

/// Which nodes emit spans of their own.
fn instrumented(spans: &SpanTable, names: &Names) -> Vec<bool> {
    let mut used = vec![false; spans.resources().len()];
    spans.resource.iter().for_each(|&resource| used[resource as usize] = true);
    let mut instrumented = vec![false; names.nodes.len()];
    for (&instance, _) in names.instance_of_resource.iter().zip(&used).filter(|(_, used)| **used) {
        instrumented[names.instances[instance as usize].node as usize] = true;
    }
    instrumented
}

/// What of the coverage a reader of the report should know.
fn warnings(coverage: &SpanCoverage) -> Vec<Warning> {
    let odd = [
        (coverage.duplicates, "spans have an id that another span of their trace has; only the first counts"),
        (coverage.cyclic, "spans are their own ancestors; each circle is cut at its earliest span"),
        (coverage.orphans, "spans name a parent that was not read; what they belong to begins with them"),
        (coverage.rootless_traces, "traces have no root span; their earliest span counts as the entry"),
        (coverage.unpaired_clients, "client spans have no server span; their time may stay with the caller"),
        (coverage.unresolved_links, "span links lead to spans that were not read"),
        (
            coverage.unevenly_sampled,
            "traces hold spans that were sampled at different rates; each call counts as its own span says",
        ),
    ];
    let told = odd.into_iter().filter(|(affected, _)| *affected > 0);
    told.map(|(affected, message)| Warning {
        source: "traces".to_owned(),
        place: String::new(),
        message: message.to_owned(),
        affected,
    })
    .collect()
}
