//! Prometheus and what speaks its HTTP API (VictoriaMetrics, Mimir, Thanos): raw series by `query_range`, metric by metric.
//!
//! Only metrics whose names mean something to the engine are asked for, or are named in the settings. Counters come as
//! they are, sampled at the step, and `ingest` makes rates of them; so the step is the distance between samples, as
//! `count_over_time` tells it: a finer one would show a counter that stands still and then jumps.
//! Reference: Prometheus documentation, "HTTP API".

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Answer, CONCURRENCY, Client};
use super::deadline::{Deadline, SETTING};
use super::folder::{Folder, as_file_name};
use super::held::{Ends, goes_on, late_beginnings};
use super::{LiveError, Request};
use crate::ingest::{Meant, MetricSettings, NamePattern, meant};
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::timespec::rfc3339;

/// More points of a series are refused (Prometheus, `web/api/v1/api.go`).
const MOST_POINTS: i64 = 11_000;
/// Where samples cannot be counted.
const USUAL_STEP_S: i64 = 30;
const STEPS_S: std::ops::RangeInclusive<i64> = 5..=300;
/// So many metrics tell of when the newest sample is …
const NEWEST_OF: usize = 3;
/// … of so many that are asked, since some have ended …
const NEWEST_ASKED: usize = 12;
/// … and that within this time: what is pulled is worth more.
const NEWEST_WITHIN: Duration = Duration::from_secs(10);
/// Over so long, samples are counted to learn their distance.
const COUNTED_S: i64 = 600;
/// Windows that are nearer to each other are asked for as one range.
const JOINED_GAP_NS: i64 = 30 * 60 * NANOS_PER_SECOND;
/// So much before a window is asked for, so that a rate at its beginning has a sample before it.
const LEAD_NS: i64 = 2 * 60 * NANOS_PER_SECOND;

/// How Prometheus is asked, beside the address.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusOptions {
    /// Further metrics, for which the engine knows no meaning: they count as signs of any kind.
    pub also: Vec<NamePattern>,
    /// The distance between samples, seconds; `None`: as it is found.
    pub step_s: Option<u32>,
    /// Most metrics that are asked for.
    pub max_metrics: usize,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        Self { also: Vec::new(), step_s: None, max_metrics: 500 }
    }
}

/// What was asked of Prometheus.
#[derive(Serialize, Debug)]
pub(super) struct PrometheusRecord {
    kind: &'static str,
    url: String,
    metrics_of_the_server: usize,
    metrics_that_mean_something: usize,
    metrics_beyond_the_limit: usize,
    queries: Vec<QueryRecord>,
    /// The newest sample, Unix ns, where the incident goes on.
    #[serde(skip)]
    pub(super) arrived_ns: Option<i64>,
}

#[derive(Serialize, Debug)]
struct QueryRecord {
    query: String,
    start: String,
    end: String,
    step_seconds: i64,
    series: usize,
    /// The first and the last sample of all series.
    #[serde(skip)]
    held: Ends,
    /// `None` where the answer holds no series.
    file: Option<String>,
    /// Whether the server says that some of its parts did not answer.
    partial: bool,
    notes: Vec<String>,
}

/// The metric names of a server that are worth asking for, with the selectors for each.
#[derive(Debug)]
pub(super) struct Names {
    /// All that the server has in the ranges.
    pub(super) all: usize,
    pub(super) wanted: Vec<(String, String)>,
}

impl PrometheusRecord {
    /// Series that came.
    pub(super) fn series(&self) -> usize {
        self.queries.iter().map(|query| query.series).sum()
    }
}

/// Fills the folder `metrics/`. `now_ns` is when the pull began, Unix nanoseconds.
pub(super) async fn pull(
    client: &Arc<Client>,
    request: &Request<'_>,
    now_ns: i64,
    options: &PrometheusOptions,
    folder: &Arc<Folder>,
    deadline: &Deadline,
    warnings: &mut Vec<String>,
) -> Result<PrometheusRecord, LiveError> {
    let windows: Vec<Window> = request.baselines.iter().copied().chain([request.incident]).collect();
    let ranges = ranges(&windows);
    let mut names = deadline.limit("prometheus", names(client, &ranges, request.metrics, options)).await?;
    let meaning = names.wanted.len();
    let beyond = meaning.saturating_sub(options.max_metrics);
    if beyond > 0 {
        warnings.push(format!(
            "prometheus: {beyond} of {meaning} metrics were not asked for, since max_metrics is {}",
            options.max_metrics
        ));
        names.wanted.truncate(options.max_metrics);
    }
    let (metrics_of_the_server, url) = (names.all, client.base().to_owned());
    // Before the metrics: what arrives while they are pulled is in some of them and not in others.
    let arrived_ns = match goes_on(&request.incident, now_ns) {
        // Without an answer nothing is cut off.
        true => match timeout(NEWEST_WITHIN, newest_ns(client, &names.wanted, &request.incident)).await {
            Ok(Ok(newest_ns)) => newest_ns,
            Ok(Err(_)) | Err(_) => None,
        },
        false => None,
    };
    let done = metrics(client, names.wanted, &ranges, options.step_s, folder, deadline).await;
    let queries = told(done, deadline, warnings)?;
    let held: Vec<Ends> = queries.iter().map(|query| query.held).collect();
    warnings.extend(late_beginnings(&windows, &held));
    Ok(PrometheusRecord {
        kind: "prometheus",
        url,
        metrics_of_the_server,
        metrics_that_mean_something: meaning,
        metrics_beyond_the_limit: beyond,
        queries,
        arrived_ns,
    })
}

