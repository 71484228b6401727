//! The flags of live sources, and the pull into a case folder that the analysis then reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::http::{Endpoint, Secret, check_header};
use crate::ingest::{Format, ReadOptions, Telemetry, read_paths};
use crate::live::{self, Request, Sources};
use crate::report::terminal_text;
use crate::settings::Settings;
use crate::telemetry::alert::Symptom;
use crate::timespec::{rfc3339, window_text};
use crate::windows::Chosen;

use super::command_line::CommandLine;
use super::errors::Usage;
use super::progress::Progress;

/// Which live sources to ask.
#[derive(clap::Args)]
#[command(next_help_heading = "Live sources")]
pub(super) struct Live {
    /// Prometheus, or what speaks its HTTP API (VictoriaMetrics, Mimir, Thanos)
    #[arg(long, value_name = "URL")]
    pub(super) prometheus: Option<String>,
    /// Jaeger's query service; asks for traces of --entry
    #[arg(long, value_name = "URL")]
    pub(super) jaeger: Option<String>,
    /// Tempo; asks for traces of --entry
    #[arg(long, value_name = "URL")]
    pub(super) tempo: Option<String>,
    /// Zipkin; asks for traces of --entry
    #[arg(long, value_name = "URL")]
    pub(super) zipkin: Option<String>,
    /// Header for the live sources; none with credentials, which belong into files (--config)
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<Header>,
    /// Tenant, sent as X-Scope-OrgID
    #[arg(long, value_name = "NAME")]
    org_id: Option<String>,
}

#[derive(Clone)]
struct Header {
    name: String,
    value: Secret,
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    check_header(name)?;
    Ok(Header { name: name.to_owned(), value: Secret::new(value.to_owned()) })
}

impl Live {
    /// The sources to ask: those of flags with those of the settings; those of the settings alone where nothing else was
    /// given to read.
    pub(super) fn sources(&self, settings: &Settings, has_files: bool) -> anyhow::Result<Sources> {
        if !self.is_asked() && has_files {
            return Ok(Sources::default());
        }
        let mut sources = settings.sources.clone();
        named(&mut sources.prometheus, "prometheus", self.prometheus.as_deref())?;
        named(&mut sources.jaeger, "jaeger", self.jaeger.as_deref())?;
        named(&mut sources.tempo, "tempo", self.tempo.as_deref())?;
        named(&mut sources.zipkin, "zipkin", self.zipkin.as_deref())?;
        if sources.is_empty() && (self.org_id.is_some() || !self.header.is_empty()) {
            return Err(
                Usage("--header and --org-id are for live sources; name one, for example --prometheus".into()).into()
            );
        }
        for endpoint in sources.endpoints_mut() {
            let headers = self.header.iter().map(|header| (header.name.clone(), header.value.clone()));
            endpoint.headers.extend(headers);
            endpoint.org_id = self.org_id.clone().or_else(|| endpoint.org_id.take());
        }
        Ok(sources)
    }

    /// Whether a flag names a source.
    pub(super) fn is_asked(&self) -> bool {
        [&self.prometheus, &self.jaeger, &self.tempo, &self.zipkin].iter().any(|url| url.is_some())
    }

    /// The same flags as words of a command, without values of headers.
    pub(super) fn words(&self, line: CommandLine) -> CommandLine {
        let line = line
            .flag_if("--prometheus", self.prometheus.as_deref())
            .flag_if("--jaeger", self.jaeger.as_deref())
            .flag_if("--tempo", self.tempo.as_deref())
            .flag_if("--zipkin", self.zipkin.as_deref())
            .flag_if("--org-id", self.org_id.as_deref());
        self.header.iter().fold(line, |line, header| line.flag("--header", &format!("{}=…", header.name)))
    }
}

/// Lets a flag name the address. What the settings say of another address, credentials above all, is not for this one.
fn named<O: Default>(source: &mut Option<(Endpoint, O)>, name: &'static str, url: Option<&str>) -> anyhow::Result<()> {
    let Some(url) = url else { return Ok(()) };
    let endpoint = match source.take() {
        Some((endpoint, options)) if endpoint.url == url => (endpoint, options),
        Some((_, options)) => (Endpoint::new(url), options),
        None => (Endpoint::new(url), O::default()),
    };
    endpoint.0.check_address(name).map_err(|error| Usage(error.to_string()))?;
    *source = Some(endpoint);
    Ok(())
}

