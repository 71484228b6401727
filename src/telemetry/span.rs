//! Spans as a table of columns: what ingest fills and aggregate reads.
//!
//! A span costs about 62 bytes here, because texts are stored once and referred to by key:
//! five million spans fit in a third of a gigabyte.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::id::{SpanId, TraceId, bounded, was_cut};

/// The role of a span in a call, as OpenTelemetry names it; `Unspecified` where the source does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub enum SpanKind {
    /// The source does not tell.
    #[default]
    Unspecified,
    /// Work inside one service.
    Internal,
    /// The callee's side of a synchronous call.
    Server,
    /// The caller's side of a synchronous call.
    Client,
    /// Sends a message that is handled later.
    Producer,
    /// Handles a message that was sent earlier.
    Consumer,
}

/// Whether the span's own side judged it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SpanStatus {
    /// The source does not tell.
    #[default]
    Unset,
    /// Marked as successful.
    Ok,
    /// Marked as failed.
    Error,
}

/// What stands at the other end of an outgoing call that has no server span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum PeerKind {
    /// A service named by the client (`peer.service`), perhaps without instrumentation.
    Service,
    /// A database or cache.
    Database,
    /// A queue or topic.
    Queue,
    /// A host outside the system.
    External,
}

/// The process that emitted a span. Empty text means that the source does not tell.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Resource {
    /// `service.name` (with namespace where given: `namespace/name`).
    pub service: String,
    /// `service.instance.id`, pod or host.
    pub instance: String,
    /// `service.version`.
    pub version: String,
}

/// The other end of an outgoing call, as the caller names it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Peer {
    /// Stable name, for example `postgresql/orders` or `kafka/payments`.
    pub name: String,
    /// What it is.
    pub kind: PeerKind,
    /// Where it is, as far as the span tells: callers name one thing differently, and `aggregate` joins the names.
    pub place: Place,
}

/// An address in the network as a span tells it. Empty text and port 0 mean that it does not.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Place {
    /// Name of the host, in lower case; or its address, where only that is known.
    pub host: String,
    /// Numeric address of the host.
    pub address: String,
    /// Port, where it may tell apart what runs on the host.
    pub port: u16,
}

/// What else a span tells of its call; bits, joined by `|`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks(pub u8);

impl Marks {
    /// The call failed because it took longer than its caller would wait.
    pub const TIMED_OUT: Self = Self(1);
    /// The request was sent before: this is another attempt.
    pub const RESENT: Self = Self(2);

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Index into [`SpanTable::resources`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ResourceKey(pub u32);
/// Index into [`SpanTable::operations`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct OperationKey(pub u32);
/// Index into [`SpanTable::peers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct PeerKey(pub u32);

/// One span, its texts by key in the table that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The trace that the span belongs to.
    pub trace: TraceId,
    /// The span's own id.
    pub id: SpanId,
    /// The span that caused it; `None` for a root.
    pub parent: Option<SpanId>,
    /// Who emitted it.
    pub resource: ResourceKey,
    /// What was done: a low-cardinality name.
    pub operation: OperationKey,
    /// Role in the call.
    pub kind: SpanKind,
    /// Outcome as the emitting side judged it.
    pub status: SpanStatus,
    /// The other end of an outgoing call, where the span names it.
    pub peer: Option<PeerKey>,
    /// Start, Unix nanoseconds.
    pub start_ns: i64,
    /// Length, nanoseconds.
    pub duration_ns: u64,
}

/// Refers from one span to another that caused it in a looser sense, often in another trace (batch, queue).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanLink {
    /// Row of the linking span in its table.
    pub row: u32,
    /// Trace of the linked span.
    pub trace: TraceId,
    /// Id of the linked span.
    pub id: SpanId,
}

