//! From raw series of all files to series with subject, signal and unit.
//!
//! This runs once, after all files are read, because a counter may go on in the next file (a range query is split at
//! 11 000 points) and `_sum`, `_count` and `_bucket` usually lie in different ones. Series that differ only in labels
//! which name no subject are summed, as `sum by (…) (rate(…))` would.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::changes_from_metrics;
use super::condense;
use super::dialects::{self, Dialect};
use super::machines::Machines;
use super::mesh::{self, By, Istio, Seen};
use super::metric_parts::{Part, split_part};
use super::metric_rules::{MetricKind, MetricRule, MetricSettings};
use super::metric_table::{self, Role, Scope};
use super::naming::Naming;
use super::otlp_metrics;
use super::outcomes::{self, Side};
use super::plain_names::{self, Quantity};
use super::rates;
use super::signals::{self, RawKind, RawSeries};
use super::ties::Ties;
use super::{Telemetry, hosts};
use crate::telemetry::id::{ServiceId, bounded};
use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
use crate::telemetry::topology::{EdgeMode, NodeKind};

/// One raw series as part of a group.
pub(super) struct Member<'r> {
    pub(super) raw: &'r RawSeries,
    pub(super) part: Part,
    /// Whether it counts failed requests.
    pub(super) failed: bool,
}

/// From where a group's series look at their subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    /// From inside an instance.
    Instance,
    /// The service's own count of its requests.
    Own,
    /// The other end of an edge, or a proxy at either end.
    Call,
    /// The callee's clock in a service graph, whose calls the caller's counter counts.
    CalleeOfGraph,
}

/// Raw series of one subject and name that become one or several series together.
pub(super) struct Group<'r> {
    pub(super) role: Role,
    pub(super) view: View,
    pub(super) signal: Signal,
    /// Unit after `scale`.
    pub(super) unit: Unit,
    pub(super) scale: f64,
    /// Name of the denominator of a ratio.
    pub(super) whole: Option<String>,
    /// For a group of an edge that the metrics state: what the callee is and whether the caller waits.
    pub(super) edge: Option<(NodeKind, EdgeMode)>,
    pub(super) members: Vec<Member<'r>>,
}

/// All groups, by subject and metric name (without the suffix of a histogram's part).
pub(super) type Groups<'r> = BTreeMap<(Subject, String), Group<'r>>;

/// What a series' name says, by the settings or by the table.
struct Meaning<'m> {
    name: String,
    role: Role,
    scope: Scope,
    signal: Signal,
    unit: Unit,
    scale: f64,
    part: Part,
    dialect: Dialect,
    whole: Option<String>,
    rule: Option<&'m MetricRule>,
}

/// Everything that is at hand while series are placed.
struct Placing<'r, 's> {
    settings: &'s MetricSettings,
    naming: Naming<'s>,
    istio: Istio,
    parts: BTreeMap<String, BTreeSet<Part>>,
    groups: Groups<'r>,
    machines: Machines<'r>,
    recognised: BTreeMap<Dialect, u64>,
}

/// Where a series counts: a subject as one side sees it.
struct Place {
    subject: Subject,
    view: View,
    side: Side,
    edge: Option<(NodeKind, EdgeMode)>,
    /// Another name than the metric's for the group.
    group: Option<&'static str>,
}

impl Place {
    fn new(subject: Subject, view: View, side: Side) -> Self {
        Self { subject, view, side, edge: None, group: None }
    }
}

