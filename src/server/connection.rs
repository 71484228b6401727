//! One connection: TLS where the web config wants it, then HTTP/1 or HTTP/2 within limits, until it ends, is too slow, is
//! idle, or has to begin anew since the rules at the door are others.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use super::auth::Peer;
use super::counters::{Counts, one_more};
use super::door::Rules;
use super::pulse::{Felt, Overdue, Pulse};

/// TLS and the head of a request have to be there in this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// While no further connection can be taken, an idle one is closed after this time.
const IDLE_WHEN_FULL: Duration = Duration::from_secs(5);
/// Requests of a connection that is to end may take so long.
const LINGER: Duration = Duration::from_secs(30);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Most bytes of the head of a request of HTTP/1, and of its parts that are read ahead.
const MOST_HEAD_BYTES: usize = 128 << 10;
/// Most bytes of the headers of a request of HTTP/2.
const MOST_HEADER_LIST_BYTES: u32 = 32 << 10;
/// Requests at once in a connection of HTTP/2.
const STREAMS: u32 = 128;
/// Bytes of a peer that was told why it cannot come in are read so long.
const PARTING: Duration = Duration::from_secs(1);
/// To who speaks HTTP where TLS is spoken.
const SPEAK_TLS: &str = "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
                         TLS is spoken here: use https://\n";
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What all connections of a listener share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) counts: Arc<Counts>,
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    /// Whether the server stops.
    pub(super) stopped: watch::Receiver<bool>,
    /// Places for connections, of all listeners.
    pub(super) places: Arc<Semaphore>,
    pub(super) idle_timeout: Duration,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, mut shared: Shared) {
    let began = Instant::now();
    // Answers are small and clients wait for them.
    stream.set_nodelay(true).ok();
    let acceptor = shared.rules.borrow_and_update().tls.clone();
    let Some(acceptor) = acceptor else { return speak(stream, peer, began, shared).await };
    let agreed = async {
        if speaks_plainly(&stream).await {
            return Err((io::Error::other("the client speaks HTTP without TLS"), stream, SPEAK_TLS));
        }
        // What is wrong was told by an alert.
        acceptor.accept(stream).into_fallible().await.map_err(|(error, stream)| (error, stream, ""))
    };
    match timeout_at(began + HEAD_TIMEOUT, agreed).await {
        Ok(Ok(stream)) => speak(stream, peer, began, shared).await,
        Ok(Err((error, stream, last_words))) => {
            one_more(&shared.counts.handshake);
            tracing::debug!(%peer, %error, "TLS was not agreed on");
            part(stream, last_words).await;
        }
        Err(_elapsed) => one_more(&shared.counts.slow),
    }
}

/// Whether the first byte is one of a method of HTTP, and none of TLS.
async fn speaks_plainly(stream: &TcpStream) -> bool {
    let mut first = [0];
    stream.peek(&mut first).await.is_ok_and(|length| length == 1) && first[0].is_ascii_uppercase()
}

/// Closes so that the peer gets what it was told: with bytes of it unread the system would cut the connection.
async fn part(mut stream: TcpStream, last_words: &str) {
    let heard = async {
        stream.write_all(last_words.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = stream.take(MOST_HEAD_BYTES as u64);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    // Who does not listen need not be told.
    tokio::time::timeout(PARTING, heard).await.ok();
}

async fn speak<S>(stream: S, peer: SocketAddr, began: Instant, mut shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = Arc::new(Pulse::new(began));
    let io = TokioIo::new(Felt { stream, pulse: Arc::clone(&pulse) });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(io, service(&shared, peer, &pulse)));
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ends_by = None;
    loop {
        let is_ending = ends_by.is_some();
        let is_to_end = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error, "a connection ended with an error");
                }
                return;
            }
            // An end of either channel is one of the server.
            _ = shared.rules.changed(), if !is_ending => true,
            _ = shared.stopped.changed(), if !is_ending => true,
            now = looks.tick() => {
                if ends_by.is_some_and(|ends_by| now > ends_by) {
                    return;
                }
                let is_full = shared.places.available_permits() == 0;
                let idle = if is_full { shared.idle_timeout.min(IDLE_WHEN_FULL) } else { shared.idle_timeout };
                match pulse.overdue(now, HEAD_TIMEOUT, idle).filter(|_| !is_ending) {
                    Some(Overdue::Slow) => {
                        one_more(&shared.counts.slow);
                        return;
                    }
                    Some(Overdue::Idle) => {
                        one_more(&shared.counts.idle);
                        true
                    }
                    None => false,
                }
            }
        };
        if is_to_end {
            connection.as_mut().graceful_shutdown();
            ends_by = Some(Instant::now() + LINGER);
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The pulse knows better: this timeout would close what is idle as well.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MOST_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(MOST_HEADER_LIST_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

type Answer = axum::response::Response;

fn service(
    shared: &Shared,
    peer: SocketAddr,
    pulse: &Arc<Pulse>,
) -> impl Service<
    hyper::Request<Incoming>,
    Response = Answer,
    Error = std::convert::Infallible,
    Future: Future<Output = Result<Answer, std::convert::Infallible>> + Send + 'static,
>
+ 'static
+ use<> {
    let router = TowerToHyperService::new(shared.router.clone());
    let (counts, pulse) = (Arc::clone(&shared.counts), Arc::clone(pulse));
    service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (running, counts, answer) = (pulse.request(), Arc::clone(&counts), router.call(request));
        async move {
            let answer = answer.await?;
            counts.answered(&answer);
            drop(running);
            Ok(answer)
        }
    })
}

/// One more open connection, as long as this lives.
pub(super) struct Open(Arc<Counts>);

impl Open {
    pub(super) fn new(counts: &Arc<Counts>) -> Self {
        one_more(&counts.accepted);
        one_more(&counts.open);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
