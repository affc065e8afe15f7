//! The command line as a script sees it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plasmad_client::testing::Daemon;
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PLASMAD: &str = env!("CARGO_BIN_EXE_plasmad");

/// A daemon, a folder, and commands that speak to the one in the other.
pub(crate) struct Shell {
    pub(crate) daemon: Daemon,
    pub(crate) folder: TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self::with(&["--memory", "16MiB", "--populate", "none"])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self { daemon: Daemon::with(arguments), folder: TempDir::new().expect("a folder") }
    }

    /// A command, ready to be run in the folder.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(PLASMAD);
        command.env("PLASMAD_SOCKET", self.daemon.socket()).current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Runs a command, given as a line of words.
    pub(crate) fn run(&self, line: &str) -> Ran {
        run(&mut self.command(line.split_whitespace()))
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn prints(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "plasmad {line}");
        ran.stdout
    }

    /// Runs a command that must succeed with `--json`; the document.
    pub(crate) fn document(&self, line: &str) -> Value {
        let stdout = self.prints(&format!("--json {line}"));
        document(&stdout)
    }

    /// Runs a command that must fail, as text and as JSON; the sentence.
    pub(crate) fn fails(&self, exit: i32, code: &str, line: &str) -> String {
        let text = self.run(line);
        assert_eq!(text.exit, exit, "plasmad {line}: {}{}", text.stdout, text.stderr);
        let json = self.run(&format!("--json {line}"));
        assert_eq!((json.exit, json.stderr.as_str()), (exit, ""), "plasmad --json {line}: {}", json.stdout);
        let error = &document(&json.stdout)["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["hint"].is_string(), "{error}");
        let message = error["message"].as_str().expect("a sentence").to_owned();
        assert!(!message.is_empty());
        message
    }

    /// Writes a file of the folder.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// The names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    }
}

/// Runs a command without input.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().expect("plasmad runs");
    ran(output)
}

pub(crate) fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let exit = output.status.code().unwrap_or_else(|| panic!("plasmad ended by {}", output.status));
    Ran { exit, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// One answer under `--json`: a document on a line of its own, with its schema.
pub(crate) fn document(stdout: &str) -> Value {
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let document: Value = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    assert_eq!(document["schema"], 1, "{document}");
    document
}

/// Checks that a document has exactly these fields, each of its type: `bool`, `integer`, `number`, `text`, `list`,
/// `object`, or one of them with `?` where it may be null.
pub(crate) fn check_fields(document: &Value, fields: &[(&str, &str)]) {
    let found: Vec<&String> = document.as_object().unwrap_or_else(|| panic!("no object: {document}")).keys().collect();
    let mut wanted: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{document}");
    for (name, kind) in fields {
        let value = &document[name];
        let optional = kind.ends_with('?') && value.is_null();
        let fits = match kind.trim_end_matches('?') {
            "bool" => value.is_boolean(),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            "text" => value.is_string(),
            "list" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other} is no type"),
        };
        assert!(fits || optional, "{name} is no {kind}: {value}");
    }
}

/// A copy of the program that any user may run.
pub(crate) fn public_copy(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let open = || std::fs::Permissions::from_mode(0o755);
    let copy = folder.join("plasmad");
    std::fs::copy(PLASMAD, &copy).expect("a copy");
    std::fs::set_permissions(folder, open()).expect("a mode");
    std::fs::set_permissions(&copy, open()).expect("a mode");
    copy
}
