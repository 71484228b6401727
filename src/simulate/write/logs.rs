//! Logs as services write them to their standard output, an object of JSON a line: `logs.jsonl.zst`.
//!
//! | language | as written by |
//! | --- | --- |
//! | JVM | logback with the logstash encoder |
//! | Go | `log/slog` |
//! | Node | pino, with times and levels in words |
//! | Python | python-json-logger |
//! | native | Rust's `tracing-subscriber` |
//!
//! All have the names of service and pod, as log collectors add them.

use crate::simulate::observe::Clocks;
use crate::simulate::random::Random;
use crate::simulate::recording::{Instance, LogRecord, Recording};
use crate::simulate::system::{Runtime, Service, System};

use super::json::{instant, push_hex, push_text, push_trace};
use super::log_messages::{Level, Message, Speaker};
use super::{CaseFile, compressed};

/// All lines, in the order of the times that their machines' clocks showed; `None` where there are none.
pub fn logs(system: &System, recording: &Recording, clocks: &Clocks) -> Option<CaseFile> {
    if recording.logs.is_empty() {
        return None;
    }
    let shown = |record: &LogRecord| clocks.shown_ns(record.instance, record.at_ns);
    let mut order: Vec<(i64, usize)> = recording.logs.iter().map(shown).zip(0..).collect();
    order.sort_unstable();
    let mut line = Vec::new();
    let bytes = compressed(|out| {
        for (at_ns, nth) in order {
            let record = &recording.logs[nth];
            let instance = &recording.instances[record.instance as usize];
            // What varies within a message depends on its place alone, not on how many were written before.
            let seed = record.at_ns as u64 ^ record.span ^ (u64::from(record.instance) << 48);
            let message = Speaker { system, instance, random: Random::of_part(seed, "log") }.say(record.event);
            line.clear();
            Line { service: &system.services[instance.service], instance, record, at_ns }.push(&mut line, &message);
            out.write_all(&line)?;
        }
        Ok(())
    });
    Some(CaseFile { name: "logs.jsonl.zst".to_owned(), bytes })
}

struct Line<'r> {
    service: &'r Service,
    instance: &'r Instance,
    record: &'r LogRecord,
    /// As its clock showed it, Unix ns.
    at_ns: i64,
}

impl Line<'_> {
    fn push(&self, out: &mut Vec<u8>, message: &Message) {
        let (time, text) = (instant(self.at_ns), message.text.as_str());
        let logger = format!("{}.{}", self.service.name, message.part);
        let upper = level(message.level);
        out.push(b'{');
        match self.service.runtime {
            Runtime::Jvm => {
                push_fields(out, &[("@timestamp", &time), ("level", upper), ("logger_name", &logger)]);
                push_fields(out, &[("thread_name", "http-nio-8080-exec-7"), ("message", text)]);
                self.push_exception(out, message, ["exception.type", "exception.message"]);
            }
            Runtime::Go => {
                push_fields(out, &[("time", &time), ("level", upper), ("msg", text), ("component", message.part)]);
                if let Some((kind, what)) = &message.exception {
                    push_fields(out, &[("error", &format!("{kind}: {what}"))]);
                }
            }
            Runtime::Node => {
                push_fields(out, &[("level", &upper.to_ascii_lowercase()), ("time", &time)]);
                out.extend_from_slice(b"\"pid\":1,");
                push_fields(out, &[("hostname", &self.instance.pod), ("name", &logger), ("msg", text)]);
                if let Some((kind, what)) = &message.exception {
                    out.extend_from_slice(b"\"err\":{");
                    push_fields(out, &[("type", kind), ("message", what)]);
                    close(out);
                    out.push(b',');
                }
            }
            Runtime::Python => {
                push_fields(out, &[("timestamp", &time), ("levelname", upper), ("name", &logger), ("message", text)]);
                self.push_exception(out, message, ["exception.type", "exception.message"]);
            }
            Runtime::Native => {
                push_fields(out, &[("timestamp", &time), ("level", upper), ("target", &logger)]);
                out.extend_from_slice(b"\"fields\":{");
                push_fields(out, &[("message", text)]);
                self.push_exception(out, message, ["error.type", "error.message"]);
                close(out);
                out.push(b',');
            }
        }
        push_fields(out, &[("service.name", &self.service.name), ("pod", &self.instance.pod)]);
        self.push_ids(out);
        close(out);
        out.push(b'\n');
    }

    fn push_exception(&self, out: &mut Vec<u8>, message: &Message, names: [&str; 2]) {
        if let Some((kind, what)) = &message.exception {
            push_fields(out, &[(names[0], kind), (names[1], what)]);
        }
    }

    fn push_ids(&self, out: &mut Vec<u8>) {
        if self.record.trace != 0 {
            out.extend_from_slice(b"\"trace_id\":\"");
            push_trace(out, self.record.trace);
            out.extend_from_slice(b"\",\"span_id\":\"");
            push_hex(out, self.record.span);
            out.extend_from_slice(b"\",");
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
        Level::Fatal => "FATAL",
    }
}

