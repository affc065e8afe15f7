//! The command line: what all commands share. One file per command.

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Exit, Failure};
use crate::server;

/// Runs the command the process was started as.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { 0 });
        }
    };
    match line.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("plasmad: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// A shared-memory object store for one machine.
#[derive(Debug, Parser)]
#[command(name = "plasmad", version, max_term_width = 100)]
struct Line {
    /// The store's socket.
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a store and serve it until SIGTERM.
    Serve(serve::Serve),
    /// What `serve` starts.
    #[command(hide = true)]
    Engine,
}

impl Line {
    fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(serve) => serve.run(self.socket),
            Command::Engine => server::run(),
        }
    }
}