/// Many spans, column by column. All columns have the same length.
#[derive(Clone, Debug, Default)]
pub struct SpanTable {
    /// Trace of each span.
    pub trace: Vec<u128>,
    /// Id of each span.
    pub id: Vec<u64>,
    /// Parent of each span; 0 for none.
    pub parent: Vec<u64>,
    /// Start, Unix nanoseconds.
    pub start_ns: Vec<i64>,
    /// Length, nanoseconds.
    pub duration_ns: Vec<u64>,
    /// Key into `resources`.
    pub resource: Vec<u32>,
    /// Key into `operations`.
    pub operation: Vec<u32>,
    /// Key into `peers`; [`NO_PEER`] for none.
    pub peer: Vec<u32>,
    /// Role in the call.
    pub kind: Vec<SpanKind>,
    /// Outcome.
    pub status: Vec<SpanStatus>,
    /// Span links, in row order.
    pub links: Vec<SpanLink>,
    /// How many spans of the real traffic each stands for; 0 where the source does not say, which counts as what the
    /// rest of the trace says, or else as 1. Empty when no source says anything: then every span stands for itself only.
    pub weight: Vec<u32>,
    /// What else the spans tell of their calls; rows beyond its end have no marks.
    pub marks: Vec<Marks>,
    resources: Interner<Resource>,
    operations: Interner<String>,
    peers: Interner<Peer>,
}

/// The value of [`SpanTable::peer`] that means "names no peer".
pub const NO_PEER: u32 = u32::MAX;

