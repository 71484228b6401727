//! Which column of a span table holds what: named by the user, by a preset, or found by its usual names.

use std::path::Path;

use super::IngestError;
use super::span_fields::{Field, JAEGER_START_MILLIS, is_flag, plain};

/// Unit of a time or duration in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum TimeUnit {
    /// Nanoseconds, `ns`.
    Nanoseconds,
    /// Microseconds, `us`.
    Microseconds,
    /// Milliseconds, `ms`.
    Milliseconds,
    /// Seconds, `s`.
    Seconds,
}

impl TimeUnit {
    /// Nanoseconds in one unit.
    pub(crate) fn nanoseconds(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ns" => Self::Nanoseconds,
            "us" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            _ => return None,
        })
    }

    /// The unit that a column's name ends with: `start_time_unix_nano`, `duration_us`, `durationMs`.
    pub(crate) fn from_suffix(column: &str) -> Option<Self> {
        let lower = column.to_ascii_lowercase();
        let word = lower.rsplit(['_', '.', ' ', '-', '(']).next().unwrap_or(&lower).trim_end_matches(')');
        let ends = |suffixes: &[&str], camel: &str| {
            suffixes.iter().any(|s| lower.ends_with(s)) || word == camel.to_ascii_lowercase() || column.ends_with(camel)
        };
        if ends(&["nano", "nanos", "nanoseconds"], "Ns") {
            Some(Self::Nanoseconds)
        } else if ends(&["micro", "micros", "microseconds"], "Us") {
            Some(Self::Microseconds)
        } else if ends(&["milli", "millis", "milliseconds"], "Ms") {
            Some(Self::Milliseconds)
        } else if word == "s" || ends(&["seconds"], "Sec") {
            Some(Self::Seconds)
        } else {
            None
        }
    }

    /// The unit in which an instant of our time has so many digits. The bounds lie in March 1973 and the year 5138.
    pub(crate) fn from_magnitude(instant: i64) -> Self {
        match instant.unsigned_abs() {
            100_000_000_000_000_000.. => Self::Nanoseconds,
            100_000_000_000_000.. => Self::Microseconds,
            100_000_000_000.. => Self::Milliseconds,
            _ => Self::Seconds,
        }
    }
}

/// How the service's name is made from its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ServiceName {
    /// The value is the name.
    #[default]
    AsWritten,
    /// The value is the name of a Kubernetes pod of a deployment: the name without its last two parts
    /// (`cart-7d9f8b-x2x4z` is `cart`).
    FromPod,
}

impl ServiceName {
    /// The service that a value stands for.
    pub(crate) fn of(self, value: &str) -> &str {
        match self {
            Self::AsWritten => value,
            Self::FromPod => {
                let mut parts = value.rsplitn(3, '-');
                let (_, _, service) = (parts.next(), parts.next(), parts.next());
                service.unwrap_or(value)
            }
        }
    }
}

/// The columns of a span table. Names are compared without regard to case; `None` finds a column by its usual names,
/// of which `trace_id`, `traceId` and `TraceID` count as one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpanColumns {
    /// Trace id: hexadecimal or base64 text, 16 bytes, or a whole number.
    pub trace: Option<String>,
    /// Span id: hexadecimal or base64 text, 8 bytes, or a whole number.
    pub id: Option<String>,
    /// Parent's span id; empty, null, 0 or `root` for a root.
    pub parent: Option<String>,
    /// Service.
    pub service: Option<String>,
    /// How the service's name is made from its column.
    pub service_name: ServiceName,
    /// Instance or pod.
    pub instance: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Operation.
    pub operation: Option<String>,
    /// Span kind, number or name.
    pub kind: Option<String>,
    /// Status code, number or name, or a truth value that tells whether the span failed.
    pub status: Option<String>,
    /// Start: a number since the Unix epoch, a timestamp, or text as in RFC 3339.
    pub start: Option<String>,
    /// Unit of `start` and `end`; `None` takes it from the column's name or from the size of the numbers.
    pub start_unit: Option<TimeUnit>,
    /// End, as `start`.
    pub end: Option<String>,
    /// Length.
    pub duration: Option<String>,
    /// Unit of `duration`; `None` takes it from the column's name, or the unit of `start`.
    pub duration_unit: Option<TimeUnit>,
    /// The service at the other end of an outgoing call.
    pub peer: Option<String>,
    /// Attributes of the span: a map, or an object of JSON.
    pub attributes: Option<String>,
    /// Attributes of the resource, as `attributes`.
    pub resource_attributes: Option<String>,
    /// W3C `tracestate`.
    pub trace_state: Option<String>,
    /// How the span was sampled: from 1 on the rate, one span kept of so many; below 1 the probability.
    pub sampling: Option<String>,
}

