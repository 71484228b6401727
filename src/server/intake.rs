//! What all ways in share: the body within its limits, the message looked through once, kept, and counted.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Full, Held};
use crate::ingest::{OtlpEncoding, OtlpSignal, ReadOptions, Telemetry, read_otlp};
use crate::store::{Kind, Record, Store, check_remote_write};
use crate::telemetry::span::SpanTable;

/// Takes messages in.
pub(super) struct Intake {
    pub(super) store: Store,
    pub(super) options: ReadOptions,
    pub(super) budget: Arc<Budget>,
    pub(super) max_request_bytes: u64,
    pub(super) timeout: Duration,
    pub(super) received: Received,
}

/// What was received, for the receiver's metrics.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Requests taken.
    pub(super) accepted: AtomicU64,
    /// Spans, points and records that made no sense, in requests that were taken.
    pub(super) rejected: AtomicU64,
    /// Native histograms of remote-write, whose buckets are of no use here.
    pub(super) histograms: AtomicU64,
    /// Requests refused for good.
    pub(super) refused: AtomicU64,
    /// Requests whose senders were told to try again.
    pub(super) deferred: AtomicU64,
}

/// Why a request is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// To send it again would not help.
    #[error("{0}")]
    Malformed(String),
    #[error(
        "the request has more than {limit} bytes uncompressed; send smaller batches, or raise serve.max_request_size"
    )]
    TooLarge { limit: u64 },
    /// To send it again later does help.
    #[error("{0}; try again")]
    Overloaded(String),
}

/// The part of a request that was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) reason: String,
}

/// Seconds after which senders should try again.
pub(super) const RETRY_AFTER_SECONDS: u64 = 2;

/// Reasons that an answer names.
const REASONS: usize = 3;

impl Refusal {
    /// The body stopped coming. The network may be to blame, so it may be sent again.
    pub(super) fn slow() -> Self {
        Self::Overloaded("the request did not come to its end in time".to_owned())
    }
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::Overloaded("too many bytes wait to be written (serve.memory_limit)".to_owned())
    }
}

impl Intake {
    /// All of a body, uncompressed already, of at most so many bytes.
    pub(super) async fn read(&self, mut body: Body, held: &Held, limit: u64) -> Result<Bytes, Refusal> {
        let whole = async {
            let mut bytes = BytesMut::new();
            while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                let frame = frame.map_err(|error| Refusal::Malformed(format!("the body cannot be read: {error}")))?;
                let Ok(more) = frame.into_data() else { continue };
                if (bytes.len() + more.len()) as u64 > limit {
                    return Err(Refusal::TooLarge { limit });
                }
                held.grow(more.len() as u64)?;
                bytes.extend_from_slice(&more);
            }
            Ok(bytes.freeze())
        };
        tokio::time::timeout(self.timeout, whole).await.unwrap_or_else(|_elapsed| Err(Refusal::slow()))
    }

    /// Takes a message of OTLP. When this returns `Ok`, all but the rejected part of it is durable.
    pub(super) async fn take_otlp(
        &self,
        signal: OtlpSignal,
        encoding: OtlpEncoding,
        payload: Bytes,
        held: Arc<Held>,
    ) -> Result<Option<Partial>, Refusal> {
        let name = Path::new("the request");
        let read = read_otlp(signal, encoding, name, &payload, &self.options);
        let read = read.map_err(|error| Refusal::Malformed(error.to_string()))?;
        let partial = partial(&read);
        if let Some(partial) = &partial {
            self.received.rejected.fetch_add(partial.rejected, Ordering::Relaxed);
        }
        if read.first_and_last_ns().is_some() {
            self.keep(Kind::Otlp(signal, encoding), payload, read.spans, held).await?;
        }
        Ok(partial)
    }

    /// Takes a request of remote-write, uncompressed.
    pub(super) async fn take_remote_write(&self, payload: Bytes, held: Arc<Held>) -> Result<(), Refusal> {
        let checked = check_remote_write(&payload).map_err(|error| Refusal::Malformed(error.to_string()))?;
        self.received.histograms.fetch_add(checked.histograms, Ordering::Relaxed);
        if checked.first_and_last_ns.is_some() {
            self.keep(Kind::RemoteWrite, payload, SpanTable::new(), held).await?;
        }
        Ok(())
    }

    async fn keep(&self, kind: Kind, payload: Bytes, spans: SpanTable, held: Arc<Held>) -> Result<(), Refusal> {
        // Who gives up waiting does not free the memory of what still waits.
        let record = Record { kind, payload, spans, guard: Some(held) };
        match tokio::time::timeout(self.timeout, self.store.keep(record)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refusal::Overloaded(error.to_string())),
            Err(_elapsed) => Err(Refusal::Overloaded("the disk does not keep up".to_owned())),
        }
    }

    /// Counts how a request ended.
    pub(super) fn count<T>(&self, result: &Result<T, Refusal>) {
        let counter = match result {
            Ok(_) => &self.received.accepted,
            Err(Refusal::Overloaded(_)) => &self.received.deferred,
            Err(Refusal::Malformed(_) | Refusal::TooLarge { .. }) => &self.received.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(refusal) = result {
            tracing::warn!(%refusal, "a request was not taken");
        }
    }
}

fn partial(read: &Telemetry) -> Option<Partial> {
    let reasons = || read.warnings.iter().take(REASONS).map(|w| format!("{} ({})", w.message, w.place));
    (read.skipped > 0).then(|| Partial { rejected: read.skipped, reason: reasons().collect::<Vec<_>>().join("; ") })
}
