//! The three listeners: as many connections as there are places for, and a stop that lets open requests end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{self, Open, Shared};
use super::counters::one_more;
use super::door::{Dialect, Door};
use super::{ServerError, Settings};

/// Open connections may take so long to end after they were told to.
const FAREWELL: Duration = Duration::from_secs(5);
/// After a connection could not be taken, the next is tried after this time.
const PAUSE: Duration = Duration::from_millis(500);
/// File descriptors for everything but connections: the store, files of settings, connections to others.
const OTHER_FILES: u64 = 512;

/// The three listeners, whose connections wait until there is a [`super::Server`].
pub struct Listeners {
    pub(super) all: Vec<Listener>,
    pub(super) door: Arc<Door>,
    pub(super) places: Arc<Semaphore>,
}

/// One of them.
pub(super) struct Listener {
    pub(super) purpose: &'static str,
    pub(super) dialect: Dialect,
    tcp: TcpListener,
}

impl Listeners {
    /// Reads the web config file and listens on all addresses; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ServerError::WebConfig`] when it is not safe or of no use, [`ServerError::Listen`] for the first address that
    /// cannot be had.
    pub async fn bind(settings: &Settings) -> Result<Self, ServerError> {
        let door = Arc::new(Door::new(settings)?);
        door.tell(settings);
        let mut all = Vec::new();
        for (purpose, dialect, flag, address) in [
            ("OTLP over gRPC", Dialect::Grpc, "--otlp.grpc-address", settings.grpc_address),
            ("OTLP over HTTP", Dialect::Otlp, "--otlp.http-address", settings.http_address),
            ("remote-write and health", Dialect::Web, "--web.listen-address", settings.web_address),
        ] {
            let tcp = TcpListener::bind(address).await;
            let tcp = tcp.map_err(|source| ServerError::Listen { address, purpose, flag, source })?;
            all.push(Listener { purpose, dialect, tcp });
        }
        Ok(Self { all, door, places: Arc::new(Semaphore::new(places(settings.max_connections))) })
    }
}

/// Places for connections: as many as are wanted and as the system has files for.
fn places(wanted: u32) -> usize {
    let files = u64::from(wanted) + OTHER_FILES;
    let places = match rlimit::increase_nofile_limit(files) {
        Ok(limit) if limit < files => {
            let places = limit.saturating_sub(OTHER_FILES).max(limit / 4).max(1);
            tracing::warn!(limit, places, "there are fewer files than serve.max_connections asks for (ulimit -n)");
            places
        }
        Ok(_) => u64::from(wanted),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known");
            u64::from(wanted)
        }
    };
    usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)
}

impl Listener {
    /// Its name in the metrics.
    pub(super) fn name(&self) -> &'static str {
        match self.dialect {
            Dialect::Grpc => "otlp_grpc",
            Dialect::Otlp => "otlp_http",
            Dialect::Web => "web",
        }
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Takes connections until the server stops, then lets open requests end.
    pub(super) async fn run(self, shared: Shared) {
        let mut connections = JoinSet::new();
        let mut stopped = shared.stopped.clone();
        loop {
            let accepted = tokio::select! {
                // The sender lives until all have stopped.
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept(&shared) => accepted,
            };
            // Only who has come takes a place: a listener that waits does not.
            let place = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                place = Arc::clone(&shared.places).acquire_owned() => place.expect("the semaphore is never closed"),
            };
            let (stream, peer) = accepted;
            let (open, shared) = (Open::new(&shared.counts), shared.clone());
            connections.spawn(async move {
                connection::serve(stream, peer, shared).await;
                drop((open, place));
            });
        }
        drop(self.tcp);
        let all_end = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all_end).await.is_err() {
            tracing::warn!(listener = self.purpose, "some connections did not end in time and were cut");
        }
        connections.shutdown().await;
    }

    /// The next connection.
    async fn accept(&self, shared: &Shared) -> (TcpStream, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok(accepted) => return accepted,
                // Gone before it was taken.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    one_more(&shared.counts.failed);
                    tracing::warn!(%error, listener = self.purpose, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
