//! Log lines as Loki answers them (`/loki/api/v1/query_range`, `resultType` of `streams`) and as it is sent them
//! (`/loki/api/v1/push`): streams, each with its labels and its lines.
//!
//! A line with its labels becomes the object that `logcli -o jsonl` writes of it, so that it means the same both ways.
//! Reference: Grafana Loki documentation, "Loki HTTP API".

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};
use serde_json::{Deserializer, Value, json};

use super::json_stream::{Element, List, Node, Scalar, Source, Visit, ignore};
use super::{Telemetry, log_json};

/// Bytes in which an answer tells what it is.
const HEAD_BYTES: usize = 16 * 1024;

/// Whether the text begins like an answer of Loki that holds lines, or like what is pushed to it.
pub(super) fn sniff(text: &str) -> bool {
    let Some(start) = text.trim_start().strip_prefix('{').map(str::trim_start) else { return false };
    if !["\"status\"", "\"data\"", "\"streams\""].iter().any(|key| start.starts_with(key)) {
        return false;
    }
    let text = start.get(..HEAD_BYTES).unwrap_or(start);
    let value_of = |key: &str| Some(text.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start());
    value_of("\"resultType\"").is_some_and(|value| value.starts_with("\"streams\""))
        || (value_of("\"streams\"").is_some_and(|value| value.starts_with('['))
            && text.contains("\"stream\"")
            && text.contains("\"values\""))
}

/// Reads every line of an answer; of one that is cut off those before the cut.
pub(super) fn read(source: &Source<'_>, out: &mut Telemetry) {
    let mut json = Deserializer::from_str(source.text);
    let mut answer = Answer { source, out, lines: 0 };
    let result = Visit(&mut answer).deserialize(&mut json).and_then(|()| json.end());
    let lines = answer.lines;
    if let Err(error) = result {
        let (place, problem) = source.syntax(&error);
        out.skip(source.path, place, &problem);
    } else if lines == 0 {
        let message = "Loki's answer holds no lines; check the query and its time range";
        out.warn(source.path, "field `data.result`", message, 1);
    }
}

/// The answer, and the object `data` in it.
struct Answer<'o, 's> {
    source: &'o Source<'s>,
    out: &'o mut Telemetry,
    lines: u64,
}

impl<'de> Node<'de> for Answer<'_, '_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "data" => map.next_value_seed(Visit(self)),
            "result" | "streams" => {
                let mut stream = Stream { answer: self, labels: Value::Null, lines: Vec::new() };
                map.next_value_seed(Visit(&mut List(&mut stream)))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        self.out.skip(self.source.path, "field `data`", "values that are no object are passed over");
    }
}

/// One stream after the other.
struct Stream<'a, 'o, 's> {
    answer: &'a mut Answer<'o, 's>,
    labels: Value,
    /// Kept until the stream ends: its labels may stand behind its lines.
    lines: Vec<Line>,
}

impl<'de> Node<'de> for Stream<'_, '_, '_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "stream" => {
                self.labels = map.next_value()?;
                // What Loki writes where it found no name.
                if let Some(labels) = self.labels.as_object_mut()
                    && labels.get("service_name").is_some_and(|name| name == "unknown_service")
                {
                    labels.remove("service_name");
                }
                Ok(())
            }
            "values" => {
                let mut lines = Lines { line: Line::default(), all: &mut self.lines };
                map.next_value_seed(Visit(&mut List(&mut lines)))
            }
            _ => ignore(map),
        }
    }

    fn wrong(&mut self) {
        let answer = &mut *self.answer;
        answer.out.skip(answer.source.path, "field `data.result`", "streams skipped: not an object with `values`");
    }
}

impl<'de> Element<'de> for Stream<'_, '_, '_> {
    fn start(&mut self) {
        self.labels = Value::Null;
        self.lines.clear();
    }

    fn finish(&mut self, _whole: bool) {
        let Answer { source, out, lines } = &mut *self.answer;
        for Line { parts, metadata } in self.lines.drain(..) {
            *lines += 1;
            let number = *lines;
            let [at, text] = parts;
            let record = json!({
                "labels": self.labels, "structuredMetadata": metadata, "timestamp": at, "line": text,
            });
            log_json::record(&record.to_string(), || format!("entry {number}"), source.path, out);
        }
    }
}

/// `["time in nanoseconds", "line"]`, perhaps with an object of metadata behind.
#[derive(Default)]
struct Line {
    parts: [String; 2],
    metadata: Value,
}

