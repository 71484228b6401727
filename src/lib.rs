//! Hypocenter finds the service where an incident began.
//!
//! An earthquake is felt at the epicenter and starts at the hypocenter. An alert fires where users feel it; this
//! crate finds where it started, and says so when it cannot tell.
//!
//! # The way of the data
//!
//! ```text
//!  live: Prometheus, Jaeger, Tempo, Zipkin ──pull──> case folder ─┐
//!  push: OTLP, remote-write ──> server ──> store ──by window──────┤
//!  files: OTLP, Jaeger, Parquet/CSV, Prometheus, OpenMetrics ─────┤    alert file · command line · case folder
//!         ┌───────────────────────────────────────────────────────┘               |
//!         v                                                                       v
//!    ingest ──spans──> aggregate ──calls per edge──┐                       (which windows?)
//!         |                                        ├──> assemble ──> Incident ──> detect ──> rank ──> explain ──> report
//!         └──── series, given edges, alerts ───────┘                (checked)     Finding   Ranking   Diagnosis   text,
//!                                                                                                                 Markdown,
//!                                                                                                                 JSON
//!  unattended: webhook ──> api ──> respond (all of the above) ──> memory ──> notify ──> tickets, chat
//!
//!    ── rim: I/O, may fail ───────────────────────────────────────> core: pure, no clock, no I/O ──────────────> rim
//! ```
//!
//! Four nouns carry the program. [`incident::Incident`]: everything one analysis needs, checked once.
//! [`detect::Finding`]: this signal of this node or edge left its baseline, when, by how much, how surely.
//! [`rank::Ranking`]: candidates in a total order with probabilities. [`explain::Diagnosis`]: the ranking with its
//! reasons. [`analysis`] is the only place where the stages meet, and where other windows are tried if the start may be
//! wrong.
//!
//! # Rooms
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`telemetry`] | the vocabulary: ids, time, spans, series, logs, changes, call statistics, alerts, warnings |
//! | [`stats`] | slices in, numbers out: robust scale, tests, false-discovery control, correlation, onset |
//! | [`graph`] | who calls whom; petgraph is private to it |
//! | [`ingest`] | one file per format: bytes in, telemetry and warnings out |
//! | [`aggregate`] | spans become small: counts, errors, distributions per (time bin, entry, edge, operation); logs too, by template |
//! | [`incident`], [`assemble`] | the checked incident, and how telemetry and windows become one |
//! | [`windows`] | which windows to compare, from an alert and what telemetry there is |
//! | [`detect`] | which signal left its baseline |
//! | [`rank`] | one file per method behind one `Ranker` trait; our own is `hypocenter` |
//! | [`explain`] | path, evidence, victims, blast radius, exemplars, logs, changes, coverage, next steps |
//! | [`report`] | one file per output format; the versioned JSON schema |
//! | [`case`] | case folders |
//! | [`http`] | speaking to a server that the settings name: address, credentials, TLS, no other host |
//! | [`live`] | live sources: Prometheus, Jaeger, Tempo and Zipkin pulled into a case folder |
//! | [`notify`] | the report where the team works: GitHub, Jira, Slack, PagerDuty, webhooks |
//! | [`settings`] | the settings file, a section a file: metrics, live sources, the receiver and its store, sinks |
//! | [`doctor`] | what was recognised, what is missing, what to do: before any analysis |
//! | [`eval`] | recorded incidents with known causes to accuracy tables |
//! | [`model`], [`train`] | the weights of the signs as a file; how they are learned from recorded incidents |
//! | [`simulate`] | incidents on paper: a system, its load and a fault, played event by event; telemetry in real formats |
//! | [`store`] | the embedded rolling store: a log made durable before the answer, Parquet segments, reading by window |
//! | [`server`] | the receiver: OTLP over gRPC and HTTP, Prometheus remote-write; the door for all that is served |
//! | [`memory`] | what `serve` remembers, in SQLite: incidents, alerts, analyses, reports, messages, changes, feedback |
//! | [`respond`] | from an alert to a report: which incident it is, the analysis, what is sent and when |
//! | [`api`] | the HTTP API of all that, and pages to look at |
//! | [`timespec`], [`cli`] | times and windows as people write them; one file per subcommand |
//!
//! Dependencies run downwards only; `tests/rooms.rs` holds the table of who may import whom.
//!
//! # Invariants
//!
//! 1. [`analysis::analyze`] is a pure function: the same incident and settings give the same bytes of JSON, on any
//!    machine, in any input order. Times are summed as integers, quantiles come from integer buckets; no clock, no
//!    order from threads or hashes. Ties break by earlier onset, then by name.
//! 2. The core does not fail on messy telemetry: what is odd becomes a warning that reaches the reader of the report
//!    and lowers the confidence. Only a caller's mistake is an `Err`.
//! 3. Nothing is dropped silently: what is skipped is counted and shown.
//! 4. Slowness is never a cause. A cause is where time or errors *begin*; a caller that is slow only because its
//!    callee is slow is a victim, and the report says so.
//! 5. "Cannot tell" is an answer.
//! 6. Domain types are not serialized; wire types live at the rim and convert.
//! 7. Every number knows its unit by type or by name; every score is finite and totally ordered.
//! 8. Text from telemetry is hostile: escaped for each output; a URL found in it is shown, never fetched.

pub mod aggregate;
pub mod analysis;
pub mod api;
pub mod assemble;
pub mod case;
pub mod cli;
pub mod detect;
pub mod doctor;
pub mod eval;
pub mod explain;
pub mod graph;
pub mod http;
pub mod incident;
pub mod ingest;
pub mod live;
pub mod memory;
pub mod model;
pub mod notify;
pub mod rank;
pub mod report;
pub mod respond;
pub mod server;
pub mod settings;
pub mod simulate;
pub mod stats;
pub mod store;
pub mod telemetry;
pub mod timespec;
pub mod train;
pub mod windows;