/// Appends members, each with a comma after it.
fn push_fields(out: &mut Vec<u8>, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        push_text(out, name);
        out.push(b':');
        push_text(out, value);
        out.push(b',');
    }
}

/// Ends an object after a member with a comma.
fn close(out: &mut Vec<u8>) {
    out.pop_if(|last| *last == b',');
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::ingest::{ReadOptions, Telemetry, read_bytes};
    use crate::simulate::observe::Imperfections;
    use crate::simulate::recording::LogEvent;
    use crate::simulate::write::sample;
    use crate::telemetry::logs::Severity;

    fn written(system: &System, recording: &Recording, imperfections: &Imperfections) -> CaseFile {
        logs(system, recording, &Clocks::of(recording, imperfections)).expect("there are lines")
    }

    fn read(file: &CaseFile) -> Telemetry {
        read_bytes(Path::new(&file.name), &file.bytes, &ReadOptions::default()).expect("recognised")
    }

    #[test]
    fn every_line_is_read_back_with_its_service_time_level_and_trace() {
        let (system, recording) = sample::shop(40);
        let file = written(&system, &recording, &Imperfections::default());
        let telemetry = read(&file);
        assert_eq!((telemetry.warnings.as_slice(), telemetry.skipped), (&[][..], 0));
        assert_eq!(telemetry.logs.len(), recording.logs.len());
        let found: BTreeMap<(i64, &str), (Severity, u128)> = (0..telemetry.logs.len())
            .map(|row| {
                let service = telemetry.logs.services()[telemetry.logs.service[row] as usize].as_str();
                ((telemetry.logs.at_ns[row], service), (telemetry.logs.severity[row], telemetry.logs.trace[row]))
            })
            .collect();
        for record in &recording.logs {
            let service = &system.services[recording.instances[record.instance as usize].service].name;
            let (severity, trace) = found[&(record.at_ns, service.as_str())];
            assert_eq!(trace, record.trace);
            let expected = match record.event {
                LogEvent::Failed(_) | LogEvent::InvalidAnswer(..) => Severity::Error,
                LogEvent::OutOfMemory => Severity::Fatal,
                LogEvent::Served(..) | LogEvent::Started => Severity::Info,
                LogEvent::PoolEmpty(_) | LogEvent::SlowStatement(..) => Severity::Warn,
                _ => continue,
            };
            assert_eq!(severity, expected, "{:?}", record.event);
        }
    }

    #[test]
    fn messages_of_one_kind_have_one_template() {
        let (system, mut recording) = sample::shop(1);
        let first = recording.logs[0];
        recording.logs.clear();
        for second in 0..200 {
            for event in [LogEvent::Served(2, second as f64 * 1.37), LogEvent::LockWait(second as f64 + 0.5)] {
                recording.logs.push(LogRecord { at_ns: first.at_ns + second * 1_000_000_000, event, ..first });
            }
        }
        let telemetry = read(&written(&system, &recording, &Imperfections::default()));
        let messages: BTreeSet<u32> = telemetry.logs.message.iter().copied().collect();
        assert_eq!(messages.len(), 2, "{:?}", telemetry.logs.messages());
    }

    #[test]
    fn lines_have_the_time_of_their_machine() {
        let (system, recording) = sample::shop(1);
        let skewed = Imperfections {
            clock_offsets: (0..system.machines).map(|machine| (machine, 5_000_000_000)).collect(),
            ..Imperfections::default()
        };
        let times = |imperfections: &Imperfections| read(&written(&system, &recording, imperfections)).logs.at_ns;
        let later: Vec<i64> = times(&Imperfections::default()).iter().map(|ns| ns + 5_000_000_000).collect();
        assert_eq!(times(&skewed), later);
    }

    #[test]
    fn hostile_names_stay_whole() {
        let (mut system, recording) = sample::shop(1);
        for service in &mut system.services {
            service.name = format!("{} \"a\\b\"\n<script>", service.name);
        }
        let telemetry = read(&written(&system, &recording, &Imperfections::default()));
        assert_eq!((telemetry.warnings.as_slice(), telemetry.logs.len()), (&[][..], recording.logs.len()));
        assert!(telemetry.logs.services().iter().any(|name| name == "cart \"a\\b\"\n<script>"));
    }
}
