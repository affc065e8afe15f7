//! Progress on a terminal, and nowhere else.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use plasmad_client::testing::Daemon;

use super::stage::{PLASMAD, Stage};

#[test]
fn large_copies_show_a_bar_on_a_terminal() {
    let (stage, daemon) = (Stage::new(), Daemon::with(&["--memory", "300MiB", "--populate", "none"]));
    let (source, target) = (stage.path().join("source"), stage.path().join("target"));
    large(&source);
    let shown = on_terminal(plasmad(&stage, &daemon).args(["put", "--name", "x"]).arg(&source));
    assert!(shown.contains("of 72.00 MiB") && shown.contains("source"), "{shown:?}");
    let shown = on_terminal(plasmad(&stage, &daemon).args(["get", "name:x", "-o"]).arg(&target));
    assert!(shown.contains("of 72.00 MiB") && shown.contains("target"), "{shown:?}");
    let input = Stdio::from(File::open(&source).unwrap());
    let shown = on_terminal(plasmad(&stage, &daemon).args(["put", "-"]).stdin(input));
    assert!(shown.contains("standard input") && shown.contains("MiB"), "{shown:?}");
    assert_eq!(std::fs::metadata(&target).unwrap().len(), LARGE_BYTES);
}

#[test]
fn nothing_is_shown_for_small_copies_under_quiet_or_json_or_without_a_terminal() {
    let (stage, daemon) = (Stage::new(), Daemon::with(&["--memory", "300MiB", "--populate", "none"]));
    let (source, small) = (stage.path().join("source"), stage.file("small", "little"));
    large(&source);
    assert_eq!(on_terminal(plasmad(&stage, &daemon).arg("put").arg(&small)), "");
    assert_eq!(on_terminal(plasmad(&stage, &daemon).args(["--quiet", "put"]).arg(&source)), "");
    assert_eq!(on_terminal(plasmad(&stage, &daemon).args(["--json", "put"]).arg(&source)), "");
    let piped = plasmad(&stage, &daemon).arg("put").arg(&source).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");
}

fn plasmad(stage: &Stage, daemon: &Daemon) -> Command {
    let mut command = stage.command(PLASMAD);
    command.arg("--socket").arg(daemon.socket());
    command
}

/// Large enough for a bar; takes no disk.
fn large(path: &Path) {
    File::create(path).unwrap().set_len(LARGE_BYTES).unwrap();
}

/// Runs a command whose standard error is a terminal; what it drew there.
fn on_terminal(command: &mut Command) -> String {
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let slave = Stdio::from(terminal.slave);
    let mut process = command.env("TERM", "xterm").stdout(Stdio::null()).stderr(slave).spawn().unwrap();
    // The command holds the other end; while this process did too, the terminal would not end.
    command.stderr(Stdio::null());
    let mut drawn = Vec::new();
    let mut master = File::from(terminal.master);
    let mut bytes = [0; 4096];
    loop {
        match master.read(&mut bytes) {
            Ok(count) if count > 0 => drawn.extend_from_slice(&bytes[..count]),
            // Linux tells the end of a terminal as EIO.
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            _ => break,
        }
    }
    assert!(process.wait().unwrap().success(), "{}", String::from_utf8_lossy(&drawn));
    String::from_utf8(drawn).unwrap()
}

const LARGE_BYTES: u64 = 72 << 20;