/// Turns everything in [`Telemetry::raw_series`] into series and given edges, and joins series that came in pieces.
pub(crate) fn finish(telemetry: &mut Telemetry, settings: &MetricSettings) {
    otlp_metrics::finish(telemetry);
    let raw = merge(std::mem::take(&mut telemetry.raw_series), telemetry);
    let (ties, istio) = tie(&raw);
    let mut placing = Placing {
        settings,
        naming: Naming::new(settings, ties, &telemetry.spans),
        istio,
        parts: parts_by_name(&raw),
        groups: Groups::new(),
        machines: Machines::default(),
        recognised: BTreeMap::new(),
    };
    // A change must be told of the same name as the signals that it may have moved.
    telemetry.changes.extend(changes_from_metrics::changes(&raw).into_iter().map(|mut change| {
        change.service = change.service.map(|service| placing.naming.named(service.as_str()));
        change
    }));
    for series in &raw {
        placing.place(series, telemetry);
    }
    let Placing { naming, mut groups, machines, recognised, .. } = placing;
    prefer_own_metrics(&mut groups);
    machines.finish(&naming, telemetry);
    telemetry.given_edges.extend(condense::given_edges(&groups));
    telemetry.series.extend(condense::series(&groups));
    say_what_dialects_hide(&groups, telemetry);
    say_where_namespaces_meet(&groups, telemetry);
    telemetry.dialects.extend(dialects::told(&recognised));
    dialects::join(&mut telemetry.dialects);
    join_series(telemetry);
    telemetry.given_edges.sort();
    telemetry.given_edges.dedup();
}

/// What must be known of all series before one can be placed.
fn tie(raw: &[RawSeries]) -> (Ties, Istio) {
    let (mut ties, mut istio) = (Ties::default(), Istio::default());
    for series in raw {
        let name = signals::underscored(&series.name);
        match metric_table::known(&name, |label| series.label(label).is_some()) {
            Some((row, _, _)) if row.role == Role::Tie => ties.note(&name, series),
            Some((row, _, _)) if row.scope == Scope::Istio => istio.note(series),
            _ => {}
        }
    }
    (ties, istio)
}

/// Weaknesses of what was recognised that a reader cannot see in the numbers.
fn say_what_dialects_hide(groups: &Groups<'_>, telemetry: &mut Telemetry) {
    let first_of =
        |name: &str| groups.iter().find(|((_, of), _)| of == name).and_then(|(_, group)| group.members.first());
    if let Some(member) = first_of(metric_table::LINKERD_LATENCY) {
        let message = "Linkerd's latency is the time to the first byte of the answer, not to its end";
        telemetry.warn(Path::new(&*member.raw.source), place_of(member.raw), message, 1);
    }
    let is_latency = |group: &Group<'_>| group.role == Role::Duration && group.view == View::Own;
    if !telemetry.spans.is_empty() || groups.values().any(is_latency) {
        return;
    }
    // Tempo's default buckets of service graphs begin at 0.1 s.
    let of_graph = |name: &str| name == metric_table::EDGE_SEEN_BY_CALLEE || name == metric_table::EDGE_SEEN_BY_CALLER;
    let mut buckets = groups
        .iter()
        .filter(|((_, name), _)| of_graph(name))
        .flat_map(|(_, group)| &group.members)
        .filter_map(|member| Some((member.raw.label("le")?.parse::<f64>().ok()?, member.raw)))
        .peekable();
    let Some(&(_, raw)) = buckets.peek() else { return };
    if buckets.all(|(bound, _)| bound >= 0.1) {
        let message = "latency is known from service-graph histograms alone, whose buckets begin at 0.1 s: what happens \
                       below is not seen; add traces, span metrics or finer buckets";
        telemetry.warn(Path::new(&*raw.source), place_of(raw), message, 1);
    }
}

/// Names of services have no namespace where metrics alone give them, so containers of `shop` and `staging` are one.
fn say_where_namespaces_meet(groups: &Groups<'_>, telemetry: &mut Telemetry) {
    const NAMESPACE: &[&str] = &["exported_namespace", "namespace", "k8s_namespace_name"];
    let mut met: BTreeMap<&ServiceId, BTreeMap<&str, &RawSeries>> = BTreeMap::new();
    for ((subject, _), group) in groups {
        let of_containers = |raw: &&RawSeries| ["container_", "kube_", "k8s_"].iter().any(|p| raw.name.starts_with(p));
        for raw in group.members.iter().map(|member| member.raw).filter(of_containers) {
            let namespace = NAMESPACE.iter().find_map(|label| raw.label(label).filter(|name| !name.is_empty()));
            if let Some(namespace) = namespace {
                met.entry(subject.service()).or_default().entry(namespace).or_insert(raw);
            }
        }
    }
    for (service, namespaces) in met.iter().filter(|(_, namespaces)| namespaces.len() > 1) {
        let Some((_, raw)) = namespaces.first_key_value() else { continue };
        let names: Vec<&str> = namespaces.keys().take(3).copied().collect();
        let place = format!("service `{service}` in {}", names.join(", "));
        let message = "containers of one name in several namespaces count as one service; export one namespace only if \
                       they are not the same";
        telemetry.warn(Path::new(&*raw.source), place, message, 1);
    }
}

