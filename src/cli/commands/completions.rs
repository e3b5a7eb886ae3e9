//! `shuzhiren completions`: completion scripts for shells.

use crate::cli::{client::error::Fault, term::output};
use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// Settings of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    shell: Known,
}

/// Supported shells.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script, for `source <(shuzhiren completions bash)`.
pub(crate) fn completions(args: CompletionsArgs, mut program: Command) -> Result<(), Fault> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut program, name, &mut script);
    output::pour(&script)
}
