//! Call graphs as tables: an adjacency matrix whose row calls its column, or a list of edges.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::text::csv_reader;
use super::{Head, IngestError, Input, ReadOptions, Telemetry};
use crate::telemetry::id::ServiceId;
use crate::telemetry::topology::{EdgeMode, GivenEdge, NodeKind};

/// Headers of a list of edges: caller, then callee.
const EDGE_HEADERS: &[(&str, &str)] =
    &[("source", "target"), ("caller", "callee"), ("parent", "child"), ("from", "to"), ("client", "server")];

/// Words in the name of a node that calls nobody, and what it then is. The first word found counts.
const KINDS: &[(&str, NodeKind)] = &[
    ("dynamodb", NodeKind::Database),
    ("database", NodeKind::Database),
    ("sql", NodeKind::Database),
    ("postgres", NodeKind::Database),
    ("mongo", NodeKind::Database),
    ("redis", NodeKind::Database),
    ("memcached", NodeKind::Database),
    ("cassandra", NodeKind::Database),
    ("::rds", NodeKind::Database),
    ("sqs", NodeKind::Queue),
    ("queue", NodeKind::Queue),
    ("kafka", NodeKind::Queue),
    ("rabbitmq", NodeKind::Queue),
    ("_remote", NodeKind::External),
];

/// Whether the table is a square of numbers under its own row names, or begins like a list of edges.
pub(crate) fn sniff(head: &Head<'_>) -> bool {
    let mut reader = csv_reader(head.bytes);
    let mut records = reader.records();
    let Some(Ok(header)) = records.next() else { return false };
    if edge_columns(&header).is_some() {
        return true;
    }
    let names: BTreeSet<&str> = header.iter().skip(1).map(str::trim).collect();
    let first_is_blank =
        header.get(0).is_some_and(|c| matches!(c.trim().to_lowercase().as_str(), "" | "node" | "service"));
    if names.len() < 2 || !first_is_blank {
        return false;
    }
    match records.next() {
        Some(Ok(row)) => {
            row.len() == header.len()
                && row.get(0).is_some_and(|name| names.contains(name.trim()))
                && row.iter().skip(1).all(|cell| cell.trim().is_empty() || cell.trim().parse::<f64>().is_ok())
        }
        _ => false,
    }
}

fn edge_columns(header: &csv::StringRecord) -> Option<(usize, usize)> {
    let position = |wanted: &str| header.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    // A list of edges has little beside them; a table of spans or series with such a column has a time.
    if header.len() > 4 || ["time", "timestamp", "start_time"].iter().any(|name| position(name).is_some()) {
        return None;
    }
    EDGE_HEADERS.iter().find_map(|(from, to)| Some((position(from)?, position(to)?)))
}

/// Reads the edges.
pub(crate) fn read(input: Input<'_>, options: &ReadOptions, out: &mut Telemetry) -> Result<(), IngestError> {
    let path = input.path;
    let mut reader = csv_reader(std::io::Read::take(input.bytes, options.max_file_bytes));
    let mut header: Option<csv::StringRecord> = None;
    let mut edges: Vec<(String, String)> = Vec::new();
    let mut record = csv::ByteRecord::new();
    let result = loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(IngestError::malformed(path, "", format!("not a CSV table: {error}"))),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let Ok(row) = csv::StringRecord::from_byte_record(record.clone()) else {
            out.skip(path, format_args!("line {line}"), "not valid UTF-8");
            continue;
        };
        match &header {
            None => header = Some(row),
            Some(header) if row.len() != header.len() => {
                let problem = "the row has another number of cells than the header (a torn or misquoted line)";
                out.skip(path, format_args!("line {line}"), problem);
            }
            Some(header) => match edge_columns(header) {
                Some((from, to)) => listed_edge(&row, from, to, line, path, &mut edges, out),
                None => matrix_row(header, &row, line, path, &mut edges, out),
            },
        }
    };
    if header.is_none_or(|header| header.len() < 2) {
        let problem = "expected an adjacency matrix (first row and column: names) or columns `source,target`";
        return Err(IngestError::malformed(path, "line 1", problem));
    }
    out.given_edges.extend(with_kinds(&edges));
    result
}

fn listed_edge(
    row: &csv::StringRecord,
    from: usize,
    to: usize,
    line: u64,
    path: &Path,
    edges: &mut Vec<(String, String)>,
    out: &mut Telemetry,
) {
    let cell = |index: usize| row.get(index).map(str::trim).filter(|name| !name.is_empty());
    match (cell(from), cell(to)) {
        (Some(caller), Some(callee)) => edges.push((caller.to_owned(), callee.to_owned())),
        _ => out.skip(path, format_args!("line {line}"), "an edge without the name of its caller or callee"),
    }
}

fn matrix_row(
    header: &csv::StringRecord,
    row: &csv::StringRecord,
    line: u64,
    path: &Path,
    edges: &mut Vec<(String, String)>,
    out: &mut Telemetry,
) {
    let mut cells = header.iter().zip(row.iter());
    let Some((_, caller)) = cells.next() else { return };
    for (callee, cell) in cells {
        let (callee, cell) = (callee.trim(), cell.trim());
        if cell.is_empty() {
            continue;
        }
        match cell.parse::<f64>() {
            Ok(weight) if weight > 0.0 => edges.push((caller.trim().to_owned(), callee.to_owned())),
            Ok(_) => {}
            Err(_) => {
                out.skip(path, format_args!("line {line}, column `{callee}`"), "the cell is not a number (0 or 1)");
            }
        }
    }
}

/// The edges with what their callees are: a node that calls others is a service whatever its name says.
fn with_kinds(edges: &[(String, String)]) -> Vec<GivenEdge> {
    let callers: BTreeSet<&str> = edges.iter().map(|(caller, _)| caller.as_str()).collect();
    edges
        .iter()
        .map(|(caller, callee)| {
            let name = callee.to_lowercase();
            let word = KINDS.iter().find(|(word, _)| name.contains(word)).map(|(_, kind)| *kind);
            let callee_kind = match word {
                _ if callers.contains(callee.as_str()) => NodeKind::Service,
                Some(kind) => kind,
                // Nobody who emits telemetry is known by a bare address.
                None if callee.parse::<IpAddr>().is_ok() => NodeKind::External,
                None => NodeKind::Service,
            };
            let mode = if callee_kind == NodeKind::Queue { EdgeMode::Async } else { EdgeMode::Sync };
            GivenEdge { caller: ServiceId::new(caller), callee: ServiceId::new(callee), callee_kind, mode }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_tells_the_kind_of_a_node_that_calls_nobody() {
        for (word, kind) in KINDS {
            let edges = [("web".to_owned(), format!("x_{word}_y"))];
            assert_eq!(with_kinds(&edges)[0].callee_kind, *kind, "{word}");
            let calling = [edges[0].clone(), (edges[0].1.clone(), "other".to_owned())];
            assert_eq!(with_kinds(&calling)[0].callee_kind, NodeKind::Service, "{word}");
        }
        let edges = [("web".to_owned(), "Services-sqspetadoption_AWS::SQS::Queue".to_owned())];
        assert_eq!(with_kinds(&edges)[0].mode, EdgeMode::Async);
        assert_eq!(with_kinds(&[("web".to_owned(), "33.33.33.76".to_owned())])[0].callee_kind, NodeKind::External);
    }
}