/// Joins raw series with the same name and labels, sorts their samples and drops what is no number.
fn merge(mut raw: Vec<RawSeries>, telemetry: &mut Telemetry) -> Vec<RawSeries> {
    raw.iter_mut().for_each(|series| bound_names(series, telemetry));
    // Stable: pieces stay in the order of their files, which need no sorting then where they follow each other in time.
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
                // Where files disagree, the order of files must not decide.
                last.kind = last.kind.max(series.kind);
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

pub(super) const CONFLICT: &str = "two different values for one time; the larger one is kept";

/// Sorts by time, keeps the largest of samples with equal time (the order of files must not decide), and counts those
/// dropped whose value differs.
pub(super) fn sort_samples(samples: &mut Vec<(i64, f64)>) -> u64 {
    if samples.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return 0;
    }
    samples.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
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
        let (base, part) = split_part(&series.name);
        if part != Part::None {
            parts.entry(base.to_owned()).or_default().insert(part);
        }
    }
    parts
}

impl<'r, 's> Placing<'r, 's> {
    /// Puts one raw series into the groups it belongs to, or says why it belongs to none.
    fn place(&mut self, raw: &'r RawSeries, telemetry: &mut Telemetry) {
        if raw.samples.is_empty() {
            return;
        }
        let name = signals::underscored(&raw.name);
        let metric_name = if raw.kind == RawKind::Words { name.replace('-', "_") } else { name.into_owned() };
        if let Some(meaning) = self.meaning(raw, &metric_name) {
            *self.recognised.entry(meaning.dialect).or_default() += 1;
            return self.place_known(raw, meaning, telemetry);
        }
        if metric_name.ends_with("_created") || metric_name.ends_with("_info") {
            let message = "series that only carry labels or a creation time (`…_info`, `…_created`) are not used";
            return telemetry.warn(Path::new(&*raw.source), place_of(raw), message, 1);
        }
        if raw.kind != RawKind::Words && metric_name.starts_with("node_") && is_of_node_exporter(raw) {
            *self.recognised.entry(Dialect::NodeExporter).or_default() += 1;
            let message = "of a machine's series only processor, memory and disk time are used";
            return telemetry.warn(Path::new(&*raw.source), place_of(raw), message, 1);
        }
        self.place_other(raw, &metric_name, telemetry);
    }

