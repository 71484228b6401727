//! What a file is that no format recognises, as far as its beginning tells, and what to do about it.
//!
//! People point at what lies in a folder: an answer that was a login page, a profile, an archive. "Not recognised" sends
//! them looking; a guess tells them. It is only ever shown, never acted upon.

use std::path::{Path, PathBuf};

use super::IngestError;

/// A file in which no telemetry was recognised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unrecognised {
    /// The file.
    pub path: PathBuf,
    /// Whether the user named it, and not a folder or pattern.
    pub named: bool,
    /// What it seems to be.
    pub guess: Guess,
}

/// What a file seems to be. Both texts are fragments without full stop and may hold words of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guess {
    /// For example `an HTML page (a login page, or a proxy's error)`.
    pub looks_like: String,
    /// For example `fetch it again with credentials`.
    pub advice: String,
}

impl Unrecognised {
    /// From the error that says so; `None` for any other.
    pub(super) fn of(error: IngestError, named: bool) -> Option<Self> {
        let (path, guess) = match error {
            IngestError::Unrecognised { path, guess } => (path, guess),
            IngestError::MissingColumn { path, field, seen } => {
                let looks_like = format!("a table without a column for {field} (columns: {seen})");
                (path, Guess::new(looks_like, "name the column as it is called there, with --span-columns"))
            }
            _ => return None,
        };
        Some(Self { path, named, guess })
    }
}

impl Guess {
    fn new(looks_like: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { looks_like: looks_like.into(), advice: advice.into() }
    }
}

/// Bytes at the beginning of files, what such files are, and what to do.
const SIGNATURES: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04", "a ZIP archive", "unpack it and name the folder"),
    (b"\xfd7zXZ\0", "compressed with xz", UNFOLD),
    (b"BZh", "compressed with bzip2", UNFOLD),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", UNFOLD),
    (b"\xff\x06\0\0sNaPpY", "compressed with Snappy", UNFOLD),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name the folder"),
    (b"SQLite format 3\0", "an SQLite database", "export its tables as CSV"),
    (b"Obj\x01", "an Avro file", PARQUET_OR_CSV),
    (b"ORC", "an ORC file", PARQUET_OR_CSV),
    (b"ARROW1", "an Arrow file", PARQUET_OR_CSV),
    (b"\x89PNG", "a picture", NOT_TELEMETRY),
    (b"\xff\xd8\xff", "a picture", NOT_TELEMETRY),
    (b"GIF8", "a picture", NOT_TELEMETRY),
    (b"%PDF", "a PDF document", NOT_TELEMETRY),
    (b"\x7fELF", "a program", NOT_TELEMETRY),
    (b"\x85\xbd\x40\xdd", "a chunk file of Prometheus' database", PROMTOOL),
    (b"\xba\xaa\xd7\0", "an index file of Prometheus' database", PROMTOOL),
    // The first field of jaeger.thrift's Batch (process, a structure) and its first field (serviceName, a string).
    (b"\x0c\0\x01\x0b\0\x01", "a Jaeger batch in Thrift", THRIFT),
    (b"\x82\x21", "a message in Thrift's compact protocol, as Jaeger's agents took", THRIFT),
    (b"\x82\x81", "a message in Thrift's compact protocol, as Jaeger's agents took", THRIFT),
    (b"\x80\x01\0", "a message in Thrift's binary protocol", THRIFT),
    (b"\xff\xfe", "text in UTF-16", "convert it to UTF-8 (`iconv -f UTF-16 -t UTF-8`)"),
    (b"\xfe\xff", "text in UTF-16", "convert it to UTF-8 (`iconv -f UTF-16 -t UTF-8`)"),
];

const UNFOLD: &str = "unfold it, or compress it with gzip or zstd, which are read";
const PARQUET_OR_CSV: &str = "convert it to Parquet or CSV";
const NOT_TELEMETRY: &str = "leave it out";
const PROMTOOL: &str = "dump the block with `promtool tsdb dump-openmetrics`";
const THRIFT: &str = "get the traces as JSON from Jaeger's /api/traces, or as OTLP through a collector";

/// Guesses from the first bytes (unfolded).
pub(super) fn guess(path: &Path, head: &[u8]) -> Guess {
    if let Some((_, looks_like, advice)) = SIGNATURES.iter().find(|(start, _, _)| head.starts_with(start)) {
        return Guess::new(*looks_like, *advice);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Guess::new("a tar archive", "unpack it and name the folder");
    }
    if is_binary(head) {
        return binary(head);
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match text.chars().next() {
        None => Guess::new("nothing but white space", "see why whoever wrote it had nothing to write"),
        Some('<') => markup(text),
        Some('{' | '[') => json(text),
        Some(_) => lines(path, text),
    }
}

/// Text has no control characters but white space and, in logs, escape.
fn is_binary(head: &[u8]) -> bool {
    let odd = head.iter().filter(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)).count();
    head.contains(&0) || odd * 20 > head.len()
}

