//! `hypocenter check config`: whether a settings file can be used, and what it would do.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use crate::http::{Authentication, Endpoint};
use crate::live;
use crate::report::terminal_text;
use crate::settings::Settings;

use super::terminal::Terminal;

const AFTER_HELP: &str = "\
Nothing is contacted. Files with secrets and certificates are opened, and never shown.

Examples:
  hypocenter check config hypocenter.toml

Exit codes:
  0  the file can be used
  1  it cannot: the message names the file, the key, and the nearest known one
  2  the command line is wrong";

/// Check files before they are used
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Check a settings file and say what it would do
    #[command(after_help = AFTER_HELP)]
    Config {
        /// The settings file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let What::Config { file } = &args.what;
    let settings = Settings::read(file).context("the settings cannot be used")?;
    for (kind, endpoint) in settings.sources.endpoints() {
        live::check(kind, endpoint).with_context(|| format!("{}: section [{kind}] cannot be used", file.display()))?;
    }
    for sink in &settings.sinks {
        let what = || format!("{}: the sink `{}` of [[notify]] cannot be used", file.display(), sink.name);
        sink.check().with_context(what)?;
    }
    // Where none is named here, a flag may name one.
    if settings.serve.web_config_file.is_some() {
        let used = settings.serve.check_web_config();
        used.with_context(|| format!("{}: section [serve] cannot be used", file.display()))?;
    }
    let mut lines = vec![format!("OK  {}", file.display())];
    lines.extend(settings.sources.endpoints().map(|(kind, endpoint)| line(kind, endpoint)));
    if let Some((_, options)) = &settings.sources.prometheus {
        let step = options.step_s.map_or("as found".to_owned(), |step_s| format!("{step_s} s"));
        let (most, also) = (options.max_metrics, options.also.len());
        lines.push(format!("  metrics     at most {most}, {also} patterns besides what is known, step {step}"));
    }
    let metrics = &settings.metrics;
    let (rules, labels, names) = (metrics.rules.len(), metrics.service_labels.len(), metrics.services.len());
    lines.push(format!("  rules       {rules} for metrics, {labels} labels of services, {names} names of services"));
    if let Some(name) = &settings.sampling_attribute {
        lines.push(format!("  sampling    by the attribute {name}"));
    }
    lines.extend(receiver(&settings));
    lines.extend(settings.sinks.iter().map(|sink| format!("  notify      {}: {}", sink.name, sink.describe())));
    terminal.print(|out| lines.iter().try_for_each(|line| writeln!(out, "{}", terminal_text(line, 500))))?;
    Ok(ExitCode::SUCCESS)
}

/// Where `hypocenter serve` would listen, and what its store would keep.
fn receiver(settings: &Settings) -> [String; 3] {
    let (serve, folder) = (&settings.serve, settings.store.folder.clone());
    let shown =
        folder.as_ref().map_or("the folder of --data or the default one".to_owned(), |f| f.display().to_string());
    let store = settings.store.at(folder.unwrap_or_default());
    let hours = store.retention_age.as_secs_f64() / 3600.0;
    let gibibytes = store.retention_bytes as f64 / f64::from(1 << 30);
    let door = match &serve.web_config_file {
        Some(file) => format!("as {} says", file.display()),
        None => "no authentication and no TLS, unless --web.config.file says so".to_owned(),
    };
    [
        format!(
            "  serve       OTLP/gRPC {}, OTLP/HTTP {}, web {}",
            serve.grpc_address, serve.http_address, serve.web_address
        ),
        format!("  door        {door}; at most {} connections", serve.max_connections),
        format!("  store       {shown}, keeps {hours} h and at most {gibibytes} GiB"),
    ]
}

/// A source in a line: everything but secrets.
fn line(kind: &str, endpoint: &Endpoint) -> String {
    let who = match &endpoint.authentication {
        None => "no authentication".to_owned(),
        Some(Authentication::Basic { username, .. }) => format!("basic authentication as {username}"),
        Some(Authentication::Authorization { scheme, .. }) => format!("{scheme} credentials"),
    };
    let tenant = endpoint.org_id.as_ref().map(|org_id| format!(", tenant {org_id}")).unwrap_or_default();
    let trust = match &endpoint.tls {
        tls if tls.insecure_skip_verify => ", ANY CERTIFICATE IS TAKEN",
        tls if tls.ca_file.is_some() => ", own authorities",
        _ => "",
    };
    let (url, seconds, headers) = (&endpoint.url, endpoint.timeout.as_secs(), endpoint.headers.len());
    format!("  {kind:10}  {url}, {who}{tenant}{trust}, {headers} further headers, {seconds} s for a request")
}
