//! Incidents on paper: microservice systems whose telemetry looks like the real thing, with the cause known.
//!
//! ```text
//!  system ──┐
//!  fault ───┼─> scenario ─> world (events) ─> Recording ─┬─> observe (sampling, loss, clocks) ─> spans ─> write/…
//!  seed ────┘                                            ├─> metrics (scrapes) ─> alert rules ─> OpenMetrics, webhook
//!                                                        └─> logs, changes, truth
//! ```
//!
//! [`system`] says what calls what and how long it takes, [`fault`] what goes wrong, [`scenario`] draws both from a
//! seed. [`world`] plays it, event by event, and writes down everything that happened in a [`recording::Recording`];
//! only then [`observe`] forgets what real telemetry does not see. All of it is a pure function of the scenario: the
//! same bytes from run to run and from machine to machine (own random numbers, no mathematics of the platform's).

pub mod alert;
pub mod fault;
pub mod incident;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod random;
pub mod recording;
pub mod scenario;
pub mod system;
pub mod windows;
pub mod world;
pub mod write;