fn binary(head: &[u8]) -> Guess {
    let holds = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    if holds(b"nanoseconds") && (holds(b"samples") || holds(b"cpu")) || holds(b"inuse_space") {
        return Guess::new("a profile (pprof)", "profiles are not read; leave it out");
    }
    Guess::new(
        "binary data of an unknown kind",
        "if it is protobuf of OTLP or Prometheus, name the format with --format; else export it as JSON",
    )
}

fn markup(text: &str) -> Guess {
    let start: String = text.chars().take(1000).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.contains("<html") {
        let login = ["login", "sign in", "sign-in", "oauth", "sso"].iter().any(|word| start.contains(word));
        let kind = if login { "a login page" } else { "a login page, or a proxy's error" };
        return Guess::new(
            format!("an HTML page ({kind})"),
            "it came instead of the answer: fetch it again with the right address and credentials",
        );
    }
    Guess::new("XML", "no XML is read; export JSON, CSV or Parquet")
}

/// Keys that JSON of a known kind has near its beginning; all of one row must be there.
const JSON_KINDS: &[(&[&str], &str, &str)] = &[
    (
        &["\"rootServiceName\"", "\"traces\""],
        "the answer of a trace search, which holds no spans",
        "fetch the traces themselves (`/api/v2/traces/<id>` of Tempo)",
    ),
    (
        &["\"callCount\"", "\"parent\""],
        "the answer of Jaeger's /api/dependencies, which holds no spans",
        "fetch /api/traces, or write the calls as a table of callers and callees",
    ),
    (
        &["\"hits\"", "\"_source\""],
        "the answer of an Elasticsearch or OpenSearch search",
        "write its documents one a line: `jq -c '.hits.hits[]._source'`",
    ),
    (&["\"traceEvents\""], "a Chrome trace", "it shows one program from inside; leave it out"),
    (&["\"panels\"", "\"schemaVersion\""], "a Grafana dashboard", NOT_TELEMETRY),
    (&["\"apiVersion\"", "\"kind\""], "a Kubernetes object", NOT_TELEMETRY),
    (&["\"error\""], "an error that some server answered", "read it, mend the request, fetch it again"),
    (&["\"status\"", "\"message\""], "an error that some server answered", "read it, mend the request, fetch it again"),
];

fn json(text: &str) -> Guess {
    let compact: String = text.chars().take(40).filter(|c| !c.is_whitespace()).collect();
    if matches!(compact.as_str(), "{}" | "[]" | "[{}]") {
        return Guess::new("JSON without content", "the query found nothing: check its time range and its filters");
    }
    // Not more than the beginning: words deep inside say nothing of the whole.
    let start: String = text.chars().take(4000).collect();
    if let Some((_, looks_like, advice)) =
        JSON_KINDS.iter().find(|(keys, _, _)| keys.iter().all(|key| has_key(&start, key)))
    {
        return Guess::new(*looks_like, *advice);
    }
    let keys = first_keys(&start);
    let fields = if keys.is_empty() { String::new() } else { format!(" with the fields {}", keys.join(", ")) };
    Guess::new(
        format!("JSON of an unknown kind{fields}"),
        "rows of spans can be mapped with --span-columns; else convert it to OTLP JSON",
    )
}

/// Whether the quoted text stands before a colon: `"level": "error"` is no error.
fn has_key(text: &str, key: &str) -> bool {
    text.match_indices(key)
        .any(|(at, _)| text.get(at + key.len()..).is_some_and(|rest| rest.trim_start().starts_with(':')))
}

/// The first object's first keys.
fn first_keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let Some((_, mut rest)) = text.split_once('{') else { return keys };
    while keys.len() < 8 {
        let Some((_, after)) = rest.split_once('"') else { break };
        let Some((key, after)) = after.split_once('"') else { break };
        let after = after.trim_start();
        let Some(value) = after.strip_prefix(':') else {
            rest = after;
            continue;
        };
        keys.push(key.chars().take(40).collect());
        // Past a plain value; what is nested lists its own keys, which do no harm in a guess.
        rest = value.trim_start();
        if let Some(string) = rest.strip_prefix('"') {
            rest = string.split_once('"').map_or("", |(_, after)| after);
        }
    }
    keys
}