impl SpanTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of spans.
    pub fn len(&self) -> usize {
        self.trace.len()
    }

    /// Whether there is no span.
    pub fn is_empty(&self) -> bool {
        self.trace.is_empty()
    }

    /// The key of a resource, the same for equal resources. Long names are [`bounded`], here and below.
    pub fn resource_key(&mut self, service: &str, instance: &str, version: &str) -> ResourceKey {
        let owned = |name| bounded(name).into_owned();
        let resource = Resource { service: owned(service), instance: owned(instance), version: owned(version) };
        ResourceKey(self.resources.key(resource))
    }

    /// The key of an operation name, the same for equal names.
    pub fn operation_key(&mut self, operation: &str) -> OperationKey {
        let operation = bounded(operation);
        if let Some(&key) = self.operations.keys.get(&*operation) {
            return OperationKey(key);
        }
        OperationKey(self.operations.key(operation.into_owned()))
    }

    /// The key of a peer, the same for equal peers.
    pub fn peer_key(&mut self, name: &str, kind: PeerKind) -> PeerKey {
        self.peer_key_of(Peer { name: name.to_owned(), kind, place: Place::default() })
    }

    /// The key of a peer of which more is known than its name, the same for equal peers.
    pub fn peer_key_of(&mut self, peer: Peer) -> PeerKey {
        let owned = |name: &str| bounded(name).into_owned();
        let Place { host, address, port } = &peer.place;
        let place = Place { host: owned(host), address: owned(address), port: *port };
        PeerKey(self.peers.key(Peer { name: owned(&peer.name), kind: peer.kind, place }))
    }

    /// All resources, by key.
    pub fn resources(&self) -> &[Resource] {
        &self.resources.values
    }

    /// All operation names, by key.
    pub fn operations(&self) -> &[String] {
        &self.operations.values
    }

    /// All peers, by key.
    pub fn peers(&self) -> &[Peer] {
        &self.peers.values
    }

    /// How many names were longer than a name may be and are kept in part only.
    pub fn names_cut(&self) -> u64 {
        let resources = self.resources().iter().flat_map(|r| [&r.service, &r.instance, &r.version]);
        let names = resources.chain(self.operations()).chain(self.peers().iter().map(|peer| &peer.name));
        names.filter(|name| was_cut(name)).count() as u64
    }

    /// Makes room for so many more spans.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.trace.reserve(additional);
        self.id.reserve(additional);
        self.parent.reserve(additional);
        self.start_ns.reserve(additional);
        self.duration_ns.reserve(additional);
        self.resource.reserve(additional);
        self.operation.reserve(additional);
        self.peer.reserve(additional);
        self.kind.reserve(additional);
        self.status.reserve(additional);
        if !self.weight.is_empty() {
            self.weight.reserve(additional);
        }
    }

    /// Gives the memory back on all cores: for hundreds of megabytes that takes as long as copying them.
    pub(crate) fn free(self) {
        let Self { trace, id, parent, start_ns, duration_ns, resource, operation, peer, weight, .. } = self;
        rayon::scope(|scope| {
            scope.spawn(|_| drop(trace));
            scope.spawn(|_| drop((id, parent)));
            scope.spawn(|_| drop((start_ns, duration_ns)));
            scope.spawn(|_| drop((resource, operation, peer, weight)));
        });
    }

    /// Adds one span; its keys must come from this table.
    pub fn push(&mut self, span: Span) {
        self.trace.push(span.trace.0);
        self.id.push(span.id.0);
        self.parent.push(span.parent.map_or(0, |p| p.0));
        self.start_ns.push(span.start_ns);
        self.duration_ns.push(span.duration_ns);
        self.resource.push(span.resource.0);
        self.operation.push(span.operation.0);
        self.peer.push(span.peer.map_or(NO_PEER, |p| p.0));
        self.kind.push(span.kind);
        self.status.push(span.status);
        if !self.weight.is_empty() {
            self.weight.push(0);
        }
    }

    /// Adds one span of sampled traffic, as [`SpanTable::push`] and [`SpanTable::set_weight`] do.
    pub fn push_weighted(&mut self, span: Span, weight: u32) {
        self.push(span);
        self.set_weight(self.len() - 1, weight);
    }

    /// Says how many spans of the real traffic row `row` stands for; 0 for not known.
    ///
    /// # Panics
    /// When `row` is not below [`SpanTable::len`] and `weight` is not 0.
    pub fn set_weight(&mut self, row: usize, weight: u32) {
        if self.weight.is_empty() {
            // Most sources do not say, and then the column costs nothing.
            if weight == 0 {
                return;
            }
            self.weight.resize(self.len(), 0);
        }
        self.weight[row] = weight;
    }

    /// Adds a link from the span that was pushed last.
    pub fn push_link(&mut self, trace: TraceId, id: SpanId) {
        let row = u32::try_from(self.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.links.push(SpanLink { row, trace, id });
    }

    /// Marks the span that was pushed last.
    pub fn mark(&mut self, marks: Marks) {
        if marks != Marks::default() && !self.is_empty() {
            self.marks.resize(self.len() - 1, Marks::default());
            self.marks.push(marks);
        }
    }

    /// The marks of a row.
    pub fn marks_of(&self, row: usize) -> Marks {
        self.marks.get(row).copied().unwrap_or_default()
    }

    /// Row `row` as a span.
    ///
    /// # Panics
    /// When `row` is not below [`SpanTable::len`].
    pub fn get(&self, row: usize) -> Span {
        Span {
            trace: TraceId(self.trace[row]),
            id: SpanId(self.id[row]),
            parent: (self.parent[row] != 0).then_some(SpanId(self.parent[row])),
            resource: ResourceKey(self.resource[row]),
            operation: OperationKey(self.operation[row]),
            kind: self.kind[row],
            status: self.status[row],
            peer: (self.peer[row] != NO_PEER).then_some(PeerKey(self.peer[row])),
            start_ns: self.start_ns[row],
            duration_ns: self.duration_ns[row],
        }
    }

    /// Appends all spans of `other`, translating its keys.
    pub fn append(&mut self, other: SpanTable) {
        self.append_all(vec![other]);
    }

    /// Appends all spans of the tables in their order, translating their keys; columns are copied side by side on all
    /// cores. An empty table takes a single other one over without a copy.
    pub fn append_all(&mut self, mut others: Vec<SpanTable>) {
        if self.is_empty() && self.resources.values.is_empty() && others.len() == 1 {
            *self = others.remove(0);
            return;
        }
        let mut keys: Vec<[Vec<u32>; 3]> = Vec::with_capacity(others.len());
        let mut first_row = self.len();
        let weighted = !self.weight.is_empty() || others.iter().any(|other| !other.weight.is_empty());
        if weighted {
            self.weight.resize(first_row, 0);
        }
        for other in &mut others {
            let resources = std::mem::take(&mut other.resources.values);
            let operations = std::mem::take(&mut other.operations.values);
            let peers = std::mem::take(&mut other.peers.values);
            keys.push([
                resources.into_iter().map(|r| self.resources.key(r)).collect(),
                operations.into_iter().map(|o| self.operations.key(o)).collect(),
                peers.into_iter().map(|p| self.peers.key(p)).collect(),
            ]);
            let before = u32::try_from(first_row).unwrap_or(u32::MAX);
            self.links.extend(other.links.iter().map(|l| SpanLink { row: l.row.saturating_add(before), ..*l }));
            if !other.marks.is_empty() {
                self.marks.resize(first_row, Marks::default());
                self.marks.append(&mut other.marks);
            }
            first_row += other.len();
        }
        let (tables, keys) = (&others, &keys);
        let Self { trace, id, parent, start_ns, duration_ns, resource, operation, peer, kind, status, weight, .. } =
            self;
        rayon::scope(|scope| {
            scope.spawn(|_| extend(trace, tables, |t| &t.trace));
            scope.spawn(|_| extend(id, tables, |t| &t.id));
            scope.spawn(|_| extend(parent, tables, |t| &t.parent));
            scope.spawn(|_| extend(start_ns, tables, |t| &t.start_ns));
            scope.spawn(|_| extend(duration_ns, tables, |t| &t.duration_ns));
            scope.spawn(|_| extend_keys(resource, tables, |t| &t.resource, keys.iter().map(|k| &k[0])));
            scope.spawn(|_| extend_keys(operation, tables, |t| &t.operation, keys.iter().map(|k| &k[1])));
            scope.spawn(|_| extend_keys(peer, tables, |t| &t.peer, keys.iter().map(|k| &k[2])));
            scope.spawn(|_| extend(kind, tables, |t| &t.kind));
            scope.spawn(|_| extend(status, tables, |t| &t.status));
            if weighted {
                scope.spawn(|_| extend_weights(weight, tables));
            }
        });
        // Giving hundreds of megabytes back costs as much as copying them.
        others.into_par_iter().for_each(drop);
    }
}