/// What became of one metric.
type Done = (String, Result<Vec<QueryRecord>, LiveError>);

/// Pulls all metrics, a few at a time, so that many are whole when the deadline comes; in the order of their names.
async fn metrics(
    client: &Arc<Client>,
    wanted: Vec<(String, String)>,
    ranges: &[Window],
    step_s: Option<u32>,
    folder: &Arc<Folder>,
    deadline: &Deadline,
) -> Vec<Done> {
    let turns = Arc::new(Semaphore::new(CONCURRENCY));
    let mut tasks = JoinSet::new();
    for (at, (name, selector)) in wanted.into_iter().enumerate() {
        let (client, folder, ranges) = (client.clone(), folder.clone(), ranges.to_vec());
        let (turns, deadline) = (turns.clone(), *deadline);
        tasks.spawn(async move {
            let work = async {
                // Never closed, so this cannot fail; were it to, there would only be more at a time.
                let _turn = turns.acquire().await;
                metric(&client, (at, &name), &selector, &ranges, step_s, &folder).await
            };
            let result = deadline.limit("prometheus", work).await;
            (at, (name, result))
        });
    }
    let mut done = tasks.join_all().await;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

/// So many names stand in a message.
const NAMES_SHOWN: usize = 5;

/// Keeps what came, and tells what did not.
///
/// # Errors
/// The first failure, where nothing came.
fn told(done: Vec<Done>, deadline: &Deadline, warnings: &mut Vec<String>) -> Result<Vec<QueryRecord>, LiveError> {
    let all = done.len();
    let (mut queries, mut failed, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for (name, result) in done {
        match result {
            Ok(of_metric) => queries.extend(of_metric),
            Err(error @ LiveError::Late { .. }) => late.push((name, error)),
            Err(error) => failed.push((name, error)),
        }
    }
    if queries.is_empty() && !(failed.is_empty() && late.is_empty()) {
        // What fails tells more than what is slow.
        return Err(failed.into_iter().chain(late).map(|(_, error)| error).next().expect("one of both is there"));
    }
    if !late.is_empty() {
        let shown: Vec<&str> = late.iter().take(NAMES_SHOWN).map(|(name, _)| name.as_str()).collect();
        let more = late.len().saturating_sub(NAMES_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warnings.push(format!(
            "prometheus: {} of {all} metrics did not come within {} s ({SETTING}) and are left out: {}{more}",
            late.len(),
            deadline.seconds(),
            shown.join(", ")
        ));
    }
    warnings
        .extend(failed.iter().map(|(name, error)| format!("prometheus: the metric {name} was not pulled: {error}")));
    warnings.extend(queries.iter().filter(|query| query.partial).map(|query| {
        let what = &query.query;
        format!("prometheus: the answer to {what} is partial: a part of the server's storage did not answer")
    }));
    // Of an answer that is kept as a file, the file says it.
    let silent = queries.iter().filter(|query| query.file.is_none());
    warnings.extend(
        silent.flat_map(|query| {
            query.notes.iter().map(move |note| format!("prometheus says of {}: {note}", query.query))
        }),
    );
    Ok(queries)
}

/// The windows with their lead, joined where they lie near each other.
fn ranges(windows: &[Window]) -> Vec<Window> {
    let mut sorted: Vec<(i64, i64)> =
        windows.iter().map(|window| (window.start_ns().saturating_sub(LEAD_NS), window.end_ns())).collect();
    sorted.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (start, end) in sorted {
        match joined.last_mut() {
            Some(last) if start <= last.1.saturating_add(JOINED_GAP_NS) => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined.into_iter().filter_map(|(start, end)| Window::new(start, end).ok()).collect()
}

/// Asks for the names of all metrics, and keeps those that mean something.
pub(super) async fn names(
    client: &Client,
    ranges: &[Window],
    settings: &MetricSettings,
    options: &PrometheusOptions,
) -> Result<Names, LiveError> {
    let mut all = BTreeSet::new();
    for range in ranges {
        let times = [("start", seconds(range.start_ns())), ("end", seconds(range.end_ns()))];
        let answer = client.get("/api/v1/label/__name__/values", &times).await?;
        let envelope: Envelope<Vec<String>> = envelope(&answer)?;
        all.extend(envelope.data.unwrap_or_default());
    }
    let selector = |name: &String| {
        let named = |labels: &[&str]| {
            let labels: String = labels.iter().map(|label| format!(",{label}!=\"\"")).collect();
            format!("{{__name__={}{labels}}}", quoted(name))
        };
        let selector = match meant(name, settings) {
            Meant::Always => named(&[]),
            Meant::WithLabels(lists) => lists.iter().map(|labels| named(labels)).collect::<Vec<_>>().join(" or "),
            Meant::Unknown if options.also.iter().any(|pattern| pattern.fits(name)) => named(&[]),
            Meant::Unknown => return None,
        };
        Some((name.clone(), selector))
    };
    Ok(Names { all: all.len(), wanted: all.iter().filter_map(selector).collect() })
}

/// Pulls one metric over all ranges. Nothing is written before all of it came: half a metric would look like one that
/// vanished. Its number tells its files from those of a metric whose name is written the same in a file's name.
async fn metric(
    client: &Client,
    (at, name): (usize, &str),
    selector: &str,
    ranges: &[Window],
    step_s: Option<u32>,
    folder: &Folder,
) -> Result<Vec<QueryRecord>, LiveError> {
    let step_s = match step_s {
        Some(step_s) => i64::from(step_s),
        None => distance_s(client, selector, ranges).await?,
    };
    // What is left to ask for, the latest first, in whole seconds.
    let mut left: Vec<(i64, i64)> = ranges.iter().rev().flat_map(|range| split(range, step_s)).collect();
    let (mut queries, mut files) = (Vec::new(), Vec::new());
    while let Some((start_s, end_s)) = left.pop() {
        let form = [
            ("query", selector.to_owned()),
            ("start", start_s.to_string()),
            ("end", end_s.to_string()),
            ("step", step_s.to_string()),
            // What has ended is not to go on for the usual five minutes: Prometheus and VictoriaMetrics name it so.
            ("lookback_delta", format!("{}s", 2 * step_s)),
            ("max_lookback", format!("{}s", 2 * step_s)),
        ];
        let answer = match client.post("/api/v1/query_range", &form).await {
            Ok(answer) => answer,
            // Half of it, as long as there is something to halve.
            Err(error) if is_too_much(&error) && end_s - start_s > 4 * step_s => {
                let middle_s = start_s + (end_s - start_s) / (2 * step_s) * step_s;
                left.extend([(middle_s + step_s, end_s), (start_s, middle_s)]);
                continue;
            }
            Err(error) => return Err(error),
        };
        let told: Envelope<Matrix> = envelope(&answer)?;
        let found = told.data.map(|matrix| matrix.result).unwrap_or_default();
        let series = found.len();
        let held = found.into_iter().fold(Ends::default(), |ends, one| ends.joined(one.values).joined(one.histograms));
        let file = (series > 0).then(|| format!("metrics/{at:04}-{}-{}.json", queries.len() + 1, as_file_name(name)));
        files.extend(file.clone().map(|file| (file, answer.body)));
        queries.push(QueryRecord {
            query: selector.to_owned(),
            start: rfc3339(start_s * NANOS_PER_SECOND),
            end: rfc3339(end_s * NANOS_PER_SECOND),
            step_seconds: step_s,
            series,
            held,
            file,
            partial: told.is_partial,
            notes: told.warnings.into_iter().chain(told.infos).collect(),
        });
    }
    for (file, body) in &files {
        folder.write(file, body)?;
    }
    Ok(queries)
}

/// Whether a server, or we, found an answer too large: 413 of proxies, 422 of queries that would load too many samples, and
/// 400 where a server allows for fewer points than Prometheus does.
fn is_too_much(error: &LiveError) -> bool {
    match error {
        LiveError::TooLarge { .. } | LiveError::Status { status: 413 | 422, .. } => true,
        LiveError::Status { status: 400, body, .. } => body.contains("exceeded maximum resolution"),
        _ => false,
    }
}

/// The range in parts of at most [`MOST_POINTS`], each beginning a step after the last, latest first.
fn split(range: &Window, step_s: i64) -> Vec<(i64, i64)> {
    let (mut start_s, end_s) =
        (range.start_ns().div_euclid(NANOS_PER_SECOND), range.end_ns().div_euclid(NANOS_PER_SECOND) + 1);
    let mut parts = Vec::new();
    while start_s <= end_s {
        let last_s = end_s.min(start_s + (MOST_POINTS - 1) * step_s);
        parts.push((start_s, last_s));
        start_s = last_s + step_s;
    }
    parts.reverse();
    parts
}

/// The usual distance between the samples of a metric, seconds; told by the latest range that has any.
async fn distance_s(client: &Client, selector: &str, ranges: &[Window]) -> Result<i64, LiveError> {
    // A range selector takes no `or`.
    let first = selector.split(" or ").next().unwrap_or(selector);
    let query = format!("quantile(0.5, count_over_time({first}[{COUNTED_S}s]))");
    for range in ranges.iter().rev() {
        // A millisecond before the full second: samples at both ends of the counted time would be one too many.
        let form =
            [("query", query.clone()), ("time", seconds(range.end_ns().saturating_sub(NANOS_PER_SECOND / 1000)))];
        let answer = client.post("/api/v1/query", &form).await?;
        let told: Envelope<Vector> = envelope(&answer)?;
        let count = told.data.and_then(|vector| vector.result.first()?.value.1.parse::<f64>().ok());
        if let Some(count) = count.filter(|count| *count >= 2.0) {
            return Ok(snapped(COUNTED_S as f64 / count).clamp(*STEPS_S.start(), *STEPS_S.end()));
        }
    }
    Ok(USUAL_STEP_S)
}

/// The time of the newest sample, Unix ns, of a few metrics from all over: points of a range go on after the last sample.
async fn newest_ns(client: &Client, wanted: &[(String, String)], incident: &Window) -> Result<Option<i64>, LiveError> {
    let apart = wanted.len().div_ceil(NEWEST_OF).max(1);
    let spread = (0..apart).flat_map(|first| wanted.iter().skip(first).step_by(apart));
    let mut told_ns = Vec::new();
    for (_, selector) in spread.take(NEWEST_ASKED) {
        let first = selector.split(" or ").next().unwrap_or(selector);
        let form = [("query", format!("max(timestamp({first}))")), ("time", seconds(incident.end_ns()))];
        let told: Envelope<Vector> = envelope(&client.post("/api/v1/query", &form).await?)?;
        let at_s = told.data.and_then(|vector| vector.result.first()?.value.1.parse::<f64>().ok());
        told_ns.extend(at_s.map(|at_s| (at_s * NANOS_PER_SECOND as f64) as i64));
        if told_ns.len() == NEWEST_OF {
            break;
        }
    }
    Ok(told_ns.into_iter().max())
}

/// The scrape interval that so many seconds between samples are: people write multiples of five. One sample more or less
/// in the counted time must not make 59 seconds of a minute.
fn snapped(distance_s: f64) -> i64 {
    if distance_s < 10.0 { distance_s.round() as i64 } else { ((distance_s / 5.0).round() * 5.0) as i64 }
}

fn seconds(at_ns: i64) -> String {
    format!("{}.{:03}", at_ns.div_euclid(NANOS_PER_SECOND), at_ns.rem_euclid(NANOS_PER_SECOND) / 1_000_000)
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[derive(Deserialize)]
struct Envelope<D> {
    status: String,
    data: Option<D>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
    /// VictoriaMetrics' cluster says it so.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

/// The series are counted here and read by `ingest`.
#[derive(Deserialize)]
struct Matrix {
    result: Vec<Times>,
}

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    values: Ends,
    #[serde(default)]
    histograms: Ends,
}

#[derive(Deserialize)]
struct Vector {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    value: (f64, String),
}

fn envelope<'a, D: Deserialize<'a>>(answer: &'a Answer) -> Result<Envelope<D>, LiveError> {
    let wrong = |problem: String| LiveError::Answer { url: answer.url.clone(), problem };
    let envelope: Envelope<D> = serde_json::from_slice(&answer.body)
        .map_err(|error| wrong(format!("the answer is not that of Prometheus' HTTP API: {error}")))?;
    if envelope.status != "success" {
        let error = envelope.error.as_deref().unwrap_or("it does not say why");
        return Err(wrong(format!("answered with status `{}`: {error}", envelope.status)));
    }
    Ok(envelope)
}

#[derive(Deserialize)]
struct BuildInfo {
    version: Option<String>,
}

/// The version that the server tells, if it does.
pub(super) async fn version(client: &Client) -> Option<String> {
    let answer = client.get("/api/v1/status/buildinfo", &[]).await.ok()?;
    envelope::<BuildInfo>(&answer).ok()?.data?.version
}

#[cfg(test)]
mod tests;
