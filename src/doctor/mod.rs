//! What was recognised, what is missing for a good analysis, and what to do about it: for any input, before any analysis.
//!
//! People's tools draw empty or wrong maps and none says why. Pure: [`examine`] takes what was read and gives an
//! [`Examination`]; reading is the command's.

mod files;
mod json;
mod metrics;
mod names;
mod propagation;
mod text;
mod times;
mod traces;

use std::collections::BTreeSet;
use std::io;

use crate::aggregate::aggregate;
use crate::graph::ServiceGraph;
use crate::ingest::Telemetry;
use crate::report::terminal_text;
use crate::telemetry::calls::CallStats;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{Grid, NANOS_PER_SECOND, Window};
use crate::telemetry::topology::NodeKind;

pub use files::FileFacts;
pub use times::Range;

/// How bad a finding is; the order is that in which they are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Severity {
    /// No analysis is possible.
    Stops,
    /// An analysis is possible, but it is less sure or sees less.
    Gap,
    /// Good to know, or could be better.
    Note,
}

/// The conclusion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Nothing of weight is missing.
    Ready,
    /// An analysis is possible; gaps make it less sure or blind in places.
    UsableWithGaps,
    /// Something prevents an analysis.
    NotUsable,
}

/// One thing that was found, and what to do about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A word for programs, the same in every run: `lost_parents`.
    pub id: &'static str,
    /// How much is affected, 0 to 1: orders findings of one severity.
    pub weight: f64,
    /// What is so, one sentence. May hold telemetry's names: escape for each output.
    pub what: String,
    /// What to do: the flag, the setting, the configuration of collector or SDK.
    pub advice: String,
}

/// The windows that an analysis is to compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Windows {
    /// When users felt it.
    pub incident: Window,
    /// Normal operation.
    pub baselines: Vec<Window>,
}

/// A service, database, queue or external dependency, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// Who.
    pub name: ServiceId,
    /// What; `None` when only metrics know it.
    pub kind: Option<NodeKind>,
    /// Whether it sends spans.
    pub spans: bool,
    /// Its metric series.
    pub series: u64,
}

/// All that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Examination {
    /// The conclusion.
    pub verdict: Verdict,
    /// What there is, in one sentence.
    pub summary: String,
    /// What is missing or odd: worst first.
    pub findings: Vec<Finding>,
    /// File by file, in the order of their paths.
    pub files: Vec<FileFacts>,
    /// Which time each kind of telemetry covers.
    pub ranges: Vec<Range>,
    /// Every node, sorted by name.
    pub nodes: Vec<NodeFacts>,
    /// Calls between nodes.
    pub edges: u64,
}

/// Longest name inside a sentence.
const NAME: usize = 48;
/// Names that a sentence lists.
const MOST_NAMES: usize = 5;

/// What the checks look at.
struct Facts<'a> {
    telemetry: &'a Telemetry,
    files: &'a [FileFacts],
    calls: &'a CallStats,
    graph: &'a ServiceGraph,
    /// Services that send spans.
    traced: BTreeSet<ServiceId>,
    /// Services that have series.
    measured: BTreeSet<ServiceId>,
    ranges: &'a [Range],
    windows: Option<&'a Windows>,
}

/// Examines what was read. `files` are the facts of each file ([`FileFacts::of`]); `windows` those that the user or a
/// case named. Linear in the spans, with a table of their ids.
pub fn examine(telemetry: &Telemetry, files: Vec<FileFacts>, windows: Option<&Windows>) -> Examination {
    let (calls, _) = aggregate(&telemetry.spans, &Grid::new(60 * NANOS_PER_SECOND));
    let (graph, _) = ServiceGraph::build(&calls, &telemetry.given_edges);
    let (ranges, mut findings) = times::ranges(telemetry);
    let named = |resource: &crate::telemetry::span::Resource| ServiceId::new(&resource.service);
    let facts = Facts {
        telemetry,
        files: &files,
        calls: &calls,
        graph: &graph,
        traced: telemetry.spans.resources().iter().map(named).collect(),
        measured: telemetry.series.iter().map(|s| s.subject.service().clone()).collect(),
        ranges: &ranges,
        windows,
    };
    findings.extend(files::findings(&facts));
    if !telemetry.spans.is_empty() || !telemetry.series.is_empty() {
        findings.extend(times::findings(&facts));
        findings.extend(traces::findings(&facts));
        findings.extend(propagation::findings(&facts));
        findings.extend(metrics::findings(&facts));
        findings.extend(names::findings(&facts));
    }
    let nodes = nodes(&facts);
    let summary = summary(&facts, &nodes);
    let edges = graph.edges().len() as u64;
    let verdict = Verdict::Ready;
    Examination { verdict, summary, findings, ranges, nodes, edges, files }.with(Vec::new())
}

