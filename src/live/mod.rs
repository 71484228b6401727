//! Telemetry from live sources: a pull writes a case folder, and the analysis reads that folder as any other.
//!
//! So what was pulled can be analysed again, attached to a ticket, or given to `eval`; and everything below sees files
//! only. `pull.json` in the folder records what was asked of whom. Nothing secret is written there or anywhere else.

mod client;
mod deadline;
mod error;
mod folder;
mod held;
mod jaeger;
mod probe;
mod prometheus;
mod sample;
mod tempo;
mod traces;
mod written;
mod zipkin;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::case::CaseToWrite;
use crate::http::Endpoint;
use crate::ingest::MetricSettings;
use crate::telemetry::time::Window;
use crate::timespec::{rfc3339, window_text};

use client::Client;
use deadline::Deadline;
pub use error::LiveError;
use folder::Folder;
pub use probe::{Probe, check, probe};
pub use prometheus::PrometheusOptions;

/// How a trace store is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    /// Up to so many traces of one window and stratum are taken whole; of more, a sample of about so many.
    pub max_traces: usize,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { max_traces: 400 }
    }
}

/// How long all requests of a pull may take together, unless a setting says otherwise: an analysis of `serve` has two
/// minutes.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(90);

/// The sources to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// Prometheus, or what speaks its HTTP API.
    pub prometheus: Option<(Endpoint, PrometheusOptions)>,
    /// Jaeger.
    pub jaeger: Option<(Endpoint, TraceOptions)>,
    /// Tempo.
    pub tempo: Option<(Endpoint, TraceOptions)>,
    /// Zipkin.
    pub zipkin: Option<(Endpoint, TraceOptions)>,
    /// How long all of it may take; what came until then is used.
    pub deadline: Duration,
}

impl Default for Sources {
    fn default() -> Self {
        Self { prometheus: None, jaeger: None, tempo: None, zipkin: None, deadline: DEFAULT_DEADLINE }
    }
}

impl Sources {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prometheus.is_none() && self.jaeger.is_none() && self.tempo.is_none() && self.zipkin.is_none()
    }

    /// Forgets a source, by its name.
    pub fn leave_out(&mut self, kind: &str) {
        match kind {
            "prometheus" => self.prometheus = None,
            "jaeger" => self.jaeger = None,
            "tempo" => self.tempo = None,
            _ => self.zipkin = None,
        }
    }

    /// The trace stores, by name.
    pub fn trace_stores(&self) -> impl Iterator<Item = (&'static str, &(Endpoint, TraceOptions))> {
        let all = [("jaeger", &self.jaeger), ("tempo", &self.tempo), ("zipkin", &self.zipkin)];
        all.into_iter().filter_map(|(kind, source)| Some((kind, source.as_ref()?)))
    }

    /// All of them, by name, and where they are.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &Endpoint)> {
        let metrics = self.prometheus.as_ref().map(|(endpoint, _)| ("prometheus", endpoint));
        metrics.into_iter().chain(self.trace_stores().map(|(kind, (endpoint, _))| (kind, endpoint)))
    }

    /// Where they are.
    pub fn endpoints_mut(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        let metrics = self.prometheus.as_mut().map(|(endpoint, _)| endpoint);
        let traces = [&mut self.jaeger, &mut self.tempo, &mut self.zipkin].into_iter().flatten();
        metrics.into_iter().chain(traces.map(|(endpoint, _)| endpoint))
    }
}

/// What to pull.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The name of the case.
    pub name: &'a str,
    /// When users felt it.
    pub incident: Window,
    /// Normal operation.
    pub baselines: &'a [Window],
    /// The service where users felt it, whose traces are asked for.
    pub entry: Option<&'a str>,
    /// `latency` or `errors`.
    pub symptom: Option<&'a str>,
    /// What metric names mean beyond what is known.
    pub metrics: &'a MetricSettings,
    /// The body of the alert that fired, to be kept beside the rest.
    pub alert: Option<&'a [u8]>,
}

/// What a pull gave.
#[derive(Clone, Debug, Default)]
pub struct Pulled {
    /// Series of metrics.
    pub series: usize,
    /// Traces.
    pub traces: usize,
    /// What was odd; it stands in the record, too.
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
struct Record<'a> {
    schema_version: &'static str,
    pulled_by: &'static str,
    pulled_at: String,
    incident: String,
    baselines: Vec<String>,
    entry: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<prometheus::PrometheusRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traces: Option<written::TracesRecord>,
    warnings: &'a [String],
}

