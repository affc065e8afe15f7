//! Processes of their own that tests need: this very program, run again to play one part.
//!
//! A part is an ignored test that does nothing unless it is told which daemon to speak to. `/proc/self/exe` can be
//! run by any user, wherever the program lies.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The command that plays a part, such as `it::users::reader`.
pub(crate) fn part(name: &str, socket: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--include-ignored", "--exact", name, "--nocapture", "--test-threads", "1"]);
    command.env(SOCKET, socket).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The daemon of a part; `None` if the program was not run to play one.
pub(crate) fn told() -> Option<PathBuf> {
    std::env::var_os(SOCKET).map(PathBuf::from)
}

/// A process that doesn't outlive its test.
pub(crate) struct Reaped(pub(crate) Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SOCKET: &str = "PLASMAD_TEST_SOCKET";
