//! A list of changes (deploys, settings, flags) in JSON.

use super::{Head, IngestError, Input, ReadOptions, Telemetry};

pub(crate) fn sniff_json(_head: &Head<'_>) -> bool {
    false
}

pub(crate) fn read_json(_input: Input<'_>, _options: &ReadOptions, _out: &mut Telemetry) -> Result<(), IngestError> {
    Ok(())
}

pub(crate) fn sniff_csv(_head: &Head<'_>) -> bool {
    false
}

pub(crate) fn read_csv(_input: Input<'_>, _options: &ReadOptions, _out: &mut Telemetry) -> Result<(), IngestError> {
    Ok(())
}
