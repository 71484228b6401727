//! Logs become small: counts by service, template, severity and time bin.
//!
//! Templates are mined for each service by itself, over its distinct messages in sorted order: neither the order of the
//! files nor how often a message came can change them. Messages that name their line of code are then told apart by it
//! (`statements`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use rayon::prelude::*;

use super::log_transitions;
use super::statements::{self, Seen};
use super::templates::{Parameters, mine};
use crate::telemetry::id::{ServiceId, TraceId};
use crate::telemetry::logs::{LogRow, LogStats, LogTable, Severity};
use crate::telemetry::time::Grid;

/// Sums of one row, and the smallest trace id.
type Sums = (u64, Option<u128>);

/// Condenses records into counts on the grid.
pub fn log_stats(logs: &LogTable, grid: &Grid) -> LogStats {
    let mut records: Vec<(u32, u32, i64)> =
        (0..logs.len()).map(|at| (logs.service[at], logs.message[at], logs.at_ns[at])).collect();
    records.par_sort_unstable();
    let mut by_service: BTreeMap<u32, Vec<(u32, Seen)>> = BTreeMap::new();
    for same in records.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let (service, message, first) = same[0];
        let last = same.last().map_or(first, |record| record.2);
        by_service.entry(service).or_default().push((message, (first, last)));
    }
    drop(records);
    let by_service: Vec<(u32, Vec<(u32, Seen)>)> = by_service.into_iter().collect();
    let mined: Vec<Mined> = by_service.par_iter().map(|(_, messages)| Mined::of(messages, logs.messages())).collect();

    let mut services: Vec<ServiceId> =
        by_service.iter().map(|(service, _)| ServiceId::new(&logs.services()[*service as usize])).collect();
    services.sort();
    services.dedup();
    let mut templates: Vec<String> = mined.iter().flat_map(|m| m.templates.iter().cloned()).collect();
    templates.par_sort_unstable();
    templates.dedup();

    // Ranks of names, so that rows sort as their texts do.
    let mut template_of: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let mut service_of: BTreeMap<u32, u32> = BTreeMap::new();
    for ((service, messages), mined) in by_service.iter().zip(&mined) {
        let name = ServiceId::new(&logs.services()[*service as usize]);
        service_of.insert(*service, rank(services.binary_search(&name)));
        let ranks: Vec<u32> = mined.templates.iter().map(|t| rank(templates.binary_search(t))).collect();
        for ((message, _), group) in messages.iter().zip(&mined.groups) {
            template_of.insert((*service, *message), ranks[*group as usize]);
        }
    }

    let place = |record: usize| {
        let (service, message) = (logs.service[record], logs.message[record]);
        let template = template_of.get(&(service, message)).copied().unwrap_or_default();
        (service_of.get(&service).copied().unwrap_or_default(), template)
    };
    let mut sums: BTreeMap<(u32, u32, Severity, i64), Sums> = BTreeMap::new();
    for record in 0..logs.len() {
        let (service, template) = place(record);
        let key = (service, template, logs.severity[record], grid.bin(logs.at_ns[record]));
        let (records, trace) = sums.entry(key).or_default();
        *records += 1;
        if logs.trace[record] != 0 {
            *trace = Some(trace.map_or(logs.trace[record], |known| known.min(logs.trace[record])));
        }
    }
    let row = |((service, template, severity, bin), (records, trace)): (_, Sums)| LogRow {
        service,
        template,
        severity,
        bin,
        records,
        trace: trace.map(TraceId),
    };
    let transitions = log_transitions::transitions(logs, grid, place);
    LogStats { grid: *grid, services, templates, rows: sums.into_iter().map(row).collect(), transitions }
}

fn rank(found: Result<usize, usize>) -> u32 {
    let position = found.expect("every name is in the sorted list that was made of all names");
    u32::try_from(position).expect("fewer than four billion names fit in memory")
}

/// Templates of one service, and the template of each of its messages.
struct Mined {
    templates: Vec<String>,
    /// In the order of the messages as they were given.
    groups: Vec<u32>,
}

