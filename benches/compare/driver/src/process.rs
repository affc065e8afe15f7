//! Another process of this program, that speaks the same protocol.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command as Program, Stdio};

use crate::protocol::{Answer, Command, Failure};

/// Ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// `None` once closed, which ends it.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// This program, started as `name`.
    pub(crate) fn start(name: &str) -> Result<Self, Failure> {
        let mut child =
            Program::new(std::env::current_exe()?).arg(name).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Ok(Self { child, input, output })
    }

    /// Says it, and does not wait.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<(), Failure> {
        let line = serde_json::to_string(command).expect("numbers and text");
        Ok(writeln!(self.input.as_mut().expect("open until dropped"), "{line}")?)
    }

    /// The next answer; what went wrong over there goes on here.
    pub(crate) fn hear(&mut self) -> Result<Answer, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Answer::Unsupported { unsupported }) => Err(Failure::Unsupported(unsupported)),
            Ok(Answer::Failed { failed }) => Err(Failure::Failed(failed)),
            Ok(Answer::Wrong { wrong }) => Err(Failure::Wrong(wrong)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(Failure::Failed("another process of this row ended too early".to_owned())),
        }
    }

    /// Both.
    pub(crate) fn call(&mut self, command: &Command) -> Result<Answer, Failure> {
        self.ask(command)?;
        self.hear()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may wait for an object that will not come.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
