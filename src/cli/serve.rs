//! `hypocenter serve`: the receiver and its store.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use axum::Router;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::ingest::ReadOptions;
use crate::server::{Listeners, Server};
use crate::settings::Settings;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  With no settings at all, on loopback:
    hypocenter serve
  For the machines of a network, with its store on a disk of its own:
    hypocenter serve --data /srv/hypocenter --otlp.grpc-address 0.0.0.0:4317 --otlp.http-address 0.0.0.0:4318
  And then, also while it runs:
    hypocenter analyze --data /srv/hypocenter --incident now-15m/now --baseline now-75m/now-15m

There is neither authentication nor TLS: put a proxy in front where a network is not to be trusted.
RUST_LOG sets what is logged (default info).";

/// Receive telemetry and keep it: OTLP over gRPC and HTTP, Prometheus remote-write
///
/// What is answered is on the disk, also after a crash. `hypocenter analyze --data DIR` reads it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Settings file, with the sections [serve] and [store]; a flag wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store's folder; without it, hypocenter/ in $XDG_DATA_HOME or ~/.local/share
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen for OTLP over gRPC [default: 127.0.0.1:4317]
    #[arg(long = "otlp.grpc-address", value_name = "ADDRESS", value_parser = address)]
    grpc_address: Option<SocketAddr>,
    /// Where to listen for OTLP over HTTP [default: 127.0.0.1:4318]
    #[arg(long = "otlp.http-address", value_name = "ADDRESS", value_parser = address)]
    http_address: Option<SocketAddr>,
    /// Where to listen for remote-write (/api/v1/write), health (/-/healthy, /-/ready) and /metrics [default: 127.0.0.1:9464]
    #[arg(long = "web.listen-address", value_name = "ADDRESS", value_parser = address)]
    web_address: Option<SocketAddr>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log_to_standard_error();
    let settings = args.config.as_deref().map(Settings::read).transpose().context("cannot use the settings")?;
    let Settings { metrics, sampling_attribute, mut serve, store, .. } = settings.unwrap_or_default();
    for (address, given) in [
        (&mut serve.grpc_address, args.grpc_address),
        (&mut serve.http_address, args.http_address),
        (&mut serve.web_address, args.web_address),
    ] {
        *address = given.unwrap_or(*address);
    }
    if let Some(problem) = serve.same_address() {
        anyhow::bail!("cannot serve: {problem}; give one of them another port");
    }
    let folder = match args.data.clone().or_else(|| store.folder.clone()) {
        Some(folder) => folder,
        None => default_folder().context(
            "there is no folder for the store, as neither XDG_DATA_HOME nor HOME is set; name one with --data",
        )?,
    };
    let options = ReadOptions { metrics, sampling_attribute, ..ReadOptions::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    // First, so that a start that fails leaves no store behind.
    let listeners = runtime.block_on(Listeners::bind(&serve)).context("cannot serve")?;
    let opened = Store::open(&store.at(folder.clone()), options.clone()).context("cannot open the store")?;
    let server = Server::new(listeners, &serve, opened.store(), options, Router::new());
    let served: anyhow::Result<()> = runtime.block_on(async {
        // Told apart from the start, so that no signal is lost.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        for (purpose, address) in server.addresses() {
            tracing::info!(%address, "listening for {purpose}");
        }
        tracing::info!(store = %folder.display(), "ready");
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
        };
        Ok(server.run(stop).await?)
    });
    // With the last request its clones of the store are gone, and the store can be closed.
    drop(runtime);
    opened.close();
    served?;
    Ok(ExitCode::SUCCESS)
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
