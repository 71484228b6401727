//! One message of OTLP as a receiver gets it: where it was sent tells what it holds, and a message that is broken as a
//! whole is refused instead of kept in part.

use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::json_stream::Source;
use super::otlp_protobuf::{Place, read_entry};
use super::otlp_protobuf_kind::{Kind, RESOURCES};
use super::protobuf::{Broken, Fields, Value};
use super::{IngestError, ReadOptions, Telemetry, otlp_json};

/// What a message of OTLP holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum OtlpSignal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

/// How a message of OTLP is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum OtlpEncoding {
    /// As over gRPC, and over HTTP as `application/x-protobuf`.
    Protobuf,
    /// As over HTTP as `application/json`.
    Json,
}

impl OtlpSignal {
    fn kind(self) -> Kind {
        match self {
            Self::Traces => Kind::Traces,
            Self::Metrics => Kind::Metrics,
            Self::Logs => Kind::Logs,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Reads one message. Single spans, points and records that make no sense are left out and counted in
/// [`Telemetry::skipped`]; metrics are left as they were read, until [`super::finish`]. `name` is for messages.
///
/// # Errors
/// [`IngestError::Malformed`] for bytes that are no message at all, one that is cut off, or one of another signal.
pub fn read_otlp(
    signal: OtlpSignal,
    encoding: OtlpEncoding,
    name: &Path,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<Telemetry, IngestError> {
    let mut out = Telemetry::default();
    match encoding {
        OtlpEncoding::Protobuf => read_protobuf(signal, name, bytes, options, &mut out)?,
        OtlpEncoding::Json => read_json(name, bytes, options, &mut out)?,
    }
    // JSON names what it holds, and whoever keeps the message keeps it as of this signal only.
    let others = [
        (OtlpSignal::Traces, !out.spans.is_empty()),
        (OtlpSignal::Metrics, out.otlp_metrics.len() > 0 || !out.raw_series.is_empty()),
        (OtlpSignal::Logs, !out.logs.is_empty()),
    ];
    if let Some((other, _)) = others.into_iter().find(|(other, is_there)| *is_there && *other != signal) {
        let (takes, holds) = (signal.name(), other.name());
        let problem =
            format_args!("only {takes} are taken here, and this message holds {holds}; send it where {holds} are");
        return Err(IngestError::malformed(name, "the message", problem));
    }
    Ok(out)
}

fn read_protobuf(
    signal: OtlpSignal,
    path: &Path,
    bytes: &[u8],
    options: &ReadOptions,
    out: &mut Telemetry,
) -> Result<(), IngestError> {
    let place = Place::whole(path, bytes, options.sampling_attribute.as_deref());
    let source: Arc<str> = Arc::from(path.to_string_lossy());
    let broken = |Broken { at, problem }: Broken<'_>| {
        IngestError::malformed(path, place.of(at), format_args!("broken protobuf: {problem}"))
    };
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next().map_err(broken)? {
        if let (RESOURCES, Value::Bytes(entry)) = (number, value) {
            read_entry(signal.kind(), entry, false, place, &source, out);
        }
    }
    Ok(())
}

fn read_json(path: &Path, bytes: &[u8], options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    // The decoder keeps what stands before a mistake, so mistakes are looked for first.
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        IngestError::malformed(path, place, format_args!("not valid JSON: {error}"))
    })?;
    let (text, _) = super::text::decode(bytes);
    let sampling_attribute = options.sampling_attribute.as_deref();
    otlp_json::decode(&Source { path, text: &text, line: None, sampling_attribute }, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a request";

    fn read(encoding: OtlpEncoding, bytes: &[u8]) -> Result<Telemetry, String> {
        let options = ReadOptions::default();
        read_otlp(OtlpSignal::Traces, encoding, Path::new(NAME), bytes, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        assert!(read(OtlpEncoding::Protobuf, b"").is_ok_and(|read| read.spans.is_empty() && read.skipped == 0));
        let error = read(OtlpEncoding::Protobuf, b"\x0a\x7fabc").expect_err("cut off");
        assert!(error.starts_with("a request, byte "), "{error}");
        let error = read(OtlpEncoding::Json, b"{\"resourceSpans\": [").expect_err("cut off");
        assert!(error.contains("line 1, column 19"), "{error}");
    }

    #[test]
    fn a_message_of_another_signal_is_refused() {
        let at = r#""timeUnixNano":"1772445600000000000""#;
        let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]}"#;
        let logs = format!(
            r#"{{"resourceLogs":[{{{resource},"scopeLogs":[{{"logRecords":[{{{at},"body":{{"stringValue":"a"}}}}]}}]}}]}}"#
        );
        let metrics = format!(
            r#"{{"resourceMetrics":[{{{resource},"scopeMetrics":[{{"metrics":[{{"name":"a","gauge":{{"dataPoints":[{{{at},"asDouble":1}}]}}}}]}}]}}]}}"#
        );
        let taken = |signal, message: &str| {
            read_otlp(signal, OtlpEncoding::Json, Path::new(NAME), message.as_bytes(), &ReadOptions::default()).is_ok()
        };
        assert!(taken(OtlpSignal::Logs, &logs) && taken(OtlpSignal::Metrics, &metrics));
        for (message, holds) in [(&logs, "logs"), (&metrics, "metrics")] {
            let error = read(OtlpEncoding::Json, message.as_bytes()).expect_err("no traces");
            assert!(error.contains(&format!("only traces are taken here, and this message holds {holds}")), "{error}");
        }
    }

    #[test]
    fn a_span_that_makes_no_sense_is_counted_beside_those_that_do() {
        let span = |trace: &str| {
            format!(
                r#"{{"traceId":"{trace}","spanId":"0102030405060708","name":"a","startTimeUnixNano":"1772445600000000000","endTimeUnixNano":"1772445600000000001"}}"#
            )
        };
        let spans = [span("0af7651916cd43dd8448eb211c80319c"), span("none")].join(",");
        let message = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        let read = read(OtlpEncoding::Json, message.as_bytes()).expect("a message");
        assert_eq!((read.spans.len(), read.skipped), (1, 1));
    }
}
