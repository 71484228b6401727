//! OTLP in protobuf: one message, or messages with a length before each, as the collector's file exporter writes them.

use super::{Head, IngestError, Input, ReadOptions, Telemetry};

pub(crate) fn sniff(_head: &Head<'_>) -> bool {
    false
}

pub(crate) fn read(_input: Input<'_>, _options: &ReadOptions, _out: &mut Telemetry) -> Result<(), IngestError> {
    Ok(())
}