fn extend<T: Copy>(column: &mut Vec<T>, tables: &[SpanTable], of: fn(&SpanTable) -> &Vec<T>) {
    column.reserve_exact(tables.iter().map(SpanTable::len).sum());
    tables.iter().for_each(|table| column.extend_from_slice(of(table)));
}

/// As [`extend`], for the column of weights, which a table may do without.
fn extend_weights(column: &mut Vec<u32>, tables: &[SpanTable]) {
    column.reserve_exact(tables.iter().map(SpanTable::len).sum());
    for table in tables {
        if table.weight.is_empty() {
            column.resize(column.len() + table.len(), 0);
        } else {
            column.extend_from_slice(&table.weight);
        }
    }
}

/// As [`extend`], for a column of keys and their translation; [`NO_PEER`] stays what it is.
fn extend_keys<'k>(
    column: &mut Vec<u32>,
    tables: &[SpanTable],
    of: fn(&SpanTable) -> &Vec<u32>,
    keys: impl Iterator<Item = &'k Vec<u32>>,
) {
    column.reserve_exact(tables.iter().map(SpanTable::len).sum());
    for (table, new) in tables.iter().zip(keys) {
        column.extend(of(table).iter().map(|key| if *key == NO_PEER { NO_PEER } else { new[*key as usize] }));
    }
}

/// Gives equal values the same small number, in order of first appearance.
#[derive(Clone, Debug)]
struct Interner<T: Ord> {
    values: Vec<T>,
    keys: BTreeMap<T, u32>,
}

impl<T: Ord> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), keys: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Interner<T> {
    fn key(&mut self, value: T) -> u32 {
        if let Some(&key) = self.keys.get(&value) {
            return key;
        }
        let key = u32::try_from(self.values.len()).expect("fewer than four billion distinct names fit in memory");
        self.values.push(value.clone());
        self.keys.insert(value, key);
        key
    }
}
