//! `hypocenter serve`: the receiver with its store, and who responds to alerts.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::analysis;
use crate::api;
use crate::ingest::ReadOptions;
use crate::memory::Memory;
use crate::respond::{Configuration, Origin, Responder, Workers};
use crate::server::{self, Further, Listeners, NotReloaded, Server};
use crate::settings::Settings;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  With no settings at all, on loopback:
    hypocenter serve
  For the machines of a network, with its store on a disk of its own:
    hypocenter serve --data /srv/hypocenter --web.config.file web.yml \
      --otlp.grpc-address 0.0.0.0:4317 --otlp.http-address 0.0.0.0:4318 --web.listen-address 0.0.0.0:9464
  And then, also while it runs:
    hypocenter analyze --data /srv/hypocenter --incident now-15m/now --baseline now-75m/now-15m

Passwords, bearer tokens and TLS are for the web config file, which is as that of Prometheus. Without one the web address
has to be one of loopback. SIGHUP reads the settings and the web config again.
RUST_LOG sets what is logged (default info).";

/// Receive telemetry and alerts, and analyse what alerts report
///
/// Telemetry comes by OTLP (gRPC, HTTP) and Prometheus remote-write, or from the live sources of the settings; alerts by the
/// webhooks of Alertmanager and Grafana. Each incident is analysed, kept, and its report sent where the settings say. What
/// is answered is on the disk, also after a crash. `hypocenter analyze --data DIR` reads the telemetry.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Settings file, with the sections [serve], [store], [incidents] and [[notify]]; a flag wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder for telemetry and incidents; without it, hypocenter/ in $XDG_DATA_HOME or ~/.local/share
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen for OTLP over gRPC [default: 127.0.0.1:4317]
    #[arg(long = "otlp.grpc-address", value_name = "ADDRESS", value_parser = address)]
    grpc_address: Option<SocketAddr>,
    /// Where to listen for OTLP over HTTP [default: 127.0.0.1:4318]
    #[arg(long = "otlp.http-address", value_name = "ADDRESS", value_parser = address)]
    http_address: Option<SocketAddr>,
    /// Where to listen for alerts (/api/v1/alerts) and the rest of the API, remote-write (/api/v1/write), pages (/incidents),
    /// health (/-/healthy, /-/ready) and /metrics [default: 127.0.0.1:9464]
    #[arg(long = "web.listen-address", value_name = "ADDRESS", value_parser = address)]
    web_address: Option<SocketAddr>,
    /// TLS and who may come in, for all three addresses: a web config file as of Prometheus, with bearer_tokens besides
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Let POST and PUT to /-/reload do what SIGHUP does
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log_to_standard_error();
    let settings = args.config.as_deref().map(Settings::read).transpose().context("cannot use the settings")?;
    let settings = settings.unwrap_or_default();
    let mut serve = args.over(settings.serve.clone());
    serve.host = settings.incidents.external_url.as_deref().and_then(host_of).map(str::to_owned);
    if let Some(problem) = serve.same_address() {
        anyhow::bail!("cannot serve: {problem}; give one of them another port");
    }
    let folder = match args.data.clone().or_else(|| settings.store.folder.clone()) {
        Some(folder) => folder,
        None => default_folder().context(
            "there is no folder for the store, as neither XDG_DATA_HOME nor HOME is set; name one with --data",
        )?,
    };
    let (metrics, sampling_attribute) = (settings.metrics.clone(), settings.sampling_attribute.clone());
    let options = ReadOptions { metrics, sampling_attribute, ..ReadOptions::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    // First, so that a start that fails leaves no store behind.
    let listeners = runtime.block_on(Listeners::bind(&serve)).context("cannot serve")?;
    let opened = Store::open(&settings.store.at(folder.clone()), options.clone()).context("cannot open the store")?;
    let memory = Memory::open(&folder.join(MEMORY)).context("cannot open the memory of incidents")?;
    let responder = Responder::new(memory, folder.clone(), configuration(&settings, &folder));
    let responder = Arc::new(responder.context("cannot take up what was left")?);
    let (routes, of_metrics) = (api::router(Arc::clone(&responder)), Arc::clone(&responder));
    let further = Further { routes, most_bytes: api::most_bytes, metrics: Box::new(move || api::metrics(&of_metrics)) };
    let server = Server::new(listeners, &serve, opened.store(), options, further);
    let served: anyhow::Result<()> = runtime.block_on(async {
        // Told apart from the start, so that no signal is lost.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hang_up = signal(SignalKind::hangup())?;
        for (purpose, address) in server.addresses() {
            tracing::info!(%address, "listening for {purpose}");
        }
        tracing::info!(store = %folder.display(), "ready");
        let reload = server.reload();
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                // How it ended is logged.
                reload.request().await.ok();
            }
        });
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
        };
        let workers = Workers::start(&responder);
        server.run(stop, reread(args.config.clone(), settings, folder, responder)).await;
        workers.stop().await;
        Ok(())
    });
    // With the last request its clones of the store are gone, and the store can be closed. An analysis that is being made
    // reads files only, and is made again after the next start.
    runtime.shutdown_timeout(Duration::from_secs(1));
    opened.close();
    served?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// What flags say wins over the settings.
    fn over(&self, mut serve: server::Settings) -> server::Settings {
        for (address, given) in [
            (&mut serve.grpc_address, self.grpc_address),
            (&mut serve.http_address, self.http_address),
            (&mut serve.web_address, self.web_address),
        ] {
            *address = given.unwrap_or(*address);
        }
        serve.web_config_file = self.web_config_file.clone().or(serve.web_config_file);
        serve.enable_lifecycle |= self.enable_lifecycle;
        serve
    }
}

/// Incidents, below the data folder.
const MEMORY: &str = "incidents.db";

/// What the settings say of alerts and analyses.
fn configuration(settings: &Settings, folder: &Path) -> Configuration {
    let (metrics, sampling_attribute) = (settings.metrics.clone(), settings.sampling_attribute.clone());
    Configuration {
        settings: settings.incidents.clone(),
        origin: Origin {
            store: Some(folder.to_owned()),
            sources: settings.sources.clone(),
            options: ReadOptions { metrics, sampling_attribute, ..ReadOptions::default() },
        },
        sinks: settings.sinks.clone(),
        analysis: analysis::Settings::default(),
    }
}

/// Reads the settings file again: alerts, analyses, live sources and sinks are as it says from now on. The receiver and
/// its store go on as they were started, and that is told.
fn reread(
    file: Option<PathBuf>,
    started_with: Settings,
    folder: PathBuf,
    responder: Arc<Responder>,
) -> impl Fn() -> Result<(), NotReloaded> {
    move || {
        let Some(file) = &file else { return Ok(()) };
        let settings = Settings::read(file).map_err(|error| NotReloaded::because(&error))?;
        if (&settings.serve, &settings.store) != (&started_with.serve, &started_with.store) {
            let file = file.display();
            tracing::warn!(%file, "[serve] and [store] are others than at the start; they hold from the next start on");
        }
        responder.configure(configuration(&settings, &folder));
        Ok(())
    }
}

/// The name of the host in an address.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', ':']).next().filter(|host| !host.is_empty())
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_syntax| "an address is an IP address, not a name, and a port, as in 127.0.0.1:4317")
}

fn log_to_standard_error() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    log.with_ansi(colored).init();
}

fn default_folder() -> Option<PathBuf> {
    let below = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = below("XDG_DATA_HOME").or_else(|| below("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("hypocenter"))
}
