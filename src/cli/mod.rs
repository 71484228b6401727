//! Room `cli`.

pub mod eval;
