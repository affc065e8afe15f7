//! `plasmad doctor`: is this machine fit for plasmad, and what to do where it isn't.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::Output;
use crate::config::Settings;
use crate::doctor::{self, Check, Status};
use crate::error::{Exit, Failure};

/// Check this machine and the daemon on it, and tell how to mend what isn't right
///
/// Looks at memory, limits, kernel, folders and the daemon at the socket. Changes nothing. Settings are those `plasmad
/// serve` would take from the environment.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) fn run(self, socket: Option<PathBuf>, output: &Output) -> Result<(), Failure> {
        let settings = Settings::from_surroundings(super::serve::socket_flag(socket), None)?;
        let checks = doctor::examine(&settings);
        output.answer(json!({ "checks": checks }), || text(&checks))?;
        match count(&checks, Status::Fail) {
            0 => Ok(()),
            failed => Err(Failure::new(Exit::No, "CheckFailed", format!("{failed} checks failed"))),
        }
    }
}

fn text(checks: &[Check]) -> String {
    let lines = checks.iter().map(|check| {
        let word = match check.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        let line = format!("{word:<5} {:<16} {}\n", check.name, check.found);
        if check.status == Status::Ok {
            return line;
        }
        line + &format!("{:>22} {}\n{:>22} {}\n", "wanted:", check.wanted, "fix:", check.fix)
    });
    let [ok, warned, failed] = [Status::Ok, Status::Warn, Status::Fail].map(|status| count(checks, status));
    lines.collect::<String>() + &format!("{ok} ok, {warned} warned, {failed} failed\n")
}

fn count(checks: &[Check], status: Status) -> usize {
    checks.iter().filter(|check| check.status == status).count()
}

const EXAMPLES: &str = "\
Examples:
  plasmad doctor                                   all checks, with what to do where one isn't ok
  plasmad --socket /run/plasmad/socket doctor      with another daemon
  plasmad --json doctor | jq '.checks[] | select(.status != \"ok\")'

Exit status: 0 if no check failed (warnings may be there), 1 if one did.";