impl Mined {
    fn of(messages: &[(u32, Seen)], texts: &[String]) -> Self {
        let text = |at: usize| texts[messages[at].0 as usize].as_str();
        let mut order: Vec<(Cow<'_, str>, usize)> = (0..messages.len())
            .map(|at| (statements::without_line(text(at)).map_or(Cow::Borrowed(text(at)), Cow::Owned), at))
            .collect();
        order.sort_unstable_by(|a, b| (&a.0, text(a.1)).cmp(&(&b.0, text(b.1))));
        let sorted: Vec<&str> = order.iter().map(|(text, _)| text.as_ref()).collect();
        let (mut templates, mut sorted_groups) = mine(&sorted, &Parameters::default());
        let whole: Vec<&str> = order.iter().map(|(_, at)| text(*at)).collect();
        let seen: Vec<Seen> = order.iter().map(|(_, at)| messages[*at].1).collect();
        statements::split(&whole, &seen, &mut templates, &mut sorted_groups);
        let mut groups = vec![0; messages.len()];
        for ((_, at), group) in order.into_iter().zip(sorted_groups) {
            groups[at] = group;
        }
        Self { templates, groups }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::LogRecord;

    fn table(records: &[(i64, &str, Severity, &str, u128)]) -> LogTable {
        let mut logs = LogTable::default();
        for (at_ns, service, severity, message, trace) in records {
            let service = logs.service_key(service);
            let trace = (*trace != 0).then_some(TraceId(*trace));
            logs.push(&LogRecord { at_ns: *at_ns, service, severity: *severity, message, trace });
        }
        logs
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn records_are_counted_by_template_severity_and_bin() {
        let records = [
            (SECOND, "b", Severity::Info, "user ann logged in", 9),
            (SECOND + 5, "b", Severity::Info, "user bob logged in", 7),
            (2 * SECOND, "b", Severity::Error, "user bob logged in", 0),
            (SECOND, "a", Severity::Info, "user bob logged in", 0),
        ];
        let stats = log_stats(&table(&records), &Grid::new(SECOND));
        assert_eq!(stats.services, [ServiceId::new("a"), ServiceId::new("b")]);
        // One message alone has no variants, so that the template of `a` has no wildcard.
        assert_eq!(stats.templates, ["user <*> logged in", "user bob logged in"]);
        let row = |service, template, severity, bin, records, trace: Option<u128>| LogRow {
            service,
            template,
            severity,
            bin,
            records,
            trace: trace.map(TraceId),
        };
        let expected = [
            row(0, 1, Severity::Info, 1, 1, None),
            row(1, 0, Severity::Info, 1, 2, Some(7)),
            row(1, 0, Severity::Error, 2, 1, None),
        ];
        assert_eq!(stats.rows, expected);
    }

    #[test]
    fn the_order_of_records_and_tables_does_not_matter() {
        let records: Vec<(i64, &str, Severity, &str, u128)> = (0..60)
            .map(|i| {
                let messages =
                    ["cart is full", "cart is empty", "no route to host", "cart was lost", "timeout in call"];
                let service = ["x", "y", "z"][i % 3];
                (i as i64 * SECOND / 7, service, Severity::Info, messages[i * 7 % 5], i as u128 % 11)
            })
            .collect();
        let grid = Grid::new(SECOND);
        let expected = log_stats(&table(&records), &grid);
        let mut backwards = records.clone();
        backwards.reverse();
        assert_eq!(log_stats(&table(&backwards), &grid), expected);
        let (first, second) = records.split_at(23);
        let mut joined = table(second);
        joined.append(table(first));
        assert_eq!(log_stats(&joined, &grid), expected);
        assert_eq!(expected.rows.iter().map(|row| row.records).sum::<u64>(), 60);
    }

    #[test]
    fn what_follows_a_message_is_counted_by_trace() {
        let say = |at, message, trace| (at, "a", Severity::Info, message, trace);
        let records = [
            // Twice round the loop, once collected twice; then out.
            say(SECOND, "take", 1),
            say(SECOND + 1, "pack", 1),
            say(SECOND + 1, "pack", 1),
            say(SECOND + 2, "take", 1),
            say(SECOND + 3, "send", 1),
            say(2 * SECOND, "take", 2),
            say(2 * SECOND + 1, "send", 2),
            // Nobody knows what this belongs to.
            say(2 * SECOND, "tick", 0),
        ];
        let stats = log_stats(&table(&records), &Grid::new(SECOND));
        let name = |state: (u32, Severity)| stats.templates[state.0 as usize].as_str();
        let told: Vec<(&str, Option<&str>, i64, u64)> =
            stats.transitions.iter().map(|t| (name(t.from), t.to.map(name), t.bin, t.millionths)).collect();
        let expected = [
            ("pack", Some("take"), 1, 1_000_000),
            ("send", None, 1, 1_000_000),
            ("send", None, 2, 1_000_000),
            ("take", Some("pack"), 1, 500_000),
            ("take", Some("send"), 1, 500_000),
            ("take", Some("send"), 2, 1_000_000),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn no_records_give_no_statistics() {
        let grid = Grid::new(SECOND);
        assert_eq!(log_stats(&LogTable::default(), &grid), LogStats::empty(grid));
    }
}
