//! Folders: where the socket lies, and where objects would be spilled to.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Check, Verdict};
use crate::config::check::{check_socket_path, folder_of, try_socket};
use crate::error::Failure;
use crate::size;
use crate::spill::folder::{check_owner, private_folders};
use crate::spill::probe::{Probe, again};

/// What was seen of the socket's folder.
pub(super) struct SocketFolder {
    folder: PathBuf,
    /// The path can be a socket's.
    path: Result<(), Failure>,
    /// A socket could be made in the folder.
    tried: io::Result<()>,
    mode: u32,
}

/// What was seen of the folder objects would be spilled to.
pub(super) struct Spill {
    /// Of it, or if it isn't there, of the one it would be made in.
    probe: Probe,
    /// It was named by hand.
    is_given: bool,
    /// It is there, and others can't write to it.
    owner: Result<(), Failure>,
    /// What objects may take in memory.
    arena_bytes: u64,
}

impl SocketFolder {
    pub(super) fn look(socket: &Path) -> Self {
        let folder = folder_of(socket);
        let mode = fs::metadata(folder).map_or(0, |found| found.mode());
        Self { folder: folder.to_path_buf(), path: check_socket_path(socket), tried: try_socket(folder), mode }
    }
}

impl Spill {
    /// The folder that was given, or the first of the private ones that is on a disk and can be written.
    pub(super) fn look(given: Option<&Path>, socket: &Path, arena_bytes: u64) -> Self {
        let of = |folder: &Path| {
            let folder = &folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
            let owner = if folder.exists() { check_owner(folder) } else { Ok(()) };
            Self { probe: Probe::look_above(folder), is_given: given.is_some(), owner, arena_bytes }
        };
        if let Some(given) = given {
            return of(given);
        }
        let mut seen = private_folders(socket).into_iter().map(|folder| of(&folder));
        let first = seen.next().expect("there is always one");
        let is_fit = |it: &Self| it.probe.written.is_ok() && !it.probe.in_memory && it.owner.is_ok();
        if is_fit(&first) { first } else { seen.find(is_fit).unwrap_or(first) }
    }
}

