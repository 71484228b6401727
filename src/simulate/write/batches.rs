//! Spans as an exporter sends them: some at a time, by resource and scope.

use crate::simulate::recording::{Recording, SpanRecord};
use crate::simulate::system::System;

use super::shapes::{ShapeIdx, Shapes};

/// Spans of one message.
const MESSAGE_SPANS: usize = 1024;

/// Spans of one message that share resource and scope, with their shapes, in order of their end.
pub(super) type Group<'b> = &'b [(SpanRecord, ShapeIdx)];

/// Hands each message's groups to `write`, in order of instance, then scope. Groups of one instance follow each other.
pub(super) fn each_message<'s>(
    system: &'s System,
    recording: &'s Recording,
    spans: &[SpanRecord],
    mut write: impl FnMut(&Shapes<'s>, &[Group<'_>]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut shapes = Shapes::new(system, recording);
    let mut members: Vec<(SpanRecord, ShapeIdx)> = Vec::with_capacity(MESSAGE_SPANS);
    for message in spans.chunks(MESSAGE_SPANS) {
        members.clear();
        members.extend(message.iter().map(|span| (*span, shapes.of(span))));
        let place = |(span, shape): &(SpanRecord, ShapeIdx)| (span.instance, shapes.all[*shape].scope);
        members.sort_by_key(place);
        let groups: Vec<Group<'_>> = members.chunk_by(|a, b| place(a) == place(b)).collect();
        write(&shapes, &groups)?;
    }
    Ok(())
}
