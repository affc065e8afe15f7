//! Measures plasmad through its Rust client, and the machine without any store, for `benches/compare`.
//!
//! It reads one command a line and answers each with a line, exactly as `worker.py` does, whose module doc lists them.
//! The end of its input ends it.
//!
//! | started as | it |
//! |---|---|
//! | `plasmad` | starts a daemon and measures it |
//! | `machine` | measures the limits: look-up, copy loops, a message through a Unix socket |
//! | `partner` | is told where the daemon is, waits for objects and puts some |
//! | `echo` | answers on its standard streams, for round trips |

#![forbid(unsafe_code)]

mod clock;
mod disk;
mod machine;
mod partner;
mod plasmad;
mod process;
mod protocol;
mod source;

use std::io::{BufRead, Write};

use protocol::{Answer, Command, Failure, Row};

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let mut side: Box<dyn Side> = match name.as_str() {
        "plasmad" => Box::new(plasmad::Plasmad::default()),
        "machine" => Box::new(machine::Machine::default()),
        "partner" => Box::new(partner::Partner::default()),
        "echo" => return machine::echo(),
        _ => panic!("the first argument is plasmad, machine, partner or echo, and not {name:?}"),
    };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let command = serde_json::from_str(&line).expect("a command of the protocol");
        let answer = side.obey(command).unwrap_or_else(|failure| failure.answer());
        say(&answer);
    }
}

/// What obeys commands.
trait Side {
    fn obey(&mut self, command: Command) -> Result<Answer, Failure>;
}

/// One line out.
fn say(answer: &Answer) {
    let mut output = std::io::stdout().lock();
    let line = serde_json::to_string(answer).expect("numbers and text");
    // Nobody listens any more: the end of the input follows.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// The rows of a turn, for both kinds of measuring process.
fn measure<T>(row: &Row, rows: &[(&str, T)]) -> Result<T, Failure>
where
    T: Copy,
{
    let found = rows.iter().find(|(verb, _)| *verb == row.verb).map(|(_, measure)| *measure);
    found.ok_or_else(|| Failure::Unsupported("measured without a store".to_owned()))
}
