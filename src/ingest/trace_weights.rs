//! How many traces each trace of a sample stands for, as a table beside the traces: `trace_id,stands_for`.
//!
//! Whoever samples traces by asking for them (errors all, the rest by slices of time) knows the weights, and the traces
//! themselves say nothing of them. The weights hold for the traces of all files that are read together, whichever file
//! comes first, so [`apply`] puts them on the spans when all are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::csv_table::{self, CsvTable};
use super::sampling::Said;
use super::{Head, IngestError, Input, ReadOptions, Telemetry};
use crate::telemetry::id::TraceId;

const HEADER: [&str; 2] = ["trace_id", "stands_for"];

/// Exactly the two columns.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    csv_table::header(head) == HEADER
}

/// Reads all rows.
pub(crate) fn read(input: Input<'_>, _options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let Some(mut table) = CsvTable::open(input)? else { return Ok(()) };
    while let Some((line, record)) = table.next()? {
        let cell = |at: usize| record.get(at).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
        let Some(trace) = cell(0).and_then(TraceId::from_hex) else {
            out.skip(path, format_args!("line {line}, field `trace_id`"), BAD_TRACE);
            continue;
        };
        match cell(1).and_then(|text| text.parse::<f64>().ok()).filter(|weight| weight.is_finite() && *weight >= 1.0) {
            Some(weight) => {
                out.stands_for.insert(trace, weight);
            }
            None => out.skip(path, format_args!("line {line}, field `stands_for`"), BAD_WEIGHT),
        }
    }
    Ok(())
}

const BAD_TRACE: &str = "a trace id has 1 to 32 hexadecimal digits; the row is skipped";
const BAD_WEIGHT: &str = "a trace stands for at least itself: a number from 1 on is wanted; the row is skipped";
const NO_TRACE: &str = "weights of traces that were not read";

/// Multiplies the weights into those that the spans have, and forgets them.
pub(super) fn apply(telemetry: &mut Telemetry) {
    let weights: BTreeMap<TraceId, f64> = std::mem::take(&mut telemetry.stands_for);
    // A census has nothing to weigh: without a column of weights it is what it would be without this table.
    if weights.values().all(|weight| *weight <= 1.0) {
        return;
    }
    let mut met = BTreeSet::new();
    let mut odd = 0;
    for row in 0..telemetry.spans.len() {
        let trace = TraceId(telemetry.spans.trace[row]);
        let Some(stands_for) = weights.get(&trace) else { continue };
        met.insert(trace);
        let own = telemetry.spans.weight.get(row).copied().unwrap_or(0).max(1);
        let (weight, message) = Said::AdjustedCount(stands_for * f64::from(own)).weight(trace);
        odd += u64::from(message.is_some());
        telemetry.spans.set_weight(row, weight);
    }
    let unmet = (weights.len() - met.len()) as u64;
    for (message, affected) in [(NO_TRACE, unmet), (super::sampling::TOO_GREAT, odd)] {
        if affected > 0 {
            telemetry.warn(Path::new("traces"), "", message, affected);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{Format, finish, read_bytes, read_parts};

    #[test]
    fn weights_reach_the_spans_whichever_file_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let spans = "trace_id,span_id,parent_id,service,start_us,duration_us\n1,2,,cart,1772445600000000,5\n\
                     1,3,2,db,1772445600000001,2\n2,4,,cart,1772445600000000,5\n";
        std::fs::write(folder.path().join("spans.csv"), spans).unwrap();
        for name in ["a.csv", "z.csv"] {
            std::fs::write(folder.path().join(name), "trace_id,stands_for\n01,8\n2,1\n3,2\nx,2\n1,0.5\n").unwrap();
            let paths = [folder.path().to_owned()];
            let mut telemetry = read_parts(&paths, &ReadOptions::default(), &|_| {}).unwrap();
            finish(&mut telemetry, &ReadOptions::default());
            assert_eq!(telemetry.spans.weight, [8, 8, 1], "{name}");
            assert_eq!(telemetry.skipped, 2);
            assert!(telemetry.warnings.iter().any(|w| w.message == NO_TRACE && w.affected == 1));
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }

    #[test]
    fn a_census_weighs_nothing() {
        let read = read_bytes(Path::new("w.csv"), b"trace_id,stands_for\n1,1\n", &ReadOptions::default()).unwrap();
        assert_eq!(read.files[0].format, Format::TraceWeights);
        assert!(read.spans.weight.is_empty() && read.warnings.is_empty(), "{:?}", read.warnings);
    }
}
