//! Formats of traces.

use crate::simulate::observe::ObservedSpans;
use crate::simulate::recording::Recording;
use crate::simulate::system::System;

use super::{CaseFile, jaeger_json, otlp_json, otlp_protobuf, parquet};

/// A format of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TraceFormat {
    /// OTLP JSON, a message a line, compressed with zstd: `traces.jsonl.zst`.
    #[default]
    OtlpJson,
    /// OTLP in protobuf, messages with their length before them, compressed with zstd: `traces.pb.zst`.
    OtlpProtobuf,
    /// Jaeger's JSON of its download, compressed with zstd: `traces.json.zst`. Times are whole microseconds.
    JaegerJson,
    /// A table with the columns of the OpenTelemetry exporter for ClickHouse: `traces.parquet`.
    Parquet,
}

impl TraceFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::OtlpJson, Self::OtlpProtobuf, Self::JaegerJson, Self::Parquet];

    /// Its name for people and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpJson => "otlp-json",
            Self::OtlpProtobuf => "otlp-protobuf",
            Self::JaegerJson => "jaeger-json",
            Self::Parquet => "parquet",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The spans that were observed, as a file of a case folder. A pure function: the same bytes on every machine.
pub fn traces(format: TraceFormat, system: &System, recording: &Recording, observed: &ObservedSpans) -> CaseFile {
    match format {
        TraceFormat::OtlpJson => otlp_json::write(system, recording, observed),
        TraceFormat::OtlpProtobuf => otlp_protobuf::write(system, recording, observed),
        TraceFormat::JaegerJson => jaeger_json::write(system, recording, observed),
        TraceFormat::Parquet => parquet::write(system, recording, observed),
    }
}
