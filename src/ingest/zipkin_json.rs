//! Zipkin's version 2 JSON.

use super::{Head, IngestError, Input, ReadOptions, Telemetry};

pub(crate) fn sniff(_head: &Head<'_>) -> bool {
    false
}

pub(crate) fn read(_input: Input<'_>, _options: &ReadOptions, _out: &mut Telemetry) -> Result<(), IngestError> {
    Ok(())
}
