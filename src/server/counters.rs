//! What happens at the listeners, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;
use axum::response::Response;

use super::auth::Denied;

/// The numbers of one listener.
#[derive(Debug)]
pub(super) struct Counts {
    /// The listener's name in the metrics.
    pub(super) listener: &'static str,
    /// Connections that are open.
    pub(super) open: AtomicU64,
    /// Connections taken.
    pub(super) accepted: AtomicU64,
    /// Connections closed since TLS was not agreed on.
    pub(super) handshake: AtomicU64,
    /// Connections closed since the head of a request did not come in time.
    pub(super) slow: AtomicU64,
    /// Connections closed since nothing was asked any more.
    pub(super) idle: AtomicU64,
    /// Connections that could not be taken for want of the system's means.
    pub(super) failed: AtomicU64,
    /// Answers by the first digit of their code, from 1 to 5.
    answers: [AtomicU64; 5],
    denied: [(&'static str, AtomicU64); 5],
}

pub(super) fn one_more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn new(listener: &'static str) -> Self {
        let limited = Denied::Limited(std::time::Duration::ZERO);
        let denied = [Denied::Missing, Denied::Wrong, limited, Denied::Busy, Denied::Host];
        Self {
            listener,
            open: AtomicU64::default(),
            accepted: AtomicU64::default(),
            handshake: AtomicU64::default(),
            slow: AtomicU64::default(),
            idle: AtomicU64::default(),
            failed: AtomicU64::default(),
            answers: Default::default(),
            denied: denied.map(|denied| (denied.reason(), AtomicU64::default())),
        }
    }

    /// Counts an answer; over gRPC the code of HTTP always says that all is well.
    pub(super) fn answered<B>(&self, response: &Response<B>) {
        let class = match grpc_code(response.headers()) {
            Some(code) => class_of_grpc(code),
            None => response.status().as_u16() / 100,
        };
        if let Some(counter) = self.answers.get(usize::from(class).wrapping_sub(1)) {
            one_more(counter);
        }
    }

    pub(super) fn denied(&self, denied: Denied) {
        if let Some((_, counter)) = self.denied.iter().find(|(reason, _)| *reason == denied.reason()) {
            one_more(counter);
        }
    }

    /// Answers by the class of their code, such as `2xx`.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        classes.into_iter().zip(self.answers.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    /// Requests that were not let in, by why.
    pub(super) fn all_denied(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.denied.iter().map(|(reason, counter)| (*reason, counter.load(Ordering::Relaxed)))
    }
}

/// The code of a call that failed: then it stands in the headers.
fn grpc_code(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The class of the code that HTTP has for the same (`google/rpc/code.proto`).
fn class_of_grpc(code: i32) -> u16 {
    match tonic::Code::from(code) {
        tonic::Code::Ok => 2,
        tonic::Code::Cancelled
        | tonic::Code::InvalidArgument
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::PermissionDenied
        | tonic::Code::ResourceExhausted
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unauthenticated => 4,
        tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded
        | tonic::Code::Unimplemented
        | tonic::Code::Internal
        | tonic::Code::Unavailable
        | tonic::Code::DataLoss => 5,
    }
}
