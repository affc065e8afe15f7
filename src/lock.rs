//! Lock files: who holds one is alive, and says who it is on the first line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// A held lock, until every descriptor of it is closed, in this process and in those that were given one.
#[derive(Debug)]
pub(crate) struct Lock(Flock<File>);

/// Why a lock can't be had.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Somebody has it; this is the first line there.
    Held(String),
    /// Its file can't be used.
    Failed(io::Error),
}

impl Lock {
    /// Takes the lock whose file is at this path, which is made if it isn't there.
    pub(crate) fn take(path: &Path) -> Result<Self, NotLocked> {
        loop {
            let mut options = OpenOptions::new();
            let options = options.create(true).truncate(false).read(true).write(true).mode(0o600);
            let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).map_err(NotLocked::Failed)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Err((file, Errno::EWOULDBLOCK)) => return Err(NotLocked::Held(holder(file))),
                Err((_, error)) => return Err(NotLocked::Failed(error.into())),
                // Whoever was just ending may have removed the file between open and lock.
                Ok(lock) if is_at(&lock, path) => return Ok(Self(lock)),
                Ok(_) => (),
            }
        }
    }

    /// What stands in the file.
    pub(crate) fn read(&self) -> io::Result<String> {
        let mut bytes = vec![0; self.0.metadata()?.len() as usize];
        let read = self.0.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Replaces what stands in the file. The first line says who holds the lock.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        self.0.write_all_at(text.as_bytes(), 0)?;
        self.0.set_len(text.len() as u64)
    }

    /// The file, to be given to others who are to hold the lock as well.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

fn holder(mut file: File) -> String {
    // The holder writes its number right after it has the lock.
    let give_up = Instant::now() + Duration::from_secs(1);
    let mut text = String::new();
    while text.trim().is_empty() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(5));
        let _ = file.read_to_string(&mut text);
    }
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_says_who_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        lock.write("4711, and more\nand a second line\n").unwrap();
        lock.write("4711\nid\n").unwrap();
        assert_eq!(lock.read().unwrap(), "4711\nid\n");
        assert!(matches!(Lock::take(&path), Err(NotLocked::Held(holder)) if holder == "4711"));
        let given = lock.file().try_clone().unwrap();
        drop(given);
        drop(lock);
        assert_eq!(Lock::take(&path).unwrap().read().unwrap(), "4711\nid\n");
    }

    #[test]
    fn what_is_no_file_of_ours_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(Lock::take(&path), Err(NotLocked::Failed(_))));
        assert!(matches!(Lock::take(&folder.path().join("no/lock")), Err(NotLocked::Failed(_))));
    }
}
