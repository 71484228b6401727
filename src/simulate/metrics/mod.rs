//! Metrics as exporters and the span-metrics connector would show them, scrape by scrape.

/// A family of metrics.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    /// Name without the suffix of a sample (`_total`, `_bucket`).
    pub name: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
    /// How.
    pub kind: FamilyKind,
    /// One for each set of labels, sorted by it.
    pub series: Vec<MetricSeries>,
}

/// Type of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FamilyKind {
    /// Only grows, until its process starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count: its series carry the suffix of the sample in `suffix` and `le` among the labels.
    Histogram,
}

/// One series.
#[derive(Clone, PartialEq, Debug)]
pub struct MetricSeries {
    /// `""`, `_total`, `_bucket`, `_sum` or `_count`.
    pub suffix: &'static str,
    /// Sorted by name.
    pub labels: Vec<(&'static str, String)>,
    /// Unix ns and value, ascending.
    pub samples: Vec<(i64, f64)>,
}