/// Why a mapping of columns could not be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpanColumnsError {
    /// A part without `=`.
    #[error("{part:?} is neither a preset (auto, nezha) nor `field=column`, as in `trace=TraceID`")]
    NotAPair {
        /// The part.
        part: String,
    },
    /// A field that there is not.
    #[error("there is no field {field:?}; fields are {FIELDS}")]
    UnknownField {
        /// What was written.
        field: String,
    },
    /// A unit that there is not, or on a field that has none.
    #[error("{field} cannot be in {unit:?}; start, end and duration take ns, us, ms or s, service takes pod")]
    UnknownUnit {
        /// The field.
        field: String,
        /// What was written.
        unit: String,
    },
}

const FIELDS: &str = "trace, span, parent, service, instance, version, operation, kind, status, start, end, duration, peer, attributes, \
     resource, trace_state, weight";

impl SpanColumns {
    /// The trace files of the Nezha dataset.
    pub fn nezha() -> Self {
        let name = |text: &str| Some(text.to_owned());
        Self {
            trace: name("TraceID"),
            id: name("SpanID"),
            parent: name("ParentID"),
            service: name("PodName"),
            service_name: ServiceName::FromPod,
            instance: name("PodName"),
            operation: name("OperationName"),
            start: name("StartTimeUnixNano"),
            start_unit: Some(TimeUnit::Nanoseconds),
            end: name("EndTimeUnixNano"),
            duration: name("Duration"),
            duration_unit: Some(TimeUnit::Microseconds),
            ..Self::default()
        }
    }

    /// Reads a mapping as the command line takes it: `auto`, `nezha`, or `field=column` parts joined by commas, with a
    /// unit after a colon where there is one: `trace=TraceID,service=PodName:pod,duration=Duration:us`. Fields that are
    /// not named are found by their usual names.
    ///
    /// # Errors
    /// [`SpanColumnsError`] names the part that makes no sense.
    pub fn parse(text: &str) -> Result<Self, SpanColumnsError> {
        match text.trim() {
            "auto" | "" => return Ok(Self::default()),
            "nezha" => return Ok(Self::nezha()),
            _ => {}
        }
        let mut columns = Self::default();
        for part in text.split(',') {
            let Some((field, column)) = part.split_once('=') else {
                return Err(SpanColumnsError::NotAPair { part: part.to_owned() });
            };
            columns.set(field.trim(), column.trim())?;
        }
        Ok(columns)
    }

    fn set(&mut self, field: &str, value: &str) -> Result<(), SpanColumnsError> {
        // A colon may be part of a name: only a unit that is one is cut off.
        let (column, unit) = match value.rsplit_once(':') {
            Some((column, unit)) if unit == "pod" || TimeUnit::from_name(unit).is_some() => (column, Some(unit)),
            _ => (value, None),
        };
        let unknown_unit =
            |unit: &str| SpanColumnsError::UnknownUnit { field: field.to_owned(), unit: unit.to_owned() };
        match (field, unit) {
            ("start" | "end", Some(unit)) => {
                self.start_unit = Some(TimeUnit::from_name(unit).ok_or_else(|| unknown_unit(unit))?);
            }
            ("duration", Some(unit)) => {
                self.duration_unit = Some(TimeUnit::from_name(unit).ok_or_else(|| unknown_unit(unit))?);
            }
            ("service", Some("pod")) => self.service_name = ServiceName::FromPod,
            (_, Some(unit)) => return Err(unknown_unit(unit)),
            (_, None) => {}
        }
        let slot = match field {
            "trace" => &mut self.trace,
            "span" | "id" => &mut self.id,
            "parent" => &mut self.parent,
            "service" => &mut self.service,
            "instance" => &mut self.instance,
            "version" => &mut self.version,
            "operation" => &mut self.operation,
            "kind" => &mut self.kind,
            "status" => &mut self.status,
            "start" => &mut self.start,
            "end" => &mut self.end,
            "duration" => &mut self.duration,
            "peer" => &mut self.peer,
            "attributes" => &mut self.attributes,
            "resource" => &mut self.resource_attributes,
            "trace_state" => &mut self.trace_state,
            "weight" | "sample_rate" => &mut self.sampling,
            _ => return Err(SpanColumnsError::UnknownField { field: field.to_owned() }),
        };
        *slot = Some(column.to_owned());
        Ok(())
    }

