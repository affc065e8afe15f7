//! How a command ends: a status for scripts, a code for programs, a sentence and a hint for people.

use std::fmt;

/// The exit status of a command. Scripts rely on the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Done, and the answer is no.
    No = 1,
    /// Wrong usage, wrong configuration, memory the machine can't give.
    Usage = 2,
    /// No daemon there; for `serve`: one is there already.
    Daemon = 3,
    /// No such object.
    NotFound = 4,
    /// Timed out waiting.
    TimedOut = 5,
    /// Store full, or a limit reached.
    Full = 6,
    /// Exists already, or wrong state.
    State = 7,
    /// Not allowed.
    Denied = 8,
    /// File or disk error.
    File = 9,
    /// Our own bug.
    Bug = 70,
    /// Ctrl-C.
    Interrupted = 130,
    /// The reader of our pipe is gone.
    PipeGone = 141,
}

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// For scripts.
    pub exit: Exit,
    /// For programs, under `--json`.
    pub code: &'static str,
    /// What happened; a sentence without the full stop.
    pub message: String,
    /// What to do; empty if the message says it.
    pub hint: String,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), hint: String::new() }
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "InvalidArgument", message)
    }

    /// A file or the system said no.
    pub fn file(what: impl fmt::Display, error: std::io::Error) -> Self {
        Self::new(Exit::File, "FileError", format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(out, "; {}", self.hint) }
    }
}

impl std::error::Error for Failure {}
