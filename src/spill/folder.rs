//! The folder that objects are spilled to: which one, and whose.
//!
//! Invariant: a folder belongs to whoever holds the lock on the file in it. Only its owner's user may write to it, so
//! that nobody else can put files in place of its own.
//!
//! ```text
//! given          used as it is, made if it is missing; stays
//! private        one for each socket, in the user's cache or a folder that survives a restart; goes at the end
//! a dead one     of this socket: taken over with all that is in it; of others: removed when nobody will come for it
//! ```

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::record::FolderKey;
use crate::error::{Exit, Failure};
use crate::lock::{Lock, NotLocked};

/// What the engine is told of the folder; it comes with a descriptor of the lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Nobody wants what is in it when the daemon has ended.
    pub(crate) is_private: bool,
    /// Files in it can be written past the page cache.
    pub(crate) is_direct: bool,
    /// What the headers of its records are signed with.
    pub(crate) key: FolderKey,
    /// What its owner ought to know.
    pub(crate) remarks: Vec<String>,
}

/// A folder that is this daemon's.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) claim: Claim,
    pub(crate) lock: Lock,
}

impl Folder {
    /// Takes the folder that was given, or a private one for this socket.
    pub(crate) fn take(given: Option<&Path>, socket: &Path) -> Result<Self, Failure> {
        if let Some(given) = given {
            let path = std::path::absolute(given).map_err(|error| unusable(given, &error))?;
            return Self::take_at(&path, socket, false);
        }
        let mut troubles = Vec::new();
        for path in private_folders(socket) {
            if Probe::look_above(&path).in_memory {
                troubles.push(format!("{} is memory itself", path.display()));
                continue;
            }
            match Self::take_at(&path, socket, true) {
                Ok(folder) => {
                    folder.clean_beside();
                    return Ok(folder);
                }
                Err(failure) => troubles.push(failure.message),
            }
        }
        Err(Failure::new(Exit::File, "SpillFailed", troubles.join("; ")).hint("name a folder: --spill-dir DIR"))
    }

