//! `hypocenter completions`: completions for a shell.

use std::process::ExitCode;

use clap_complete::Shell;

use super::terminal::Terminal;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  hypocenter completions bash > ~/.local/share/bash-completion/completions/hypocenter
  hypocenter completions zsh > ~/.zfunc/_hypocenter
  hypocenter completions fish > ~/.config/fish/completions/hypocenter.fish")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics on a broken pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "hypocenter", &mut script);
    terminal.print(|out| out.write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}
