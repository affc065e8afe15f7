//! `plasmad completions`: what a shell needs to complete plasmad's commands.

use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;

use super::output;
use crate::error::Failure;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell they are for
    #[arg(value_parser = PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
}

impl Completions {
    pub(super) fn run(self, mut command: Command) -> Result<(), Failure> {
        let shell: Shell = self.shell.parse().map_err(Failure::usage)?;
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, "plasmad", &mut script);
        output::write(&script)
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad completions bash > ~/.local/share/bash-completion/completions/plasmad
  plasmad completions zsh > ~/.zfunc/_plasmad        with fpath+=~/.zfunc before compinit in ~/.zshrc
  plasmad completions fish > ~/.config/fish/completions/plasmad.fish";
