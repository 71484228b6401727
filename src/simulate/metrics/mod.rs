//! Metrics as exporters and the span-metrics connector would show them, scrape by scrape.
//!
//! A pod's own readings (cAdvisor, runtime, pools) come at the instants at which the world read it. What one exporter
//! tells of all (kube-state-metrics, the Collector, the exporters of machines) comes at instants of its own. All times
//! are whole hundredths of a second, so that a file in milliseconds loses nothing.

mod cluster;
mod containers;
mod machines;
pub mod openmetrics;
mod pods;
mod processes;
mod scrapes;
mod spans;
mod topics;

use super::observe::Imperfections;
use super::recording::Recording;
use super::system::System;
pub(crate) use pods::NEIGHBOUR;
use pods::Pods;
pub(crate) use spans::{CALLS, DURATIONS};
pub(crate) use topics::{KAFKA_LAG, RABBITMQ_READY};

use scrapes::Scrapes;

/// A family of metrics.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    /// Name without the suffix of a sample (`_total`, `_bucket`).
    pub name: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
    /// How.
    pub kind: FamilyKind,
    /// One for each set of labels, sorted by it; parts of one histogram are side by side, its buckets ascending.
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

/// What a Prometheus that scrapes all of the system would have stored, families by name. A function of its arguments.
pub fn collect(system: &System, recording: &Recording, imperfections: &Imperfections, seed: u64) -> Vec<Family> {
    let pods = Pods::new(system, recording);
    let scrapes = Scrapes::new(&pods, imperfections, seed);
    let mut families = containers::families(&pods, &scrapes);
    families.extend(cluster::families(&pods, &scrapes));
    families.extend(machines::families(&pods, &scrapes));
    families.extend(processes::families(&pods, &scrapes));
    families.extend(spans::families(&pods, &scrapes));
    families.extend(topics::families(&pods, &scrapes));
    families.retain(|family| !family.series.is_empty());
    families.sort_by_key(|family| family.name);
    for family in &mut families {
        // Stable, so that the parts of a histogram stay in order.
        family.series.sort_by(|a, b| without_bound(a).cmp(without_bound(b)));
    }
    families
}

fn without_bound(series: &MetricSeries) -> impl Iterator<Item = &(&'static str, String)> {
    series.labels.iter().filter(|(name, _)| *name != "le")
}

impl Family {
    fn new(kind: FamilyKind, name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind, series: Vec::new() }
    }

    /// Adds a series of a counter or gauge; one without samples is none.
    fn push(&mut self, labels: Labels, samples: Vec<(i64, f64)>) {
        let suffix = match self.kind {
            FamilyKind::Counter => "_total",
            FamilyKind::Gauge | FamilyKind::Histogram => "",
        };
        self.push_part(suffix, labels, samples);
    }

    fn push_part(&mut self, suffix: &'static str, labels: Labels, samples: Vec<(i64, f64)>) {
        if !samples.is_empty() {
            self.series.push(MetricSeries { suffix, labels: labels.0, samples });
        }
    }
}

/// Labels of a series, kept sorted by name.
#[derive(Clone)]
struct Labels(Vec<(&'static str, String)>);

impl Labels {
    fn of<const N: usize>(labels: [(&'static str, &str); N]) -> Self {
        let mut labels = labels.map(|(name, value)| (name, value.to_owned())).to_vec();
        labels.sort_by_key(|(name, _)| *name);
        Self(labels)
    }

    /// The same labels and these.
    fn with<const N: usize>(&self, more: [(&'static str, &str); N]) -> Self {
        let mut labels = self.0.clone();
        labels.extend(more.map(|(name, value)| (name, value.to_owned())));
        labels.sort_by_key(|(name, _)| *name);
        Self(labels)
    }
}
