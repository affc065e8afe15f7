//! Running the program, and a folder to do it in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program under test.
pub(crate) const PLASMAD: &str = env!("CARGO_BIN_EXE_plasmad");

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { exit: output.status.code().expect("an exit"), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A folder with room for a socket, and commands that see no settings but those given.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("s")
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The program, whose default socket and caches lie in this folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PLASMAD_")) {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.path()).env("XDG_CACHE_HOME", self.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run<const N: usize>(&self, arguments: [&str; N]) -> Said {
        self.run_with(arguments, [])
    }

    /// With environment variables.
    pub(crate) fn run_with<const N: usize, const M: usize>(
        &self,
        arguments: [&str; N],
        variables: [(&str, &str); M],
    ) -> Said {
        self.command(PLASMAD).args(arguments).envs(variables).output().expect("plasmad runs").into()
    }
}
