//! Which labels tell that the requests a series counts have failed, each side judged by its own rule.
//!
//! A 4xx is the client's mistake: an error at the client and none at the server (OpenTelemetry HTTP conventions). The
//! same holds for gRPC: at the server six codes are errors, at the client every code but `OK` (RPC conventions).

use super::signals::RawSeries;

/// Who judges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The caller.
    Client,
    /// Who handles the request.
    Server,
}

/// How a label's value tells failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    /// These values, on either side.
    OneOf(&'static [&'static str]),
    /// These values, and further ones for the client.
    BySide(&'static [&'static str], &'static [&'static str]),
    /// `500` to `599`, or a class written `5xx`; for the client also `4…`.
    HttpStatus,
    /// The class alone: `5`, and `4` for the client.
    HttpClass,
    /// Any value (an exception, a timeout) but the status of a client's mistake, which is one for the client only.
    ErrorType,
    /// Names of gRPC codes in any spelling.
    GrpcName,
    /// Numbers of gRPC codes.
    GrpcNumber,
}

/// What span metrics write of a span with status error, in their versions.
const ERROR_STATUS: Failure = Failure::OneOf(&["STATUS_CODE_ERROR", "ERROR", "Error"]);

/// Labels by which an outcome is told. A label may stand here more than once: what one rule does not know another may.
const FAILURE_LABELS: &[(&str, Failure)] = &[
    ("status_code", ERROR_STATUS),
    ("status_code", Failure::HttpStatus),
    ("otel_status_code", ERROR_STATUS),
    ("http_response_status_code", Failure::HttpStatus),
    ("http_status_code", Failure::HttpStatus),
    ("response_code", Failure::HttpStatus),
    ("status", Failure::HttpStatus),
    ("code", Failure::HttpStatus),
    ("envoy_response_code_class", Failure::HttpClass),
    ("response_code_class", Failure::HttpClass),
    ("error_type", Failure::ErrorType),
    ("grpc_code", Failure::GrpcName),
    ("code", Failure::GrpcName),
    ("grpc_status", Failure::GrpcName),
    ("rpc_response_status_code", Failure::GrpcName),
    ("rpc_grpc_status_code", Failure::GrpcNumber),
    ("grpc_response_status", Failure::GrpcNumber),
    // Micrometer; `UNKNOWN` is a client's request without an answer.
    ("outcome", Failure::BySide(&["SERVER_ERROR"], &["CLIENT_ERROR", "UNKNOWN"])),
    ("classification", Failure::OneOf(&["failure"])),
];

/// gRPC's codes by number.
const GRPC_CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalidargument",
    "deadlineexceeded",
    "notfound",
    "alreadyexists",
    "permissiondenied",
    "resourceexhausted",
    "failedprecondition",
    "aborted",
    "outofrange",
    "unimplemented",
    "internal",
    "unavailable",
    "dataloss",
    "unauthenticated",
];

/// Those that are the server's fault: Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss.
const GRPC_SERVER_FAULTS: [usize; 6] = [2, 4, 12, 13, 14, 15];

impl Failure {
    fn is_told_by(self, value: &str, side: Side) -> bool {
        let client = side == Side::Client;
        match self {
            Self::OneOf(values) => values.contains(&value),
            Self::BySide(both, further) => both.contains(&value) || (client && further.contains(&value)),
            Self::HttpStatus => value.len() == 3 && (value.starts_with('5') || (client && is_client_mistake(value))),
            Self::HttpClass => value == "5" || (client && value == "4"),
            Self::ErrorType => !value.is_empty() && (client || !is_client_mistake(value)),
            Self::GrpcName => {
                let plain: String = value.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect();
                // "Canceled" is how Go spells it.
                let plain = if plain == "canceled" { "cancelled" } else { &plain };
                GRPC_CODES.iter().position(|code| *code == plain).is_some_and(|code| is_grpc_failure(code, client))
            }
            Self::GrpcNumber => value.parse().is_ok_and(|code: usize| is_grpc_failure(code, client)),
        }
    }
}

/// `400` to `499`, or a class written `4xx`.
fn is_client_mistake(status: &str) -> bool {
    status.len() == 3 && status.starts_with('4')
}

fn is_grpc_failure(code: usize, client: bool) -> bool {
    if client { (1..GRPC_CODES.len()).contains(&code) } else { GRPC_SERVER_FAULTS.contains(&code) }
}

/// Whether labels say that the requests counted here failed, in the eyes of one side.
pub(crate) fn failed(series: &RawSeries, side: Side) -> bool {
    FAILURE_LABELS
        .iter()
        .any(|&(name, failure)| series.label(name).is_some_and(|value| failure.is_told_by(value, side)))
}

/// Whether labels tell outcomes at all: without, no failure is not the same as no failures.
pub(crate) fn tells_outcome(series: &RawSeries) -> bool {
    FAILURE_LABELS.iter().any(|(name, _)| series.label(name).is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::signals::RawKind;
    use super::*;

    fn told(label: &str, value: &str, side: Side) -> bool {
        let labels = vec![(label.to_owned(), value.to_owned())];
        let (source, name, kind) = (Arc::from("test"), "m".to_owned(), RawKind::Unknown);
        let series = RawSeries { source, name, labels, kind, samples: Vec::new() };
        assert!(tells_outcome(&series), "{label}");
        failed(&series, side)
    }

    #[test]
    fn each_label_tells_failures_from_successes_for_each_side() {
        // Label, a failure for both, a failure for the client only (or none of the kind), a success.
        for (label, both, client_only, good) in [
            ("status_code", "STATUS_CODE_ERROR", "", "STATUS_CODE_UNSET"),
            ("status_code", "500", "404", "200"),
            ("otel_status_code", "ERROR", "", "OK"),
            ("http_response_status_code", "503", "404", "200"),
            ("http_status_code", "500", "429", "302"),
            ("response_code", "503", "401", "0"),
            ("status", "5xx", "4xx", "2xx"),
            ("code", "502", "499", "204"),
            ("envoy_response_code_class", "5", "4", "2"),
            ("response_code_class", "5", "4", "3"),
            ("error_type", "java.net.ConnectException", "404", ""),
            ("grpc_code", "Unavailable", "NotFound", "OK"),
            ("code", "Internal", "Canceled", "OK"),
            ("grpc_status", "UNAVAILABLE", "NOT_FOUND", "OK"),
            ("rpc_response_status_code", "DEADLINE_EXCEEDED", "ALREADY_EXISTS", "OK"),
            ("rpc_grpc_status_code", "14", "5", "0"),
            ("grpc_response_status", "2", "7", "0"),
            ("outcome", "SERVER_ERROR", "CLIENT_ERROR", "SUCCESS"),
            ("outcome", "SERVER_ERROR", "UNKNOWN", "REDIRECTION"),
            ("classification", "failure", "", "success"),
        ] {
            for (value, client, server) in [(both, true, true), (client_only, true, false), (good, false, false)] {
                if value.is_empty() && label != "error_type" {
                    continue;
                }
                assert_eq!(told(label, value, Side::Client), client, "{label}={value} at the client");
                assert_eq!(told(label, value, Side::Server), server, "{label}={value} at the server");
            }
        }
        let named: Vec<&str> = FAILURE_LABELS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named.len(), 19, "each row of the table has its line in this test");
    }
}
