//! OTLP over gRPC. A codec hands the message on as it came, so that it is read once and kept as it is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf, BufMut, Bytes};
use http_body::Frame;
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};

use super::budget::Held;
use super::intake::{Intake, Refusal};
use super::status;
use crate::ingest::{OtlpEncoding, OtlpSignal};

pub(super) fn router(intake: Arc<Intake>) -> Router {
    let export = |signal| {
        post(
            move |State(intake): State<Arc<Intake>>, request: Request| async move { export(signal, intake, request).await },
        )
    };
    Router::new()
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", export(OtlpSignal::Traces))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", export(OtlpSignal::Metrics))
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", export(OtlpSignal::Logs))
        .fallback(|| async {
            Status::unimplemented("only the Export calls of OTLP are served here").into_http::<Body>()
        })
        .with_state(intake)
}

async fn export(signal: OtlpSignal, intake: Arc<Intake>, request: Request) -> Response {
    let share = Share { held: Arc::new(intake.budget.hold()), intake: Arc::clone(&intake) };
    let limit = usize::try_from(intake.max_request_bytes).unwrap_or(usize::MAX);
    let mut grpc =
        Grpc::new(Raw(share.clone())).accept_compressed(CompressionEncoding::Gzip).max_decoding_message_size(limit);
    let timeout = intake.timeout;
    let request = request.map(|inner| Counted { inner, share: share.clone() });
    let service = Export { signal, share };
    match tokio::time::timeout(timeout * 2, grpc.unary(service, request)).await {
        Ok(response) => response.map(Body::new),
        Err(_elapsed) => {
            let refusal = Refusal::slow();
            intake.count::<()>(&Err(refusal.clone()));
            status::grpc(&refusal).into_http()
        }
    }
}

/// What one call takes of the memory.
#[derive(Clone)]
struct Share {
    held: Arc<Held>,
    intake: Arc<Intake>,
}

impl Share {
    /// Takes more, or gives what to answer where there is no more.
    fn grow(&self, bytes: usize) -> Result<(), Status> {
        self.held.grow(bytes as u64).map_err(|full| {
            let refusal = Refusal::from(full);
            self.intake.count::<()>(&Err(refusal.clone()));
            status::grpc(&refusal)
        })
    }
}

/// Takes the message of one call.
struct Export {
    signal: OtlpSignal,
    share: Share,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<tonic::Response<Bytes>, Status>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (signal, Share { held, intake }) = (self.signal, self.share.clone());
        Box::pin(async move {
            let taken = intake.take_otlp(signal, OtlpEncoding::Protobuf, request.into_inner(), held).await;
            intake.count(&taken);
            let partial = taken.map_err(|refusal| status::grpc(&refusal))?;
            Ok(tonic::Response::new(Bytes::from(status::success(partial.as_ref()))))
        })
    }
}

/// A body whose bytes count while they come: the message is put together before anybody else sees it.
struct Counted {
    inner: Body,
    share: Share,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
            && let Err(full) = self.share.grow(bytes.len())
        {
            // tonic looks for a status among the causes of a body's error.
            return Poll::Ready(Some(Err(axum::Error::new(full))));
        }
        polled
    }
}

/// Messages as bytes. What they unfold to counts here already: the end of the call may be long in coming.
#[derive(Clone)]
struct Raw(Share);

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = message.remaining();
        self.0.grow(length)?;
        Ok(Some(message.copy_to_bytes(length)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::super::budget::Budget;
    use super::super::intake::Received;
    use super::*;
    use crate::ingest::ReadOptions;
    use crate::store::{Opened, Settings, Store};

    /// A call whose message is there and whose end does not come.
    struct Endless(Option<Bytes>);

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
        }
    }

    /// With memory for two and a half of the largest requests.
    fn intake(folder: &std::path::Path, max_request_bytes: u64, timeout: Duration) -> (Opened, Arc<Intake>) {
        let opened = Store::open(&Settings::new(folder.to_owned()), ReadOptions::default()).unwrap();
        let intake = Intake {
            store: opened.store(),
            options: ReadOptions::default(),
            budget: Arc::new(Budget::new(max_request_bytes / 2 * 5)),
            max_request_bytes,
            timeout,
            received: Received::default(),
        };
        (opened, Arc::new(intake))
    }

    #[tokio::test]
    async fn a_call_that_does_not_end_is_answered_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let (_opened, intake) = intake(folder.path(), 1 << 20, Duration::from_millis(100));
        let request = Request::builder().header("content-type", "application/grpc").body(Body::new(Endless(None)));
        let answer = export(OtlpSignal::Traces, Arc::clone(&intake), request.unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.expect("an answer");
        assert_eq!(answer.headers()["grpc-status"], "14", "to be tried again");
    }

    #[tokio::test]
    async fn what_a_message_unfolds_to_counts_before_its_call_has_ended() {
        const UNFOLDED: usize = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        let (_opened, intake) = intake(folder.path(), UNFOLDED as u64, Duration::from_secs(20));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![0; UNFOLDED]).unwrap();
        let packed = packed.finish().unwrap();
        let length = u32::try_from(packed.len()).unwrap().to_be_bytes();
        let message = Bytes::from([&[1][..], &length, &packed].concat());
        let call = || {
            let request = Request::builder().header("content-type", "application/grpc").header("grpc-encoding", "gzip");
            let request = request.body(Body::new(Endless(Some(message.clone())))).unwrap();
            export(OtlpSignal::Traces, Arc::clone(&intake), request)
        };
        let held = [tokio::spawn(call()), tokio::spawn(call())];
        let both = async {
            while intake.budget.taken() < 2 * UNFOLDED as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("both count");
        let answer = call().await;
        assert_eq!(answer.headers()["grpc-status"], "14", "to be tried again");
        held.into_iter().for_each(|call| call.abort());
    }
}