impl Examination {
    /// The examination with further findings, for example of the sources from which the telemetry came.
    pub fn with(mut self, more: Vec<Finding>) -> Self {
        self.findings.extend(more);
        self.findings.sort_by(|a, b| {
            a.severity
                .cmp(&b.severity)
                .then(b.weight.total_cmp(&a.weight))
                .then(a.id.cmp(b.id))
                .then(a.what.cmp(&b.what))
        });
        self.verdict = match self.findings.first().map(|f| f.severity) {
            Some(Severity::Stops) => Verdict::NotUsable,
            Some(Severity::Gap) => Verdict::UsableWithGaps,
            Some(Severity::Note) | None => Verdict::Ready,
        };
        self
    }
}

/// Writes the examination for a terminal, ending in a line break. Nothing is said by colour alone.
///
/// # Errors
/// Those of `out`.
pub fn write_text(examination: &Examination, colour: bool, width: usize, out: &mut dyn io::Write) -> io::Result<()> {
    text::write(examination, colour, width.max(80), out)
}

/// Writes the examination as one JSON object with its own `schema_version`; `proposal` is a command that would analyse.
///
/// # Errors
/// Those of `out`.
pub fn write_json(examination: &Examination, proposal: Option<&str>, out: &mut dyn io::Write) -> io::Result<()> {
    json::write(examination, proposal, out)
}

fn nodes(facts: &Facts<'_>) -> Vec<NodeFacts> {
    let mut names: BTreeSet<&ServiceId> = facts.graph.nodes().iter().map(|n| &n.id).collect();
    names.extend(&facts.traced);
    names.extend(&facts.measured);
    let mut series = std::collections::BTreeMap::<&ServiceId, u64>::new();
    for one in &facts.telemetry.series {
        *series.entry(one.subject.service()).or_default() += 1;
    }
    let node = |name: &ServiceId| NodeFacts {
        name: name.clone(),
        kind: facts.graph.kind(name),
        spans: facts.traced.contains(name),
        series: series.get(name).copied().unwrap_or(0),
    };
    names.into_iter().map(node).collect()
}

fn summary(facts: &Facts<'_>, nodes: &[NodeFacts]) -> String {
    let telemetry = facts.telemetry;
    let mut parts = Vec::new();
    if !telemetry.spans.is_empty() {
        let services = counted(facts.traced.len() as u64, "service", "services");
        parts.push(format!("{} of {services}", counted(telemetry.spans.len() as u64, "span", "spans")));
    }
    if !telemetry.series.is_empty() {
        parts.push(format!("{} metric series", count(telemetry.series.len() as u64)));
    }
    if !facts.graph.edges().is_empty() {
        let edges = counted(facts.graph.edges().len() as u64, "edge", "edges");
        parts.push(format!("a graph of {} and {edges}", counted(nodes.len() as u64, "node", "nodes")));
    }
    if parts.is_empty() { "neither spans nor metric series were read".to_owned() } else { parts.join(", ") }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

fn count(number: u64) -> String {
    crate::explain::numbers::count(number)
}

fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.01 => "<1 %".to_owned(),
        s if s < 1.0 && s > 0.99 => ">99 %".to_owned(),
        s => format!("{:.0} %", s * 100.0),
    }
}

/// A name cut so that it leaves room for others.
fn brief(name: &str) -> String {
    terminal_text(name, NAME)
}

/// The first names and how many more there are.
fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(MOST_NAMES).map(brief).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