pub(super) fn socket_dir(facts: &SocketFolder) -> Check {
    let folder = facts.folder.display();
    let wanted = "a folder plasmad's user may write to and others may not, and a path of at most 107 bytes";
    let verdict = |found: String| Verdict::new("socket_dir", found, wanted);
    if let Err(failure) = &facts.path {
        return verdict(failure.message.clone()).fail(format!("{}: plasmad --socket PATH", failure.hint));
    }
    match &facts.tried {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            verdict(format!("{folder} doesn't exist")).fail(format!("mkdir -p -m 755 {folder}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            verdict(format!("{folder} is no folder")).fail("name a path in a folder: plasmad --socket PATH")
        }
        Err(error) => verdict(format!("no socket can be made in {folder}: {}", again(error)))
            .fail("name a path in a folder you may write to: plasmad --socket PATH, or PLASMAD_SOCKET"),
        Ok(()) if facts.mode & WRITABLE_BY_ALL != 0 && facts.mode & STICKY == 0 => {
            let found = format!("everybody may replace the socket: {folder} has mode {:o}", facts.mode & 0o7777);
            verdict(found).warn(format!("chmod o-w {folder}, or chmod +t {folder}"))
        }
        Ok(()) => verdict(format!("a socket was made in {folder}, and removed")).ok(),
    }
}

pub(super) fn spill_dir(facts: &Spill) -> Check {
    let folder = facts.probe.folder.display();
    let wanted = "a folder on a disk that plasmad's user may write to and others may not";
    let verdict = |found: String| Verdict::new("spill_dir", found, wanted);
    let fix = "name another: plasmad serve --spill-dir DIR, or keep nothing on disk: plasmad serve --no-spill";
    match &facts.probe.written {
        _ if facts.owner.is_err() => {
            let why = facts.owner.as_ref().err().map(|failure| failure.message.clone());
            verdict(why.unwrap_or_default()).fail(format!("chmod 700 {folder}; or {fix}"))
        }
        _ if facts.probe.in_memory => {
            let verdict = verdict(format!("{folder} is memory itself (tmpfs), so spilling to it frees nothing"));
            if facts.is_given { verdict.warn(fix) } else { verdict.fail(fix) }
        }
        Err(error) => verdict(format!("no file can be written in {folder}: {error}")).fail(fix),
        Ok(()) => verdict(format!("a file was written in {folder}, and removed")).ok(),
    }
}

pub(super) fn spill_disk_free(facts: &Spill) -> Check {
    let folder = facts.probe.folder.display();
    let (least, good) = (size::display(SPILL_BYTES_LEAST), size::display(facts.arena_bytes));
    let wanted = format!("as much as the arena, {good}; at least {least}, two spill files");
    let fix =
        format!("free some: du -xh {folder} | sort -h | tail; or name another folder: plasmad serve --spill-dir DIR");
    match &facts.probe.free {
        Err(error) => Verdict::new("spill_disk_free", format!("unknown for {folder}: {error}"), wanted)
            .fail(format!("mkdir -p -m 700 {folder}")),
        Ok((_, Some(0))) => {
            Verdict::new("spill_disk_free", format!("{folder} takes no more files: its inodes are used up"), wanted)
                .fail(fix)
        }
        Ok((bytes, _)) => {
            let verdict =
                Verdict::new("spill_disk_free", format!("{} are free at {folder}", size::display(*bytes)), wanted);
            match *bytes {
                bytes if bytes < SPILL_BYTES_LEAST => verdict.fail(fix),
                bytes if bytes < facts.arena_bytes => verdict.warn(fix),
                _ => verdict.ok(),
            }
        }
    }
}

pub(super) fn direct_io(facts: &Spill) -> Check {
    let folder = facts.probe.folder.display();
    let wanted = "writes past the page cache (O_DIRECT), so that spilling takes no memory";
    match &facts.probe.direct {
        Ok(()) => Verdict::new("direct_io", format!("a block was written so in {folder}, and removed"), wanted).ok(),
        Err(error) => Verdict::new("direct_io", format!("not at {folder}: {error}"), wanted).warn(
            "name a folder on ext4, xfs or btrfs: plasmad serve --spill-dir DIR; through the page cache it works too",
        ),
    }
}

/// Two spill files of the least size.
const SPILL_BYTES_LEAST: u64 = 128 << 20;
const WRITABLE_BY_ALL: u32 = 0o002;
/// Only a file's owner may replace it.
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{Fail, Ok as Fine, Warn};

    fn socket_folder(tried: io::Result<()>, mode: u32) -> SocketFolder {
        SocketFolder { folder: "/run/p".into(), path: Ok(()), tried, mode }
    }

    fn spill(written: io::Result<()>, free: io::Result<(u64, Option<u64>)>) -> Spill {
        let probe = Probe { folder: "/var/p".into(), written, in_memory: false, free, direct: Ok(()) };
        Spill { probe, is_given: false, owner: Ok(()), arena_bytes: 4 << 30 }
    }

    fn errno(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn a_socket_folder_that_cannot_be_used_fails_and_an_open_one_warns() {
        assert_eq!(socket_dir(&socket_folder(Ok(()), 0o755)).status, Fine);
        assert_eq!(socket_dir(&socket_folder(Ok(()), 0o1777)).status, Fine);
        let open = socket_dir(&socket_folder(Ok(()), 0o777));
        assert_eq!(open.status, Warn);
        assert!(open.fix.contains("chmod o-w /run/p"), "{open:?}");
        let missing = socket_dir(&socket_folder(Err(errno(2)), 0));
        assert_eq!((missing.status, &*missing.fix), (Fail, "mkdir -p -m 755 /run/p"));
        let read_only = socket_dir(&socket_folder(Err(errno(30)), 0o755));
        assert_eq!(read_only.status, Fail);
        assert!(read_only.found.contains("Read-only file system"), "{read_only:?}");
        let long =
            SocketFolder { path: check_socket_path(Path::new(&"x".repeat(108))), ..socket_folder(Ok(()), 0o755) };
        assert!(socket_dir(&long).status == Fail && socket_dir(&long).found.contains("108 bytes"));
    }

    #[test]
    fn a_spill_folder_in_memory_or_without_writing_fails() {
        let free = || Ok((9 << 30, Some(9)));
        assert_eq!(spill_dir(&spill(Ok(()), free())).status, Fine);
        let denied = spill_dir(&spill(Err(errno(13)), free()));
        assert_eq!(denied.status, Fail);
        assert!(denied.found.contains("Permission denied") && denied.fix.contains("--no-spill"), "{denied:?}");
        for (is_given, status) in [(false, Fail), (true, Warn)] {
            let mut facts = Spill { is_given, ..spill(Ok(()), free()) };
            facts.probe.in_memory = true;
            let memory = spill_dir(&facts);
            assert!(memory.status == status && memory.found.contains("tmpfs"), "{memory:?}");
        }
        let open = Failure::usage("others may write to the spill folder /var/p: its mode is 777");
        let open = spill_dir(&Spill { owner: Err(open), ..spill(Ok(()), free()) });
        assert!(open.status == Fail && open.fix.contains("chmod 700 /var/p"), "{open:?}");
    }

    #[test]
    fn a_disk_with_less_than_the_arena_warns_and_a_full_one_fails() {
        let status = |free| spill_disk_free(&spill(Ok(()), free)).status;
        assert_eq!(status(Ok((5 << 30, Some(100)))), Fine);
        assert_eq!(status(Ok((5 << 30, None))), Fine);
        assert_eq!(status(Ok((3 << 30, Some(100)))), Warn);
        assert_eq!(status(Ok((100 << 20, Some(100)))), Fail);
        assert_eq!(status(Ok((5 << 30, Some(0)))), Fail);
        assert_eq!(status(Err(errno(2))), Fail);
    }

    #[test]
    fn a_disk_that_insists_on_its_cache_is_a_warning() {
        let direct = |direct| {
            let mut facts = spill(Ok(()), Ok((0, None)));
            facts.probe.direct = direct;
            direct_io(&facts)
        };
        assert_eq!(direct(Ok(())).status, Fine);
        let refused = direct(Err(errno(22)));
        assert!(refused.status == Warn && refused.found.contains("Invalid argument"), "{refused:?}");
    }

    #[test]
    fn looking_leaves_nothing_behind_even_where_a_path_has_no_byte_to_spare() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("d".repeat(99 - folder.path().as_os_str().len()));
        fs::create_dir(&long).unwrap();
        let seen = SocketFolder::look(&long.join("socket"));
        assert!(seen.path.is_ok() && seen.tried.is_ok(), "{:?}", seen.tried);
        let spill = Spill::look(Some(&long.join("not there")), &long.join("socket"), 1);
        assert!(spill.probe.written.is_ok() && spill.probe.free.is_ok(), "{:?}", spill.probe);
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
    }
}