    /// Finds the columns in a table's header. Nezha's header is known by itself where nothing was named.
    pub(crate) fn resolve(given: Option<&Self>, path: &Path, header: &[String]) -> Result<Columns, IngestError> {
        let nezha = Self::nezha();
        let auto = Self::default();
        let wanted = match given {
            Some(given) if *given != auto => given,
            _ if is_nezha(header) => &nezha,
            _ => &auto,
        };
        let missing = |field: &str| IngestError::MissingColumn {
            path: path.to_owned(),
            field: field.to_owned(),
            seen: header.join(", "),
        };
        let find = |field: &str, of: Field| match of.named(wanted) {
            Some(name) => header
                .iter()
                .position(|column| column.trim().eq_ignore_ascii_case(name))
                .map(Some)
                .ok_or_else(|| missing(&format!("{field} named {name:?}"))),
            None => Ok(of.usual().iter().find_map(|usual| header.iter().position(|column| plain(column) == *usual))),
        };
        let trace = find("the trace id", Field::Trace)?.ok_or_else(|| missing("the trace id"))?;
        let id = find("the span id", Field::Id)?.ok_or_else(|| missing("the span id"))?;
        let service = find("the service", Field::Service)?;
        let resource_attributes = find("the resource's attributes", Field::Resource)?;
        if service.is_none() && resource_attributes.is_none() {
            return Err(missing("the service"));
        }
        let start = find("the start", Field::Start)?.ok_or_else(|| missing("the start"))?;
        let end = find("the end", Field::End)?;
        let duration = find("the duration", Field::Duration)?;
        if end.is_none() && duration.is_none() {
            return Err(missing("the duration, nor one for the end"));
        }
        let status = find("the status", Field::Status)?;
        let suffix = |column: usize| header.get(column).and_then(|name| TimeUnit::from_suffix(name));
        let is_jaeger = header.get(start).is_some_and(|name| plain(name) == JAEGER_START_MILLIS);
        let by_schema = is_jaeger.then_some(TimeUnit::Microseconds);
        let link_traces = find("the links' traces", Field::LinkTraces)?;
        let link_spans = find("the links' spans", Field::LinkSpans)?;
        Ok(Columns {
            trace,
            id,
            parent: find("the parent id", Field::Parent)?,
            service,
            service_name: wanted.service_name,
            instance: find("the instance", Field::Instance)?,
            version: find("the version", Field::Version)?,
            operation: find("the operation", Field::Operation)?,
            kind: find("the kind", Field::Kind)?,
            status,
            status_is_flag: status.and_then(|column| header.get(column)).is_some_and(|name| is_flag(name)),
            start,
            start_unit: wanted.start_unit.or_else(|| suffix(start)),
            end,
            end_unit: wanted.start_unit.or_else(|| end.and_then(suffix)),
            duration,
            duration_unit: wanted.duration_unit.or_else(|| duration.and_then(suffix)).or(by_schema),
            peer: find("the peer", Field::Peer)?,
            attributes: find("the attributes", Field::Attributes)?,
            resource_attributes,
            links: link_traces.zip(link_spans),
            trace_state: find("the tracestate", Field::TraceState)?,
            sampling: find("the weight", Field::Sampling)?,
            duration_unit_unnamed: wanted.duration.is_some() && wanted.duration_unit.is_none(),
        })
    }

