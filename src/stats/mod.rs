//! Slices in, numbers out: robust location and scale, tests, false-discovery control, correlation, change points.
//!
//! Knows nothing of telemetry, and is the only door to statrs. Every p-value is finite and in 0..=1; every degenerate
//! input (empty, one value, all equal, not finite) has a stated answer and none panics.

pub mod changepoint;
pub mod correlation;
pub mod distribution;
pub mod effective;
pub mod fdr;
pub mod g_test;
pub mod mann_whitney;
pub mod proportion;
pub mod rate;
pub mod robust;
mod tail;
