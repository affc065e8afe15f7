//! Text or JSON on standard output, everything else on standard error.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use crate::error::{Exit, Failure};

/// How this command talks.
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Output {
    /// One answer: the fields of a document, or text.
    pub(super) fn answer(&self, document: Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let shown = if self.json { with_schema(document).to_string() + "\n" } else { text() };
        write(shown.as_bytes())
    }

    /// Something beside the result, for people.
    pub(super) fn remark(&self, text: &str) {
        if !self.quiet && !self.json {
            eprintln!("{text}");
        }
    }

    /// Why the command failed.
    pub(super) fn failure(&self, failure: &Failure) {
        // A reader that is gone hears nothing; an answer that is "no" has been printed.
        if matches!(failure.exit, Exit::PipeGone | Exit::No) {
            return;
        }
        if self.json {
            let error = json!({ "code": failure.code, "message": failure.message, "hint": failure.hint });
            let _ = write((json!({ "schema": 1, "error": error }).to_string() + "\n").as_bytes());
        } else {
            eprintln!("plasmad: {failure}");
        }
    }
}

/// Writes to standard output. A reader that is gone ends the command, silently.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => pipe_gone(),
        _ => Failure::file("standard output", error),
    })
}

/// Fails as a write would when the reader of standard output is gone, without writing.
pub(super) fn check_reader() -> Result<(), Failure> {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let gone = poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    if gone { Err(pipe_gone()) } else { Ok(()) }
}

fn pipe_gone() -> Failure {
    Failure::new(Exit::PipeGone, "PipeGone", "the reader of standard output is gone")
}

/// The schema's number comes with every document.
fn with_schema(mut document: Value) -> Value {
    if let Value::Object(fields) = &mut document {
        fields.insert("schema".to_owned(), json!(1));
    }
    document
}
