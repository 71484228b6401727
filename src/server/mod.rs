//! The receiver: OTLP over gRPC and HTTP, and Prometheus remote-write, into the [`crate::store`].
//!
//! A request is read within limits (`budget`), looked through once (`intake`), and answered when the store has it on
//! the disk. Three addresses: gRPC, OTLP over HTTP, and one for remote-write, health and the receiver's own metrics.
//!
//! In front of all three stands one door (`door`): TLS and who may come in, as the web config file says, which is read
//! again while it runs (`reload`). Connections are bounded in number and in patience (`listen`, `connection`, `pulse`).

mod auth;
mod budget;
mod connection;
mod counters;
mod door;
mod failed_logins;
mod grpc;
mod http;
mod intake;
mod listen;
mod metrics;
mod problem;
mod pulse;
mod reload;
mod status;
mod tls;
mod web;
mod web_config;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

use crate::ingest::ReadOptions;
use crate::store::Store;

use budget::Budget;
use connection::Shared;
use counters::Counts;
use door::{Dialect, Door, Entry};
use intake::{Intake, Received};
use listen::Listener;
use metrics::Metrics;
use reload::{Outcomes, Reloads};

pub use listen::Listeners;
pub use reload::{NotReloaded, Reload};
pub use web_config::WebConfigError;

/// Where the receiver listens, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// OTLP over gRPC.
    pub grpc_address: SocketAddr,
    /// OTLP over HTTP.
    pub http_address: SocketAddr,
    /// Remote-write, health, metrics of the receiver.
    pub web_address: SocketAddr,
    /// The name of the host by which people reach the web address, besides its addresses.
    pub host: Option<String>,
    /// Most bytes of one request, uncompressed.
    pub max_request_bytes: u64,
    /// Most bytes of all requests that are being read or wait for the disk.
    pub memory_bytes: u64,
    /// A request is given up after so long, and its sender told to try again.
    pub request_timeout: Duration,
    /// Most connections at once, of all addresses.
    pub max_connections: u32,
    /// A connection on which nothing is asked is closed after so long.
    pub idle_timeout: Duration,
    /// Who may come in, and TLS; without it everybody on loopback.
    pub web_config_file: Option<PathBuf>,
    /// Whether a request may ask for a reload.
    pub enable_lifecycle: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            grpc_address: loopback(4317),
            http_address: loopback(4318),
            web_address: loopback(9464),
            host: None,
            max_request_bytes: 16 << 20,
            memory_bytes: 256 << 20,
            request_timeout: Duration::from_secs(10),
            max_connections: 1024,
            idle_timeout: Duration::from_secs(120),
            web_config_file: None,
            enable_lifecycle: false,
        }
    }
}

impl Settings {
    /// Whether the web config file is of use, and safe for these addresses.
    ///
    /// # Errors
    /// Why not.
    pub fn check_web_config(&self) -> Result<(), WebConfigError> {
        Door::new(self).map(drop)
    }

    /// What is wrong where two addresses are the same; port 0 is a free one each time.
    pub fn same_address(&self) -> Option<&'static str> {
        let (grpc, http, web) = (self.grpc_address, self.http_address, self.web_address);
        let pairs = [
            (grpc, http, "serve.grpc_address and serve.http_address are the same"),
            (grpc, web, "serve.grpc_address and serve.web_address are the same"),
            (http, web, "serve.http_address and serve.web_address are the same"),
        ];
        pairs.into_iter().find(|(a, b, _)| a == b && a.port() != 0).map(|(.., problem)| problem)
    }
}

/// Why the receiver does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {purpose}; name a free address of this machine with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What for.
        purpose: &'static str,
        /// The flag that gives another.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The web config is not safe or of no use.
    #[error("cannot serve as the web config is")]
    WebConfig(#[from] WebConfigError),
}

/// The receiver with its three listeners.
pub struct Server {
    listeners: Vec<(Listener, Arc<Counts>, Router)>,
    door: Arc<Door>,
    places: Arc<Semaphore>,
    idle_timeout: Duration,
    reload: Reload,
    reloads: Reloads,
}

/// What the web address serves beside the receiver, behind the same authentication and limits.
pub struct Further {
    /// Its routes; none with the receiver's own paths.
    pub routes: Router,
    /// Most bytes of the body of a request to a path of it.
    pub most_bytes: fn(&str) -> u64,
    /// Writes what `/metrics` has of it, in Prometheus' text format. May wait for the disk.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

impl Server {
    /// Serves what comes to the listeners, once it runs.
    pub fn new(
        listeners: Listeners,
        settings: &Settings,
        store: Store,
        options: ReadOptions,
        further: Further,
    ) -> Self {
        let Listeners { all, door, places } = listeners;
        let intake = Arc::new(Intake {
            store,
            options,
            budget: Arc::new(Budget::new(settings.memory_bytes)),
            max_request_bytes: settings.max_request_bytes,
            timeout: settings.request_timeout,
            received: Received::default(),
        });
        let outcomes = Arc::new(Outcomes::new());
        let (reload, reloads) = Reloads::new(Arc::clone(&door), Arc::clone(&outcomes));
        let counts: Vec<Arc<Counts>> = all.iter().map(|listener| Arc::new(Counts::new(listener.name()))).collect();
        let of_further = further.metrics;
        let metrics =
            Arc::new(Metrics { intake: Arc::clone(&intake), listeners: counts.clone(), outcomes, of_further });
        // The receiver's own routes read within their limits themselves.
        let beside = web::Beside { intake: Arc::clone(&intake), most_bytes: further.most_bytes };
        let api = further.routes.layer(middleware::from_fn_with_state(beside, web::within_the_memory_limit));
        let lifecycle = settings.enable_lifecycle.then(|| reload.clone());
        let web = web::router(Arc::clone(&intake), metrics, lifecycle, api);
        let router = |dialect| match dialect {
            Dialect::Grpc => grpc::router(Arc::clone(&intake)),
            Dialect::Otlp => http::router(Arc::clone(&intake)),
            Dialect::Web => web.clone(),
        };
        let listeners = all.into_iter().zip(counts).map(|(listener, counts)| {
            let entry = Entry { door: Arc::clone(&door), dialect: listener.dialect, counts: Arc::clone(&counts) };
            let guarded = router(listener.dialect).layer(middleware::from_fn_with_state(entry, door::guard));
            (listener, counts, guarded.layer(CatchPanicLayer::custom(problem::defect)))
        });
        let listeners = listeners.collect();
        Self { listeners, door, places, idle_timeout: settings.idle_timeout, reload, reloads }
    }

    /// What each listener is for, and where it really listens.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let with_address = |(listener, ..): &(Listener, _, _)| Some((listener.purpose, listener.address().ok()?));
        self.listeners.iter().filter_map(with_address).collect()
    }

    /// What asks this server for a reload.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until `stop` is there, then lets open requests end. At a reload `reread` is called, for what is not of the
    /// server.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        reread: impl Fn() -> Result<(), NotReloaded> + Send + Sync + 'static,
    ) {
        let (stopping, stopped) = watch::channel(false);
        let reloads = tokio::spawn(self.reloads.run(reread));
        let mut tasks = tokio::task::JoinSet::new();
        for (listener, counts, router) in self.listeners {
            tasks.spawn(listener.run(Shared {
                router,
                counts,
                rules: self.door.rules(),
                stopped: stopped.clone(),
                places: Arc::clone(&self.places),
                idle_timeout: self.idle_timeout,
            }));
        }
        stop.await;
        stopping.send_replace(true);
        while tasks.join_next().await.is_some() {}
        reloads.abort();
    }
}