    fn meaning(&self, raw: &RawSeries, metric_name: &str) -> Option<Meaning<'s>> {
        if let Some(rule) = self.settings.rule(metric_name, split_part(metric_name).0) {
            return Some(meaning_of_rule(rule, metric_name));
        }
        let has = |label: &str| raw.label(label).is_some();
        let known =
            metric_table::known(metric_name, has).map(|(row, part, dialect)| (row, part, dialect, row.name.len()));
        let (row, part, dialect, length) = known.or_else(|| {
            let (row, part) = metric_table::own_namespace(metric_name, has)?;
            let base = if part == Part::None { metric_name } else { split_part(metric_name).0 };
            Some((row, part, Dialect::SpanMetricsOwnNamespace, base.len()))
        })?;
        // A bare duration without quantile is no distribution but a value in words (`latency`).
        if row.role == Role::Duration && part == Part::None && raw.label("quantile").is_none() {
            return None;
        }
        let whole = if let Role::ShareOf(whole) = row.role { Some(whole.to_owned()) } else { None };
        // Tables keep a counter's name for what was asked of it: `rate(…)` under `container-cpu-usage-seconds-total`.
        let is_rate_already = row.role == Role::Rate && raw.kind == RawKind::Words && !rates::grows(&raw.samples);
        let role = if is_rate_already { Role::Level } else { row.role };
        let name = metric_name.get(..length).unwrap_or(row.name).to_owned();
        let (scope, signal, unit, scale) = (row.scope, row.signal, row.unit, row.scale);
        Some(Meaning { name, role, scope, signal, unit, scale, part, dialect, whole, rule: None })
    }

    fn place_known(&mut self, raw: &'r RawSeries, mut meaning: Meaning<'s>, telemetry: &mut Telemetry) {
        let source = Path::new(&*raw.source);
        match meaning.role {
            Role::Tie => return self.machines.name(raw),
            Role::Machine => {
                // The table's own name lives as long as the program.
                if let Some((row, _, _)) = metric_table::known(&meaning.name, |_| true) {
                    self.machines.take(row.name, raw);
                }
                return;
            }
            Role::LevelByReason => {
                let reason = raw.label("reason").unwrap_or_default();
                meaning.name = format!("{}{{reason={reason:?}}}", meaning.name);
            }
            Role::Whole if meaning.name == metric_table::RESOURCE_LIMITS => {
                let resource = raw.label("resource").unwrap_or_default();
                meaning.name = format!("{}{{resource={resource:?}}}", meaning.name);
            }
            _ => {}
        }
        let is_container = |raw| docker_name(raw).is_some() || self.naming.service(raw).is_some();
        if meaning.dialect == Dialect::Cadvisor && raw.label("id").is_some() && !is_container(raw) {
            let message =
                "cAdvisor's series of the machine and of groups of containers are not used: they name no container";
            return telemetry.warn(source, place_of(raw), message, 1);
        }
        if meaning.scope == Scope::Service && signals::not_the_handling_side(raw) {
            let message =
                "series of client, producer and internal spans are not used: they would count a request twice";
            return telemetry.warn(source, place_of(raw), message, 1);
        }
        let places = match self.places(raw, &meaning) {
            Ok(places) => places,
            Err(NoPlace::Nameless) => return no_service(raw, telemetry),
            Err(NoPlace::NotUsed(message)) => return telemetry.warn(source, place_of(raw), message, 1),
        };
        for place in places {
            if place.view == View::Instance || place.view == View::Own {
                self.machines.runs(place.subject.service(), raw);
            }
            let name = place.group.map_or_else(|| meaning.name.clone(), str::to_owned);
            let role = if place.group.is_some() { Role::Whole } else { meaning.role };
            let group = self.groups.entry((place.subject, name)).or_insert_with(|| Group {
                role,
                view: place.view,
                signal: meaning.signal,
                unit: meaning.unit,
                scale: meaning.scale,
                whole: meaning.whole.clone(),
                edge: place.edge,
                members: Vec::new(),
            });
            // Where series disagree on what the callee is, the more telling one counts.
            group.edge = group.edge.max(place.edge);
            group.members.push(Member { raw, part: meaning.part, failed: outcomes::failed(raw, place.side) });
        }
    }

    /// The subjects that a known series counts for.
    fn places(&self, raw: &RawSeries, meaning: &Meaning<'_>) -> Result<Vec<Place>, NoPlace> {
        let naming = &self.naming;
        match meaning.scope {
            Scope::Instance => {
                let subject = match meaning.rule.and_then(|rule| rule.service_label.as_deref()) {
                    Some(label) => Some(Subject::Service(naming.named(value(raw, label)?))),
                    None => naming.instance_subject(raw),
                };
                let by_docker = || docker_name(raw).filter(|_| meaning.dialect == Dialect::Cadvisor);
                let subject = subject.or_else(|| Some(Subject::Service(naming.named(by_docker()?))));
                Ok(vec![Place::new(subject.ok_or(NoPlace::Nameless)?, View::Instance, Side::Server)])
            }
            Scope::Service => {
                let service = match meaning.rule.and_then(|rule| rule.service_label.as_deref()) {
                    Some(label) => naming.named(value(raw, label)?),
                    None => naming.service(raw).ok_or(NoPlace::Nameless)?,
                };
                let configured = meaning.rule.and_then(|rule| rule.operation_label.as_deref());
                let operation = match configured {
                    Some(label) => value(raw, label).ok(),
                    None => signals::operation(|name| raw.label(name)),
                };
                let operation = operation
                    .map(|operation| Subject::Operation { service: service.clone(), operation: operation.to_owned() });
                let subjects = std::iter::once(Subject::Service(service)).chain(operation);
                Ok(subjects.map(|subject| Place::new(subject, View::Own, Side::Server)).collect())
            }
            Scope::EdgeSeenByCaller | Scope::EdgeSeenByCallee => {
                service_graph_places(raw, meaning, naming).ok_or(NoPlace::Nameless)
            }
            Scope::Outgoing => outgoing_places(raw, naming),
            Scope::Istio => mesh_places(self.istio.seen(raw, naming), meaning),
            Scope::Linkerd => mesh_places(mesh::linkerd(raw, naming), meaning),
            Scope::Envoy => mesh_places(mesh::envoy(raw, naming), meaning),
        }
    }

    /// Places a series whose name is not in the table: as words, distribution, counter or gauge.
    fn place_other(&mut self, raw: &'r RawSeries, metric_name: &str, telemetry: &mut Telemetry) {
        let (base, part) = split_part(metric_name);
        let is_part = part != Part::None
            && rates::looks_like_counter(&raw.samples)
            && (raw.kind == RawKind::Counter || self.parts.get(base).is_some_and(|p| p.len() > 1));
        let is_summary = part == Part::None && raw.label("quantile").is_some();
        let is_counter = raw.kind == RawKind::Counter
            || (metric_name.ends_with("_total")
                && match raw.kind {
                    RawKind::Gauge => false,
                    RawKind::Words => rates::grows(&raw.samples),
                    RawKind::Unknown | RawKind::Counter => rates::looks_like_counter(&raw.samples),
                });
        if raw.kind == RawKind::Words && !is_part && !is_counter {
            return place_words(raw, &self.naming, telemetry);
        }
        let Some(subject) = edge_subject(raw, &self.naming).or_else(|| self.naming.instance_subject(raw)) else {
            return no_service(raw, telemetry);
        };
        self.machines.runs(subject.service(), raw);
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
        let unit = if role == Role::Rate { unit_of_rate(unit, Signal::Other) } else { unit };
        let group = self.groups.entry((subject, name.to_owned())).or_insert_with(|| Group {
            role,
            view: View::Instance,
            signal: Signal::Other,
            unit,
            scale,
            whole: None,
            edge: None,
            members: Vec::new(),
        });
        group.members.push(Member { raw, part, failed: false });
    }
}

