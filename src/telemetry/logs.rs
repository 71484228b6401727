//! Log records as read, and what remains of millions of them: counts by service, template and time bin.

use rustc_hash::FxHashMap;

use super::id::{ServiceId, TraceId};
use super::time::Grid;

/// How bad a log record is, as its source judged it (OpenTelemetry's ranges of severity numbers).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum Severity {
    /// The source does not tell.
    #[default]
    Unspecified,
    /// 1 to 4.
    Trace,
    /// 5 to 8.
    Debug,
    /// 9 to 12.
    Info,
    /// 13 to 16.
    Warn,
    /// 17 to 20.
    Error,
    /// 21 to 24.
    Fatal,
}

/// Index into [`LogTable::services`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LogServiceKey(pub u32);

/// One log record; its message is masked: what varies from record to record was replaced by `<*>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRecord<'m> {
    /// When, Unix nanoseconds.
    pub at_ns: i64,
    /// Who wrote it: a key of the table that the record is pushed into.
    pub service: LogServiceKey,
    /// How bad.
    pub severity: Severity,
    /// The masked message. Hostile text.
    pub message: &'m str,
    /// The trace that it names.
    pub trace: Option<TraceId>,
}

/// Many log records, column by column, all of one length. A record costs 33 bytes: services and messages are stored once,
/// and millions of records have few distinct masked messages.
#[derive(Clone, Debug, Default)]
pub struct LogTable {
    /// When, Unix nanoseconds.
    pub at_ns: Vec<i64>,
    /// Key into `services`.
    pub service: Vec<u32>,
    /// Key into `messages`.
    pub message: Vec<u32>,
    /// How bad.
    pub severity: Vec<Severity>,
    /// Trace; 0 for none.
    pub trace: Vec<u128>,
    services: Texts,
    messages: Texts,
}

impl LogTable {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.at_ns.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.at_ns.is_empty()
    }

    /// The key of a service, the same for equal names.
    pub fn service_key(&mut self, name: &str) -> LogServiceKey {
        LogServiceKey(self.services.key(name))
    }

    /// All services, by key.
    pub fn services(&self) -> &[String] {
        &self.services.values
    }

    /// All masked messages, by key.
    pub fn messages(&self) -> &[String] {
        &self.messages.values
    }

    /// Adds one record.
    pub fn push(&mut self, record: &LogRecord<'_>) {
        let message = self.messages.key(record.message);
        self.at_ns.push(record.at_ns);
        self.service.push(record.service.0);
        self.message.push(message);
        self.severity.push(record.severity);
        self.trace.push(record.trace.map_or(0, |trace| trace.0));
    }

    /// Gives the records from `first` on their service, which a source may name only after them.
    pub(crate) fn set_service(&mut self, first: usize, service: LogServiceKey) {
        if let Some(records) = self.service.get_mut(first..) {
            records.fill(service.0);
        }
    }

    /// Takes the records from `first` on away again, and says how many they were.
    pub(crate) fn truncate(&mut self, first: usize) -> usize {
        let taken = self.len().saturating_sub(first);
        self.at_ns.truncate(first);
        self.service.truncate(first);
        self.message.truncate(first);
        self.severity.truncate(first);
        self.trace.truncate(first);
        taken
    }

    /// Appends all records of `other`, translating its keys.
    pub fn append(&mut self, mut other: LogTable) {
        if self.is_empty() && self.services.values.is_empty() && self.messages.values.is_empty() {
            *self = other;
            return;
        }
        let services: Vec<u32> = other.services.values.iter().map(|name| self.services.key(name)).collect();
        let messages: Vec<u32> = other.messages.values.iter().map(|text| self.messages.key(text)).collect();
        self.at_ns.append(&mut other.at_ns);
        self.service.extend(other.service.iter().map(|key| services[*key as usize]));
        self.message.extend(other.message.iter().map(|key| messages[*key as usize]));
        self.severity.append(&mut other.severity);
        self.trace.append(&mut other.trace);
    }
}

/// Gives equal texts the same small number, in order of first appearance.
#[derive(Clone, Debug, Default)]
struct Texts {
    values: Vec<String>,
    keys: FxHashMap<String, u32>,
}

impl Texts {
    fn key(&mut self, text: &str) -> u32 {
        if let Some(&key) = self.keys.get(text) {
            return key;
        }
        let key = u32::try_from(self.values.len()).expect("fewer than four billion distinct texts fit in memory");
        self.values.push(text.to_owned());
        self.keys.insert(text.to_owned(), key);
        key
    }
}

/// Records of one service, template and severity in one time bin.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct LogRow {
    /// Index into [`LogStats::services`].
    pub service: u32,
    /// Index into [`LogStats::templates`].
    pub template: u32,
    /// How bad.
    pub severity: Severity,
    /// Time bin.
    pub bin: i64,
    /// Number of records.
    pub records: u64,
    /// A trace that one of them names: the smallest id.
    pub trace: Option<TraceId>,
}

/// What remains of the logs. Rows are sorted.
#[derive(Clone, PartialEq, Debug)]
pub struct LogStats {
    /// Width and alignment of the time bins.
    pub grid: Grid,
    /// Names, sorted.
    pub services: Vec<ServiceId>,
    /// Templates, sorted: messages with `<*>` where they vary. Hostile text.
    pub templates: Vec<String>,
    /// The counts, sorted.
    pub rows: Vec<LogRow>,
}

impl LogStats {
    /// Statistics of no logs.
    pub fn empty(grid: Grid) -> Self {
        Self { grid, services: Vec::new(), templates: Vec::new(), rows: Vec::new() }
    }

    /// Gives each service another name, by its place in `services`; rows of services that become one are joined.
    pub(crate) fn rename_services(&mut self, names: &[ServiceId]) {
        if names == self.services.as_slice() {
            return;
        }
        let mut services: Vec<ServiceId> = names.to_vec();
        services.sort();
        services.dedup();
        for row in &mut self.rows {
            let name = names.get(row.service as usize);
            let place = name.and_then(|name| services.binary_search(name).ok()).unwrap_or_default();
            row.service = u32::try_from(place).unwrap_or(u32::MAX);
        }
        self.services = services;
        self.rows.sort();
        self.rows.dedup_by(|next, kept| {
            let key = |row: &LogRow| (row.service, row.template, row.severity, row.bin);
            let same = key(next) == key(kept);
            if same {
                kept.records += next.records;
                kept.trace = [kept.trace, next.trace].into_iter().flatten().min();
            }
            same
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_become_one_are_counted_together() {
        let row = |service, bin, records, trace: u128| LogRow {
            service,
            template: 0,
            severity: Severity::Info,
            bin,
            records,
            trace: (trace > 0).then_some(TraceId(trace)),
        };
        let mut stats = LogStats {
            grid: Grid::new(1_000_000_000),
            services: vec!["a".into(), "z".into()],
            templates: vec!["t".to_owned()],
            rows: vec![row(0, 1, 2, 0), row(0, 2, 1, 5), row(1, 1, 3, 9)],
        };
        stats.rename_services(&["n/a".into(), "n/a".into()]);
        assert_eq!(stats.services, [ServiceId::new("n/a")]);
        assert_eq!(stats.rows, [row(0, 1, 5, 9), row(0, 2, 1, 5)]);
    }
}
