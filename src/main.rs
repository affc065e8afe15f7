//! The command `plasmad`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plasmad::cli::main()
}
