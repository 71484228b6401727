//! Hypocenter.
pub mod aggregate;
pub mod analysis;
pub mod assemble;
pub mod case;
pub mod cli;
pub mod detect;
pub mod eval;
pub mod explain;
pub mod graph;
pub mod incident;
pub mod ingest;
pub mod rank;
pub mod report;
pub mod stats;
pub mod telemetry;
pub mod timespec;