    fn take_at(path: &Path, socket: &Path, is_private: bool) -> Result<Self, Failure> {
        let refused = |error: io::Error| unusable(path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(refused)?;
        // A folder that was given may be a link to one; a private one may not, as others could have put it there.
        let path = &if is_private { path.to_path_buf() } else { path.canonicalize().map_err(refused)? };
        check_owner(path)?;
        let probe = Probe::look(path);
        probe.written.map_err(refused)?;
        let lock = take_lock(path)?;
        let key = lock.read().ok().and_then(|text| key_in(&text)).map_or_else(new_key, Ok).map_err(refused)?;
        lock.write(&lock_text(key, socket)).map_err(refused)?;
        let (is_direct, mut remarks) = (probe.direct.is_ok(), Vec::new());
        let shown = path.display();
        if probe.in_memory {
            remarks.push(format!("{shown} is memory itself (tmpfs): objects that are spilled there free nothing"));
        } else if let Err(error) = probe.direct {
            remarks.push(format!("{shown} can't be written past the page cache ({error}), so spilling is slower"));
        }
        Ok(Self { claim: Claim { path: path.to_path_buf(), is_private, is_direct, key, remarks }, lock })
    }

    /// Removes the folder, if nobody wants what is in it.
    pub(crate) fn leave(claim: &Claim) {
        if claim.is_private
            && let Err(error) = fs::remove_dir_all(&claim.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!("{} stays behind: {error}", claim.path.display());
        }
    }

    /// Removes private folders beside this one that nobody will come for: their daemons are dead, and their sockets'
    /// folders are gone, or nobody served there for long.
    fn clean_beside(&self) {
        let Some(above) = self.claim.path.parent() else { return };
        let entries = fs::read_dir(above).into_iter().flatten().flatten();
        let others = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().map(|name| name.as_bytes()).unwrap_or_default();
            name.starts_with(private_prefix().as_bytes()) && *path != self.claim.path
        });
        for path in others.filter(|path| check_owner(path).is_ok()) {
            let last_used = fs::metadata(path.join(LOCK)).and_then(|lock| lock.modified());
            // Who holds it is alive. To remove a folder while holding its lock is what its own daemon would do.
            let Ok(lock) = Lock::take(&path.join(LOCK)) else { continue };
            let socket = lock.read().ok().and_then(|text| socket_in(&text));
            let is_unreachable = socket.and_then(|it| Some(!it.parent()?.exists())).unwrap_or(true);
            let age = last_used.ok().and_then(|used| SystemTime::now().duration_since(used).ok()).unwrap_or_default();
            if is_unreachable || age > FORGOTTEN_AFTER {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

/// Where a private folder may be, the best place first: the user's cache, else a folder that survives a restart; never
/// /tmp, which may be memory itself.
pub(crate) fn private_folders(socket: &Path) -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // XDG wants relative paths to be ignored.
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let name = private_name(socket);
    cache.into_iter().chain([PathBuf::from("/var/tmp")]).map(|above| above.join(&name)).collect()
}

/// A name for a socket's folder: some of its path for people, and a checksum of all of it.
fn private_name(socket: &Path) -> String {
    let path = std::path::absolute(socket).unwrap_or_else(|_| socket.to_path_buf());
    let text = path.to_string_lossy();
    let plain: Vec<char> = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let end: String = plain[plain.len().saturating_sub(NAMED_CHARS)..].iter().collect();
    format!("{}{}-{:08x}", private_prefix(), end.trim_start_matches('-'), crc32c::crc32c(path.as_os_str().as_bytes()))
}

fn private_prefix() -> String {
    format!("plasmad-spill-{}-", nix::unistd::geteuid())
}

/// Whether a folder that was given could be taken, but for others that hold it.
pub(crate) fn check(given: &Path) -> Result<(), Failure> {
    match given.canonicalize() {
        Ok(path) => check_owner(&path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(unusable(given, &error)),
    }
    Probe::look_above(given).written.map_err(|error| unusable(given, &error))
}

/// The folder is one that nobody else can write to.
pub(crate) fn check_owner(path: &Path) -> Result<(), Failure> {
    let found = fs::symlink_metadata(path).map_err(|error| unusable(path, &error))?;
    let (shown, own) = (path.display(), nix::unistd::geteuid().as_raw());
    let refused = |what: String| {
        let hint = "name one of plasmad's own: mkdir -m 700 DIR, and --spill-dir DIR";
        Err(Failure::new(Exit::Usage, "SpillFailed", what).hint(hint))
    };
    match found.mode() & 0o7777 {
        _ if !found.is_dir() => refused(format!("the spill folder {shown} is no folder")),
        _ if ![own, 0].contains(&found.uid()) => {
            refused(format!("the spill folder {shown} belongs to user {}", found.uid()))
        }
        mode if mode & WRITABLE_BY_OTHERS != 0 => {
            refused(format!("others may write to the spill folder {shown}: its mode is {mode:o}"))
        }
        _ => Ok(()),
    }
}

fn take_lock(folder: &Path) -> Result<Lock, Failure> {
    // The engine of a keeper that was killed ends within its drain time.
    let give_up = Instant::now() + LEFTOVER_TIME_MAX;
    loop {
        match Lock::take(&folder.join(LOCK)) {
            Ok(lock) => return Ok(lock),
            Err(NotLocked::Held(_)) if Instant::now() < give_up => std::thread::sleep(RETRY_TIME),
            Err(NotLocked::Held(holder)) => {
                let what = format!("process {holder} spills to {} already", folder.display());
                let hint = "stop it, or name another folder: --spill-dir DIR";
                return Err(Failure::new(Exit::Daemon, "AlreadyServing", what).hint(hint));
            }
            Err(NotLocked::Failed(error)) => return Err(unusable(folder, &error)),
        }
    }
}

fn unusable(folder: &Path, error: &io::Error) -> Failure {
    let what = format!("the spill folder {} can't be used: {error}", folder.display());
    Failure::new(Exit::Usage, "SpillFailed", what)
        .hint("name another with --spill-dir, or keep nothing on disk: --no-spill")
}

/// What stands in a folder's lock file.
fn lock_text(key: FolderKey, socket: &Path) -> String {
    let socket = std::path::absolute(socket).unwrap_or_else(|_| socket.to_path_buf());
    format!("{}\nkey {:032x}\nsocket {}\n", std::process::id(), u128::from_be_bytes(key), socket.display())
}

fn key_in(text: &str) -> Option<FolderKey> {
    let hex = text.lines().find_map(|line| line.strip_prefix("key "))?;
    let is_whole = hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    u128::from_str_radix(hex, 16).ok().filter(|_| is_whole).map(u128::to_be_bytes)
}

fn socket_in(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| line.strip_prefix("socket ")).map(PathBuf::from)
}

fn new_key() -> io::Result<FolderKey> {
    use std::io::Read;

    let mut key = FolderKey::default();
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// The lock's file in a folder.
const LOCK: &str = "plasmad.lock";
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// How much of a socket's path a private folder's name shows.
const NAMED_CHARS: usize = 40;
/// A daemon that didn't come back for so long never will.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// Twice what an engine takes to say goodbye to clients that don't listen.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(2);
const RETRY_TIME: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SOCKET: &str = "/run/plasmad/a socket";

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_folder_is_made_for_its_owner_alone_and_keeps_its_id() {
        let above = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = above.path().join("a/b");
        let folder = Folder::take(Some(&path), Path::new(SOCKET)).unwrap();
        assert_eq!((mode(&path), mode(&path.join(LOCK))), (0o700, 0o600));
        let key = folder.claim.key;
        assert!(!folder.claim.is_private && key != [0; 16]);
        drop(folder);
        check(&path).unwrap();
        check(&above.path().join("none/of/these")).unwrap();
        assert_eq!(Folder::take(Some(&path), Path::new("/other")).unwrap().claim.key, key);
        fs::remove_dir_all(&path).unwrap();
        assert_ne!(Folder::take(Some(&path), Path::new(SOCKET)).unwrap().claim.key, key);
    }

    #[test]
    fn a_folder_that_somebody_holds_is_not_taken_and_the_holder_is_named() {
        let above = tempfile::tempdir_in("/var/tmp").unwrap();
        let folder = Folder::take(Some(above.path()), Path::new(SOCKET)).unwrap();
        let failure = Folder::take(Some(above.path()), Path::new(SOCKET)).unwrap_err();
        assert_eq!(failure.exit, Exit::Daemon);
        assert!(failure.message.contains(&format!("process {}", std::process::id())), "{failure}");
        drop(folder);
        Folder::take(Some(above.path()), Path::new(SOCKET)).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_no_folder_or_cannot_be_written_is_refused() {
        let above = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = above.path().join("open");
        fs::create_dir(&path).unwrap();
        for mode in [0o777, 0o1777, 0o770] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = Folder::take(Some(&path), Path::new(SOCKET)).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.message.contains(&format!("{mode:o}")), "{failure}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Folder::take(Some(&path), Path::new(SOCKET)).unwrap();
        let link = above.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(Folder::take(Some(&link), Path::new(SOCKET)).unwrap().claim.path, path);
        assert!(Folder::take_at(&link, Path::new(SOCKET), true).is_err(), "others can put a link there");
        for path in ["/etc/passwd", "/proc/plasmad"].map(Path::new) {
            let failure = Folder::take(Some(path), Path::new(SOCKET)).unwrap_err();
            assert_eq!((failure.exit, failure.code), (Exit::Usage, "SpillFailed"), "{failure}");
            assert_eq!(check(path).unwrap_err().code, "SpillFailed");
        }
    }

    #[test]
    fn memory_that_is_given_by_hand_works_with_a_warning() {
        let Ok(above) = tempfile::tempdir_in("/dev/shm") else { return println!("not run: there is no /dev/shm") };
        let folder = Folder::take(Some(above.path()), Path::new(SOCKET)).unwrap();
        assert!(folder.claim.remarks[0].contains("tmpfs"), "{:?}", folder.claim.remarks);
    }

    #[test]
    fn private_folders_differ_by_socket_and_can_be_told_apart_by_people() {
        let name = |socket: &str| private_name(Path::new(socket));
        assert!(name(SOCKET).contains("run-plasmad-a-socket-"), "{}", name(SOCKET));
        assert_eq!(name(SOCKET), name(SOCKET));
        // The same letters in other places.
        assert_ne!(name("/run/a-b"), name("/run/a/b"));
        assert!(name(&format!("/{}", "x/".repeat(500))).len() < 100);
    }

    #[test]
    fn private_folders_nobody_will_come_for_are_removed_and_no_others() {
        let above = tempfile::tempdir_in("/var/tmp").unwrap();
        let sockets = tempfile::tempdir().unwrap();
        let private = |socket: &Path| Folder::take_at(&above.path().join(private_name(socket)), socket, true).unwrap();
        let (here, gone) = (sockets.path().join("here"), sockets.path().join("gone"));
        fs::create_dir(&gone).unwrap();
        let [alive, dead, orphan] =
            [&here.with_extension("1"), &here.with_extension("2"), &gone.join("s")].map(|it| private(it));
        let paths = [&alive, &dead, &orphan].map(|folder| folder.claim.path.clone());
        fs::create_dir(above.path().join("a folder of somebody's")).unwrap();
        let own = private(&here);
        drop((dead, orphan));
        fs::remove_dir(&gone).unwrap();
        own.clean_beside();
        assert_eq!(paths.map(|path| path.exists()), [true, true, false]);
        assert!(own.claim.path.exists() && above.path().join("a folder of somebody's").exists());
    }

    #[test]
    fn a_private_folder_goes_with_its_daemon_and_a_given_one_stays() {
        let above = tempfile::tempdir_in("/var/tmp").unwrap();
        for (is_private, stays) in [(true, false), (false, true)] {
            let folder = Folder::take_at(&above.path().join("f"), Path::new(SOCKET), is_private).unwrap();
            Folder::leave(&folder.claim);
            assert_eq!(folder.claim.path.exists(), stays);
        }
    }
}
