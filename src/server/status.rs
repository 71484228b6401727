//! The messages of answers: OTLP's export responses, and errors as `google.rpc.Status` has them.
//!
//! Source: OTLP specification 1.10 ("Partial Success", "Failures", "OTLP/gRPC Throttling", "OTLP/HTTP Response").

use bytes::Bytes;
use prost::Message;
use serde_json::json;
use tonic::Code;

use super::intake::{Partial, RETRY_AFTER_SECONDS, Refusal};
use crate::ingest::OtlpSignal;

/// `Export{Trace,Metrics,Logs}ServiceResponse`, which are alike.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

#[derive(Clone, PartialEq, Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// The answer to a request that was taken, in protobuf.
pub(super) fn success(partial: Option<&Partial>) -> Vec<u8> {
    let partial_success = partial.map(|partial| PartialSuccess {
        rejected: i64::try_from(partial.rejected).unwrap_or(i64::MAX),
        error_message: partial.reason.clone(),
    });
    ExportResponse { partial_success }.encode_to_vec()
}

/// The same in JSON.
pub(super) fn success_json(signal: OtlpSignal, partial: Option<&Partial>) -> Vec<u8> {
    let rejected = match signal {
        OtlpSignal::Traces => "rejectedSpans",
        OtlpSignal::Metrics => "rejectedDataPoints",
        OtlpSignal::Logs => "rejectedLogRecords",
    };
    let answer = match partial {
        // 64-bit numbers are texts in the JSON of protobuf.
        Some(partial) => {
            json!({ "partialSuccess": { rejected: partial.rejected.to_string(), "errorMessage": partial.reason } })
        }
        None => json!({}),
    };
    answer.to_string().into_bytes()
}

/// gRPC's code for a refusal.
pub(super) fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Malformed(_) => Code::InvalidArgument,
        // Without `RetryInfo` that is not tried again.
        Refusal::TooLarge { .. } => Code::ResourceExhausted,
        Refusal::Overloaded(_) => Code::Unavailable,
    }
}

fn status(refusal: &Refusal) -> Status {
    let retry = RetryInfo { retry_delay: Some(Duration { seconds: RETRY_AFTER_SECONDS.cast_signed() }) };
    let retry = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: retry.encode_to_vec() };
    let details = if matches!(refusal, Refusal::Overloaded(_)) { vec![retry] } else { Vec::new() };
    Status { code: code(refusal) as i32, message: refusal.to_string(), details }
}

/// A refusal as the body of an answer over HTTP.
pub(super) fn failure(refusal: &Refusal) -> Vec<u8> {
    // Over HTTP the header `Retry-After` tells when to try again.
    plain(code(refusal), &refusal.to_string())
}

/// The same in JSON.
pub(super) fn failure_json(refusal: &Refusal) -> Vec<u8> {
    plain_json(code(refusal), &refusal.to_string())
}

/// An error that is no refusal of a message, as the body of an answer over HTTP.
pub(super) fn plain(code: Code, message: &str) -> Vec<u8> {
    Status { code: code as i32, message: message.to_owned(), details: Vec::new() }.encode_to_vec()
}

/// The same in JSON.
pub(super) fn plain_json(code: Code, message: &str) -> Vec<u8> {
    json!({ "code": code as i32, "message": message }).to_string().into_bytes()
}

/// A refusal over gRPC.
pub(super) fn grpc(refusal: &Refusal) -> tonic::Status {
    let details = Bytes::from(status(refusal).encode_to_vec());
    tonic::Status::with_details(code(refusal), refusal.to_string(), details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_helps_is_to_be_tried_again() {
        let retried = |refusal: &Refusal| !status(refusal).details.is_empty();
        assert!(retried(&Refusal::Overloaded("full".into())));
        assert!(![Refusal::Malformed("x".into()), Refusal::TooLarge { limit: 1 }].iter().any(retried));
    }

    #[test]
    fn a_full_success_says_nothing_and_a_partial_one_how_much() {
        assert!(success(None).is_empty());
        assert_eq!(success_json(OtlpSignal::Logs, None), b"{}");
        let partial = Partial { rejected: 3, reason: "why".into() };
        assert_eq!(success(Some(&partial)), b"\x0a\x07\x08\x03\x12\x03why");
        let json = success_json(OtlpSignal::Metrics, Some(&partial));
        assert_eq!(json, br#"{"partialSuccess":{"errorMessage":"why","rejectedDataPoints":"3"}}"#);
    }
}
