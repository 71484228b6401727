//! Standard output and its colours.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;

use crate::report::{DEFAULT_WIDTH, Format};

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Color {
    /// On a terminal that can, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The form of a report, as named on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Output {
    /// For a terminal
    Text,
    /// For a ticket (GitHub-flavoured Markdown with a Mermaid graph)
    Markdown,
    /// For programs (see `hypocenter schema`)
    Json,
}

/// The columns of the terminal, up to the width at which lines are still easy to read; that width elsewhere.
fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    terminal.map_or(DEFAULT_WIDTH, |(columns, _)| usize::from(columns.0).min(DEFAULT_WIDTH))
}

/// Where output goes and whether it may be coloured.
pub(super) struct Terminal {
    colour: bool,
}

impl Terminal {
    /// Decides about colour for standard output, and tells anstream, which prints our messages, the same.
    pub(super) fn new(color: Color) -> Self {
        let choice = match color {
            Color::Auto => anstream::AutoStream::choice(&io::stdout()),
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self { colour: choice != anstream::ColorChoice::Never }
    }

    /// The report's format for what was asked.
    pub(super) fn format(&self, output: Output) -> Format {
        match output {
            Output::Text => Format::Text { colour: self.colour, width: width() },
            Output::Markdown => Format::Markdown,
            Output::Json => Format::Json,
        }
    }

    /// Whether to use colour, and how many columns to fill.
    pub(super) fn shape(&self) -> (bool, usize) {
        (self.colour, width())
    }

    /// Writes to standard output through a buffer and makes sure that all of it got there.
    pub(super) fn print(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let stdout = io::stdout();
        let lock = stdout.lock();
        // Text for a terminal goes through anstream, which translates colours for consoles that know none.
        if stdout.is_terminal() {
            let mut out = anstream::AutoStream::new(
                lock,
                if self.colour { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never },
            );
            write(&mut out)?;
            out.flush()
        } else {
            let mut out = io::BufWriter::new(lock);
            write(&mut out)?;
            out.flush()
        }
    }
}