/// Why a known series has no place.
enum NoPlace {
    Nameless,
    NotUsed(&'static str),
}

fn value<'r>(raw: &'r RawSeries, label: &str) -> Result<&'r str, NoPlace> {
    raw.label(&signals::underscored(label)).filter(|value| !value.is_empty()).ok_or(NoPlace::Nameless)
}

/// Unit of a counter's rate.
fn unit_of_rate(unit: Unit, signal: Signal) -> Unit {
    match unit {
        Unit::Bytes | Unit::BytesPerSecond => Unit::BytesPerSecond,
        Unit::Seconds | Unit::Cores if signal == Signal::Cpu => Unit::Cores,
        // Seconds a second: a share of time that may exceed one where threads work side by side.
        Unit::Seconds | Unit::Ratio => Unit::None,
        _ => Unit::PerSecond,
    }
}

fn meaning_of_rule<'m>(rule: &'m MetricRule, metric_name: &str) -> Meaning<'m> {
    let is_distribution = matches!(rule.kind, MetricKind::Histogram | MetricKind::Summary);
    let (name, part) = if is_distribution { split_part(metric_name) } else { (metric_name, Part::None) };
    let of_requests = matches!(rule.signal, Signal::Requests | Signal::ErrorRatio | Signal::Latency);
    let (role, unit) = match rule.kind {
        MetricKind::Gauge => (Role::Level, rule.unit),
        MetricKind::Counter if rule.of.is_some() => (Role::ShareOf(""), Unit::Ratio),
        MetricKind::Counter if rule.signal == Signal::Requests => (Role::Calls, Unit::PerSecond),
        MetricKind::Counter => (Role::Rate, unit_of_rate(rule.unit, rule.signal)),
        MetricKind::Histogram | MetricKind::Summary if rule.signal == Signal::Latency => (Role::Duration, rule.unit),
        MetricKind::Histogram | MetricKind::Summary => (Role::Distribution, rule.unit),
    };
    Meaning {
        name: name.to_owned(),
        role,
        scope: if of_requests { Scope::Service } else { Scope::Instance },
        signal: rule.signal,
        unit,
        scale: rule.scale,
        part,
        dialect: Dialect::Settings,
        whole: rule.of.clone(),
        rule: Some(rule),
    }
}

