//! From raw series of all files to series with subject, signal and unit.
//!
//! This runs once, after all files are read, because a counter may go on in the next file (a range query is split at
//! 11 000 points) and `_sum`, `_count` and `_bucket` usually lie in different ones. Series that differ only in labels
//! which name no subject are summed, as `sum by (…) (rate(…))` would.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Telemetry;
use super::changes_from_metrics;
use super::condense;
use super::otlp_metrics;
use super::plain_names::{self, Quantity};
use super::rates;
use super::signals::{self, Part, RawKind, RawSeries, Role, Scope};
use crate::telemetry::id::bounded;
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

/// One raw series as part of a group.
pub(super) struct Member<'r> {
    pub(super) raw: &'r RawSeries,
    pub(super) part: Part,
    /// Whether it counts failed requests.
    pub(super) failed: bool,
}

/// Raw series of one subject and name that become one or several series together.
pub(super) struct Group<'r> {
    pub(super) role: Role,
    pub(super) scope: Scope,
    pub(super) signal: Signal,
    /// Unit after `scale`.
    pub(super) unit: Unit,
    pub(super) scale: f64,
    pub(super) members: Vec<Member<'r>>,
}

/// All groups, by subject and metric name (without the suffix of a histogram's part).
pub(super) type Groups<'r> = BTreeMap<(Subject, String), Group<'r>>;

/// Turns everything in [`Telemetry::raw_series`] into series and given edges, and joins series that came in pieces.
pub(crate) fn finish(telemetry: &mut Telemetry) {
    otlp_metrics::finish(telemetry);
    let raw = merge(std::mem::take(&mut telemetry.raw_series), telemetry);
    telemetry.changes.extend(changes_from_metrics::changes(&raw));
    let parts = parts_by_name(&raw);
    let mut groups = Groups::new();
    for series in &raw {
        place(series, &parts, &mut groups, telemetry);
    }
    prefer_own_metrics(&mut groups);
    telemetry.given_edges.extend(condense::given_edges(&groups));
    telemetry.series.extend(condense::series(&groups));
    join_series(telemetry);
    telemetry.given_edges.sort();
    telemetry.given_edges.dedup();
}

/// Joins raw series with the same name and labels, sorts their samples and drops what is no number.
fn merge(mut raw: Vec<RawSeries>, telemetry: &mut Telemetry) -> Vec<RawSeries> {
    raw.iter_mut().for_each(|series| bound_names(series, telemetry));
    // Stable: pieces stay in the order of their files, and of two values for one time the first file's counts.
    raw.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
    let mut merged: Vec<RawSeries> = Vec::with_capacity(raw.len());
    for mut series in raw {
        let before = series.samples.len();
        series.samples.retain(|sample| sample.1.is_finite());
        let lost = before - series.samples.len();
        if lost > 0 {
            let message = "samples that are NaN, infinite or marked stale count as gaps";
            let place = format!("series `{}`", series.name);
            telemetry.warn(Path::new(&*series.source), place, message, lost as u64);
        }
        match merged.last_mut() {
            Some(last) if last.name == series.name && last.labels == series.labels => {
                if last.kind == RawKind::Unknown {
                    last.kind = series.kind;
                }
                last.samples.append(&mut series.samples);
            }
            _ => merged.push(series),
        }
    }
    for series in &mut merged {
        let conflicts = sort_samples(&mut series.samples);
        if conflicts > 0 {
            let place = format!("series `{}`", series.name);
            telemetry.warn(Path::new(&*series.source), place, CONFLICT, conflicts);
        }
    }
    merged
}

fn bound_names(series: &mut RawSeries, telemetry: &mut Telemetry) {
    let labels = series.labels.iter_mut().flat_map(|(name, value)| [name, value]);
    let mut cut = 0;
    for name in labels.chain([&mut series.name]) {
        if let Cow::Owned(shorter) = bounded(name) {
            *name = shorter;
            cut += 1;
        }
    }
    if cut > 0 {
        telemetry.warn(Path::new(&*series.source), format!("series `{}`", series.name), NAMES_CUT, cut);
    }
}

/// Said where names were longer than they may be.
pub(super) const NAMES_CUT: &str = "names longer than 1 KiB are kept in part, with a hash of the whole";

pub(super) const CONFLICT: &str = "two different values for one time; the first one read is kept";

