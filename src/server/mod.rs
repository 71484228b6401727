//! The receiver: OTLP over gRPC and HTTP, and Prometheus remote-write, into the [`crate::store`].
//!
//! A request is read within limits (`budget`), looked through once (`intake`), and answered when the store has it on
//! the disk. Three addresses: gRPC, OTLP over HTTP, and one for remote-write, health and the receiver's own metrics.

mod budget;
mod grpc;
mod http;
mod intake;
mod status;
mod web;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

use crate::ingest::ReadOptions;
use crate::store::Store;

use budget::Budget;
use intake::{Intake, Received};

/// Where the receiver listens, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// OTLP over gRPC.
    pub grpc_address: SocketAddr,
    /// OTLP over HTTP.
    pub http_address: SocketAddr,
    /// Remote-write, health, metrics of the receiver.
    pub web_address: SocketAddr,
    /// Most bytes of one request, uncompressed.
    pub max_request_bytes: u64,
    /// Most bytes of all requests that are being read or wait for the disk.
    pub memory_bytes: u64,
    /// A request is given up after so long, and its sender told to try again.
    pub request_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            grpc_address: loopback(4317),
            http_address: loopback(4318),
            web_address: loopback(9464),
            max_request_bytes: 16 << 20,
            memory_bytes: 256 << 20,
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
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
    /// A listener failed later.
    #[error("cannot serve {purpose} any more")]
    Serve {
        /// What.
        purpose: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Open connections may take so long to end after they were told to.
const FAREWELL: Duration = Duration::from_secs(5);

/// The three listeners, whose connections wait until there is a [`Server`].
pub struct Listeners(Vec<(&'static str, TcpListener)>);

impl Listeners {
    /// Listens on all addresses; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ServerError::Listen`] for the first address that cannot be had.
    pub async fn bind(settings: &Settings) -> Result<Self, ServerError> {
        let mut listeners = Vec::new();
        for (purpose, flag, address) in [
            ("OTLP over gRPC", "--otlp.grpc-address", settings.grpc_address),
            ("OTLP over HTTP", "--otlp.http-address", settings.http_address),
            ("remote-write and health", "--web.listen-address", settings.web_address),
        ] {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|source| ServerError::Listen { address, purpose, flag, source })?;
            listeners.push((purpose, listener));
        }
        Ok(Self(listeners))
    }
}

/// The receiver with its three listeners.
pub struct Server {
    listeners: Vec<(&'static str, TcpListener, Router)>,
}

impl Server {
    /// Serves what comes to the listeners, once it runs. The web address serves the routes of `api` as well, behind the
    /// same authentication and limits; it must neither have a fallback nor the receiver's own paths.
    pub fn new(listeners: Listeners, settings: &Settings, store: Store, options: ReadOptions, api: Router) -> Self {
        let intake = Arc::new(Intake {
            store,
            options,
            budget: Arc::new(Budget::new(settings.memory_bytes)),
            max_request_bytes: settings.max_request_bytes,
            timeout: settings.request_timeout,
            received: Received::default(),
        });
        let web = web::router(Arc::clone(&intake)).merge(api);
        let routers = [grpc::router(Arc::clone(&intake)), http::router(intake), web];
        let served = listeners.0.into_iter().zip(routers);
        let served =
            served.map(|((purpose, listener), router)| (purpose, listener, router.layer(CatchPanicLayer::new())));
        Self { listeners: served.collect() }
    }

    /// What each listener is for, and where it really listens.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let address = |listener: &TcpListener| listener.local_addr().ok();
        self.listeners.iter().filter_map(|(purpose, listener, _)| Some((*purpose, address(listener)?))).collect()
    }

    /// Serves until `stop` is there, then lets open requests end.
    ///
    /// # Errors
    /// [`ServerError::Serve`] when a listener fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        for (purpose, listener, router) in self.listeners {
            let mut stopped = stopped.clone();
            let until = async move {
                // The sender lives until all have stopped.
                stopped.wait_for(|stopped| *stopped).await.ok();
            };
            // Answers are small and clients wait for them.
            let listener = listener.tap_io(|connection| {
                connection.set_nodelay(true).ok();
            });
            tasks.spawn(async move {
                let served = axum::serve(listener, router).with_graceful_shutdown(until).await;
                served.map_err(|source| ServerError::Serve { purpose, source })
            });
        }
        tokio::select! {
            () = stop => {}
            Some(Ok(Err(error))) = tasks.join_next() => return Err(error),
        }
        stopping.send_replace(true);
        let all_end = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all_end).await.is_err() {
            tracing::warn!("some connections did not end in time and were cut");
        }
        tasks.shutdown().await;
        Ok(())
    }
}
