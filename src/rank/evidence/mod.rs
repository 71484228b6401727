//! Evidence beside time and errors: what services say of themselves.

pub(crate) mod beside;
pub(crate) mod changes;
pub(crate) mod last_call;
mod log_flow;
mod log_messages;
pub(crate) mod log_windows;
pub(crate) mod logs;
pub(crate) mod machine;
pub(crate) mod structure;