/// Sorts by time, keeps the first of samples with equal time, and counts those dropped whose value differs.
pub(super) fn sort_samples(samples: &mut Vec<(i64, f64)>) -> u64 {
    if samples.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return 0;
    }
    samples.sort_by_key(|sample| sample.0);
    let mut conflicts = 0;
    samples.dedup_by(|next, kept| {
        let same_time = next.0 == kept.0;
        if same_time && next.1.total_cmp(&kept.1).is_ne() {
            conflicts += 1;
        }
        same_time
    });
    conflicts
}

/// Which of `_bucket`, `_sum`, `_count` there are for each base name: one alone may be an ordinary gauge
/// (`thread_count`), two make a distribution.
fn parts_by_name(raw: &[RawSeries]) -> BTreeMap<String, BTreeSet<Part>> {
    let mut parts: BTreeMap<String, BTreeSet<Part>> = BTreeMap::new();
    for series in raw {
        let (base, part) = signals::split_part(&series.name);
        if part != Part::None {
            parts.entry(base.to_owned()).or_default().insert(part);
        }
    }
    parts
}

/// Puts one raw series into the groups it belongs to, or says why it belongs to none.
fn place<'r>(
    raw: &'r RawSeries,
    parts: &BTreeMap<String, BTreeSet<Part>>,
    groups: &mut Groups<'r>,
    telemetry: &mut Telemetry,
) {
    if raw.samples.is_empty() {
        return;
    }
    let source = Path::new(&*raw.source);
    let name = signals::underscored(&raw.name);
    let metric_name = if raw.kind == RawKind::Words { name.replace('-', "_") } else { name.into_owned() };
    if let Some((row, part)) = signals::known(&metric_name) {
        // A bare duration without quantile is no distribution but a value in words (`latency`).
        if !(matches!(row.role, Role::Duration) && part == Part::None && raw.label("quantile").is_none()) {
            if row.scope == Scope::Service && signals::not_the_handling_side(raw) {
                let message =
                    "series of client, producer and internal spans are not used: they would count a request twice";
                return telemetry.warn(source, place_of(raw), message, 1);
            }
            let subjects = subjects(raw, row.scope, row.name);
            if subjects.is_empty() {
                return no_service(raw, telemetry);
            }
            for subject in subjects {
                let group = groups.entry((subject, row.name.to_owned())).or_insert_with(|| Group {
                    role: row.role,
                    scope: row.scope,
                    signal: row.signal,
                    unit: row.unit,
                    scale: row.scale,
                    members: Vec::new(),
                });
                group.members.push(Member { raw, part, failed: signals::failed(raw) });
            }
            return;
        }
    }
    if metric_name.ends_with("_created") || metric_name.ends_with("_info") {
        let message = "series that only carry labels or a creation time (`…_info`, `…_created`) are not used";
        return telemetry.warn(source, place_of(raw), message, 1);
    }
    place_other(raw, &metric_name, parts, groups, telemetry);
}

/// Places a series whose name is not in the table: as words, distribution, counter or gauge.
fn place_other<'r>(
    raw: &'r RawSeries,
    metric_name: &str,
    parts: &BTreeMap<String, BTreeSet<Part>>,
    groups: &mut Groups<'r>,
    telemetry: &mut Telemetry,
) {
    let (base, part) = signals::split_part(metric_name);
    let is_part = part != Part::None
        && rates::looks_like_counter(&raw.samples)
        && (raw.kind == RawKind::Counter || parts.get(base).is_some_and(|p| p.len() > 1));
    let is_summary = part == Part::None && raw.label("quantile").is_some();
    let is_counter = raw.kind == RawKind::Counter
        || (metric_name.ends_with("_total") && raw.kind != RawKind::Gauge && rates::looks_like_counter(&raw.samples));
    if raw.kind == RawKind::Words && !is_part && !is_counter {
        return place_words(raw, telemetry);
    }
    let Some(subject) = edge_subject(raw).or_else(|| signals::instance_subject(raw)) else {
        return no_service(raw, telemetry);
    };
    let (name, part, role) = if is_part {
        (base, part, Role::Distribution)
    } else if is_summary {
        (metric_name, Part::None, Role::Distribution)
    } else if is_counter {
        (metric_name, Part::None, Role::Rate)
    } else {
        (metric_name, Part::None, Role::Level)
    };
    let (unit, scale) = signals::unit_of_name(name);
    let unit = match (role, unit) {
        (Role::Rate, Unit::Bytes) => Unit::BytesPerSecond,
        // Seconds a second: a share of time that may exceed one where threads work side by side.
        (Role::Rate, Unit::Seconds | Unit::Ratio) => Unit::None,
        (Role::Rate, _) => Unit::PerSecond,
        (_, unit) => unit,
    };
    let group = groups.entry((subject, name.to_owned())).or_insert_with(|| Group {
        role,
        scope: Scope::Instance,
        signal: Signal::Other,
        unit,
        scale,
        members: Vec::new(),
    });
    group.members.push(Member { raw, part, failed: false });
}

