//! `hypocenter schema`: the JSON Schema of the JSON report.

use std::process::ExitCode;

use crate::report::JSON_SCHEMA;

use super::terminal::Terminal;

pub(super) fn run(terminal: &Terminal) -> anyhow::Result<ExitCode> {
    terminal.print(|out| out.write_all(JSON_SCHEMA.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}
