//! What a column of a span table may hold, and the usual names of such columns.

use super::span_columns::{SpanColumns, TimeUnit};

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Trace,
    Id,
    Parent,
    Service,
    Instance,
    Version,
    Operation,
    Kind,
    Status,
    Start,
    End,
    Duration,
    Peer,
    /// Attributes of the span: a map, an object, or either as text.
    Attributes,
    /// The same of the resource.
    Resource,
    /// Links, a list of objects.
    Links,
    /// Traces of the links, a list.
    LinkTraces,
    /// Spans of the links, a list.
    LinkSpans,
    /// W3C `tracestate`.
    TraceState,
    /// How the span was sampled, as a rate or probability: where the user names the column, or in our own tables.
    Sampling,
}

pub(crate) const N_FIELDS: usize = ALL.len();

const ALL: [Field; 20] = [
    Field::Trace,
    Field::Id,
    Field::Parent,
    Field::Service,
    Field::Instance,
    Field::Version,
    Field::Operation,
    Field::Kind,
    Field::Status,
    Field::Start,
    Field::End,
    Field::Duration,
    Field::Peer,
    Field::Attributes,
    Field::Resource,
    Field::Links,
    Field::LinkTraces,
    Field::LinkSpans,
    Field::TraceState,
    Field::Sampling,
];

impl Field {
    /// The usual names, as [`plain`] makes them, the most telling first. Sources: the OpenTelemetry exporter for
    /// ClickHouse (TraceId, SpanId, ParentSpanId, TraceState, SpanName, SpanKind, ServiceName, Timestamp, Duration, StatusCode,
    /// SpanAttributes, ResourceAttributes, Links.TraceId, Links.SpanId), OTLP's own field names, Jaeger's, and those of
    /// published datasets.
    pub(crate) fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Trace => &["traceid"],
            Self::Id => &["spanid"],
            Self::Parent => &["parentspanid", "parentid", "parentspan", "parent"],
            Self::Service => &["servicename", "service", "resourceservicename", "processservicename", "app"],
            Self::Instance => &["serviceinstanceid", "instanceid", "instance", "podname", "pod", "resourcek8spodname"],
            Self::Version => &["serviceversion", "version"],
            Self::Operation => &["operationname", "spanname", "operation", "methodname", "name"],
            Self::Kind => &["spankind", "kind"],
            Self::Status => &["statuscode", "spanstatus", "status", "iserror", "error"],
            Self::Start => START,
            Self::End => END,
            Self::Duration => DURATION,
            Self::Peer => &[STORED_PEER, "peerservice", "servicepeername"],
            Self::Attributes => &["spanattributes", "attributes", "spanattrs", "spantags", "tags"],
            Self::Resource => &["resourceattributes", "resourceattrs", "processtags"],
            Self::Links => &["links"],
            Self::LinkTraces => &["linkstraceid", "linktraceids"],
            Self::LinkSpans => &["linksspanid", "linkspanids"],
            Self::TraceState => &["tracestate"],
            Self::Sampling => &["hypocenterweight"],
        }
    }

    /// The column that the user named for it.
    pub(crate) fn named(self, columns: &SpanColumns) -> Option<&str> {
        let named = match self {
            Self::Trace => &columns.trace,
            Self::Id => &columns.id,
            Self::Parent => &columns.parent,
            Self::Service => &columns.service,
            Self::Instance => &columns.instance,
            Self::Version => &columns.version,
            Self::Operation => &columns.operation,
            Self::Kind => &columns.kind,
            Self::Status => &columns.status,
            Self::Start => &columns.start,
            Self::End => &columns.end,
            Self::Duration => &columns.duration,
            Self::Peer => &columns.peer,
            Self::Attributes => &columns.attributes,
            Self::Resource => &columns.resource_attributes,
            Self::TraceState => &columns.trace_state,
            Self::Sampling => &columns.sampling,
            Self::Links | Self::LinkTraces | Self::LinkSpans => &None,
        };
        named.as_deref()
    }
}

/// The peer in tables of our own, as [`super::stored_peer`] writes it.
pub(super) const STORED_PEER: &str = "hypocenterpeer";

/// Start in Jaeger's documents for Elasticsearch, cut to milliseconds; durations beside it are in microseconds.
pub(super) const JAEGER_START_MILLIS: &str = "starttimemillis";

const START: &[&str] = &[
    "starttimeunixnano",
    "startunixnano",
    "starttimens",
    "startns",
    "starttimeus",
    "starttimemicros",
    "startus",
    "starttimems",
    "startms",
    "starttime",
    // Jaeger writes it beside `startTime`, for Elasticsearch alone.
    JAEGER_START_MILLIS,
    "starttimestamp",
    "start",
    "timestamp",
];
const END: &[&str] = &[
    "endtimeunixnano",
    "endunixnano",
    "endtimens",
    "endns",
    "endtimeus",
    "endus",
    "endtimems",
    "endms",
    "endtime",
    "endtimestamp",
    "end",
];
const DURATION: &[&str] = &[
    "durationns",
    "durationnano",
    "durationnanos",
    "durationus",
    "durationmicros",
    "durationms",
    "durationmillis",
    "durations",
    "durationseconds",
    "duration",
];
/// Names of a status that is a truth value, where 1 means "failed" and not OpenTelemetry's "ok".
const FLAG_STATUS: &[&str] = &["iserror", "error"];

/// Whether a status in a column of that name is a truth value.
pub(crate) fn is_flag(column: &str) -> bool {
    FLAG_STATUS.contains(&plain(column).as_str())
}

/// A name without case and separators.
pub(crate) fn plain(column: &str) -> String {
    column.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What one column of rows that name their columns themselves is good for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ColumnUse {
    /// Fields, each with the rank of this column among those that may hold it: 0 wins.
    pub(crate) fields: Vec<(Field, u8)>,
    /// The unit that the column's name ends with.
    pub(crate) unit: Option<TimeUnit>,
    /// Whether it is a status that means "failed" when it is 1.
    pub(crate) is_flag: bool,
}

impl ColumnUse {
    /// What a column of that name holds: what the user named it for, else what its name says of fields that the user did
    /// not name.
    pub(crate) fn of(column: &str, columns: &SpanColumns) -> Self {
        let name = plain(column);
        let rank = |field: Field| match field.named(columns) {
            Some(named) => column.trim().eq_ignore_ascii_case(named).then_some(0),
            None => field.usual().iter().zip(0..).find_map(|(usual, rank)| (*usual == name).then_some(rank)),
        };
        let fields = ALL.into_iter().filter_map(|field| Some((field, rank(field)?))).collect();
        Self { fields, unit: TimeUnit::from_suffix(column), is_flag: is_flag(column) }
    }
}