/// A container's name, by which Docker tells it where neither Kubernetes nor Compose does.
fn docker_name(raw: &RawSeries) -> Option<&str> {
    raw.label("name").filter(|name| !name.is_empty())
}

fn is_of_node_exporter(raw: &RawSeries) -> bool {
    let job = raw.label("job").unwrap_or_default();
    job == "node" || job.contains("node-exporter") || job.contains("node_exporter")
}

fn service_graph_places(raw: &RawSeries, meaning: &Meaning<'_>, naming: &Naming<'_>) -> Option<Vec<Place>> {
    let edge = edge_subject(raw, naming)?;
    let callee = Subject::Service(edge.service().clone());
    let view = if meaning.scope == Scope::EdgeSeenByCallee { View::CalleeOfGraph } else { View::Call };
    // Failures that a service graph counts are told by name and not by label: both sides mean the same.
    let of_callee = Place::new(callee, view, Side::Server);
    // Whoever calls from outside is no service of ours: what it sees is the entry's own.
    if is_called_from_outside(raw, &edge) {
        return Some(vec![of_callee]);
    }
    // A message's edge leads from the producing to the consuming service, so its callee is a service too
    // (Tempo, metrics generator).
    let kind = match (raw.label("connection_type"), raw.label("virtual_node")) {
        (Some("database"), _) => (NodeKind::Database, EdgeMode::Sync),
        (Some("messaging_system"), _) => (NodeKind::Service, EdgeMode::Async),
        (Some("virtual_node"), None | Some("server")) | (_, Some("server")) => (NodeKind::External, EdgeMode::Sync),
        _ => (NodeKind::Service, EdgeMode::Sync),
    };
    let of_edge = Place { edge: Some(kind), ..Place::new(edge, view, Side::Client) };
    // What all callers ask of a service, added up, is what the service does. The caller's clock says nothing of that:
    // it holds the network too, and would be a second latency of the same service.
    Some(if meaning.name == metric_table::EDGE_SEEN_BY_CALLER { vec![of_edge] } else { vec![of_edge, of_callee] })
}

/// Labels by which a client names whom it calls, the most telling first.
const PEER_LABELS: &[&str] = &[
    "service_peer_name",
    "peer_service",
    "server_address",
    "net_peer_name",
    "client_name",
    "clientName",
    "grpc_target",
];

fn outgoing_places(raw: &RawSeries, naming: &Naming<'_>) -> Result<Vec<Place>, NoPlace> {
    let caller = naming.service(raw).ok_or(NoPlace::Nameless)?;
    let address =
        PEER_LABELS.iter().find_map(|label| raw.label(label).filter(|peer| !peer.is_empty() && *peer != "none"));
    let Some(address) = address else {
        return Err(NoPlace::NotUsed(
            "a client's series that do not name whom it calls (`server_address`) are not used",
        ));
    };
    let callee = naming.at(address);
    if caller == callee {
        return Err(NoPlace::NotUsed("calls of a service to itself are not used"));
    }
    let kind = if hosts::is_outside(callee.as_str()) { NodeKind::External } else { NodeKind::Service };
    Ok(call_places(Some(caller), callee, (kind, EdgeMode::Sync), Side::Client))
}

/// The edge as its caller or callee sees it, and the service that is called.
fn call_places(caller: Option<ServiceId>, callee: ServiceId, edge: (NodeKind, EdgeMode), side: Side) -> Vec<Place> {
    let of_edge = caller.filter(|caller| *caller != callee).map(|caller| {
        let subject = Subject::Edge { caller, callee: callee.clone() };
        Place { edge: Some(edge), ..Place::new(subject, View::Call, side) }
    });
    let of_callee = Place::new(Subject::Service(callee), View::Call, Side::Server);
    of_edge.into_iter().chain([of_callee]).collect()
}

