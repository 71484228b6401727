//! The vocabulary that every room speaks: identifiers, time, spans, series, calls, alerts. No logic beyond invariants.

pub mod alert;
pub mod calls;
pub mod change;
pub mod clock;
pub(crate) mod code_line;
pub mod id;
pub mod logs;
pub mod series;
pub mod sketch;
pub mod span;
pub mod time;
pub mod topology;
pub mod warning;
