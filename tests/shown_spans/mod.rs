//! Spans and warnings as lines of text, for tests of what was read.

use hypocenter::ingest::Telemetry;
use hypocenter::telemetry::span::SpanTable;

/// `trace/span<parent service [instance version] operation kind status start+duration → peer`, a line for each span.
pub(crate) fn spans(table: &SpanTable) -> Vec<String> {
    let line = |row| {
        let span = table.get(row);
        let resource = &table.resources()[span.resource.0 as usize];
        let mut line = format!(
            "{:x}/{:x}<{:x} {} [{} {}] {} {:?} {:?} {}+{}",
            span.trace.0,
            span.id.0,
            span.parent.map_or(0, |p| p.0),
            resource.service,
            resource.instance,
            resource.version,
            table.operations()[span.operation.0 as usize],
            span.kind,
            span.status,
            span.start_ns,
            span.duration_ns,
        );
        if let Some(peer) = span.peer {
            let peer = &table.peers()[peer.0 as usize];
            line.push_str(&format!(" → {} {:?}", peer.name, peer.kind));
        }
        line
    };
    (0..table.len()).map(line).collect()
}

/// Warnings without the folder of their file.
pub(crate) fn warnings(telemetry: &Telemetry) -> Vec<String> {
    let short = |w: &hypocenter::telemetry::warning::Warning| {
        let text = w.to_string();
        text.rsplit_once("fixtures/traces/").map_or(text.clone(), |(_, rest)| rest.to_owned())
    };
    telemetry.warnings.iter().map(short).collect()
}