    /// Whether a header looks like that of a span table.
    pub(crate) fn recognises(header: &[String]) -> bool {
        let has = |field: Field| header.iter().any(|column| field.usual().contains(&plain(column).as_str()));
        let told = has(Field::Trace) && has(Field::Id) && has(Field::Start);
        is_nezha(header) || (told && (has(Field::Duration) || has(Field::End)))
    }
}

fn is_nezha(header: &[String]) -> bool {
    const NEZHA: [&str; 8] = [
        "TraceID",
        "SpanID",
        "ParentID",
        "PodName",
        "OperationName",
        "StartTimeUnixNano",
        "EndTimeUnixNano",
        "Duration",
    ];
    NEZHA.iter().all(|name| header.iter().any(|column| column.trim() == *name))
        && !header.iter().any(|column| Field::Service.usual().contains(&plain(column).as_str()))
}

pub(crate) const GUESSED_UNIT: &str =
    "the unit of the durations is not named and taken to be that of the start; name it, as in `duration=Took:ms`";

/// Indices of the columns of one table, with the units as far as they are known before the values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Columns {
    pub(crate) trace: usize,
    pub(crate) id: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) service: Option<usize>,
    pub(crate) service_name: ServiceName,
    pub(crate) instance: Option<usize>,
    pub(crate) version: Option<usize>,
    pub(crate) operation: Option<usize>,
    pub(crate) kind: Option<usize>,
    pub(crate) status: Option<usize>,
    /// Whether a 1 in `status` means "failed", and not OpenTelemetry's "ok".
    pub(crate) status_is_flag: bool,
    pub(crate) start: usize,
    pub(crate) start_unit: Option<TimeUnit>,
    pub(crate) end: Option<usize>,
    pub(crate) end_unit: Option<TimeUnit>,
    pub(crate) duration: Option<usize>,
    pub(crate) duration_unit: Option<TimeUnit>,
    /// Whether the user named the duration's column without a unit.
    pub(crate) duration_unit_unnamed: bool,
    pub(crate) peer: Option<usize>,
    pub(crate) attributes: Option<usize>,
    pub(crate) resource_attributes: Option<usize>,
    /// Traces and spans of the links, two lists of one length.
    pub(crate) links: Option<(usize, usize)>,
    pub(crate) trace_state: Option<usize>,
    pub(crate) sampling: Option<usize>,
}

impl Columns {
    /// What to tell a user whose durations are read in a unit that only a guess gives.
    pub(crate) fn unit_guess(&self) -> Option<(usize, &'static str)> {
        let column = self.length().filter(|_| self.duration_unit_unnamed && self.duration_unit.is_none())?;
        Some((column, GUESSED_UNIT))
    }