/// Makes a series of one whose name is in plain words; it is not summed with others, since it may be a quantile.
fn place_words(raw: &RawSeries, telemetry: &mut Telemetry) {
    let Some((subject, name)) = subject_and_name_of_words(raw) else { return no_service(raw, telemetry) };
    let meaning = plain_names::read(&raw.name);
    let largest = raw.samples.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
    let smallest = raw.samples.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
    // Shares come as 0 to 1 or as percent; a name that does not tell leaves it to the values.
    let share = if meaning.unit == Unit::Ratio {
        meaning.scale
    } else if largest > 1.0 {
        1e-2
    } else {
        1.0
    };
    let all = |convert: &dyn Fn(f64) -> f64| raw.samples.iter().map(|&(at, value)| (at, convert(value))).collect();
    let (signal, unit, samples) = match meaning.quantity {
        Quantity::Success if largest <= 0.0 => {
            let message = "a success rate that is zero throughout was not collected and is not used";
            return telemetry.warn(Path::new(&*raw.source), place_of(raw), message, 1);
        }
        Quantity::Success => (Signal::ErrorRatio, Unit::Ratio, all(&|v| (1.0 - v * share).clamp(0.0, 1.0))),
        Quantity::Errors if smallest >= 0.0 && meaning.unit == Unit::Ratio => {
            (Signal::ErrorRatio, Unit::Ratio, all(&|v| (v * share).min(1.0)))
        }
        Quantity::Errors if smallest >= 0.0 && largest <= 1.0 => (Signal::ErrorRatio, Unit::Ratio, all(&|v| v)),
        Quantity::Errors => (Signal::Other, meaning.unit, all(&|v| v * meaning.scale)),
        Quantity::Of(signal) => (signal, meaning.unit, all(&|v| v * meaning.scale)),
    };
    telemetry.series.push(Series { subject, signal, statistic: meaning.statistic, unit, name, samples });
}

/// Labels of an edge: caller and callee.
const EDGE_LABELS: &[(&str, &str)] = &[
    ("client", "server"),
    ("caller", "callee"),
    ("source", "destination"),
    ("source_workload", "destination_workload"),
];

fn edge_subject(raw: &RawSeries) -> Option<Subject> {
    let named = |label: &str| raw.label(label).filter(|value| !value.is_empty());
    let (caller, callee) = EDGE_LABELS.iter().find_map(|(from, to)| Some((named(from)?, named(to)?)))?;
    Some(Subject::Edge { caller: caller.into(), callee: callee.into() })
}

/// The histogram of a service graph that the caller's clock measures.
const CALLER_CLOCK: &str = "traces_service_graph_request_client_seconds";

/// Whether the caller of a service-graph edge is a stand-in for users (Tempo's `user`, or named by a label).
fn is_called_from_outside(raw: &RawSeries, edge: &Subject) -> bool {
    let Subject::Edge { caller, .. } = edge else { return false };
    raw.label("virtual_node") == Some("client")
        || (raw.label("connection_type") == Some("virtual_node") && caller.as_str() == "user")
}

/// Drops what service graphs say of a service whose own metrics count its requests: those see all callers.
fn prefer_own_metrics(groups: &mut Groups<'_>) {
    let counts = |group: &Group<'_>| matches!(group.role, Role::Calls | Role::Duration);
    let own: BTreeSet<Subject> = groups
        .iter()
        .filter(|(_, group)| group.scope == Scope::Service && counts(group))
        .map(|((subject, _), _)| subject.clone())
        .collect();
    groups.retain(|(subject, _), group| {
        matches!(subject, Subject::Edge { .. })
            || !matches!(group.scope, Scope::EdgeSeenByCaller | Scope::EdgeSeenByCallee)
            || !own.contains(subject)
    });
}

