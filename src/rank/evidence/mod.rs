//! Evidence beside time and errors: what services say of themselves.

mod log_flow;
mod log_messages;
pub(crate) mod log_windows;
pub(crate) mod logs;
pub(crate) mod machine;