    /// The column that tells the length, where not the end does. The end wins, because its unit is more often certain;
    /// except over a duration that is known to be finer.
    pub(crate) fn length(&self) -> Option<usize> {
        match (self.end, self.duration) {
            (None, duration) => duration,
            (Some(_), Some(duration)) if self.duration_unit.is_some() && self.duration_unit < self.end_unit => {
                Some(duration)
            }
            (Some(_), _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_parents_is_told_where_services_could_call_each_other() {
        use crate::ingest::{ReadOptions, read_bytes};
        let warned = |header: &str, rows: &[&str]| {
            let text = format!("{header}\n{}\n", rows.join("\n"));
            let telemetry = read_bytes(Path::new("t.csv"), text.as_bytes(), &ReadOptions::default()).expect("a table");
            telemetry.warnings.iter().any(|w| w.message.contains("every span counts as a request of its own"))
        };
        let without = "trace_id,span_id,service,start_us,duration_us";
        let (cart, web) = ("1,2,cart,1772445600000000,5", "1,3,web,1772445600000000,5");
        assert!(warned(without, &[cart, web]));
        assert!(!warned(without, &[cart]));
        let with = "trace_id,span_id,service,start_us,duration_us,parent_id";
        assert!(!warned(with, &[&format!("{cart},3"), &format!("{web},")]));
    }

    fn header(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    fn resolve(given: Option<&str>, names: &str) -> Result<Columns, IngestError> {
        let given = given.map(|text| SpanColumns::parse(text).expect("a good mapping"));
        SpanColumns::resolve(given.as_ref(), Path::new("t.csv"), &header(names))
    }

    #[test]
    fn usual_names_are_found_in_any_spelling() {
        let clickhouse =
            "Timestamp,TraceId,SpanId,ParentSpanId,TraceState,SpanName,SpanKind,ServiceName,Duration,StatusCode";
        let found = resolve(None, clickhouse).expect("found");
        assert_eq!((found.trace, found.id, found.parent, found.service, found.start), (1, 2, Some(3), Some(7), 0));
        assert_eq!((found.operation, found.kind, found.status), (Some(5), Some(6), Some(9)));
        assert_eq!((found.length(), found.duration_unit), (Some(8), None));

        let snake =
            "trace_id,span_id,parent_span_id,service_name,name,start_time_unix_nano,duration_us,service.version";
        let found = resolve(None, snake).expect("found");
        assert_eq!(found.start_unit, Some(TimeUnit::Nanoseconds));
        assert_eq!(found.duration_unit, Some(TimeUnit::Microseconds));
        assert_eq!(found.version, Some(7));
    }

    #[test]
    fn units_come_from_suffixes() {
        let cases = [
            ("StartTimeUnixNano", Some(TimeUnit::Nanoseconds)),
            ("duration_ns", Some(TimeUnit::Nanoseconds)),
            ("durationUs", Some(TimeUnit::Microseconds)),
            ("duration (ms)", Some(TimeUnit::Milliseconds)),
            ("duration_s", Some(TimeUnit::Seconds)),
            ("duration_seconds", Some(TimeUnit::Seconds)),
            ("timestamp", None),
            ("status", None),
            ("columns", None),
            ("timestamps", None),
        ];
        for (name, unit) in cases {
            assert_eq!(TimeUnit::from_suffix(name), unit, "{name}");
        }
    }

    #[test]
    fn nezha_is_known_by_its_header() {
        let found =
            resolve(None, "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration")
                .expect("found");
        assert_eq!((found.service, found.instance, found.service_name), (Some(3), Some(3), ServiceName::FromPod));
        assert_eq!(found.length(), None, "the end is finer than the microseconds");
        assert_eq!(ServiceName::FromPod.of("ts-order-service-5b67c48447-mv5hb"), "ts-order-service");
        assert_eq!(ServiceName::FromPod.of("redis-0"), "redis-0");
    }

    #[test]
    fn a_mapping_names_columns_and_units() {
        let names = "T,S,P,Pod,Begin,Took,parent_id";
        let found = resolve(Some("trace=t,span=S,parent=P,service=Pod:pod,start=Begin:ms,duration=Took:us"), names)
            .expect("found");
        assert_eq!((found.trace, found.id, found.parent, found.service, found.start), (0, 1, Some(2), Some(3), 4));
        assert_eq!(found.start_unit, Some(TimeUnit::Milliseconds));
        assert_eq!((found.length(), found.duration_unit), (Some(5), Some(TimeUnit::Microseconds)));

        let error = resolve(Some("trace=nope"), names).expect_err("no such column");
        assert_eq!(
            error.to_string(),
            "t.csv: no column for the trace id named \"nope\" (columns: T, S, P, Pod, Begin, Took, parent_id); name it \
             with the column mapping"
        );
        for (bad, message) in [
            ("trace", "\"trace\" is neither a preset (auto, nezha) nor `field=column`, as in `trace=TraceID`"),
            ("trase=x", "there is no field \"trase\"; fields are"),
            ("trace=x:us", "trace cannot be in \"us\"; start, end and duration take ns, us, ms or s"),
        ] {
            let error = SpanColumns::parse(bad).expect_err("bad").to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn instants_tell_their_unit_by_size() {
        for (instant, unit) in [
            (1_700_000_000, TimeUnit::Seconds),
            (1_700_000_000_000, TimeUnit::Milliseconds),
            (1_700_000_000_000_000, TimeUnit::Microseconds),
            (1_700_000_000_000_000_000, TimeUnit::Nanoseconds),
        ] {
            assert_eq!(TimeUnit::from_magnitude(instant), unit);
        }
    }
}
