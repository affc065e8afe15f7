//! The lock beside a socket: who holds it serves there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Exit, Failure};

/// A held lock. Its file goes with it.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock of a socket, or says who has it.
    pub(super) fn take(socket: &Path) -> Result<Self, Failure> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
            let file = file.map_err(|error| Failure::file(format!("lock {}", path.display()), error))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Err((file, Errno::EWOULDBLOCK)) => return Err(held_by(file, socket)),
                Err((_, error)) => return Err(Failure::file(format!("lock {}", path.display()), error.into())),
                // A daemon that was just ending may have removed the file between open and lock.
                Ok(lock) if is_at(&lock, &path) => {
                    let mut lock = lock;
                    let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
                    written.map_err(|error| Failure::file(format!("lock {}", path.display()), error))?;
                    return Ok(Self { path, _file: lock });
                }
                Ok(_) => (),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

fn held_by(mut file: File, socket: &Path) -> Failure {
    // The holder writes its number right after it has the lock.
    let give_up = Instant::now() + Duration::from_secs(1);
    let mut holder = String::new();
    while holder.trim().is_empty() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(5));
        let _ = file.read_to_string(&mut holder);
    }
    let what = format!("plasmad is serving {} already, as process {}", socket.display(), holder.trim());
    Failure::new(Exit::Daemon, "AlreadyServing", what).hint("stop it, or choose another path with --socket")
}
