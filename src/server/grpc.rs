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
    let held = Arc::new(intake.budget.hold());
    let limit = usize::try_from(intake.max_request_bytes).unwrap_or(usize::MAX);
    let mut grpc = Grpc::new(Raw).accept_compressed(CompressionEncoding::Gzip).max_decoding_message_size(limit);
    let timeout = intake.timeout;
    let request = request.map(|inner| Counted { inner, held: Arc::clone(&held), intake: Arc::clone(&intake) });
    let service = Export { signal, intake: Arc::clone(&intake), held };
    match tokio::time::timeout(timeout * 2, grpc.unary(service, request)).await {
        Ok(response) => response.map(Body::new),
        Err(_elapsed) => {
            let refusal = Refusal::slow();
            intake.count::<()>(&Err(refusal.clone()));
            status::grpc(&refusal).into_http()
        }
    }
}

/// Takes the message of one call.
struct Export {
    signal: OtlpSignal,
    intake: Arc<Intake>,
    held: Arc<Held>,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<tonic::Response<Bytes>, Status>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (signal, intake, held) = (self.signal, Arc::clone(&self.intake), Arc::clone(&self.held));
        Box::pin(async move {
            let payload = request.into_inner();
            let taken = match held.grow(payload.len() as u64) {
                Ok(()) => intake.take_otlp(signal, OtlpEncoding::Protobuf, payload, held).await,
                Err(full) => Err(full.into()),
            };
            intake.count(&taken);
            let partial = taken.map_err(|refusal| status::grpc(&refusal))?;
            Ok(tonic::Response::new(Bytes::from(status::success(partial.as_ref()))))
        })
    }
}

/// A body whose bytes count while they come: the message is put together before anybody else sees it.
struct Counted {
    inner: Body,
    held: Arc<Held>,
    intake: Arc<Intake>,
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
            && let Err(full) = self.held.grow(bytes.len() as u64)
        {
            let refusal = Refusal::from(full);
            self.intake.count::<()>(&Err(refusal.clone()));
            // tonic looks for a status among the causes of a body's error.
            return Poll::Ready(Some(Err(axum::Error::new(status::grpc(&refusal)))));
        }
        polled
    }
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
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
        Ok(Some(message.copy_to_bytes(length)))
    }
}
