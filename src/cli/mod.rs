//! The command line: what all commands share. One file per command.
//!
//! | module | what is in it |
//! |---|---|
//! | `serve`, `put`, `get`, `ls`, `stat`, `rm`, `evict`, `stats`, `watch`, `ping` | the commands about objects |
//! | `bench`, `doctor`, `completions` | the commands about plasmad and the machine |
//! | `session` | connecting, waiting, Ctrl-C |
//! | `output` | text or JSON, and readers that are gone |
//! | `progress` | how far a large copy is |
//! | `failures` | what the client library's errors mean to a script |
//! | `object` | an object as JSON and as a line |
//! | `names`, `time` | ids and times as people write them |

mod bench;
mod completions;
mod doctor;
mod evict;
mod failures;
mod get;
mod ls;
mod names;
mod object;
mod output;
mod ping;
mod progress;
mod put;
mod rm;
mod serve;
mod session;
mod stat;
mod stats;
mod time;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Exit, Failure};
use crate::{keeper, server};
use output::Output;
use session::Session;

/// Runs the command the process was started as.
pub fn main() -> ExitCode {
    // What `serve` starts is no command, and so neither in the help nor in completions.
    if std::env::args_os().skip(1).eq([keeper::ENGINE]) {
        return ended(server::run(), &Output { json: false, quiet: false });
    }
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) if error.use_stderr() => return usage(&error),
        Err(help) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let output = Output { json: line.json, quiet: line.quiet };
    ended(line.run(&output), &output)
}

fn ended(result: Result<(), Failure>, output: &Output) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Wrong usage; the arguments could not be read, so whether JSON is wanted is looked for by hand.
fn usage(error: &clap::Error) -> ExitCode {
    if std::env::args().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let failure = Failure::usage(message).hint("see plasmad --help");
        Output { json: true, quiet: false }.failure(&failure);
    } else {
        let _ = error.print();
    }
    ExitCode::from(Exit::Usage as u8)
}

/// A shared-memory object store for one machine.
///
/// Objects are written once and read by any process of this machine without a copy.
#[derive(Debug, Parser)]
#[command(name = "plasmad", version, max_term_width = 100, after_help = EXAMPLES)]
struct Line {
    /// The store's socket [default: $PLASMAD_SOCKET, else $XDG_RUNTIME_DIR/plasmad.sock, else /tmp/plasmad-UID.sock]
    #[arg(long, global = true, value_name = "PATH", help_heading = GLOBAL)]
    socket: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Put(put::Put),
    Get(get::Get),
    Ls(ls::Ls),
    Stat(stat::Stat),
    Rm(rm::Rm),
    Evict(evict::Evict),
    Stats(stats::Stats),
    Watch(watch::Watch),
    Ping(ping::Ping),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    /// What `bench` starts.
    #[command(hide = true)]
    BenchHelper(bench::BenchHelper),
}

impl Line {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let session = Session::new(self.socket.clone());
        match self.command {
            Command::Serve(serve) => serve.run(self.socket, output),
            Command::Bench(bench) => bench.run(self.socket, output),
            Command::BenchHelper(helper) => helper.run(),
            Command::Put(put) => put.run(&session, output),
            Command::Get(get) => get.run(&session, output),
            Command::Ls(ls) => ls.run(&session, output),
            Command::Stat(stat) => stat.run(&session, output),
            Command::Rm(rm) => rm.run(&session, output),
            Command::Evict(evict) => evict.run(&session, output),
            Command::Stats(stats) => stats.run(&session, output),
            Command::Watch(watch) => watch.run(&session, output),
            Command::Ping(ping) => ping.run(&session, output),
            Command::Doctor(doctor) => doctor.run(self.socket, output),
            Command::Completions(completions) => completions.run(Line::command()),
        }
    }
}

const GLOBAL: &str = "Options of every command";

const EXAMPLES: &str = "\
Examples:
  plasmad serve --memory 4GiB &          start a store
  plasmad put --name model weights.bin   put a file into it
  plasmad get name:model -o copy.bin     and out again
  plasmad ls --sort size                 see what is there
  plasmad doctor                         what is wrong with this machine, and what to do
  plasmad help serve                     all about one command
  plasmad watch                          see what happens

Exit status: 0 done, 1 the answer is no, 2 usage, 3 no daemon, 4 no such object, 5 timed out, 6 full,
7 exists already or wrong state, 8 not allowed, 9 file error, 70 a bug of plasmad's, 130 Ctrl-C.";
