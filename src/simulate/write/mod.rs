//! What was played, in the formats of real tools: files of a case folder.

mod attributes;
mod batches;
pub mod case_toml;
pub mod changes;
mod failures;
mod jaeger_json;
mod json;
mod log_messages;
pub mod logs;
mod otlp_json;
mod otlp_protobuf;
mod parquet;
mod protobuf;
#[cfg(test)]
mod read_back;
#[cfg(test)]
pub(crate) mod sample;
mod shapes;
mod span_names;
mod traces;

use std::io::Write;

use super::recording::Side;

pub use attributes::node_name;
pub use shapes::status_is_error;
pub use span_names::{served_name, span_name};
pub use traces::{TraceFormat, traces};

/// One file of a case folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseFile {
    /// Name within the folder, `traces.jsonl.zst`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Fast, and a good deal smaller already.
const ZSTD_LEVEL: i32 = 1;

/// What `write` writes, compressed. One thread: the bytes depend on nothing else.
fn compressed(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Vec<u8> {
    let into_memory = || {
        let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
        write(&mut encoder)?;
        encoder.finish()
    };
    into_memory().expect("writing into memory does not fail")
}

/// Numbers of OTLP's enum `SpanKind`.
fn span_kind(side: Side) -> u64 {
    match side {
        Side::Server => 2,
        Side::Client => 3,
        Side::Producer => 4,
        Side::Consumer => 5,
    }
}

/// W3C's trace flags and, in the bits above them, OTLP's note whether the parent is in another process.
fn flags(side: Side, parent: u64) -> u32 {
    const SAMPLED: u32 = 0x1;
    const KNOWS_WHETHER_REMOTE: u32 = 0x100;
    const IS_REMOTE: u32 = 0x200;
    let receives = matches!(side, Side::Server | Side::Consumer);
    SAMPLED | KNOWS_WHETHER_REMOTE | if receives && parent != 0 { IS_REMOTE } else { 0 }
}
