//! What a live source is and has, before anything is pulled from it: for `hypocenter doctor` and `check config`.

use super::client::Client;
use super::deadline::Deadline;
use super::prometheus::{self, PrometheusOptions};
use super::written::{known, services};
use super::{LiveError, Sources, run};
use crate::http::Endpoint;
use crate::ingest::MetricSettings;
use crate::telemetry::time::Window;

/// What was found out about a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// `prometheus`, `jaeger`, `tempo` or `zipkin`.
    pub kind: &'static str,
    /// What is so, one sentence. Holds foreign text: escape for each output.
    pub what: String,
    /// What to do: the flag or setting.
    pub advice: String,
    /// Whether it does not answer as it should.
    pub is_failing: bool,
    /// Whether it lacks something that an analysis needs.
    pub lacks_something: bool,
    /// Whether nothing can be pulled from it as it was named.
    pub cannot_be_pulled: bool,
}

impl Probe {
    fn of(kind: &'static str, what: String, advice: &str) -> Self {
        let advice = advice.to_owned();
        Self { kind, what, advice, is_failing: false, lacks_something: false, cannot_be_pulled: false }
    }
}

/// Whether a source could be asked: its address is one, its files are there and hold what they should.
///
/// # Errors
/// [`LiveError`].
pub fn check(kind: &'static str, endpoint: &Endpoint) -> Result<(), LiveError> {
    Client::new(kind, endpoint).map(|_client| ())
}

/// Asks every source what it is and has, each until a deadline of its own: one that is slow says nothing of the next.
///
/// # Errors
/// [`LiveError::Runtime`] when this machine cannot ask at all; what is wrong with a source is in its probe.
pub fn probe(
    sources: &Sources,
    windows: &[Window],
    entry: Option<&str>,
    metrics: &MetricSettings,
) -> Result<Vec<Probe>, LiveError> {
    run(async {
        let (mut probes, deadline) = (Vec::new(), || Deadline::after(sources.deadline));
        if let Some((endpoint, options)) = &sources.prometheus {
            let told = deadline().limit("prometheus", of_prometheus(endpoint, options, windows, metrics)).await;
            probes.push(told.unwrap_or_else(|error| failing("prometheus", &error)));
        }
        let several = sources.trace_stores().count() > 1;
        for (kind, (endpoint, _)) in sources.trace_stores() {
            let told = deadline().limit(kind, of_traces(kind, endpoint, entry)).await;
            let mut told = told.unwrap_or_else(|error| failing(kind, &error));
            if several {
                told.lacks_something = true;
                told.cannot_be_pulled = true;
                told.advice = "name one trace store only: the same traces would count twice".to_owned();
            }
            probes.push(told);
        }
        Ok(probes)
    })
}

fn failing(kind: &'static str, error: &LiveError) -> Probe {
    let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    let advice = "an analysis without this source needs no more than leaving it out";
    Probe {
        is_failing: true,
        ..Probe::of(kind, format!("{kind} does not answer as it should: {error}{cause}"), advice)
    }
}

async fn of_prometheus(
    endpoint: &Endpoint,
    options: &PrometheusOptions,
    windows: &[Window],
    metrics: &MetricSettings,
) -> Result<Probe, LiveError> {
    let client = Client::new("prometheus", endpoint)?;
    let names = prometheus::names(&client, windows, metrics, options).await?;
    let version = prometheus::version(&client).await;
    let version = version.map_or("which tells no version".to_owned(), |version| format!("version {version}"));
    let (all, wanted, url) = (names.all, names.wanted.len(), client.base());
    let what = format!(
        "prometheus at {url}, {version}, has {all} metrics in the windows, of which {wanted} mean something here and are pulled"
    );
    let beyond = wanted > options.max_metrics;
    let advice = match (all, wanted) {
        (0, _) => "name windows that it still keeps (--incident, --baseline), or the tenant (--org-id)",
        (_, 0) => {
            "tell what its metrics mean by [[metrics.rules]] in a settings file (--config), or name them under `also`"
        }
        _ if beyond => "raise max_metrics under [prometheus] in the settings file",
        _ => "further metrics are pulled where `also` under [prometheus] in the settings file names them",
    };
    Ok(Probe { lacks_something: wanted == 0 || beyond, ..Probe::of("prometheus", what, advice) })
}

async fn of_traces(kind: &'static str, endpoint: &Endpoint, entry: Option<&str>) -> Result<Probe, LiveError> {
    let services = services(kind, endpoint).await?;
    let what = format!("{kind} at {} answers; {}", endpoint.url.trim_end_matches('/'), known(&services));
    let is_known = |entry: &str| services.iter().any(|service| service.eq_ignore_ascii_case(entry));
    let told = match entry {
        Some(entry) if is_known(entry) => Probe::of(kind, what, "the traces of --entry are pulled"),
        Some(entry) => {
            let advice = format!("`{entry}` is none of its services: name one of them as --entry");
            Probe { lacks_something: true, ..Probe::of(kind, what, &advice) }
        }
        None => {
            let advice = "name the service where users felt it, --entry: its traces are pulled then";
            Probe { lacks_something: true, cannot_be_pulled: true, ..Probe::of(kind, what, advice) }
        }
    };
    Ok(told)
}
