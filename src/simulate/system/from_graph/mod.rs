//! A system from what `hypocenter graph -o json` prints: the reader's own topology, to drill on.
//!
//! What the graph tells is kept: names, kinds, who calls whom how often, whether the caller waits, typical latencies. What
//! it does not tell is assumed: two pods a service, one operation a service, required calls one after the other.
//! `docs/simulator.md` lists the assumptions.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::System;
use super::check::{SystemFlaw, check};
use super::flow::Flow;

mod playable;
mod rates;

/// Bytes that are read at most: a graph of the largest size with long names.
const MOST_BYTES: usize = 64 << 20;
/// Nodes and edges that are played at most.
const MOST_NODES: usize = 5_000;
const MOST_EDGES: usize = 50_000;
/// Spans that a request of the mix may leave.
const MOST_SPANS: f64 = 10_000.0;

/// Why a file is no system to play.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// It is longer than a graph can be.
    #[error("{}: {bytes} bytes are more than the {MOST_BYTES} that a graph may have", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// It is no JSON, or a field is missing or of another type.
    #[error("{}: not what `hypocenter graph -o json` prints", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Field, line and column.
        source: serde_json::Error,
    },
    /// It is of another version of the schema.
    #[error("{}: schema_version is {version}, but 1 is read", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// What it says.
        version: String,
    },
    /// There is more than can be played.
    #[error("{}: {count} {what} are more than the {most} that are played", file.display())]
    TooMany {
        /// The file.
        file: PathBuf,
        /// Nodes or edges.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A value makes no sense.
    #[error("{}: {field}: {problem}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// Which, `edges[3].callee`.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// No request comes in anywhere: no service is called from outside.
    #[error("{}: no service is asked from outside, so that nothing would happen", file.display())]
    NoEntry {
        /// The file.
        file: PathBuf,
    },
    /// Counts that multiply on the way down: no request of a real system asks so much.
    #[error("{}: by its counts a request would leave {spans:.0} spans, more than the {MOST_SPANS} that are played", file.display())]
    TooMuch {
        /// The file.
        file: PathBuf,
        /// Spans of a mean request.
        spans: f64,
    },
    /// The system that it describes cannot be played.
    #[error("{}: cannot be played", file.display())]
    Flaw {
        /// The file.
        file: PathBuf,
        /// Why.
        source: SystemFlaw,
    },
}

/// The object; what is not needed of it is not looked at.
#[derive(Deserialize)]
struct Graph {
    schema_version: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    kind: Kind,
    calls: u64,
    #[serde(default)]
    baseline: Option<Traffic>,
}

#[derive(Deserialize)]
struct Edge {
    caller: String,
    callee: String,
    mode: Mode,
    calls: u64,
    #[serde(default)]
    retries: u64,
    #[serde(default)]
    baseline: Option<Traffic>,
}

#[derive(Deserialize)]
struct Traffic {
    requests_per_second: f64,
    #[serde(default)]
    latency_p50_seconds: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Service,
    Database,
    Queue,
    External,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Sync,
    Async,
}

/// Reads a graph and makes a system of it; `source` is the file's name, for errors.
///
/// # Errors
///
/// [`TopologyError`] says what is wrong in which field.
pub fn from_graph(json: &[u8], source: &Path) -> Result<System, TopologyError> {
    let file = || source.to_owned();
    if json.len() > MOST_BYTES {
        return Err(TopologyError::TooLong { file: file(), bytes: json.len() });
    }
    let graph: Graph = serde_json::from_slice(json).map_err(|source| TopologyError::Json { file: file(), source })?;
    if graph.schema_version != "1" {
        return Err(TopologyError::Version { file: file(), version: graph.schema_version });
    }
    for (what, count, most) in [("nodes", graph.nodes.len(), MOST_NODES), ("edges", graph.edges.len(), MOST_EDGES)] {
        if count > most {
            return Err(TopologyError::TooMany { file: file(), what, count, most });
        }
    }
    let field = |(field, problem): (String, String)| TopologyError::Field { file: file(), field, problem };
    let topology = rates::Topology::new(graph).map_err(field)?;
    let system = playable::system(&topology);
    let spans = Flow::of(&system).spans_per_request(&system);
    if spans.is_nan() || spans > MOST_SPANS {
        return Err(TopologyError::TooMuch { file: file(), spans });
    }
    match check(&system) {
        Ok(()) => Ok(system),
        Err(SystemFlaw::NoEntry) => Err(TopologyError::NoEntry { file: file() }),
        Err(flaw) => Err(TopologyError::Flaw { file: file(), source: flaw }),
    }
}

#[cfg(test)]
mod tests;
