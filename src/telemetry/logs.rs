//! Log records as read, and what remains of millions of them: counts by service, template and time bin.

use std::borrow::Cow;

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
/// and millions of records have few distinct masked messages. Where they have many all the same, all messages are
/// shortened to so many words that few are left, which depends on the set of messages alone.
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
    /// Index into [`LEADING_WORDS`].
    shortening: usize,
    /// By key into `messages`: whether messages were shortened to this one.
    is_shortened: Vec<bool>,
}

/// Distinct messages kept at most: at 400 bytes each, 40 MB.
const MAX_MESSAGES: usize = 100_000;

/// Words of a message that are kept, one step after the other, until there are few enough distinct messages.
const LEADING_WORDS: [usize; 9] = [usize::MAX, 16, 8, 6, 4, 3, 2, 1, 0];

/// The leading words of a message and `<*>` for the rest. To shorten to ten words and then to five is to shorten to five.
fn shortened(message: &str, words: usize) -> Cow<'_, str> {
    let mut ends = message.match_indices(' ').map(|(at, _)| at);
    match (words, words.checked_sub(1).and_then(|skipped| ends.nth(skipped))) {
        (0, _) => Cow::Borrowed("<*>"),
        (_, Some(end)) => Cow::Owned(format!("{} <*>", message.get(..end).unwrap_or_default())),
        (_, None) => Cow::Borrowed(message),
    }
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
        let message = self.message_key(record.message, false);
        self.at_ns.push(record.at_ns);
        self.service.push(record.service.0);
        self.message.push(message);
        self.severity.push(record.severity);
        self.trace.push(record.trace.map_or(0, |trace| trace.0));
        self.bound(MAX_MESSAGES);
    }

    /// The words that messages were shortened to because there were too many distinct ones, and the number of records
    /// that have one so shortened; `None` where all are whole.
    pub fn shortened(&self) -> Option<(usize, u64)> {
        let cut = |key: &&u32| self.is_shortened.get(**key as usize).copied().unwrap_or_default();
        let records = self.message.iter().filter(cut).count() as u64;
        (records > 0).then(|| (LEADING_WORDS[self.shortening], records))
    }

    fn message_key(&mut self, message: &str, was_shortened: bool) -> u32 {
        let text = shortened(message, LEADING_WORDS[self.shortening]);
        let is_shortened = was_shortened || text.len() != message.len() || *text != *message;
        let key = self.messages.key(&text);
        let place = key as usize;
        if place == self.is_shortened.len() {
            self.is_shortened.push(is_shortened);
        } else {
            self.is_shortened[place] |= is_shortened;
        }
        key
    }

    /// Shortens messages step by step until there are no more than `most` distinct ones.
    fn bound(&mut self, most: usize) {
        while self.messages.values.len() > most && self.shortening + 1 < LEADING_WORDS.len() {
            self.shorten_to(self.shortening + 1);
        }
    }

    fn shorten_to(&mut self, step: usize) {
        if step <= self.shortening {
            return;
        }
        self.shortening = step;
        let messages = std::mem::take(&mut self.messages);
        let were_shortened = std::mem::take(&mut self.is_shortened);
        let known = messages.values.iter().zip(were_shortened);
        let keys: Vec<u32> = known.map(|(message, cut)| self.message_key(message, cut)).collect();
        self.message.iter_mut().for_each(|key| *key = keys[*key as usize]);
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
        // Those of both are to be equally short before they are compared.
        let level = self.shortening.max(other.shortening);
        self.shorten_to(level);
        let known = other.messages.values.iter().zip(&other.is_shortened);
        let messages: Vec<u32> = known.map(|(text, cut)| self.message_key(text, *cut)).collect();
        self.at_ns.append(&mut other.at_ns);
        self.service.extend(other.service.iter().map(|key| services[*key as usize]));
        self.message.extend(other.message.iter().map(|key| messages[*key as usize]));
        self.severity.append(&mut other.severity);
        self.trace.append(&mut other.trace);
        self.bound(MAX_MESSAGES);
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

/// What one trace adds to the sum of the transitions from one of its messages.
pub const WHOLE_TRACE: u64 = 1_000_000;

/// How often a message of a service was followed by another in the same trace.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct LogTransition {
    /// Index into [`LogStats::services`].
    pub service: u32,
    /// Index into [`LogStats::templates`] and severity of the message.
    pub from: (u32, Severity),
    /// The same of the service's next message in the trace; `None` where it is the last.
    pub to: Option<(u32, Severity)>,
    /// Time bin of the first such message in the trace.
    pub bin: i64,
    /// Sum over traces of the share of what followed the message there, in millionths: all that followed in one trace
    /// adds up to [`WHOLE_TRACE`].
    pub millionths: u64,
}