/// The subjects that a known series counts for; `row_name` is its metric's.
fn subjects(raw: &RawSeries, scope: Scope, row_name: &str) -> Vec<Subject> {
    match scope {
        Scope::Instance => signals::instance_subject(raw).into_iter().collect(),
        Scope::Service => {
            let Some(service) = signals::service(|name| raw.label(name)) else { return Vec::new() };
            let operation = signals::operation(|name| raw.label(name))
                .map(|operation| Subject::Operation { service: service.clone(), operation: operation.to_owned() });
            std::iter::once(Subject::Service(service)).chain(operation).collect()
        }
        Scope::EdgeSeenByCaller | Scope::EdgeSeenByCallee => {
            let Some(edge) = edge_subject(raw) else { return Vec::new() };
            let callee = Subject::Service(edge.service().clone());
            // Whoever calls from outside is no service of ours: what it sees is the entry's own.
            if is_called_from_outside(raw, &edge) {
                return vec![callee];
            }
            // What all callers ask of a service, added up, is what the service does. The caller's clock says nothing
            // of that: it holds the network too, and would be a second latency of the same service.
            if row_name == CALLER_CLOCK { vec![edge] } else { vec![edge, callee] }
        }
    }
}

/// Subject of a series named in words, and its name with the labels that do not name the subject.
fn subject_and_name_of_words(raw: &RawSeries) -> Option<(Subject, String)> {
    let operation = signals::operation(|name| raw.label(name));
    let subject = edge_subject(raw).or_else(|| signals::instance_subject(raw))?;
    let (subject, instance) = match (subject, operation) {
        (Subject::Instance { service, instance }, Some(operation)) => {
            (Subject::Operation { service, operation: operation.to_owned() }, Some(instance))
        }
        (Subject::Service(service), Some(operation)) => {
            (Subject::Operation { service, operation: operation.to_owned() }, None)
        }
        (subject, _) => (subject, None),
    };
    let is_edge_label = |label: &str| EDGE_LABELS.iter().any(|(from, to)| *from == label || *to == label);
    let mut rest: Vec<String> = raw
        .labels
        .iter()
        .filter(|(label, _)| !signals::names_a_subject(label) && !is_edge_label(label))
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    rest.extend(instance.map(|instance| format!("instance={instance:?}")));
    let name = if rest.is_empty() { raw.name.clone() } else { format!("{}{{{}}}", raw.name, rest.join(",")) };
    Some((subject, name))
}

fn place_of(raw: &RawSeries) -> String {
    format!("series `{}`", raw.name)
}

fn no_service(raw: &RawSeries, telemetry: &mut Telemetry) {
    let message = "series whose labels name no service are not used; add a label such as `service` or `pod`";
    telemetry.skipped += 1;
    telemetry.warn(Path::new(&*raw.source), place_of(raw), message, 1);
}

/// Joins series that describe the same thing (one case's normal and abnormal files) and sorts all.
fn join_series(telemetry: &mut Telemetry) {
    fn rank(statistic: Statistic) -> (u8, f64) {
        match statistic {
            Statistic::Mean => (0, 0.0),
            Statistic::Sum => (1, 0.0),
            Statistic::Counter => (2, 0.0),
            Statistic::Quantile(q) => (3, q),
        }
    }
    fn compare(a: &Series, b: &Series) -> std::cmp::Ordering {
        let (a_kind, a_quantile) = rank(a.statistic);
        let (b_kind, b_quantile) = rank(b.statistic);
        (&a.subject, a.signal, &a.name, a_kind)
            .cmp(&(&b.subject, b.signal, &b.name, b_kind))
            .then(a_quantile.total_cmp(&b_quantile))
            .then(a.unit.cmp(&b.unit))
    }
    let mut all = std::mem::take(&mut telemetry.series);
    all.sort_by(compare);
    let mut joined: Vec<Series> = Vec::with_capacity(all.len());
    for mut series in all {
        match joined.last_mut() {
            Some(last) if compare(last, &series).is_eq() => last.samples.append(&mut series.samples),
            _ => joined.push(series),
        }
    }
    for series in &mut joined {
        let conflicts = sort_samples(&mut series.samples);
        if conflicts > 0 {
            let place = format!("series `{}` of {}", series.name, series.subject);
            telemetry.warn(Path::new("metrics"), place, CONFLICT, conflicts);
        }
    }
    joined.retain(|series| !series.samples.is_empty());
    telemetry.series = joined;
}