fn mesh_places(seen: Seen, meaning: &Meaning<'_>) -> Result<Vec<Place>, NoPlace> {
    let (caller, callee, kind, by) = match seen {
        Seen::Handled(service) => return Ok(vec![Place::new(Subject::Service(service), View::Own, Side::Server)]),
        Seen::Call { caller, callee, kind, by } => (caller, callee, kind, by),
        Seen::Twice => return Err(NoPlace::NotUsed(TWICE)),
        Seen::Infrastructure => {
            return Err(NoPlace::NotUsed("a proxy's traffic with its own control plane and backends is not used"));
        }
        Seen::Nameless => {
            return Err(NoPlace::NotUsed("a proxy's series that do not name who was called are not used"));
        }
    };
    let side = if by == By::Callee { Side::Server } else { Side::Client };
    let mut places = call_places(caller, callee, (kind, EdgeMode::Sync), side);
    if by == By::CallerBeside {
        // The callee's proxy counts these requests; the caller's clock still tells the time between the two.
        places.retain(|place| matches!(place.subject, Subject::Edge { .. }));
        if meaning.name != metric_table::ISTIO_DURATION || places.is_empty() {
            return Err(NoPlace::NotUsed(TWICE));
        }
        places.iter_mut().for_each(|place| place.group = Some(condense::ISTIO_DURATION_BY_CALLER));
    }
    Ok(places)
}

const TWICE: &str = "requests that both proxies report count once, as the callee's proxy saw them";

/// Makes a series of one whose name is in plain words; it is not summed with others, since it may be a quantile.
fn place_words(raw: &RawSeries, naming: &Naming<'_>, telemetry: &mut Telemetry) {
    let Some((subject, name)) = subject_and_name_of_words(raw, naming) else { return no_service(raw, telemetry) };
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

fn edge_subject(raw: &RawSeries, naming: &Naming<'_>) -> Option<Subject> {
    let named = |label: &str| raw.label(label).filter(|value| !value.is_empty());
    let (caller, callee) = EDGE_LABELS.iter().find_map(|(from, to)| Some((named(from)?, named(to)?)))?;
    Some(Subject::Edge { caller: naming.named(caller), callee: naming.named(callee) })
}

/// Whether the caller of a service-graph edge is a stand-in for users (Tempo's `user`, or named by a label).
fn is_called_from_outside(raw: &RawSeries, edge: &Subject) -> bool {
    let Subject::Edge { caller, .. } = edge else { return false };
    raw.label("virtual_node") == Some("client")
        || (raw.label("connection_type") == Some("virtual_node") && caller.as_str() == "user")
}

/// Drops what service graphs, meshes and callers say of a service whose own metrics count its requests: those see all
/// callers, and with finer histograms.
fn prefer_own_metrics(groups: &mut Groups<'_>) {
    let counts = |group: &Group<'_>| matches!(group.role, Role::Calls | Role::Outcomes(_) | Role::Duration);
    let own: BTreeSet<Subject> = groups
        .iter()
        .filter(|(_, group)| group.view == View::Own && counts(group))
        .map(|((subject, _), _)| subject.clone())
        .collect();
    groups.retain(|(subject, _), group| {
        matches!(subject, Subject::Edge { .. })
            || !matches!(group.view, View::Call | View::CalleeOfGraph)
            || !own.contains(subject)
    });
}

/// Subject of a series named in words, and its name with the labels that do not name the subject.
fn subject_and_name_of_words(raw: &RawSeries, naming: &Naming<'_>) -> Option<(Subject, String)> {
    let operation = signals::operation(|name| raw.label(name));
    let subject = edge_subject(raw, naming).or_else(|| naming.instance_subject(raw))?;
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
    let message = "series whose labels name no service are not used; add a label such as `service` or `pod`, or name the \
                   one that there is under `[metrics] service_labels` in a settings file (--config)";
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