/// What remains of the logs. Rows and transitions are sorted.
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
    /// What followed what, of records that name their trace; sorted.
    pub transitions: Vec<LogTransition>,
}

impl LogStats {
    /// Statistics of no logs.
    pub fn empty(grid: Grid) -> Self {
        Self { grid, services: Vec::new(), templates: Vec::new(), rows: Vec::new(), transitions: Vec::new() }
    }

    /// Gives each service another name, by its place in `services`; rows of services that become one are joined.
    pub(crate) fn rename_services(&mut self, names: &[ServiceId]) {
        if names == self.services.as_slice() {
            return;
        }
        let mut services: Vec<ServiceId> = names.to_vec();
        services.sort();
        services.dedup();
        let renamed = |service: u32| {
            let name = names.get(service as usize);
            let place = name.and_then(|name| services.binary_search(name).ok()).unwrap_or_default();
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        self.rows.iter_mut().for_each(|row| row.service = renamed(row.service));
        self.transitions.iter_mut().for_each(|transition| transition.service = renamed(transition.service));
        self.services = services;
        self.transitions.sort();
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

    /// A table with these messages, in tables of `size` that are then joined.
    fn in_tables(messages: &[String], size: usize, most: usize) -> LogTable {
        let mut all = LogTable::default();
        for part in messages.chunks(size) {
            let mut table = LogTable::default();
            let service = table.service_key("a");
            for message in part {
                let severity = Severity::Info;
                table.push(&LogRecord { at_ns: 1, service, severity, message, trace: None });
                table.bound(most);
            }
            all.append(table);
            all.bound(most);
        }
        all
    }

    #[test]
    fn too_many_messages_are_shortened_whatever_their_order() {
        let letters =
            |i: usize| [b'a' + (i / 26) as u8, b'a' + (i % 26) as u8].map(char::from).iter().collect::<String>();
        let mut messages: Vec<String> = (0..300)
            .map(|i| {
                format!("user {} paid {} in the {} shop today it said", letters(i % 12), letters(i), letters(i % 7))
            })
            .collect();
        messages.push("no route".to_owned());
        let told = |table: &LogTable| {
            let mut messages: Vec<&str> = table.message.iter().map(|key| &*table.messages()[*key as usize]).collect();
            messages.sort_unstable();
            let distinct = messages.iter().collect::<std::collections::BTreeSet<_>>().len();
            (messages.join("\n"), distinct, table.shortened())
        };
        let expected = told(&in_tables(&messages, 1000, 50));
        // Of 4 words and more there are as many as of all; of 3 (`user aa paid <*>`) there are 12, and `no route` is whole.
        assert_eq!((expected.1, expected.2), (13, Some((3, 300))));
        assert!(expected.0.contains("user ab paid <*>\n") && expected.0.starts_with("no route\n"));
        for size in [1, 7, 299] {
            messages.rotate_left(size);
            messages.reverse();
            assert_eq!(told(&in_tables(&messages, size, 50)), expected, "{size}");
        }
        assert_eq!(told(&in_tables(&messages, 1000, 301)).2, None);
        assert_eq!(told(&in_tables(&messages, 10, 1)).0.lines().next(), Some("<*>"));
        for (message, words, short) in [("a b c", 3, "a b c"), ("a b c", 2, "a b <*>"), ("a", 1, "a"), ("a", 0, "<*>")]
        {
            assert_eq!(shortened(message, words), short);
        }
    }

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
            transitions: Vec::new(),
        };
        stats.rename_services(&["n/a".into(), "n/a".into()]);
        assert_eq!(stats.services, [ServiceId::new("n/a")]);
        assert_eq!(stats.rows, [row(0, 1, 5, 9), row(0, 2, 1, 5)]);
    }
}
