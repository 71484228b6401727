//! From a trace store to files: the sample of each window, the weights beside it, and the record of both.

use std::sync::Arc;

use serde::Serialize;

use super::client::Client;
use super::folder::Folder;
use super::jaeger::Jaeger;
use super::sample::{Sampled, WindowRecord, WindowSample, sample};
use super::tempo::Tempo;
use super::traces::{Form, TraceStore};
use super::zipkin::Zipkin;
use super::{Endpoint, LiveError, Request, Sources, TraceOptions};

/// What was asked of the trace store.
#[derive(Serialize, Debug)]
pub(super) struct TracesRecord {
    kind: &'static str,
    url: String,
    /// The version of the API, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<&'static str>,
    service: String,
    most_traces: usize,
    windows: Vec<WindowRecord>,
    files: Vec<String>,
    trace_ids: Vec<String>,
    /// Up to when traces of the incident have arrived, Unix ns.
    #[serde(skip)]
    pub(super) arrived_ns: Option<i64>,
}

impl TracesRecord {
    /// Traces that were kept.
    pub(super) fn traces(&self) -> usize {
        self.trace_ids.len()
    }
}

/// Pulls from the trace store, if there is one.
pub(super) async fn pull(
    sources: &Sources,
    request: &Request<'_>,
    folder: &Folder,
    warnings: &mut Vec<String>,
) -> Result<Option<TracesRecord>, LiveError> {
    let mut stores = sources.trace_stores();
    let Some((kind, (endpoint, options))) = stores.next() else { return Ok(None) };
    if stores.next().is_some() {
        let text = "more than one trace store: the same traces would count twice; name one of jaeger, tempo and zipkin";
        return Err(LiveError::Request(text.to_owned()));
    }
    let Some(service) = request.entry else {
        let services = services(kind, endpoint).await?;
        let text = format!("{kind}: whose traces? Name the service where users felt it, --entry; {}", known(&services));
        return Err(LiveError::Request(text));
    };
    let client = Arc::new(Client::new(kind, endpoint)?);
    let url = client.base().to_owned();
    let (samples, services, api) = match kind {
        "jaeger" => {
            let (store, services) = Jaeger::connect(client, service).await?;
            let api = store.api();
            (sampled(&Arc::new(store), request, options).await?, services, Some(api))
        }
        "tempo" => {
            let (store, services) = Tempo::connect(client, service).await?;
            let store = Arc::new(store);
            let samples = sampled(&store, request, options).await?;
            warnings.extend(store.warnings());
            (samples, services, None)
        }
        _ => {
            let (store, services) = Zipkin::connect(client, service).await?;
            (sampled(&Arc::new(store), request, options).await?, services, None)
        }
    };
    if samples.iter().all(|sample| sample.traces.is_empty()) {
        warnings.push(format!("{kind}: no trace of `{service}` in any window; {}", known(&services)));
    }
    warnings.extend(samples.iter().flat_map(|sample| sample.warnings.iter().cloned()));
    let files = write(kind, &samples, folder)?;
    let of_samples = samples.iter().flat_map(|sample| &sample.traces);
    let trace_ids = of_samples.map(|sampled| sampled.trace.id.to_string()).collect();
    let (service, most_traces) = (service.to_owned(), options.max_traces);
    let arrived_ns = samples.last().and_then(|sample| sample.arrived_ns);
    let windows = samples.into_iter().map(|sample| sample.record).collect();
    Ok(Some(TracesRecord { kind, url, api, service, most_traces, windows, files, trace_ids, arrived_ns }))
}

/// The services that a trace store knows.
pub(super) async fn services(kind: &'static str, endpoint: &Endpoint) -> Result<Vec<String>, LiveError> {
    let client = Arc::new(Client::new(kind, endpoint)?);
    Ok(match kind {
        "jaeger" => Jaeger::connect(client, "").await?.1,
        "tempo" => Tempo::connect(client, "").await?.1,
        _ => Zipkin::connect(client, "").await?.1,
    })
}

/// So many names stand in a message.
const NAMES_SHOWN: usize = 30;

pub(super) fn known(services: &[String]) -> String {
    let shown: Vec<&str> = services.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    match services.len() {
        0 => "the server knows no service at all".to_owned(),
        all if all > NAMES_SHOWN => format!("the server knows {} and {} more", shown.join(", "), all - NAMES_SHOWN),
        _ => format!("the server knows {}", shown.join(", ")),
    }
}

async fn sampled<S: TraceStore>(
    store: &Arc<S>,
    request: &Request<'_>,
    options: &TraceOptions,
) -> Result<Vec<WindowSample>, LiveError> {
    sample(store, request.baselines, request.incident, options.max_traces).await
}

/// Writes the traces of each window, and the weights of all.
fn write(kind: &str, samples: &[WindowSample], folder: &Folder) -> Result<Vec<String>, LiveError> {
    let mut files = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let is_incident = at + 1 == samples.len();
        let window = if is_incident { "incident".to_owned() } else { format!("baseline-{}", at + 1) };
        for (form, ending) in [(Form::Json, "json"), (Form::Protobuf, "binpb")] {
            let bodies = sample.traces.iter().filter(|sampled| sampled.trace.form == form);
            let bodies: Vec<&[u8]> = bodies.map(|sampled| sampled.trace.body.as_slice()).collect();
            if bodies.is_empty() {
                continue;
            }
            // Messages of protobuf behind each other are one with all their parts; documents of JSON are lines.
            let joined = if form == Form::Json { bodies.join(&b'\n') } else { bodies.concat() };
            let name = format!("traces/{kind}-{window}.{ending}");
            folder.write(&name, &joined)?;
            files.push(name);
        }
    }
    if !files.is_empty() {
        let rows = samples.iter().flat_map(|sample| &sample.traces);
        let row = |Sampled { trace, stands_for }: &Sampled| format!("{},{stands_for}\n", trace.id);
        let table: String = std::iter::once("trace_id,stands_for\n".to_owned()).chain(rows.map(row)).collect();
        folder.write("traces/stands_for.csv", table.as_bytes())?;
        files.push("traces/stands_for.csv".to_owned());
    }
    Ok(files)
}