fn lines(path: &Path, text: &str) -> Guess {
    let first = text.lines().next().unwrap_or_default();
    let delimiter = [',', ';', '\t'].into_iter().max_by_key(|d| (first.matches(*d).count(), *d == ','));
    let columns: Vec<&str> = first.split(delimiter.unwrap_or(',')).map(|c| c.trim().trim_matches('"')).collect();
    let is_header = columns.len() > 1 && columns.iter().all(|c| c.len() <= 60 && c.parse::<f64>().is_err());
    let is_csv = path.extension().is_some_and(|e| e == "csv" || e == "tsv");
    if is_header && (is_csv || columns.iter().all(|c| !c.is_empty() && !c.contains(' '))) {
        return table(&columns);
    }
    if first.starts_with("apiVersion:") || first.starts_with("receivers:") || first.trim_end() == "---" {
        return Guess::new("YAML (settings)", NOT_TELEMETRY);
    }
    let begins_with_a_time = first.chars().filter(char::is_ascii_digit).count() >= 6 && first.contains(':');
    if begins_with_a_time || ["INFO", "WARN", "ERROR", "DEBUG"].iter().any(|level| first.contains(level)) {
        return Guess::new(
            "log lines in plain text",
            "logs are read as JSON (an object a line), as OTLP and as CSV: have the collector or the logger write one of these",
        );
    }
    Guess::new("text of an unknown kind", "name its format with --format if you know it, or leave it out")
}

/// The fields of a span table and words that its columns usually hold, the more telling first: `parent_span_id` is no
/// span's own id, `duration_time` no start. Words of up to three letters must stand alone.
const SPAN_FIELDS: &[(&str, &[&str])] = &[
    ("parent", &["parent", "caller", "par", "pid", "psid"]),
    ("duration", &["duration", "elapsed", "latency", "took", "length", "dur"]),
    ("end", &["end", "finish", "stop"]),
    ("trace", &["trace", "request_id", "tid"]),
    ("span", &["span", "sid", "id"]),
    ("service", &["service", "app", "svc", "component", "pod", "process"]),
    ("operation", &["operation", "name", "endpoint", "url", "path", "route", "op"]),
    ("start", &["start", "begin", "began", "time", "date", "ts", "t0"]),
    ("kind", &["kind", "knd"]),
    ("status", &["status", "error", "err", "failed", "bad"]),
];

/// The order in which a mapping is shown, and whether a table cannot be read, or not well, without the field.
const SHOWN: &[(&str, bool)] = &[
    ("trace", true),
    ("span", true),
    ("parent", true),
    ("service", true),
    ("operation", false),
    ("start", true),
    ("end", false),
    ("duration", false),
    ("kind", false),
    ("status", false),
];

fn holds(column: &str, word: &str) -> bool {
    let column = column.to_ascii_lowercase();
    match word.len() {
        ..=3 => column.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word),
        _ => column.contains(word),
    }
}

