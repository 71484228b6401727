//! Formats of traces.

use crate::simulate::observe::ObservedSpans;
use crate::simulate::recording::Recording;
use crate::simulate::system::System;

use super::{CaseFile, otlp_json};

/// A format of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TraceFormat {
    /// OTLP JSON, a message a line, compressed with zstd: `traces.jsonl.zst`.
    #[default]
    OtlpJson,
}

impl TraceFormat {
    /// All formats.
    pub const ALL: [Self; 1] = [Self::OtlpJson];

    /// Its name for people and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpJson => "otlp-json",
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
    }
}