/// Asks all sources and writes a case folder. Of an incident that goes on, its window ends where telemetry has arrived.
///
/// # Errors
/// [`LiveError`] when a source cannot be read or the folder not be written.
pub fn pull(sources: &Sources, request: &Request<'_>, folder: &Path) -> Result<Pulled, LiveError> {
    let folder = Arc::new(Folder::create(folder)?);
    run(pull_all(sources, request, &folder))
}

/// Lets the work of a source be done on this thread: it waits for servers and does little else.
fn run<T>(work: impl Future<Output = Result<T, LiveError>>) -> Result<T, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LiveError::Runtime(format!("the client cannot be set up: {error}")))?;
    let done = runtime.block_on(work);
    // Not waiting for a name that is still looked up.
    runtime.shutdown_background();
    done
}

fn now_ns(now: jiff::Timestamp) -> i64 {
    i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Tells a source that was late from one that fails: the others do without it.
async fn in_time<T>(work: impl Future<Output = Result<T, LiveError>>) -> Result<Result<T, LiveError>, LiveError> {
    match work.await {
        Err(late @ LiveError::Late { .. }) => Ok(Err(late)),
        done => done.map(Ok),
    }
}

async fn pull_all(sources: &Sources, request: &Request<'_>, folder: &Arc<Folder>) -> Result<Pulled, LiveError> {
    let mut pulled = Pulled::default();
    // By the clock of the beginning: what arrives meanwhile is in a part of what is pulled only.
    let now_ns = now_ns(jiff::Timestamp::now());
    let deadline = Deadline::after(sources.deadline);
    let (mut of_metrics, mut of_traces) = (Vec::new(), Vec::new());
    let metrics = async {
        let Some((endpoint, options)) = &sources.prometheus else { return Ok(None) };
        let client = Arc::new(Client::new("prometheus", endpoint)?);
        let record = prometheus::pull(&client, request, now_ns, options, folder, &deadline, &mut of_metrics).await;
        record.map(Some)
    };
    let traces = async {
        let Some((kind, _)) = sources.trace_stores().next() else { return Ok(None) };
        // All traces or none: a window without them would look like an outage.
        deadline.limit(kind, written::pull(sources, request, folder, &mut of_traces)).await
    };
    let (metrics, traces) = tokio::try_join!(in_time(metrics), in_time(traces))?;
    let (metrics, traces) = match (metrics, traces) {
        (Err(late), Err(_) | Ok(None)) | (Ok(None), Err(late)) => return Err(late),
        (metrics, traces) => {
            let late = metrics.as_ref().err().into_iter().chain(traces.as_ref().err());
            pulled.warnings.extend(late.map(|late| format!("{late}; it is left out")));
            (metrics.ok().flatten(), traces.ok().flatten())
        }
    };
    pulled.warnings.extend(of_metrics.into_iter().chain(of_traces));
    let arrived = [metrics.as_ref().and_then(|record| record.arrived_ns), traces.as_ref().and_then(|r| r.arrived_ns)];
    let arrived: Vec<i64> = arrived.into_iter().flatten().collect();
    let arrived = held::arrived_part(&request.incident, &arrived, now_ns);
    pulled.warnings.extend(arrived.map(|part| {
        let end = rfc3339(part.end_ns());
        format!("the incident is compared until {end}, up to which telemetry had arrived when it was pulled")
    }));
    pulled.series = metrics.as_ref().map_or(0, prometheus::PrometheusRecord::series);
    pulled.traces = traces.as_ref().map_or(0, written::TracesRecord::traces);
    if let Some(body) = request.alert {
        folder.write("alert.json", body)?;
    }
    let &Request { name, baselines, entry, symptom, .. } = request;
    let incident = arrived.unwrap_or(request.incident);
    let comment = "Pulled from live sources: pull.json tells what was asked.";
    folder.write_case(&CaseToWrite { comment, name, entry, symptom, incident, baselines, truth: None })?;
    folder.write_record(&Record {
        schema_version: "1",
        pulled_by: concat!("hypocenter ", env!("CARGO_PKG_VERSION")),
        pulled_at: rfc3339(now_ns),
        incident: window_text(&incident),
        baselines: baselines.iter().map(window_text).collect(),
        entry,
        metrics,
        traces,
        warnings: &pulled.warnings,
    })?;
    Ok(pulled)
}
