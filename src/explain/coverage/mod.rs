//! What the telemetry let us see, and how much less sure that makes us.

mod deductions;
mod one_window;
mod sampling;
mod series_gaps;
mod silence;

pub(crate) use sampling::unweighted_samples;
pub(crate) use series_gaps::series_gaps;

use crate::incident::Incident;
use crate::telemetry::calls::SpanCoverage;
use crate::telemetry::clock::ClockSkew;
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Subject;
use crate::telemetry::time::Window;

use deductions::Requests;

/// What the telemetry let us see.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Coverage {
    /// Counts from the spans.
    pub spans: SpanCoverage,
    /// Number of metric series.
    pub series: u64,
    /// Kinds of metrics that were recognised, sorted.
    pub dialects: Vec<String>,
    /// Requests from outside in the baseline; of sampled traffic the estimate of all.
    pub calls_baseline: u64,
    /// The same in the incident window.
    pub calls_incident: u64,
    /// Nodes that send no spans of their own, or nothing at all, although something names them.
    pub silent: Listed<Silent>,
    /// Series with gaps in either window.
    pub series_gaps: Listed<SeriesGap>,
    /// What there is in the baseline or in the incident only, so that it cannot be compared.
    pub one_window: OneWindow,
    /// Clocks that disagree, the furthest first.
    pub clocks: Listed<ClockSkew>,
    /// Services whose traces hold only a part of the requests that their metrics count, without weights that would tell.
    pub unweighted_samples: Listed<UnweightedSample>,
    /// Files that could not be read to their end.
    pub cut_files: Listed<String>,
    /// Which gap cost how much, the dearest first.
    pub deductions: Vec<Deduction>,
    /// 0 to 1: how much the confidence was lowered to (1 = nothing missing): the product of the deductions.
    pub factor: f64,
}

/// The first rows of a list that hostile or merely large telemetry could make endless, with its whole length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed<T> {
    /// Length of the whole list.
    pub total: u64,
    /// The first rows, at most 200.
    pub first: Vec<T>,
}

/// Most rows of a [`Listed`].
const MAX_LISTED: usize = 200;

impl<T> Listed<T> {
    /// Counts the rows and keeps the first.
    pub fn new(mut rows: Vec<T>) -> Self {
        let total = rows.len() as u64;
        rows.truncate(MAX_LISTED);
        Self { total, first: rows }
    }

    /// Whether there is nothing to list.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { total: 0, first: Vec::new() }
    }
}

/// Where the name of a silent node comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum KnownFrom {
    /// Its callers' spans: it sends neither spans nor metrics.
    Callers,
    /// A call graph or the edges of a service graph: it sends neither spans nor metrics.
    Edges,
    /// Its metrics: it sends no spans, although others do.
    Metrics,
    /// The alert: nothing else knows the name.
    Alert,
    /// Log records: nothing else knows the name.
    Logs,
    /// A change: nothing else knows the name.
    Changes,
}

/// A node of which the telemetry tells less than of others.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Silent {
    /// What knows it.
    pub known_from: KnownFrom,
    /// Who.
    pub service: ServiceId,
}

/// A series by what identifies it for a reader.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct SeriesName {
    /// Whose.
    pub subject: Subject,
    /// Its name in the source.
    pub name: String,
}

/// A series with samples missing between others of the same window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesGap {
    /// Which.
    pub series: SeriesName,
    /// Time without the samples that should be there, in all windows together, nanoseconds.
    pub missing_ns: u64,
    /// The longest stretch: from the last sample before it to the first after it.
    pub longest: Window,
}

/// What one of the windows alone holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OneWindow {
    /// Services and other nodes that were called in the baseline only.
    pub nodes_baseline_only: Listed<ServiceId>,
    /// Services and other nodes that were called in the incident only.
    pub nodes_incident_only: Listed<ServiceId>,
    /// Series with samples in the baseline only.
    pub series_baseline_only: Listed<SeriesName>,
    /// Series with samples in the incident only.
    pub series_incident_only: Listed<SeriesName>,
    /// Series with samples in neither.
    pub series_outside: Listed<SeriesName>,
}

/// A service of which traces show a part of the requests only, as its own metrics tell.
#[derive(Clone, PartialEq, Debug)]
pub struct UnweightedSample {
    /// Who.
    pub service: ServiceId,
    /// Requests in traces.
    pub traced: u64,
    /// Requests by metrics over the same time.
    pub measured: u64,
    /// Share of the failed requests that is in traces, and of the others: far apart where sampling chooses by outcome
    /// (tail sampling); `None` where they are not, or nothing tells.
    pub kept: Option<KeptShares>,
}

/// How much of the requests was kept, by outcome: 0 to 1 but for noise.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KeptShares {
    /// Of the failed requests.
    pub failed: f64,
    /// Of the others.
    pub others: f64,
}

/// A gap that makes the ranking less sure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Shortfall {
    /// Spans whose parent was not read: who called them is not known.
    LostParents,
    /// Client spans without an answer: whom they called is not known.
    UnpairedClients,
    /// Few requests in the smaller window: what they show may be chance.
    FewRequests,
    /// Files that could not be read to their end: what is missing may look like a change.
    CutFiles,
    /// The windows as given let no cause be named surely; others were compared.
    OtherWindows,
}

/// One factor of [`Coverage::factor`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Deduction {
    /// What is missing.
    pub shortfall: Shortfall,
    /// What remains of the confidence, 0 to below 1.
    pub factor: f64,
}

impl Coverage {
    /// Lowers the confidence for one more reason.
    pub(crate) fn deduct(&mut self, shortfall: Shortfall, factor: f64) {
        let at = self.deductions.partition_point(|d| d.factor <= factor);
        self.deductions.insert(at, Deduction { shortfall, factor });
        self.factor *= factor;
    }
}

pub(super) fn coverage(incident: &Incident) -> Coverage {
    let requests = Requests::count(incident);
    let (deductions, factor) = deductions::deductions(&incident.calls.coverage, &requests, incident.cut_files.len());
    let mut clocks = incident.calls.clocks.clone();
    clocks.sort_by(|a, b| b.offset_ns.unsigned_abs().cmp(&a.offset_ns.unsigned_abs()).then_with(|| a.cmp(b)));
    let windows: Vec<Window> = incident.baselines.iter().copied().chain([incident.window]).collect();
    Coverage {
        spans: incident.calls.coverage,
        series: incident.series.len() as u64,
        dialects: incident.dialects.clone(),
        calls_baseline: requests.baseline.calls,
        calls_incident: requests.incident.calls,
        silent: Listed::new(silence::silent(incident)),
        series_gaps: Listed::new(series_gaps(&incident.series, &windows)),
        one_window: one_window::one_window(incident),
        clocks: Listed::new(clocks),
        unweighted_samples: Listed::new(unweighted_samples(&incident.calls, &incident.series, &windows)),
        cut_files: Listed::new(incident.cut_files.iter().cloned().collect()),
        deductions,
        factor,
    }
}
