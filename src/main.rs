//! The `hypocenter` program. All of it is in the library: see [`hypocenter::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    hypocenter::cli::main()
}
