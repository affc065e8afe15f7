//! Folders: where the socket lies, and where objects would be spilled to.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;

use super::{Check, Verdict};
use crate::config::check::{check_socket_path, folder_of, try_socket};
use crate::error::Failure;
use crate::size;

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
    folder: PathBuf,
    /// A file could be made and written in it.
    written: io::Result<()>,
    /// It is memory itself.
    in_memory: bool,
    /// Bytes and files that may still be made; `None` for no limit of files.
    free: io::Result<(u64, Option<u64>)>,
    /// What objects may take in memory.
    arena_bytes: u64,
    direct: io::Result<()>,
}

impl SocketFolder {
    pub(super) fn look(socket: &Path) -> Self {
        let folder = folder_of(socket);
        let mode = fs::metadata(folder).map_or(0, |found| found.mode());
        Self { folder: folder.to_path_buf(), path: check_socket_path(socket), tried: try_socket(folder), mode }
    }
}

impl Spill {
    pub(super) fn look(folder: &Path, arena_bytes: u64) -> Self {
        let file = tempfile::Builder::new().prefix(".plasmad-doctor-").tempfile_in(folder);
        let (written, direct) = match &file {
            Ok(file) => (file.as_file().write_all_at(&[1; 4096], 0), write_direct(file.path())),
            Err(error) => (Err(again(error)), Err(again(error))),
        };
        let found = statvfs(folder).map_err(io::Error::from).map(|found| {
            let files = (found.files() > 0).then_some(found.files_available());
            (found.blocks_available() * found.fragment_size(), files)
        });
        let in_memory = statfs(folder).is_ok_and(|found| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.filesystem_type()));
        Self { folder: folder.to_path_buf(), written, in_memory, free: found, arena_bytes, direct }
    }
}

/// Writes a block past the page cache, from memory that lies as the disk wants it.
fn write_direct(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(OFlag::O_DIRECT.bits()).open(path)?;
    let memory = vec![1; 2 * BLOCK_BYTES];
    let start = memory.as_ptr().align_offset(BLOCK_BYTES);
    file.write_all_at(&memory[start..start + BLOCK_BYTES], 0)
}

/// The same error, without what tempfile says of the path, which is told anyway.
fn again(error: &io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source()).and_then(|inner| inner.downcast_ref::<io::Error>());
    let number = error.raw_os_error().or_else(|| inner.and_then(io::Error::raw_os_error));
    number.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
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
    let folder = facts.folder.display();
    let wanted = "a folder on a disk that plasmad's user may write to (this version doesn't spill yet)";
    let verdict = |found: String| Verdict::new("spill_dir", found, wanted);
    let fix =
        "name another in XDG_CACHE_HOME, or keep nothing on disk: PLASMAD_NO_SPILL=true, plasmad serve --no-spill";
    match &facts.written {
        _ if facts.in_memory => {
            verdict(format!("{folder} is memory itself (tmpfs), so spilling to it frees nothing")).fail(fix)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            verdict(format!("{folder} doesn't exist")).fail(format!("mkdir -p -m 700 {folder}; or {fix}"))
        }
        Err(error) => verdict(format!("no file can be written in {folder}: {error}")).fail(fix),
        Ok(()) => verdict(format!("a file was written in {folder}, and removed")).ok(),
    }
}

pub(super) fn spill_disk_free(facts: &Spill) -> Check {
    let folder = facts.folder.display();
    let (least, good) = (size::display(SPILL_BYTES_LEAST), size::display(facts.arena_bytes));
    let wanted = format!("as much as the arena, {good}; at least {least}, two spill files");
    let fix = format!("free some: du -xh {folder} | sort -h | tail; or name another folder in XDG_CACHE_HOME");
    match &facts.free {
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
    let folder = facts.folder.display();
    let wanted = "writes past the page cache (O_DIRECT), so that spilling takes no memory";
    match &facts.direct {
        Ok(()) => Verdict::new("direct_io", format!("a block was written so in {folder}, and removed"), wanted).ok(),
        Err(error) => Verdict::new("direct_io", format!("not at {folder}: {error}"), wanted)
            .warn("name a folder on ext4, xfs or btrfs in XDG_CACHE_HOME; through the page cache it works too"),
    }
}

/// Two spill files of the least size.
const SPILL_BYTES_LEAST: u64 = 128 << 20;
/// What every disk takes as a block.
const BLOCK_BYTES: usize = 4096;
const WRITABLE_BY_ALL: u32 = 0o002;
/// Only a file's owner may replace it.
const STICKY: u32 = 0o1000;
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{Fail, Ok as Fine, Warn};

    fn socket_folder(tried: io::Result<()>, mode: u32) -> SocketFolder {
        SocketFolder { folder: "/run/p".into(), path: Ok(()), tried, mode }
    }

    fn spill(written: io::Result<()>, free: io::Result<(u64, Option<u64>)>) -> Spill {
        let folder = "/var/p".into();
        Spill { folder, written, in_memory: false, free, arena_bytes: 4 << 30, direct: Ok(()) }
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
        let missing = spill_dir(&spill(Err(errno(2)), free()));
        assert!(missing.status == Fail && missing.fix.contains("mkdir"), "{missing:?}");
        let memory = spill_dir(&Spill { in_memory: true, ..spill(Ok(()), free()) });
        assert!(memory.status == Fail && memory.found.contains("tmpfs"), "{memory:?}");
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
        let direct = |direct| direct_io(&Spill { direct, ..spill(Ok(()), Ok((0, None))) });
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
        let spill = Spill::look(&long, 1);
        assert!(spill.written.is_ok() && spill.free.is_ok(), "{:?} {:?}", spill.written, spill.free);
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
    }
}
