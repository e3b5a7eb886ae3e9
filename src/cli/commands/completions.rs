//! `shuzhiren completions`: completion scripts for shells.

use crate::cli::{error::Error, term::output};
use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// Settings of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    shell: SupportedShell,
}

/// Supported shells.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SupportedShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script, for `source <(shuzhiren completions bash)`.
pub(crate) fn completions(args: CompletionsArgs, mut program: Command) -> Result<(), Error> {
    let shell = match args.shell {
        SupportedShell::Bash => Shell::Bash,
        SupportedShell::Zsh => Shell::Zsh,
        SupportedShell::Fish => Shell::Fish,
    };
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut program, name, &mut script);
    output::print_bytes(&script)
}