/// One line after the other.
struct Lines<'l> {
    line: Line,
    all: &'l mut Vec<Line>,
}

impl<'de> Node<'de> for Lines<'_> {
    fn takes_object(&self) -> bool {
        false
    }

    fn items<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Option<Result<(), A::Error>> {
        Some(self.parts(seq))
    }

    // Stays without a time, so that it is counted as a record that has none.
    fn wrong(&mut self) {}
}

impl Lines<'_> {
    fn parts<'de, A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<(), A::Error> {
        for part in &mut self.line.parts {
            let mut value = Scalar::Absent;
            if seq.next_element_seed(Visit(&mut value))?.is_none() {
                return Ok(());
            }
            *part = value.into_text().unwrap_or_default().into_owned();
        }
        self.line.metadata = seq.next_element()?.unwrap_or_default();
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de> Element<'de> for Lines<'_> {
    fn start(&mut self) {
        self.line = Line::default();
    }

    fn finish(&mut self, whole: bool) {
        if whole {
            self.all.push(std::mem::take(&mut self.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Format, ReadOptions, read_bytes};
    use super::*;
    use crate::telemetry::logs::Severity;

    /// The answer of the documentation's example of `query_range`, its lines of ours.
    const ANSWER: &str = r#"{"status":"success","data":{"resultType":"streams","result":[
        {"stream":{"app":"cart","level":"error"},"values":[
            ["1772445600000000000","no route to 10.0.0.1"],
            ["1772445601000000000","{\"msg\":\"retry 7\",\"level\":\"warn\"}",{"trace_id":"49a51828322183eb20bfe4ace3060000"}]]},
        {"values":[["1772445602000000000","paid"],["never","lost"]],"stream":{"service_name":"unknown_service",
            "pod":"pay-5f6585d649-fnmft","detected_level":"info"}}
        ],"stats":{"ingester":{}}}}"#;

    /// Second, service, severity, message, trace.
    type Row = (i64, String, Severity, String, u128);

    /// The records and the warnings.
    fn told(text: &str) -> (Vec<Row>, Vec<String>) {
        let read = read_bytes(Path::new("answer.json"), text.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(read.files[0].format, Format::LogJson);
        let logs = &read.logs;
        let row = |at: usize| {
            let service = logs.services()[logs.service[at] as usize].clone();
            let message = logs.messages()[logs.message[at] as usize].clone();
            (logs.at_ns[at] / 1_000_000_000, service, logs.severity[at], message, logs.trace[at])
        };
        ((0..logs.len()).map(row).collect(), read.warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_of_an_answer_are_log_records() {
        let row = |at, service: &str, severity, message: &str, trace| {
            (at, service.to_owned(), severity, message.to_owned(), trace)
        };
        let expected = vec![
            row(1_772_445_600, "cart", Severity::Error, "no route to <*>", 0),
            row(1_772_445_601, "cart", Severity::Warn, "retry <*>", 0x49a5_1828_3221_83eb_20bf_e4ac_e306_0000),
            row(1_772_445_602, "pay", Severity::Info, "paid", 0),
        ];
        let skipped = "answer.json, entry 4: log records skipped: they have no readable time".to_owned();
        assert_eq!(told(ANSWER), (expected.clone(), vec![skipped.clone()]));
        // The same as one line, and as it is pushed.
        let compact = serde_json::from_str::<Value>(ANSWER).unwrap();
        assert_eq!(told(&compact.to_string()).0, expected);
        let pushed = json!({ "streams": compact.pointer("/data/result") });
        assert_eq!(told(&pushed.to_string()), (expected.clone(), vec![skipped]));
        // Cut off within the second stream: what stands before is kept.
        let cut = &ANSWER[..ANSWER.find(",[\"never").unwrap()];
        let (rows, warnings) = told(cut);
        assert_eq!(rows.len(), 2 + 1, "{rows:?}");
        assert!(warnings.iter().any(|w| w.contains("cut off")), "{warnings:?}");
    }

    #[test]
    fn an_answer_without_lines_says_so_and_a_matrix_is_no_log() {
        let (rows, warnings) = told(r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#);
        assert!(rows.is_empty());
        assert_eq!(
            warnings,
            ["answer.json, field `data.result`: Loki's answer holds no lines; check the query and its time range"]
        );
        assert!(!sniff(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#));
        assert!(!sniff(r#"{"streams":[1,2]}"#) && !sniff("[]") && !sniff(""));
    }
}