/// A case folder with what was pulled.
pub(super) struct PulledCase {
    dir: PathBuf,
    /// Whether the folder goes when this does.
    is_temporary: bool,
    /// Where nothing came: what was asked, for which windows, and what to do.
    nothing: Option<String>,
}

impl PulledCase {
    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What to say where nothing came.
    pub(super) fn nothing(&self) -> Option<&str> {
        self.nothing.as_deref()
    }
}

impl Drop for PulledCase {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            anstream::eprintln!("warning: {}: cannot be removed: {error}", self.dir.display());
        }
    }
}

/// What is known before anything is pulled.
pub(super) struct Before<'a> {
    pub(super) settings: &'a Settings,
    pub(super) windows: &'a Chosen,
    pub(super) entry: Option<&'a str>,
    pub(super) symptom: Option<Symptom>,
    pub(super) alert: Option<(&'a Path, &'a Telemetry)>,
}

/// Pulls into `save`, or into a folder that is removed at the end.
pub(super) fn pull(sources: &Sources, before: &Before<'_>, save: Option<&Path>) -> anyhow::Result<PulledCase> {
    let mut case = match save {
        Some(dir) => PulledCase { dir: dir.to_owned(), is_temporary: false, nothing: None },
        None => {
            let dir = temporary().context("cannot make a temporary folder")?;
            PulledCase { dir, is_temporary: true, nothing: None }
        }
    };
    let alert = before.alert.and_then(|(_, telemetry)| telemetry.alerts.first());
    let of_alert = alert.and_then(|alert| alert.service.as_ref());
    let entry = before.entry.or_else(|| of_alert.map(|service| service.as_str()));
    let symptom = before.symptom.or_else(|| alert?.symptom).map(Symptom::word);
    let started = rfc3339(before.windows.incident.start_ns());
    let name = match alert.filter(|alert| !alert.name.is_empty()) {
        Some(alert) => format!("{} {started}", alert.name),
        None => format!("{} {started}", entry.unwrap_or("incident")),
    };
    let body = before.alert.map(|(path, _)| fs::read(path)).transpose().context("cannot read the alert")?;
    let request = Request {
        name: &name,
        incident: before.windows.incident,
        baselines: &before.windows.baselines,
        entry,
        symptom,
        metrics: &before.settings.metrics,
        alert: body.as_deref(),
    };
    let pulled = {
        let _progress = Progress::start("pulling");
        live::pull(sources, &request, &case.dir).context("cannot pull from the live sources")?
    };
    for warning in &pulled.warnings {
        anstream::eprintln!("warning: {}", terminal_text(warning, 2_000));
    }
    case.nothing = (pulled.series == 0 && pulled.traces == 0).then(|| nothing(sources, before.windows));
    Ok(case)
}

fn nothing(sources: &Sources, windows: &Chosen) -> String {
    let asked: Vec<String> =
        sources.endpoints().map(|(kind, endpoint)| format!("{kind} at {}", endpoint.url)).collect();
    let baselines: Vec<String> = windows.baselines.iter().map(window_text).collect();
    format!(
        "nothing of use came from {} for the incident {} and the baseline {}; name windows that it still keeps (--incident, \
         --baseline) or the tenant (--org-id); `hypocenter doctor` with the same flags tells what it has",
        asked.join(" and "),
        window_text(&windows.incident),
        baselines.join(", ")
    )
}

/// The alert alone, which tells windows and entry before anything is pulled.
pub(super) fn read_alert(path: &Path) -> anyhow::Result<Telemetry> {
    let options = ReadOptions { format: Some(Format::Alertmanager), ..ReadOptions::default() };
    read_paths(&[path.to_owned()], &options, &|_| {}).context("cannot read the alert")
}

/// A new folder that only we may read: telemetry may be confidential.
fn temporary() -> io::Result<PathBuf> {
    let unique = jiff::Timestamp::now().as_nanosecond();
    let dir = std::env::temp_dir().join(format!("hypocenter-{}-{unique}", std::process::id()));
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&dir)?;
    Ok(dir)
}