/// A mapping to begin with: for each field the first column whose name holds one of its words.
fn table(columns: &[&str]) -> Guess {
    let mut left: Vec<&str> = columns.to_vec();
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (field, words) in SPAN_FIELDS {
        if let Some(at) = words.iter().find_map(|word| left.iter().position(|column| holds(column, word))) {
            found.push((field, left.remove(at)));
        }
    }
    let column = |field: &str| found.iter().find(|(known, _)| *known == field).map(|(_, column)| *column);
    let mapping: Vec<String> =
        SHOWN.iter().filter_map(|(field, _)| Some(format!("{field}={}", column(field)?))).collect();
    let mut missing: Vec<&str> =
        SHOWN.iter().filter(|(field, needed)| *needed && column(field).is_none()).map(|(field, _)| *field).collect();
    if column("duration").or(column("end")).is_none() {
        missing.push("duration (or end)");
    }
    let shown: Vec<String> = columns.iter().take(12).map(|c| c.chars().take(40).collect()).collect();
    let more = if columns.len() > shown.len() { ", …" } else { "" };
    let looks_like = format!("a table whose columns are not known ({}{more})", shown.join(", "));
    let advice = if column("trace").is_some() || mapping.len() >= 4 {
        let missing = match missing.as_slice() {
            [] => String::new(),
            missing => format!(", and add which columns hold {}", missing.join(", ")),
        };
        // With spaces, so that a terminal's line break is at one and a pasted mapping still means the same.
        format!("if these are spans, name the columns: --span-columns '{}'{missing}", mapping.join(", "))
    } else {
        "metrics need a time column (`timestamp`) and a column for each series, spans a trace id, span id, service, start \
         and duration: rename the columns, or name them with --span-columns"
            .to_owned()
    };
    Guess::new(looks_like, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_with_what_to_do() {
        let tar = [&[b'x'; 257][..], b"ustar\0rest"].concat();
        let cases: &[(&str, &[u8], &str, &str)] = &[
            ("a", b"<!DOCTYPE html><html><head><title>Sign in to Grafana", "HTML page (a login page)", "credentials"),
            ("a", b"\n<html><body>502 Bad Gateway</body>", "or a proxy's error", "fetch it again"),
            ("a", b"<?xml version=\"1.0\"?><testsuite/>", "XML", "JSON"),
            ("a", b"\x0c\0\x01\x0b\0\x01\0\0\0\x04cart", "Jaeger batch in Thrift", "/api/traces"),
            ("a", b"\x0a\x04\x08\x01\x10\x02\0samples\0count\0cpu\0nanoseconds", "pprof", "leave it out"),
            ("a", b"PK\x03\x04\x14\0", "ZIP", "unpack"),
            ("a", &tar, "tar archive", "unpack"),
            ("a", b"\xff\xfet\0r\0", "UTF-16", "iconv"),
            ("a", b"\x01\x02\x03\0\x05", "binary data", "--format"),
            ("a", b" \n ", "white space", "nothing to write"),
            ("a", b"{}", "without content", "time range"),
            ("a", br#"{"error":{"code":401,"message":"no"}}"#, "error that some server", "mend the request"),
            ("a", br#"{"level":"error","size":1}"#, "fields level, size", "--span-columns"),
            ("a", br#"{"traces":[{"traceID":"1","rootServiceName":"x"}]}"#, "trace search", "/api/v2/traces"),
            ("a", br#"{"hits":{"hits":[{"_source":{}}]}}"#, "Elasticsearch", "jq -c"),
            ("a", br#"{"colour":"red","size":{"w":1}}"#, "fields colour, size, w", "--span-columns"),
            ("a.csv", b"Tr,Sp,Where,Began,Took\n1,2,3,4,5\n", "(Tr, Sp, Where, Began, Took)", "rename the columns"),
            (
                "a.csv",
                b"my_trace;my_span;parent;app;started;elapsed\n",
                "a table",
                "'trace=my_trace, span=my_span, parent=parent, service=app, start=started, duration=elapsed'",
            ),
            ("a", b"2026-03-02 10:00:00 INFO started\n", "log lines", "JSON"),
            ("a", b"receivers:\n  otlp:\n", "YAML", "leave it out"),
            ("a", b"hello", "text of an unknown kind", "--format"),
        ];
        for (path, head, looks_like, advice) in cases {
            let guess = guess(Path::new(path), head);
            let shown = String::from_utf8_lossy(head);
            assert!(guess.looks_like.contains(looks_like), "{shown}: {}", guess.looks_like);
            assert!(guess.advice.contains(advice), "{shown}: {}", guess.advice);
        }
    }

    #[test]
    fn the_proposed_mapping_works_when_it_is_pasted() {
        use super::super::{ReadOptions, SpanColumns, read_bytes};
        for (header, row) in [
            ("TraceID,ID,Par,Pod,Op,Start,Dur,Knd,Bad", "1,2,,cart,get,1772445600000000,9,server,false"),
            ("my_parent_span;my_span;my_trace;app;began;finished", "0;2;1;cart;1772445600000;1772445600009"),
        ] {
            let advice = guess(Path::new("a.csv"), format!("{header}\n{row}\n").as_bytes()).advice;
            let (_, mapping) = advice.split_once("--span-columns '").expect("a mapping");
            let mapping = mapping.strip_suffix('\'').expect("nothing is missing");
            assert!(mapping.contains("parent="), "{mapping}");
            let options = ReadOptions {
                span_columns: Some(SpanColumns::parse(&mapping.replace(' ', "\n   ")).expect("a valid mapping")),
                ..ReadOptions::default()
            };
            let read = read_bytes(Path::new("a.csv"), format!("{header}\n{row}\n").as_bytes(), &options);
            assert_eq!(read.expect("readable").spans.len(), 1, "{mapping}");
        }
        let advice = guess(Path::new("a.csv"), b"trace;span;svc\n").advice;
        assert!(advice.ends_with("and add which columns hold parent, start, duration (or end)"), "{advice}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_a_short_guess(head in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
            let guess = guess(Path::new("x"), &head);
            proptest::prop_assert!(guess.looks_like.chars().count() < 700);
        }
    }
}
