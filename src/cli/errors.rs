//! Errors at the rim: printed once, as a chain, with the next step and the right exit code.

use std::io;
use std::process::ExitCode;

use crate::incident::IncidentError;
use crate::ingest::IngestError;
use crate::report::terminal_text;
use crate::timespec::TimespecError;

use super::exit;

/// A mistake on the command line that clap cannot see. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// Prints the chain of an error to standard error. A reader of our output who went away is no error.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken_pipe)) {
        return ExitCode::SUCCESS;
    }
    let code = code(error);
    let mut message = String::new();
    for (index, cause) in error.chain().enumerate() {
        let label = if index == 0 { "error: " } else { "  because: " };
        for (number, line) in cause.to_string().lines().enumerate() {
            let lead = if number == 0 { label } else { "    " };
            // The lines are kept, hence escaped one by one: messages hold file names and texts of the input.
            let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
            message.push_str(&format!("{lead}{indent}{}\n", terminal_text(line, 2_000)));
        }
    }
    if code == exit::USAGE {
        message.push_str("For more information, try '--help'.\n");
    }
    anstream::eprint!("{message}");
    ExitCode::from(code)
}

fn code(error: &anyhow::Error) -> u8 {
    let usage = error.chain().any(|cause| {
        cause.is::<Usage>()
            || cause.is::<TimespecError>()
            || matches!(cause.downcast_ref::<IngestError>(), Some(IngestError::Pattern { .. }))
            || cause.downcast_ref::<IncidentError>().is_some_and(|e| *e != IncidentError::NoTelemetry)
    });
    if usage { exit::USAGE } else { exit::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_whose_mistake_it_was() {
        assert_eq!(code(&anyhow::Error::new(Usage("x".into())).context("y")), exit::USAGE);
        assert_eq!(code(&IncidentError::NoBaseline.into()), exit::USAGE);
        assert_eq!(code(&IncidentError::NoTelemetry.into()), exit::FAILURE);
        assert_eq!(code(&io::Error::other("disk").into()), exit::FAILURE);
    }
}
